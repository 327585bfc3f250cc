"""Depthwise convolutions whose backward pass is computed in float32 on CPUs, where torch's bfloat16 one is slow.

``scripts/benchmark.py depthwise`` measures what it saves of a training step.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def use_float32_depthwise_backward(network: nn.Module) -> None:
    """Let a network's depthwise convolutions train faster under bfloat16 autocast on a CPU.

    Outputs are bit-equal, gradients are those of float32 arithmetic on the rounded inputs. Parameters and state dict
    stay as they are; on other devices, without autocast or without gradients nothing changes.

    Args:
        network: Changed in place.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_depthwise(module):
            # The libraries make the layers: there is no constructor to pass this to.
            module.forward = partial(_forward, module)  # type: ignore[method-assign]


def _is_depthwise(conv: nn.Conv2d) -> bool:
    plain = conv.padding_mode == "zeros" and not isinstance(conv.padding, str) and conv.bias is None
    return plain and conv.groups == conv.in_channels == conv.out_channels > 1


def _forward(conv: nn.Conv2d, image: Tensor) -> Tensor:
    half = image.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    if not half or not torch.is_grad_enabled() or torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return nn.Conv2d.forward(conv, image)
    output: Tensor = _Depthwise.apply(image.bfloat16(), conv.weight, conv.stride, conv.padding, conv.dilation)
    return output


class _Depthwise(torch.autograd.Function):
    """Forward in bfloat16, backward in float32."""

    @staticmethod
    def forward(
        image: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
    ) -> Tensor:
        return F.conv2d(image, weight.bfloat16(), None, stride, padding, dilation, weight.shape[0])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        image, weight, *ctx.geometry = inputs
        ctx.save_for_backward(image, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        image, weight = ctx.saved_tensors
        geometry = (*ctx.geometry, False, [0, 0], weight.shape[0])
        grad_image, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad.float(), image.float(), weight.bfloat16().float(), None, *geometry, [*ctx.needs_input_grad[:2], False]
        )
        return grad_image if grad_image is None else grad_image.to(image.dtype), grad_weight, None, None, None
