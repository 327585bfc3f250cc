"""What computing depthwise backward passes in float32 gains on a CPU."""

import statistics
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from contextrast.benchmarks.inputs import training
from contextrast.benchmarks.measuring import CONSOLE, alternating, spread, table
from contextrast.config import instantiate
from contextrast.models import use_float32_depthwise_backward


def depthwise(repetitions: int) -> dict[str, float]:
    """A training step of the default network on a CPU in bfloat16 (8x256x320), with the float32 depthwise backward."""
    seconds = alternating({"torch's": _step(False), "float32": _step(True)}, repetitions)
    shown = table("Forward + backward of the default network, bfloat16", "depthwise backward", "median s", "range s")
    for name, values in seconds.items():
        shown.add_row(name, *spread(values))
    CONSOLE.print(shown)
    ratio = statistics.median(seconds["float32"]) / statistics.median(seconds["torch's"])
    CONSOLE.print(f"float32 / torch's: {ratio:.2f}")
    return {"ratio": ratio, **{f"seconds {name}": statistics.median(values) for name, values in seconds.items()}}


def _step(float32: bool) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(8, 3, 256, 320, generator=generator).to(memory_format=torch.channels_last)
    target = torch.randint(0, 11, (8, 256, 320), generator=generator)
    network = instantiate(training().model, num_classes=11).to(memory_format=torch.channels_last).train()
    if float32:
        use_float32_depthwise_backward(network)

    def call() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(image)
        loss: Tensor = F.cross_entropy(logits.float(), target)
        loss.backward()  # type: ignore[no-untyped-call]
        network.zero_grad()

    return call
