"""Memory of past pixels and regions (Wang et al., ICCV 2021)."""

import torch
from torch import Tensor

from contextrast.contrast.collective import gather_images
from contextrast.contrast.peers.groups import Samples
from contextrast.contrast.queues import Entries, filled, push
from contextrast.contrast.random_keys import pixel_keys, smallest_of_segments, smallest_over_ranks
from contextrast.contrast.rows import unit_length
from contextrast.contrast.segments import counts_of_segments
from contextrast.contrast.similarity import directions_of_map
from contextrast.contrast.stages import StagePixels
from contextrast.contrast.state import Stateful
from contextrast.errors import ConfigError, check_number

_DRAW = 1  # second draw of the stage, next to the anchors' one


class PixelMemory(Stateful):
    """Two first-in-first-out queues a class: mean embeddings of an image's region, and pixels (Wang et al., ICCV 2021).

    A step stores of every class the mean embedding over its pixels in each image it occurs in, at unit length, and
    random pixels of it. Both are of true pixels of that class, class 0 as any other, and detached. They wait for
    :meth:`update`, called once after the optimiser step, so a batch is never compared with itself. All stored entries
    are keys, empty slots never are.

    Buffers are 2·N·size·D floats: 194 MB for 19 classes at D = 256, which are part of every checkpoint. The contrast
    costs time for all slots, empty ones included. Of several processes all store the same, the global batch's entries,
    so that DDP need not broadcast them at every step, as it does with buffers unless it is told to leave them out.

    Args:
        num_classes: N.
        embedding_dim: D.
        size: Slots a queue.
        pixels_a_step: Pixels a class that a step stores at most.
        seed: Seed of their draw.

    Raises:
        ConfigError: If a number is not positive.
    """

    queues: Tensor
    stored: Tensor
    step: Tensor

    def __init__(
        self, num_classes: int, embedding_dim: int = 256, size: int = 5000, pixels_a_step: int = 10, seed: int = 0
    ) -> None:
        super().__init__()
        for name, value in (("size", size), ("pixels_a_step", pixels_a_step)):
            check_number(name, value, 1, whole=True)
        self.pixels_a_step = pixels_a_step
        self.seed = seed
        self.register_buffer("queues", torch.zeros(2, num_classes, size, embedding_dim))  # of regions, of pixels
        self.register_buffer("stored", torch.zeros(2, num_classes, dtype=torch.long))  # ever, so also the position
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self.waiting: tuple[Entries, Entries] | None = None  # of this batch, until the optimiser has stepped

    def filled(self) -> Tensor:
        """Which slots hold an entry, boolean ``[2, N, size]``."""
        return filled(self.stored, self.queues.shape[2])

    def keys(self) -> Samples:
        """All slots of both kinds; empty ones are marked, and zero."""
        classes = torch.arange(self.queues.shape[1], device=self.queues.device)[:, None]
        marked = torch.where(self.filled(), classes, self.queues.shape[1])
        return Samples(self.queues.flatten(0, 2), marked.flatten(), self.queues.shape[1])

    @torch.no_grad()
    def observe(self, pixels: StagePixels) -> None:
        """Take what this batch stores at the next :meth:`update`.

        Raises:
            ConfigError: If the embeddings have another D than the memory.
        """
        width = self.queues.shape[3]
        if pixels.embeddings.shape[1] != width:
            raise ConfigError(
                f"the memory holds embeddings of D = {width}, the batch's have D = {pixels.embeddings.shape[1]}: "
                "give both the same embedding_dim"
            )
        keys = pixel_keys(self.seed, self.step, pixels.stage + _DRAW, pixels.grid).flatten()
        self.waiting = (image_means(pixels), random_pixels(pixels, keys, self.pixels_a_step))

    @torch.no_grad()
    def update(self) -> None:
        """Store the last batch's entries; under gradient accumulation those of the last part of it."""
        self.step += 1
        for queues, stored, entries in zip(self.queues, self.stored, self.waiting or (), strict=False):
            push(queues, stored, entries)
        self.waiting = None


def image_means(pixels: StagePixels) -> Entries:
    """Mean embedding of every class in every image at unit length (Wang et al., ICCV 2021).

    E is the number of images of all processes, in the order of the global batch.
    """
    size, (batch, _, _) = pixels.num_classes, pixels.grid
    image = torch.arange(batch, device=pixels.classes.device)[:, None, None]
    region = torch.where(pixels.classes < size, pixels.classes * batch + image, size * batch)
    sums = directions_of_map(pixels.embeddings, region, size * batch).sums
    counts = counts_of_segments(region, size * batch + 1)[:-1]
    means = unit_length(sums, 1).view(size, batch, -1)  # the sum has the mean's direction
    return Entries(_of_all_images(means), _of_all_images((counts > 0).view(size, batch)))


def random_pixels(pixels: StagePixels, keys: Tensor, number: int) -> Entries:
    """Random pixels of every class, drawn over all processes, E = ``number`` (Wang et al., ICCV 2021).

    Args:
        pixels: The stage's pixels.
        keys: Random keys ``[P]``.
        number: How many of a class at most.
    """
    positions, valid = smallest_of_segments(keys, pixels.classes.flatten(), pixels.num_classes, number)
    return Entries(*smallest_over_ranks(unit_length(pixels.rows_at(positions), 2), keys[positions], valid))


def _of_all_images(values: Tensor) -> Tensor:
    """``[N, B, ...]`` of every process as ``[N, R·B, ...]``, in the order of the global batch."""
    return gather_images(values.transpose(0, 1)).transpose(0, 1)
