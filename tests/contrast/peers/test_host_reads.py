"""Neither peer reads a tensor's value on the host, nor does the work of each (image, class) pair by itself."""

import pytest
import torch

from contextrast.benchmarks.operations import Operations
from contextrast.contrast.peers import MultiscaleLoss, PixelContrastLoss, PixelMemory
from tests.contrast.cases import label_maps

LOSSES = {
    "pixel_contrast": lambda n: PixelContrastLoss(n, [3, 3], embedding_dim=8, start_step=0, max_views=4),
    "memory": lambda n: PixelContrastLoss(n, [3, 3], embedding_dim=8, max_views=4, memory=PixelMemory(n, 8, 20)),
    "multiscale": lambda n: MultiscaleLoss(n, [3, 3], (1.0, 0.7), [(0, 1)], embedding_dim=8),
}


def operations(name, batch=2, num_classes=4):
    """All operations of a step, after one that makes lazily made state."""
    generator = torch.Generator().manual_seed(0)
    target, _ = label_maps(generator, batch, 32, 32, num_classes)
    logits = torch.randn(batch, num_classes, 32, 32, generator=generator, requires_grad=True)
    features = [torch.randn(batch, 3, s, s, generator=generator, requires_grad=True) for s in (8, 4)]
    loss = LOSSES[name](num_classes)
    loss(logits, target, features).total.backward()
    with Operations() as seen:
        loss(logits, target, features).total.backward()
        loss.update()
    return seen


@pytest.mark.parametrize("name", LOSSES)
def test_no_host_reads(name):
    seen = operations(name)
    assert len(seen.names) > 100
    assert not seen.host_reads()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("few", "more"), [((2, 4), (2, 9)), ((4, 9), (6, 12))], ids=["as planes", "as rows"])
def test_the_number_of_operations_does_not_depend_on_images_or_classes(name, few, more):
    """Where segments are few, a CPU reads each image's planes by itself, and all of its classes at once."""
    assert len(operations(name, *few).names) == len(operations(name, *more).names)


@pytest.mark.parametrize("name", LOSSES)
def test_samples_are_gathered_at_once(name):
    """One gather of embeddings a stage: nothing else has a backward pass that fills a gradient at places."""
    assert operations(name).names.count("index_put") == (2 if name == "multiscale" else 1)


@pytest.mark.parametrize("name", LOSSES)
def test_diagnostics_change_nothing(name):
    generator = torch.Generator().manual_seed(0)
    target, prediction = label_maps(generator, 2, 32, 32, 4)
    loss = LOSSES[name](4)
    embeddings = loss.heads([torch.randn(2, 3, s, s, generator=generator) for s in (8, 4)])
    before = loss.contrast(embeddings, target, prediction)
    state = {key: value.clone() for key, value in loss.state_dict().items()}
    diagnostics = loss.contrast.diagnose(embeddings, target, prediction)
    torch.testing.assert_close(loss.contrast(embeddings, target, prediction), before)
    torch.testing.assert_close(dict(loss.state_dict()), state)
    assert not any(value.requires_grad for value in diagnostics.values())
