"""Losses take whatever shapes, layouts and types there are, down to a single pixel, one class and one dimension."""

import itertools

import pytest
import torch

from contextrast.contrast import (
    AllNegatives,
    AnchorMemory,
    BoundaryAwareNegatives,
    ContextualContrast,
    RandomNegatives,
    RunningAnchors,
    SemiHardNegatives,
)
from contextrast.contrast.peers import MultiscaleContrast, PixelContrast, PixelMemory
from tests.contrast.cases import LOSSES, loss_of_file

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


LABELS = {
    "random": lambda target, generator: target,
    "all ignored": lambda target, generator: torch.full_like(target, 255),
    "one class": lambda target, generator: torch.where(target == 255, 255, 1),
}


def whole_inputs(batch, sizes, dtype, labels, layout):
    """Logits, target and features of a whole loss of three classes."""
    generator = torch.Generator().manual_seed(0)
    grid = (4 * sizes[0][0], 4 * sizes[0][1])
    _, target, _ = inputs(batch, 3, 1, sizes, dtype)
    leaves = [torch.randn(batch, 3, *size, generator=generator).to(dtype) for size in (grid, *sizes)]
    logits, *features = (LAYOUTS[layout](leaf).detach().requires_grad_() for leaf in leaves)
    return logits, LABELS[labels](target, generator), features


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_a_whole_loss_takes_any_shape_type_layout_and_labels(name, dtype):
    """Of its file, with heads in float32: they take what a network in another type makes."""
    for (batch, sizes, labels), layout in zip(
        itertools.product((1, 2), (((1, 1),) * 4, ((8, 10), (4, 5), (2, 3), (1, 1))), LABELS),
        itertools.cycle(LAYOUTS),
        strict=False,
    ):
        loss = loss_of_file(name, 3, (3,) * 4, embedding_dim=1 if labels == "random" else 4)
        if batch == 1:
            loss.eval()  # batch norm cannot train on one value per channel
        for _ in range(2):  # the second step has filled memories
            logits, target, features = whole_inputs(batch, sizes, dtype, labels, layout)
            terms = loss(logits, target, features)
            terms.total.backward()
            case = (batch, sizes, labels, layout)
            assert torch.isfinite(terms.total), case
            assert terms.total.dtype == torch.promote_types(dtype, torch.float32), case
            assert all(torch.isfinite(value).all() for value in terms.diagnose().values()), case
            for one in (logits, *(features if name != "ce" else []), *loss.parameters()):
                assert one.grad is not None, case
                assert torch.isfinite(one.grad).all(), case
            loss.update()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_a_whole_loss_takes_any_type_under_autocast(name, dtype):
    loss = loss_of_file(name, 3, (3,) * 4)
    logits, target, features = whole_inputs(2, ((8, 10), (4, 5), (2, 3), (1, 1)), dtype, "random", "contiguous")
    with torch.autocast("cpu", torch.bfloat16):
        total = loss(logits, target, features).total
    total.backward()
    assert torch.isfinite(total)
    assert all(torch.isfinite(one.grad).all() for one in (logits, *loss.parameters()))


@pytest.mark.parametrize(  # compiling the others takes minutes in all
    "name", [pytest.param(name, marks=[] if name in ("ce", "contextrast") else pytest.mark.slow) for name in LOSSES]
)
def test_a_compiled_whole_loss_is_the_same_down_to_a_single_pixel(name):
    torch.compiler.reset()
    for sizes, labels in ((((1, 1),) * 4, "random"), (((8, 10), (4, 5), (2, 3), (1, 1)), "all ignored")):
        arguments = whole_inputs(1, sizes, torch.float32, labels, "contiguous")
        plain, compiled = (loss_of_file(name, 3, (3,) * 4).eval() for _ in range(2))
        compiled.compile(backend="aot_eager", fullgraph=True)
        results = []
        for loss in (plain, compiled):
            terms = loss(*arguments)
            wanted = [arguments[0], *loss.parameters()]
            results.append([*terms.values(), *torch.autograd.grad(terms.total, wanted)])
        torch.testing.assert_close(*results)


@pytest.mark.parametrize("name", SAMPLINGS)
def test_compiled_a_single_pixel_is_the_same(name):
    torch.compiler.reset()
    embeddings, target, prediction = inputs(1, 2, 1, ((1, 1), (1, 1)), torch.float32)
    contrast = ContextualContrast(2, [1.0, 1.0], negatives=SAMPLINGS[name]())
    compiled = torch.compile(contrast, fullgraph=name != "kornia", backend="eager")
    torch.testing.assert_close(compiled(embeddings, target, prediction), contrast(embeddings, target, prediction))
