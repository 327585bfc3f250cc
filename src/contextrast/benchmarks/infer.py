"""Images per second of a network in evaluation."""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from contextrast.benchmarks.inputs import training
from contextrast.benchmarks.measuring import CONSOLE, spread, table
from contextrast.callbacks.costs import seconds_of
from contextrast.config import instantiate, plain
from contextrast.errors import ConfigError
from contextrast.extras import installation
from contextrast.folders import config_directory
from contextrast.models import InferenceProtocol, Segmenter
from contextrast.models.devices import best_device, device_name
from contextrast.training.assembly import build_datamodule

Predict = Callable[[Tensor], Tensor]


def infer(
    repetitions: int, ways: Sequence[str], size: Sequence[int] | None, batch_size: int, overrides: Sequence[str]
) -> dict[str, float | str]:
    """Images per second of a model, single-scale and multi-scale with flips, in PyTorch and ONNX Runtime.

    Both protocols are those of conf/evaluate.yaml: probabilities at the image's size, in float32. The compiled and the
    exported network have a graph for every size, made before the clock starts.

    Raises:
        ConfigError: If a way is none of `WAYS`.
    """
    unknown = [way for way in ways if way not in WAYS]
    if unknown:
        raise ConfigError(f"--ways={','.join(ways)}: {unknown[0]} is none of {', '.join(WAYS)}")
    config = training(*overrides, "model.encoder_weights=null")
    labels = build_datamodule(config.data).labels
    device = best_device()
    torch.manual_seed(0)
    network: Segmenter = instantiate(config.model, num_classes=labels.num_classes)
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    image = torch.randn(batch_size, 3, *(size or config.data.crop)).to(device, memory_format=torch.channels_last)
    protocols = plain(OmegaConf.load(config_directory() / "evaluate.yaml").protocols)
    shape = "x".join(str(side) for side in image.shape)
    shown = table(f"Inference of {shape}, {device_name(device)}", "network", "images a second", "median s", "range s")
    numbers: dict[str, float | str] = {"device": device_name(device)}
    for way in ways:
        if way == "onnx" and not (find_spec("onnxruntime") and find_spec("onnxscript")):
            CONSOLE.print(f"ONNX Runtime is not installed: {installation('export')}")
            continue
        predict = WAYS[way](network)
        for protocol, options in protocols.items():
            seconds = _seconds(partial(InferenceProtocol(**options), predict, image), device, repetitions)
            speed = batch_size / statistics.median(seconds)
            numbers[f"{way} {protocol} images a second"] = speed
            shown.add_row(f"{way}, {protocol}", f"{speed:.2f}", *spread(seconds))
    CONSOLE.print(shown)
    return numbers


class OnnxNetwork:
    """A network in ONNX Runtime: on the GPU where that is installed for one, else on the CPU with torch's threads.

    Args:
        network: Exported for every size of images when the first of that size come.
    """

    def __init__(self, network: Segmenter) -> None:
        self._network = network
        self._sessions: dict[torch.Size, Any] = {}

    def __call__(self, image: Tensor) -> Tensor:
        """Logits ``[B, N, H, W]`` of float images ``[B, 3, H, W]``."""
        if image.shape not in self._sessions:
            self._sessions[image.shape] = self._session(image)
        session = self._sessions[image.shape]
        (logits,) = session.run(None, {session.get_inputs()[0].name: image.contiguous().cpu().numpy()})
        return torch.from_numpy(logits).to(image.device)

    def _session(self, image: Tensor) -> Any:
        import onnxruntime  # noqa: PLC0415  (an optional dependency)

        with torch.inference_mode(False):  # the exporter traces ordinary tensors
            example = image.clone(memory_format=torch.contiguous_format)
            program = torch.onnx.export(self._network, (example,), dynamo=True, verbose=False)
        assert program is not None
        options = onnxruntime.SessionOptions()  # whose constructor takes nothing
        options.intra_op_num_threads = torch.get_num_threads()
        known = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in known if name in onnxruntime.get_available_providers()]
        return onnxruntime.InferenceSession(program.model_proto.SerializeToString(), options, providers=providers)


WAYS: dict[str, Callable[[Segmenter], Predict]] = {
    "eager": lambda network: network,
    "compiled": partial(torch.compile, dynamic=False),
    "onnx": OnnxNetwork,
}
"""How a network can be run."""


@torch.inference_mode()
def _seconds(call: Callable[[], Tensor], device: torch.device, repetitions: int) -> list[float]:
    call()  # compiles, exports, chooses kernels
    return [seconds_of(call, device) for _ in range(repetitions)]
