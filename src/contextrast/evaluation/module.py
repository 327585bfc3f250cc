"""The Lightning module of evaluation: predictions by a protocol, and what measures find in them."""

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection

from contextrast.data import Batch
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.metrics import Measure, Report, Scores, SegmentationScores
from contextrast.models import InferenceProtocol, Network, Segmenter


class EvaluationModule(pl.LightningModule):
    """Measures a network on a split by one protocol; ``trainer.test`` runs it.

    Each process may have a share of the images: the counts of all are summed when the split ends.

    Args:
        network: The network, in evaluation mode.
        labels: Classes of the data.
        protocol: How images are looked at.
        measures: Measures besides mIoU, by name; they are as new after the split.
        name: What stands before the names of scores in the logs, such as ``val/single_scale``.

    Attributes:
        last_scores: Scores of the split, once it has been measured.
        last_reports: What the measures found in it, by their names.
    """

    def __init__(
        self,
        network: Network,
        labels: LabelTable,
        protocol: InferenceProtocol | None = None,
        measures: Mapping[str, Measure] | None = None,
        name: str = "test",
    ) -> None:
        super().__init__()
        self.network = network
        self.labels = labels
        self.protocol = protocol or InferenceProtocol()
        self.measures = MetricCollection(dict(measures or {}), compute_groups=False)
        self.name = name
        self.scores = SegmentationScores(labels.num_classes, IGNORE_INDEX)
        self.last_scores: Scores | None = None
        self.last_reports: dict[str, Report] = {}

    def test_step(self, batch: Batch) -> dict[str, Tensor]:
        """Count the batch's pixels.

        Args:
            batch: ``image`` uint8 ``[B, C, H, W]`` of any size and ``mask`` ``[B, H, W]``.

        Returns:
            ``prediction``: train ids, int64 ``[B, H, W]``, for callbacks.
        """
        image, target = self.network.normalize(batch["image"]), batch["mask"]
        prediction = self.protocol.labels(self.network, image)
        self.scores.update(prediction, target)
        seen: dict[str, Any] = {**batch, "preds": prediction, "target": target}
        if any("features" in measure.needs for measure in self.measures.values()):
            assert isinstance(self.network, Segmenter), "measures of feature maps are built for no other"
            seen["padded_target"] = F.pad(target, self.network.padding(*target.shape[-2:]), value=IGNORE_INDEX)
            _, seen["features"] = self.network.forward_features(self.network.pad(image))
        for measure in self.measures.values():
            measure.update(**{name: seen[name] for name in measure.needs})
        return {"prediction": prediction}

    def on_test_epoch_end(self) -> None:
        """Log the split's scores, and what the measures found."""
        self.last_scores = self.scores.compute()
        for name, value in self.last_scores.by_name(self.labels.classes).items():
            self.log(f"{self.name}/{name}", value, prog_bar=name == "miou")
        self.scores.reset()
        self.last_reports = {name: self._reported(measure) for name, measure in self.measures.items()}

    def _reported(self, measure: Measure) -> Report:
        classes = self.labels.classes
        report = measure.report(classes)
        values = {f"{self.name}/{name}": value for name, value in report.scores.items()}
        for column, row in report.per_class.items():
            values |= {f"{self.name}/{column}/{name}": value for name, value in zip(classes, row, strict=True)}
        self.log_dict(values)
        measure.reset()
        return report
