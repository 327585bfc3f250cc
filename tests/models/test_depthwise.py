"""Depthwise convolutions with a float32 backward pass under bfloat16 autocast."""

import copy

import pytest
import torch
from torch import nn

from contextrast.models.depthwise import use_float32_depthwise_backward


def run(network, image, autocast=True):
    image = image.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = network(image)
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(output.shape, generator=generator)
    return output, *torch.autograd.grad((output.float() * weight).sum(), [image, *weights])


@pytest.mark.parametrize(("stride", "kernel"), [(1, 3), (2, 5)])
def test_outputs_are_bit_equal_and_gradients_those_of_float32(stride, kernel):
    generator = torch.Generator().manual_seed(0)
    plain = nn.Conv2d(24, 24, kernel, stride, kernel // 2, groups=24, bias=False).to(memory_format=torch.channels_last)
    changed = copy.deepcopy(plain)
    use_float32_depthwise_backward(changed)
    image = torch.randn(2, 24, 12, 14, generator=generator).bfloat16().float()
    expected, *_ = run(plain, image)
    output, grad_image, grad_weight = run(changed, image)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, expected)
    exact = copy.deepcopy(plain)
    with torch.no_grad():
        exact.weight.copy_(exact.weight.bfloat16().float())
    _, exact_image, exact_weight = run(exact, image, autocast=False)
    # the gradient of the output, and of the image, is rounded to bfloat16 on its way
    torch.testing.assert_close(grad_image, exact_image, rtol=0.01, atol=0.02)
    torch.testing.assert_close(grad_weight, exact_weight, rtol=0.01, atol=0.1)


def test_without_autocast_or_gradients_it_is_the_plain_layer():
    network = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8, bias=False), nn.Conv2d(8, 4, 1))
    changed = copy.deepcopy(network)
    use_float32_depthwise_backward(changed)
    image = torch.randn(1, 8, 6, 6)
    for mine, plain in zip(run(changed, image, autocast=False), run(network, image, autocast=False), strict=True):
        assert torch.equal(mine, plain)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(changed(image), network(image))
    assert changed.state_dict().keys() == network.state_dict().keys()


def test_copies_use_their_own_weights():
    network = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4, bias=False))
    use_float32_depthwise_backward(network)
    copied = copy.deepcopy(network)
    with torch.no_grad():
        copied[0].weight.zero_()
    image = torch.randn(1, 4, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert (copied(image) == 0).all()
        assert (network(image) != 0).any()
