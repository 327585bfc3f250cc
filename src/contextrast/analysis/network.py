"""What a trained network's stages look like inside: one network, one split, one space."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contextrast.contrast.rows import unit_length
from contextrast.data import Batch
from contextrast.data.dataset import Sample
from contextrast.data.labels import IGNORE_INDEX
from contextrast.data.loader import Loader, collate
from contextrast.metrics import FeatureGeometry
from contextrast.metrics.counts import histogram
from contextrast.metrics.error_distance import ClassMeans, ErrorCosine, ErrorCurve, Means
from contextrast.models import Segmenter
from contextrast.terminal import progress


class Grid(NamedTuple):
    """One of the maps that are looked at.

    Attributes:
        name: ``stage2`` for a stage with its number, else the name of the module that gives it; ``embedding1`` where a
            loss has not one embedding per stage.
        channels: C.
        stride: Pixels of the image per pixel of the map.
    """

    name: str
    channels: int
    stride: int


class View(NamedTuple):
    """A batch as a network sees it, padded to a size that the network takes.

    Attributes:
        maps: Features or embeddings, one ``[B, C, H_i, W_i]`` for each grid.
        prediction: Train ids ``[B, H, W]``.
        target: Train ids ``[B, H, W]``; padding is ignored.
    """

    maps: Sequence[Tensor]
    prediction: Tensor
    target: Tensor


class Survey(NamedTuple):
    """What a first pass over the split finds of each grid.

    Attributes:
        means: The mean of each class.
        samples: A balanced random sample of pixels, for each class a matrix ``[pixels, C]`` on the CPU.
    """

    means: list[Means]
    samples: list[list[Tensor]]


@dataclass(frozen=True)
class Analysis:
    """A trained network, looked at over the images of a split.

    Attributes:
        name: What figures call it.
        network: The network, in evaluation mode.
        heads: Maps its features to embeddings; None looks at the features themselves.
        loader: Batches of the images, unchanged and in their original size.
        pixels_per_class: Largest number of pixels of a class in a sample.
        seed: Seed of the samples, which then are the same pixels for every network of the same stages.
    """

    name: str
    network: Segmenter
    heads: nn.Module | None
    loader: Loader
    pixels_per_class: int
    seed: int

    @cached_property
    def grids(self) -> list[Grid]:
        """The maps there are, found out with the smallest image the network takes."""
        device = self.network.mean.device
        image = self.network.pad(torch.zeros(1, 3, 1, 1, device=device))
        with torch.inference_mode():
            maps = self._maps(self.network.forward_features(image)[1])
        stages = self.network.stage_names
        names = stages if len(maps) == len(stages) else [f"embedding{number + 1}" for number in range(len(maps))]
        return [Grid(name, one.shape[1], image.shape[2] // one.shape[2]) for name, one in zip(names, maps, strict=True)]

    @cached_property
    def survey(self) -> Survey:
        """The first pass: means of the classes, and samples."""
        num_classes, channels = self.network.num_classes, [grid.channels for grid in self.grids]
        device = self.network.mean.device
        means = [ClassMeans(num_classes, width).to(device) for width in channels]
        names = [grid.name for grid in self.grids]
        sample = FeatureGeometry(num_classes, names, channels, self.pixels_per_class, seed=self.seed).to(device)
        for batch in self._batches("class means"):
            view = self.view(batch)
            sample.update(view.maps, view.target, batch["name"])
            for measure, one in zip(means, view.maps, strict=True):
                measure.update(one, view.target)
        return Survey([measure.compute() for measure in means], [sample.sample(name) for name in names])

    def curves(self) -> list[ErrorCurve]:
        """The second pass: for each grid, the mean cosine of error pixels by their distance to the error boundary."""
        device, means = self.network.mean.device, self.survey.means
        measures = [
            ErrorCosine(one.vectors, centre).to(device) for one, centre in zip(means, self.centres, strict=True)
        ]
        for batch in self._batches("error pixels"):
            view = self.view(batch)
            for measure, one in zip(measures, view.maps, strict=True):
                measure.update(one, view.prediction, view.target)
        return [measure.compute() for measure in measures]

    @property
    def centres(self) -> list[Tensor]:
        """What directions are seen from, ``[C]``: the mean of the class means for features, 0 for embeddings."""
        means = self.survey.means
        return [one.centre() if self.heads is None else torch.zeros_like(one.vectors[0]) for one in means]

    def points(self) -> list[tuple[Tensor, Tensor]]:
        """For each grid the sampled pixels' directions ``[P, C]``, of unit length, and classes ``[P]``, on the CPU."""
        found = []
        for by_class, centre in zip(self.survey.samples, self.centres, strict=True):
            rows = unit_length(torch.cat(by_class) - centre.float().cpu(), dim=1)
            sizes = torch.tensor([len(one) for one in by_class])
            found.append((rows, torch.arange(len(by_class)).repeat_interleave(sizes)))
        return found

    def features(self, image: Tensor) -> list[Tensor]:
        """Features of an image, uint8 ``[3, H, W]``: for each stage ``[C_i, H_i, W_i]`` on the CPU, with padding."""
        with torch.inference_mode():
            padded = self.network.pad(self.network.normalize(image[None].to(self.network.mean.device)))
            return [one[0].cpu() for one in self.network.forward_features(padded)[1]]

    def most_missed(self, sample: Sample) -> int:
        """The class that most of a sample's misclassified pixels belong to; of all its pixels where none is wrong."""
        view = self.view(collate([sample]))
        valid = view.target != IGNORE_INDEX
        wrong = valid & (view.prediction != view.target)
        missed, labelled = (histogram(view.target, of, self.network.num_classes) for of in (wrong, valid))
        return int((missed if bool(wrong.any()) else labelled).argmax())

    @torch.inference_mode()
    def view(self, batch: Batch) -> View:
        """A batch as the network sees it."""
        network = self.network
        image, target = (batch[key].to(network.mean.device) for key in ("image", "mask"))
        target = F.pad(target, network.padding(*target.shape[-2:]), value=IGNORE_INDEX)
        logits, features = network.forward_features(network.pad(network.normalize(image)))
        return View(self._maps(features), logits.max(1).indices, target)

    def _maps(self, features: Sequence[Tensor]) -> Sequence[Tensor]:
        return features if self.heads is None else self.heads(features)

    def _batches(self, what: str) -> Iterator[Batch]:
        yield from progress(self.loader, f"{self.name}: {what}")
