"""Torch loaders with what a run needs besides: readable errors from workers, and a place to resume at."""

from collections.abc import Iterator, Sequence
from typing import Any, NotRequired, TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from contextrast.data.bad_samples import BadSamples
from contextrast.data.dataset import Sample
from contextrast.data.sampler import EpochSampler
from contextrast.errors import ConfigError, ContextrastError, DataError, first_line


class Batch(TypedDict):
    """Several samples of one size.

    Attributes:
        image: uint8 ``[B, C, H, W]``; RGB where there are three channels.
        mask: Train ids, int64 ``[B, H, W]``.
        name: B names.
        instances: Instance ids, int32 ``[B, H, W]``, where the samples have them.
    """

    image: Tensor
    mask: Tensor
    name: list[str]
    instances: NotRequired[Tensor]


class Loader(DataLoader[Any]):
    """A torch loader whose workers' errors arrive as they were raised, not wrapped into a worker's traceback.

    Iterating it raises what the dataset raises, and a `DataError` if a worker dies. What it draws when it starts
    workers comes from a generator of its own, so that dropout draws the same whoever reads.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"generator": torch.Generator(), **kwargs})

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch annotates a private class
        try:
            yield from super().__iter__()
        except ContextrastError as error:
            kind = type(error)
            message = str(error).rsplit(f"{kind.__module__}.{kind.__qualname__}: ", maxsplit=1)[-1]
            raise kind(message.strip()) from None
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            raise DataError(
                f"A process that reads data died ({first_line(error)}). Most often the machine ran out of "
                f"memory: lower data.num_workers={self.num_workers}; 0 reads in the main process and shows any error."
            ) from error


class TrainLoader(Loader):
    """A loader that goes on in the sampler's stream where it stopped, within a run and in a resumed one.

    Lightning stores its state in the checkpoint.

    Args:
        *args: As torch's loader has them.
        bad_samples: Counts them; for a dataset of `Substitutes`.
        **kwargs: As torch's loader has them.
    """

    def __init__(self, *args: Any, bad_samples: BadSamples | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bad_samples = bad_samples  # by the argument's name: Lightning finds it where it makes the loader anew
        self._position = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch annotates a private class
        replicas = 1
        if isinstance(self.sampler, EpochSampler):  # Lightning puts another one in its place for `overfit_batches`
            self.sampler.seek(self._position)
            replicas = self.sampler.num_replicas
        for item in super().__iter__():
            batch = self._counted(item)
            self._position += len(batch["name"]) * replicas
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: how many samples all processes have been given so far, and which were bad."""
        bad = {} if self.bad_samples is None else {"bad_samples": list(self.bad_samples.found)}
        return {"position": self._position, **bad}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the checkpoint was written."""
        self._position = state["position"]
        if self.bad_samples is not None:
            self.bad_samples = BadSamples(self.bad_samples.limit, state.get("bad_samples", ()))

    def _counted(self, item: Any) -> Any:
        if self.bad_samples is None:
            return item
        batch, bad = item
        self.bad_samples.add(bad)
        return batch


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one size.

    Raises:
        ConfigError: Images of different sizes.
    """
    refuse_several({(sample["mask"].shape[0], sample["mask"].shape[1]) for sample in samples})
    batch = Batch(
        image=torch.stack([sample["image"] for sample in samples]),
        mask=torch.stack([sample["mask"] for sample in samples]),
        name=[sample["name"] for sample in samples],
    )
    instances = [sample["instances"] for sample in samples if "instances" in sample]
    if instances:
        batch["instances"] = torch.stack(instances)
    return batch


def refuse_several(sizes: set[tuple[int, int]]) -> None:
    """Refuse images of several sizes (height, width), which cannot share a batch.

    Raises:
        ConfigError: If there are several.
    """
    if len(sizes) > 1:
        listed = ", ".join(f"{height}x{width}" for height, width in sorted(sizes)[:3])
        more = f" and {len(sizes) - 3} more" if len(sizes) > 3 else ""
        raise ConfigError(
            f"Images of sizes {listed}{more} (height x width) cannot share a batch; set data.eval_batch_size=1."
        )
