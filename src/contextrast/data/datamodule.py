"""From a dataset to batches: which split a stage needs, in which order it is read, and how it is collated."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import cv2
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from contextrast.data.dataset import Sample, SegmentationDataset
from contextrast.data.labels import LabelTable
from contextrast.data.sampler import EpochSampler
from contextrast.data.transforms import TrainTransform
from contextrast.errors import ConfigError, DataError


class Batch(TypedDict):
    """Several samples of one size.

    Attributes:
        image: RGB, uint8 ``[B, 3, H, W]``.
        mask: Train ids, int64 ``[B, H, W]``.
        name: B names.
    """

    image: Tensor
    mask: Tensor
    name: list[str]


class SegmentationDataModule(LightningDataModule):
    """Loads a dataset for training (augmented crops) and evaluation (original sizes, unchanged).

    Args:
        dataset: Makes the dataset: called with ``split`` and ``transform``, and with ``root`` where that is given. A
            dataset class, or a ``functools.partial`` of one (in YAML a ``_target_`` with ``_partial_: true``).
        crop: Height and width of training images.
        batch_size: Training images a step and process; the incomplete last batch of an epoch is dropped.
        root: Folder of the dataset's files; ``None`` for a dataset that needs none.
        eval_batch_size: Images a step in validation and test; above 1 only where all have one size.
        num_workers: Worker processes a loader; 0 reads in the main process.
        scale: Range of the random scale, see `TrainTransform`.
        flip: Probability of a horizontal flip.
        color_jitter: Arguments of ``ColorJitter``; ``None`` for none.
        seed: Seed of order and augmentation.
        pin_memory: Copy batches to page-locked memory, for faster transfer to a GPU.

    Raises:
        ConfigError: An argument that cannot work.
    """

    def __init__(
        self,
        dataset: Callable[..., SegmentationDataset],
        crop: Sequence[int],
        batch_size: int,
        *,
        root: str | Path | None = None,
        eval_batch_size: int = 1,
        num_workers: int = 2,
        scale: Sequence[float] = (0.5, 2.0),
        flip: float = 0.5,
        color_jitter: Mapping[str, float] | None = None,
        seed: int = 0,
        pin_memory: bool = False,
    ) -> None:
        super().__init__()
        for key, value in {"batch_size": batch_size, "eval_batch_size": eval_batch_size}.items():
            if value < 1:
                raise ConfigError(f"data.{key}={value} has to be at least 1.")
        if num_workers < 0:
            raise ConfigError(f"data.num_workers={num_workers} has to be at least 0 (0 reads in the main process).")
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.pin_memory = pin_memory
        self._make = dataset
        self._own = {} if root is None else {"root": root}
        self._transform = TrainTransform(crop, scale, flip, color_jitter, seed)
        self._datasets: dict[str, SegmentationDataset] = {}

    @property
    def labels(self) -> LabelTable:
        """The dataset's classes; no file is read for them."""
        dataset_class: Any = getattr(self._make, "func", self._make)
        labels: LabelTable = dataset_class.labels
        return labels

    def dataset(self, split: str) -> SegmentationDataset:
        """Makes a split's dataset, once; ``"train"`` comes with augmentation.

        Raises:
            DataError: Files are missing or cannot be used.
        """
        if split not in self._datasets:
            transform = self._transform if split == "train" else None
            self._datasets[split] = self._make(**self._own, split=split, transform=transform)
        return self._datasets[split]

    def setup(self, stage: str) -> None:
        """Makes the datasets that a stage needs, so that what is wrong with them shows before the first step."""
        for split in {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}.get(stage, ()):
            self.dataset(split)

    def train_dataloader(self) -> DataLoader[Sample]:
        """Shuffled, augmented batches of equal size.

        Raises:
            ConfigError: Fewer images than one batch.
        """
        dataset = self.dataset("train")
        per_process = len(dataset) // self._world()[0]
        if per_process < self.batch_size:
            raise ConfigError(
                f"data.batch_size={self.batch_size} is more than the {per_process} training image(s) a process; "
                "incomplete batches are dropped, so nothing would be left. Lower data.batch_size."
            )
        return self._loader(dataset, self.batch_size, train=True)

    def val_dataloader(self) -> DataLoader[Sample]:
        """Validation images in order, at their original sizes."""
        return self._loader(self.dataset("val"), self.eval_batch_size, train=False)

    def test_dataloader(self) -> DataLoader[Sample]:
        """Test images in order, at their original sizes."""
        return self._loader(self.dataset("test"), self.eval_batch_size, train=False)

    def _loader(self, dataset: SegmentationDataset, batch_size: int, *, train: bool) -> DataLoader[Sample]:
        world_size, rank = self._world()
        sampler = EpochSampler(dataset, shuffle=train, seed=self.seed, num_replicas=world_size, rank=rank)
        return Loader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=collate,
            pin_memory=self.pin_memory,
            drop_last=train,
            worker_init_fn=_one_thread,
            persistent_workers=self.num_workers > 0,
        )

    def _world(self) -> tuple[int, int]:
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)


class Loader(DataLoader[Sample]):
    """A torch loader whose workers' `DataError` arrives as it was raised, not wrapped into a worker's traceback."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator serves, torch only annotates its own class
        try:
            yield from super().__iter__()
        except DataError as error:
            raise DataError(str(error).rsplit(f"{DataError.__name__}: ", maxsplit=1)[-1].strip()) from None


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
    return Batch(
        image=torch.stack([sample["image"] for sample in samples]),
        mask=torch.stack([sample["mask"] for sample in samples]),
        name=[sample["name"] for sample in samples],
    )


def _one_thread(_: int) -> None:
    """Keeps OpenCV in a worker from starting threads of its own (torch limits itself to one)."""
    cv2.setNumThreads(0)
