"""What all fusions share: which anchors are fused, in which precision, and what a learned one was built for."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contextrast.contrast.rows import at_least_float32
from contextrast.errors import ConfigError


class AnchorFusion(nn.Module, ABC):
    """Fuses anchors of a stage with those of the deepest one; a subclass says how two anchors become one.

    â_i^n = fuse(a_i^n, a_I^n) where class n occurs at both stages, else a_i^n; the deepest stage stays as it is
    (Contextrast++, Eqs. 2 and 3). Unit length is brought afterwards, by whoever calls. Everything is computed in at
    least float32, under autocast and with parameters of half precision too.
    """

    def forward(self, anchors: Sequence[Tensor], counts: Sequence[Tensor]) -> list[Tensor]:
        """Fuse the anchors of all stages.

        Args:
            anchors: ``[N, D]`` of every stage, shallowest first.
            counts: ``[N]`` of every stage; a class occurs where its count is positive.

        Returns:
            Anchors ``[N, D]`` of every stage, in at least float32.
        """
        return list(self.fuse_stages(torch.stack(list(anchors)), torch.stack(list(counts))))

    def fuse_stages(self, anchors: Tensor, counts: Tensor) -> Tensor:
        """As :meth:`forward` of anchors ``[I, N, D]`` and counts ``[I, N]`` of all stages, ``[I, N, D]``."""
        with torch.autocast(anchors.device.type, enabled=False):
            anchors, present = at_least_float32(anchors), counts > 0
            if len(anchors) == 1:
                return anchors
            own, deepest = anchors[:-1], anchors[-1]
            both = (present[:-1] & present[-1]).unsqueeze(2)
            return torch.cat([torch.where(both, self.fuse_all(own, deepest), own), anchors[-1:]])

    def fuse_all(self, own: Tensor, deepest: Tensor) -> Tensor:
        """Fuse the anchors of all stages but the deepest, by default one after the other.

        Args:
            own: Anchors a_i of each stage, ``[I - 1, N, D]``.
            deepest: The deepest stage's anchors a_I, ``[N, D]``.

        Returns:
            ``[I - 1, N, D]``.
        """
        return torch.stack([self.fuse(stage, anchors, deepest) for stage, anchors in enumerate(own)])

    @abstractmethod
    def fuse(self, stage: int, own: Tensor, deepest: Tensor) -> Tensor:
        """Fuse all anchors ``[N, D]`` of one stage, present or not; absent ones are zero and their result is unused.

        Args:
            stage: Position of the stage, 0 is the shallowest.
            own: The stage's own anchors a_i, ``[N, D]``.
            deepest: The deepest stage's anchors a_I, ``[N, D]``.

        Returns:
            ``[N, D]``, finite for zero anchors too.
        """


class LearnedFusion(AnchorFusion):
    """A fusion with parameters of its own for each stage but the deepest.

    All subclasses start at, or close to, the mean of both anchors, which is the static fusion with weights of 0.5: only
    what they learn tells them apart, and fused anchors lie close to their class's pixels from the first step on.

    Args:
        num_stages: I.
        embedding_dim: D.

    Raises:
        ConfigError: If a value is below 1.
    """

    def __init__(self, num_stages: int, embedding_dim: int = 256) -> None:
        super().__init__()
        if min(num_stages, embedding_dim) < 1:
            raise ConfigError(
                f"a fusion needs at least one stage and one channel, got num_stages={num_stages} and "
                f"embedding_dim={embedding_dim}"
            )
        self.num_stages = num_stages
        self.embedding_dim = embedding_dim

    def fuse_stages(self, anchors: Tensor, counts: Tensor) -> Tensor:
        """As :meth:`AnchorFusion.fuse_stages`.

        Raises:
            ConfigError: If number of stages or channels of the anchors are not those the fusion was built for.
        """
        if len(anchors) != self.num_stages:
            raise ConfigError(
                f"anchors of {len(anchors)} stages for a fusion built with num_stages={self.num_stages}: "
                "give it the number of stages of the loss (its stage_weights)"
            )
        if anchors.shape[2] != self.embedding_dim:
            raise ConfigError(
                f"anchors have D = {anchors.shape[2]} channels, but the fusion was built with "
                f"embedding_dim={self.embedding_dim}: give both the same D"
            )
        return super().fuse_stages(anchors, counts)

    def per_stage(self, make: Callable[[], nn.Module]) -> nn.ModuleList:
        """One module for each stage that is fused: all but the deepest."""
        return nn.ModuleList(make() for _ in range(self.num_stages - 1))


class Linear(nn.Linear):
    """A linear map that computes in the precision of its input, whatever the precision of its parameters."""

    def forward(self, input: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        return F.linear(input, self.weight.to(input.dtype), self.bias.to(input.dtype))
