"""A mean teacher: labels for a tenth of the images, the teacher's sure guesses for all others."""

import copy

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from contextrast import ContextrastLoss, FeatureTaps


class MeanTeacher(pl.LightningModule):
    """Trains a student on labels and on what an average of its past selves, the teacher, is sure of.

    Args:
        student: A network of images to logits ``[B, N, H, W]``.
        num_classes: N.
        sure: Probability from which a guess of the teacher counts; its weight is that probability.
        momentum: Share of the teacher that is kept at a step.
    """

    def __init__(self, student: nn.Module, num_classes: int, sure: float = 0.9, momentum: float = 0.99) -> None:
        super().__init__()
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        self.student, self.sure, self.momentum = student, sure, momentum
        self.taps = FeatureTaps(student)
        self.loss = ContextrastLoss(num_classes, self.taps.channels)

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        """One step on ``image`` ``[B, 3, H, W]``, ``mask`` ``[B, H, W]`` and ``labelled``, boolean ``[B]``."""
        image, labelled = batch["image"], batch["labelled"][:, None, None]
        with torch.no_grad():
            probability, guess = self.teacher.eval()(image).softmax(1).max(1)
        target = torch.where(labelled, batch["mask"], guess)
        weight = torch.where(labelled, 1.0, probability * (probability >= self.sure))
        noisy = image + 0.1 * torch.randn_like(image)  # the student sees more difficult images
        terms = self.loss(self.student(noisy), target, self.taps.take(), weight=weight)
        self.log_dict({"loss": terms.total, "guessed": (weight * ~labelled > 0).float().mean()})
        return terms.total

    def on_train_batch_end(self, *_: object) -> None:
        """After each step: the loss's state, and the teacher's weights."""
        self.loss.update()
        with torch.no_grad():
            for mine, other in zip(self.teacher.state_dict().values(), self.student.state_dict().values(), strict=True):
                mine.copy_(torch.lerp(other, mine, self.momentum) if mine.is_floating_point() else other)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on student and embedding heads."""
        return torch.optim.AdamW([*self.student.parameters(), *self.loss.parameters()], lr=1e-3)
