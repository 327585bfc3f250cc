"""Losses take whatever shapes, layouts and types there are, down to a single pixel, one class and one dimension."""

import itertools

import pytest
import torch

from contextrast.contrast import (
    AllNegatives,
    AnchorMemory,
    BoundaryAwareNegatives,
    ContextrastLoss,
    ContextualContrast,
    RandomNegatives,
    RunningAnchors,
    SemiHardNegatives,
)
from contextrast.contrast.peers import MultiscaleContrast, PixelContrast, PixelMemory

SIZES = (((1, 1),), ((1, 1), (1, 1)), ((1, 3), (1, 1)), ((3, 1), (2, 1)), ((4, 5), (2, 3), (1, 1)))
SAMPLINGS = {
    "predicted": BoundaryAwareNegatives,
    "others": lambda: BoundaryAwareNegatives(error_map="others"),
    "literal": lambda: BoundaryAwareNegatives(error_map="literal"),
    "kornia": lambda: BoundaryAwareNegatives(transform="kornia"),
    "all": AllNegatives,
    "random": RandomNegatives,
    "semi_hard": SemiHardNegatives,
}
LAYOUTS = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "strided": lambda x: torch.cat([x, x], 3)[..., ::2],
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "one image many times": lambda x: x[:1].expand_as(x),
}


def contrasts(num_classes, dim, stages):
    """Every contrast, freshly made, and how many of the stages it takes."""
    made = {
        name: ContextualContrast(
            num_classes, [1.0] * stages, negatives=make(), memory=AnchorMemory(num_classes, dim, 3),
            running_anchors=RunningAnchors(stages, num_classes, dim), anchor_negatives=0.5,
        )
        for name, make in SAMPLINGS.items()
    }  # fmt: skip
    made["pixel_contrast"] = PixelContrast(num_classes, max_views=1)
    made["pixel_contrast_memory"] = PixelContrast(num_classes, max_views=1, memory=PixelMemory(num_classes, dim, 3))
    made["multiscale"] = MultiscaleContrast(
        num_classes, [1.0] * stages, [[0, stages - 1]] if stages > 1 else [], min_pixels=1
    )
    return {name: (contrast, 1 if name.startswith("pixel") else stages) for name, contrast in made.items()}


def inputs(batch, num_classes, dim, sizes, dtype):
    generator = torch.Generator().manual_seed(0)
    grid = (batch, 4 * sizes[0][0], 4 * sizes[0][1])
    target = torch.randint(num_classes, grid, generator=generator)
    target[torch.rand(grid, generator=generator) < 0.1] = 255
    embeddings = [torch.randn(batch, dim, *size, generator=generator) for size in sizes]
    unit = [torch.nn.functional.normalize(embedding, dim=1).to(dtype) for embedding in embeddings]
    return unit, target, torch.randint(num_classes, grid, generator=generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("batch", "num_classes", "dim"), [(1, 1, 1), (1, 2, 1), (2, 3, 5)])
def test_any_shape_and_type_gives_finite_losses_and_gradients(batch, num_classes, dim, dtype):
    for sizes in SIZES:
        embeddings, target, prediction = inputs(batch, num_classes, dim, sizes, dtype)
        for name, (contrast, number) in contrasts(num_classes, dim, len(sizes)).items():
            for _ in range(2):  # the second step has filled memories
                maps = [embedding.clone().requires_grad_() for embedding in embeddings[:number]]
                loss = torch.stack(list(contrast(maps, target, prediction).values())).sum()
                loss.backward()
                assert torch.isfinite(loss), (name, sizes)
                assert all(torch.isfinite(map_.grad).all() for map_ in maps), (name, sizes)
                assert all(
                    torch.isfinite(value).all() for value in contrast.diagnose(maps, target, prediction).values()
                )
                contrast.update()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_in_memory_changes_nothing(layout):
    for sizes in SIZES:
        embeddings, target, prediction = inputs(2, 3, 5, sizes, torch.float32)
        laid_out = [LAYOUTS[layout](embedding) for embedding in embeddings]
        plain = [embedding.contiguous().clone() for embedding in laid_out]
        for name, (contrast, number) in contrasts(3, 5, len(sizes)).items():
            seen = [contrast(maps[:number], target, prediction) for maps in (laid_out, plain)]
            torch.testing.assert_close(*seen, msg=lambda text, name=name, sizes=sizes: f"{name} {sizes}: {text}")


@pytest.mark.parametrize(("size", "dim"), list(itertools.product([(1, 1), (2, 1)], [1, 4])))
def test_a_whole_loss_takes_a_single_pixel(size, dim):
    generator = torch.Generator().manual_seed(0)
    loss = ContextrastLoss(3, [2], [1.0], embedding_dim=dim).eval()  # batch norm cannot train on one value per channel
    features = [torch.randn(1, 2, *size, generator=generator, requires_grad=True)]
    logits = torch.randn(1, 3, *size, generator=generator, requires_grad=True)
    terms = loss(logits, torch.randint(3, (1, *size), generator=generator), features)
    terms.total.backward()
    assert torch.isfinite(terms.total)
    assert torch.isfinite(features[0].grad).all()


@pytest.mark.parametrize("name", SAMPLINGS)
def test_compiled_a_single_pixel_is_the_same(name):
    torch.compiler.reset()
    embeddings, target, prediction = inputs(1, 2, 1, ((1, 1), (1, 1)), torch.float32)
    contrast = ContextualContrast(2, [1.0, 1.0], negatives=SAMPLINGS[name]())
    compiled = torch.compile(contrast, fullgraph=name != "kornia", backend="eager")
    torch.testing.assert_close(compiled(embeddings, target, prediction), contrast(embeddings, target, prediction))
