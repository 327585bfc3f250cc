"""Alignment, uniformity and neighbourhood uniformity of features by class (Li et al., CVPR 2022; arXiv 2111.13998)."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from contextrast.contrast.stages import as_rows, to_grid
from contextrast.errors import ConfigError
from contextrast.metrics.counts import is_class
from contextrast.metrics.measure import Measure, Report, Subject
from contextrast.metrics.reservoir import FREE, Reservoir, drawn, joined, pixel_keys, smallest

_EXACT: Final = "donot_use_mm_for_euclid_dist"  # by matrix products, distances of near features lose their digits


class Geometry(NamedTuple):
    """How features lie on the unit sphere; distances are Euclidean and not squared.

    Attributes:
        alignment: A, the mean distance of a class's features to each other, over the classes; in [0, 2), lower is
            better. NaN without a class of two pixels.
        uniformity: U, the mean distance of class centres to each other; in [0, 2], higher is better. NaN below two.
        neighborhood: U_l, the mean distance of class centres to their l nearest ones; in [0, 2], higher is better.
        neighbors: The l that was used.
        classes: Number of classes with a centre.
    """

    alignment: float
    uniformity: float
    neighborhood: float
    neighbors: int
    classes: int


def geometry(features: Sequence[Tensor], neighbors: int) -> Geometry:
    """A, U and U_l of features by class.

    With F_i the L2-normalised features of class i, C classes and centres c_i = sum(F_i) / ||sum(F_i)||:

    * A = 1/C sum_i 1/|F_i|^2 sum_{v, w in F_i} ||v - w||, pairs v = w included; classes of one feature are left out
    * U = 1/(C (C - 1)) sum_i sum_{j != i} ||c_i - c_j||
    * U_l = 1/(C l) sum_i of the sum over the l nearest other centres of ||c_i - c_j||; U_{C-1} = U

    (Wang and Isola's measures of the same names are others: squared, over pairs of samples, in logarithms.)

    Args:
        features: One matrix ``[pixels, D]`` a class, of any length but 0 in each row; empty for an absent class.
        neighbors: l; at most C - 1 are used.
    """
    units = [F.normalize(rows.double(), dim=1) for rows in features]
    spreads = [torch.cdist(rows, rows, compute_mode=_EXACT).mean() for rows in units if len(rows) > 1]
    sums = torch.stack([rows.sum(0) for rows in units])
    lengths = sums.norm(dim=1, keepdim=True)
    present = lengths.squeeze(1) > 0  # the sum of no feature, or of opposite ones, has no direction
    centres = (sums / lengths)[present]
    count = len(centres)
    used = min(neighbors, max(count - 1, 0))
    apart = torch.cdist(centres, centres, compute_mode=_EXACT).fill_diagonal_(torch.inf)
    nearest = apart.sort(dim=1).values[:, : max(count - 1, 0)]
    return Geometry(
        alignment=torch.stack(spreads).mean().item() if spreads else torch.nan,
        uniformity=nearest.mean().item(),
        neighborhood=nearest[:, :used].mean().item(),
        neighbors=used,
        classes=count,
    )


class FeatureGeometry(Measure):
    """`geometry` of a network's encoder stages, on a random sample of each class's pixels.

    A pixel of a stage has the label at its centre. The sample depends on the seed and the names of the images alone,
    not on the batches, their order, or the processes that share them; its size is fixed, whatever that of the split.

    Args:
        num_classes: N.
        stages: Names of the stages.
        channels: Channels of each stage.
        pixels_per_class: K, pixels of each class and stage; the states take 4 K N (sum of channels) bytes.
        neighbors: l of the neighbourhood uniformity.
        seed: Seed of the sample.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Raises:
        ConfigError: If there is no stage, or a number is too small.
    """

    needs = frozenset({"features", "padded_target", "name"})

    def __init__(
        self,
        num_classes: int,
        stages: Sequence[str],
        channels: Sequence[int],
        pixels_per_class: int = 100,
        neighbors: int = 3,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not stages:
            raise ConfigError("stages names no feature map: the network shows none; name some in model.stages.")
        if pixels_per_class < 2 or neighbors < 1:
            raise ConfigError(
                "pixels_per_class has to be at least 2 and neighbors at least 1, got "
                f"pixels_per_class={pixels_per_class} and neighbors={neighbors}."
            )
        self.num_classes = num_classes
        self.stages = tuple(stages)
        self.pixels_per_class = pixels_per_class
        self.neighbors = neighbors
        self.seed = seed
        for place, width in enumerate(channels):
            keys = torch.full((pixels_per_class, num_classes), FREE)
            self.add_state(f"keys_{place}", keys, dist_reduce_fx=_one_after_the_other)
            rows = torch.zeros(pixels_per_class, num_classes, width)
            self.add_state(f"rows_{place}", rows, dist_reduce_fx=_one_after_the_other)

    @classmethod
    @override
    def of(cls, subject: Subject, **settings: Any) -> Self | None:
        """The measure, of the feature maps that the network shows."""
        return cls(subject.num_classes, subject.stages, subject.channels, **settings)

    def update(self, features: Sequence[Tensor], padded_target: Tensor, name: Sequence[str]) -> None:
        """Draw from one batch; see `Measure`."""
        labels = torch.where(is_class(padded_target, self.num_classes), padded_target.long(), self.num_classes)
        for place, maps in enumerate(features):
            height, width = maps.shape[-2:]
            classes = to_grid(labels, height, width).flatten()
            keys = pixel_keys(name, height, width, self.seed).to(maps.device).flatten()
            new = drawn(as_rows(maps), classes, keys, self.num_classes, self.pixels_per_class)
            kept = smallest(joined(self._reservoir(place), new), self.pixels_per_class)
            setattr(self, f"keys_{place}", kept.keys)
            setattr(self, f"rows_{place}", kept.rows)

    def compute(self) -> dict[str, Geometry]:
        """The geometry of each stage, by its name; computed on the CPU."""
        return {stage: geometry(self.sample(stage), self.neighbors) for stage in self.stages}

    def report(self, classes: Sequence[str]) -> Report:  # noqa: ARG002  # stages have no class names
        """Scores ``alignment/stage2``, ``uniformity/stage2``, ``neighborhood_uniformity/stage2`` and so on."""
        named: dict[str, Geometry] = self.compute()
        scores = {
            f"{title}/{stage}": getattr(values, attribute)
            for title, attribute in (
                ("alignment", "alignment"),
                ("uniformity", "uniformity"),
                ("neighborhood_uniformity", "neighborhood"),
            )
            for stage, values in named.items()
        }
        groups = {
            stage: {"A": g.alignment, "U": g.uniformity, "U_l": g.neighborhood, "l": g.neighbors, "classes": g.classes}
            for stage, g in named.items()
        }
        return Report(
            convention="mean distances between L2-normalised features (alignment A, lower is better), class centres "
            f"(U) and the l nearest class centres (U_l), on up to {self.pixels_per_class} random pixels of each class",
            scores=scores,
            groups=groups,
            fractions=False,
        )

    def _reservoir(self, place: int) -> Reservoir:
        return Reservoir(getattr(self, f"keys_{place}"), getattr(self, f"rows_{place}"))

    def sample(self, stage: str) -> list[Tensor]:
        """Sampled features of each class ``[pixels, C]``."""
        keys, rows = (
            values.cpu() for values in smallest(self._reservoir(self.stages.index(stage)), self.pixels_per_class)
        )
        return [rows[keys[:, train_id] != FREE, train_id] for train_id in range(self.num_classes)]


def _one_after_the_other(gathered: Tensor) -> Tensor:
    """The places ``[K, ...]`` of all processes, ``[processes, K, ...]``, as places of one: ``[processes * K, ...]``."""
    return gathered.flatten(0, 1)
