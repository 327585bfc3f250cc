"""From a dataset to batches: which split a stage needs, in which order it is read, and how it is collated."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
from lightning import LightningDataModule
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import Dataset

from contextrast.data.arrays import RGB
from contextrast.data.bad_samples import BadSamples, SubstituteCollate, Substitutes
from contextrast.data.cache import DecodedCache
from contextrast.data.dataset import SegmentationDataset
from contextrast.data.device_transforms import augment_on_device
from contextrast.data.drawing import checked_rgb
from contextrast.data.files import FileDataset
from contextrast.data.inspection import check_classes_present, inspect_split
from contextrast.data.labels import LabelTable
from contextrast.data.loader import Loader, TrainLoader, collate, refuse_several
from contextrast.data.orientation import Orientation, check_orientation
from contextrast.data.sampler import EpochSampler
from contextrast.data.transforms import TrainTransform
from contextrast.data.windows import WindowDataset, collate_windows
from contextrast.errors import ConfigError, DataError, check_number
from contextrast.signals import leave_to_main_process

log = logging.getLogger(__name__)

Place = Literal["cpu", "gpu"]
OnBadSample = Literal["error", "skip"]


class SegmentationDataModule(LightningDataModule):
    """Loads a dataset for training (augmented crops) and evaluation (original sizes, unchanged).

    Args:
        dataset: Makes the dataset: called with ``split`` and ``transform``, and with ``root`` where that is given. A
            dataset class, or a ``functools.partial`` of one (in YAML a ``_target_`` with ``_partial_: true``).
        crop: Height and width of training images.
        batch_size: Training images per step and process. No batch is incomplete: what an epoch has left over goes into
            the next one.
        root: Folder of the dataset's files; ``None`` for a dataset that needs none.
        channels: Of the images, which a dataset is told that can read other than three. Then colours are not changed.
        rgb: The channels that pictures show as red, green and blue, counted from 0; ``None``: the first three.
        eval_batch_size: Images per step in validation and test; above 1 only where all have one size.
        validate: Whether training is validated; else there need be no validation split.
        num_workers: Worker processes per loader; 0 reads in the main process.
        augment: Where training images are augmented: ``"cpu"``, in the loader's workers, or ``"gpu"``, on the device
            that trains (whatever it is), after the transfer. Same draws, same results up to rounding.
        scale: Range of the random scale, see `TrainTransform`.
        flip: Probability of a horizontal flip.
        color_jitter: Arguments of ``ColorJitter``; ``None`` for none.
        seed: Seed of order and augmentation.
        pin_memory: Copy batches to page-locked memory, for faster transfer to a GPU.
        cache: Folder that keeps decoded files, see `DecodedCache`; ``None`` decodes them every time.
        cache_gib: GiB that it may hold.
        orientation: What orientation tags of images (EXIF) do, see `Orientation`.
        allow_absent_classes: Whether training goes on where a class has no pixel in the training split. Looked at where
            the frequencies of the classes are not known, see `check_classes_present`.
        on_bad_sample: What happens where a training sample cannot be read: ``"error"`` stops, ``"skip"`` warns and
            takes another one. Evaluation always stops, since a score over fewer images would be another one.
        max_bad_samples: Bad samples after which ``"skip"`` stops, too, in each process.

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
        channels: int = RGB,
        rgb: Sequence[int] | None = None,
        eval_batch_size: int = 1,
        validate: bool = True,
        num_workers: int = 2,
        augment: Place = "cpu",
        scale: Sequence[float] = (0.5, 2.0),
        flip: float = 0.5,
        color_jitter: Mapping[str, float] | None = None,
        seed: int = 0,
        pin_memory: bool = False,
        cache: str | Path | None = None,
        cache_gib: float = 32.0,
        orientation: Orientation = "auto",
        allow_absent_classes: bool = False,
        on_bad_sample: OnBadSample = "error",
        max_bad_samples: int = 10,
    ) -> None:
        super().__init__()
        for key, (value, least, most) in {
            "channels": (channels, 1, 1024),
            "batch_size": (batch_size, 1, 2**20),
            "eval_batch_size": (eval_batch_size, 1, 2**20),
            "num_workers": (num_workers, 0, 1024),  # far more than a machine has cores; each takes some 100 MB
            "seed": (seed, 0, math.inf),
            "max_bad_samples": (max_bad_samples, 0, math.inf),
        }.items():
            check_number(f"data.{key}", value, least, most, whole=True)
        for key, (choice, known) in {
            "augment": (augment, get_args(Place)),
            "orientation": (orientation, get_args(Orientation)),
            "on_bad_sample": (on_bad_sample, get_args(OnBadSample)),
        }.items():
            if choice not in known:
                raise ConfigError(f"data.{key}={choice} is unknown; choose one of {', '.join(known)}.")
        if root is not None and "root" not in signature(dataset).parameters:
            raise ConfigError(f"data.root={root} is of no use: this dataset reads no files. Leave data.root out.")
        if channels != RGB and "channels" not in signature(dataset).parameters:
            raise ConfigError(f"data.channels={channels}: this dataset's images have three. Leave data.channels out.")
        self.channels = channels
        self.rgb = checked_rgb("data.rgb", rgb, channels)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.validate = validate
        self.num_workers = num_workers
        self.seed = seed
        self.pin_memory = pin_memory
        self.augment = augment
        self.orientation: Orientation = orientation
        self.allow_absent_classes = allow_absent_classes
        self.on_bad_sample = on_bad_sample
        self.max_bad_samples = max_bad_samples
        self._cache = None if cache is None else DecodedCache(cache, int(cache_gib * 2**30))
        self._make = dataset
        self._own = {} if root is None else {"root": root}
        self._read = self._own if channels == RGB else {**self._own, "channels": channels}
        self._transform = TrainTransform(crop, scale, flip, color_jitter, seed, channels)
        self._datasets: dict[str, SegmentationDataset] = {}

    @property
    def labels(self) -> LabelTable:
        """The dataset's classes; no image is looked for."""
        dataset_class: Any = getattr(self._make, "func", self._make)
        labels: LabelTable = dataset_class.labels_for(**getattr(self._make, "keywords", {}), **self._own)
        return labels

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the dataset is published with."""
        dataset_class: Any = getattr(self._make, "func", self._make)
        splits: tuple[str, ...] = dataset_class.splits
        return splits

    def dataset(self, split: str) -> SegmentationDataset:
        """Make a split's dataset, once; ``"train"`` comes with augmentation where the CPU does that.

        Raises:
            DataError: Files are missing or cannot be used.
        """
        if split not in self._datasets:
            transform = self._transform if split == "train" and self.augment == "cpu" else None
            dataset = self._make(**self._read, split=split, transform=transform).pictured(self.rgb)
            if isinstance(dataset, FileDataset):
                files = [made for made in self._datasets.values() if isinstance(made, FileDataset)]
                # together: sizes in one split may tell what tags mean in another
                check_orientation([one for made in (*files, dataset) for one in made.tagged], self.orientation)
                if dataset.unreadable is not None and not (split == "train" and self.on_bad_sample == "skip"):
                    raise dataset.unreadable
                dataset = dataset.oriented(self.orientation).cached(self._cache)
            self._datasets[split] = dataset
        return self._datasets[split]

    def class_frequencies(self) -> tuple[float, ...]:
        """Share of the labelled training pixels that each class has, the same in every process.

        Those of the label table where it has them; else counted, with a progress bar, in as many images as the dataset
        asks for. Images that cannot be read are left out where ``on_bad_sample`` lets them be.

        Raises:
            DataError: A sample cannot be read.
        """
        if self.labels.frequency is not None:
            return self.labels.frequency
        dataset = self.dataset("train")
        number = min(len(dataset), dataset.counted_images or len(dataset))
        indices = [index * len(dataset) // number for index in range(number)]
        found = inspect_split(dataset, self.num_workers, "Counting classes", indices=indices)
        if found.problems and self.on_bad_sample == "error":
            raise DataError(found.problems[0])
        return found.frequencies

    def setup(self, stage: str) -> None:
        """Make the datasets that a stage needs, so that what is wrong with them shows before the first step."""
        unread = "train" not in self._datasets
        fit = ("train", "val") if self.validate else ("train",)
        for split in {"fit": fit, "validate": ("val",), "test": ("test",)}.get(stage, ()):
            dataset = self.dataset(split)
            if split != "train":
                self._check_sizes(dataset)
            known = self.allow_absent_classes or dataset.labels.frequency is not None
            if split == "train" and unread and not known and isinstance(dataset, FileDataset):
                check_classes_present(dataset)

    def train_dataloader(self) -> TrainLoader:
        """Shuffled batches of augmented crops, or with ``augment="gpu"`` of what the device makes them of.

        Raises:
            ConfigError: Fewer images than one batch.
        """
        dataset = self.dataset("train")
        if self._transform.leaves_colors_alone:
            log.warning(
                "data.color_jitter is left out: it is of red, green and blue, not of %d channel(s)", self.channels
            )
        processes, rank = self._processes()
        if len(dataset) < self.batch_size * processes:
            raise ConfigError(
                f"data.batch_size={self.batch_size} times {processes} process(es) is more than the {len(dataset)} "
                "training image(s) there are. Lower data.batch_size."
            )
        sampler = EpochSampler(dataset, seed=self.seed, num_replicas=processes, rank=rank)
        loading = self._loading() | {"sampler": sampler, "drop_last": True}
        source: Dataset[Any] = dataset
        if self.augment == "gpu":
            source, loading["collate_fn"] = WindowDataset(dataset, self._transform), collate_windows
        if self.on_bad_sample == "error":
            return TrainLoader(source, self.batch_size, **loading)
        loading["collate_fn"] = SubstituteCollate(loading["collate_fn"])
        bad_samples = BadSamples(self.max_bad_samples)
        return TrainLoader(Substitutes(source), self.batch_size, bad_samples=bad_samples, **loading)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:  # noqa: ARG002  # Lightning's signature
        """Augment a training batch on its device where that is asked for; Lightning calls it with every batch."""
        return augment_on_device(batch, self._transform.crop) if "draws" in batch else batch

    def val_dataloader(self) -> Loader:
        """Validation images in order, at their original sizes."""
        return self.eval_loader(self.dataset("val"))

    def test_dataloader(self) -> Loader:
        """Test images in order, at their original sizes."""
        return self.eval_loader(self.dataset("test"))

    def eval_loader(self, dataset: SegmentationDataset, share: tuple[int, int] | None = None) -> Loader:
        """Samples in order, each once; processes share them out.

        Args:
            dataset: The samples.
            share: Number of processes and this one among them; None takes those of the trainer.

        Raises:
            ConfigError: Fewer images than processes, or images of several sizes that would share a batch.
        """
        self._check_sizes(dataset)
        processes, rank = share or self._processes()
        if len(dataset) < processes:  # those without an image would leave the others waiting
            raise ConfigError(
                f"{len(dataset)} image(s) to evaluate for {processes} processes. Use at most that many devices."
            )
        sampler = UnrepeatedDistributedSampler(dataset, num_replicas=processes, rank=rank, shuffle=False)
        return Loader(dataset, self.eval_batch_size, sampler=sampler, **self._loading())

    def _check_sizes(self, dataset: SegmentationDataset) -> None:
        if self.eval_batch_size > 1:
            refuse_several(dataset.stored_sizes())

    def _loading(self) -> dict[str, Any]:
        if self.num_workers == 0:
            _one_thread()
        return {
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "worker_init_fn": _as_worker,
            "collate_fn": collate,
            "pin_memory": self.pin_memory,
        }

    def _processes(self) -> tuple[int, int]:
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)


def _as_worker(_: int) -> None:
    """What a process does before it reads."""
    _one_thread()
    leave_to_main_process()


def _one_thread() -> None:
    """Keep OpenCV from starting threads: on images of this size they cost three times what they gain."""
    cv2.setNumThreads(0)
