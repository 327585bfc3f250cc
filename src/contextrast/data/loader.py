"""Torch loaders with what a run needs besides: readable errors from workers, and a place to resume at."""

from collections.abc import Iterator, Sequence
from typing import Any, NotRequired, TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from contextrast.data.dataset import Sample
from contextrast.data.sampler import EpochSampler
from contextrast.errors import ConfigError, ContextrastError


class Batch(TypedDict):
    """Several samples of one size.

    Attributes:
        image: RGB, uint8 ``[B, 3, H, W]``.
        mask: Train ids, int64 ``[B, H, W]``.
        name: B names.
        instances: Instance ids, int32 ``[B, H, W]``, where the samples have them.
    """

    image: Tensor
    mask: Tensor
    name: list[str]
    instances: NotRequired[Tensor]


class Loader(DataLoader[Any]):
    """A torch loader whose workers' errors arrive as they were raised, not wrapped into a worker's traceback."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch annotates a private class
        try:
            yield from super().__iter__()
        except ContextrastError as error:
            kind = type(error)
            message = str(error).rsplit(f"{kind.__module__}.{kind.__qualname__}: ", maxsplit=1)[-1]
            raise kind(message.strip()) from None


class TrainLoader(Loader):
    """A loader that goes on in the sampler's stream where it stopped, within a run and in a resumed one.

    Lightning stores its state in the checkpoint.
    """

    _position = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch annotates a private class
        replicas = 1
        if isinstance(self.sampler, EpochSampler):  # Lightning puts another one in its place for `overfit_batches`
            self.sampler.position = self._position
            replicas = self.sampler.num_replicas
        for batch in super().__iter__():
            self._position += len(batch["name"]) * replicas
            yield batch

    def state_dict(self) -> dict[str, int]:
        """What a checkpoint keeps: how many samples all processes have been given so far."""
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on where the checkpoint was written."""
        self._position = state["position"]


def collate(samples: Sequence[Sample]) -> Batch:
    """Stacks samples of one size.

    Raises:
        ConfigError: Images of different sizes.
    """
    sizes = sorted({tuple(sample["mask"].shape) for sample in samples})
    if len(sizes) > 1:
        listed = ", ".join(f"{height}x{width}" for height, width in sizes)
        raise ConfigError(
            f"Images of sizes {listed} (height x width) cannot share a batch; set data.eval_batch_size=1."
        )
    batch = Batch(
        image=torch.stack([sample["image"] for sample in samples]),
        mask=torch.stack([sample["mask"] for sample in samples]),
        name=[sample["name"] for sample in samples],
    )
    instances = [sample["instances"] for sample in samples if "instances" in sample]
    if instances:
        batch["instances"] = torch.stack(instances)
    return batch
