"""The embedding heads of a checkpoint, which analysis alone loads."""

import pytest
import torch

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.errors import CheckpointError
from tests.analysis.checkpoints import tiny_module, written


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    module = tiny_module(tmp_path_factory.mktemp("run"), "loss.embedding_dim=12")
    for buffer in module.loss.heads.buffers():
        if buffer.is_floating_point():  # running statistics that are not those of a new head
            buffer.uniform_(0.5, 2.0)
    return module.eval()


@pytest.fixture
def path(module, tmp_path):
    return written(module, tmp_path / "last.ckpt")


def altered(path, change):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


@torch.no_grad()
def test_heads_give_the_embeddings_that_the_loss_saw(module, path):
    checkpoint = load_checkpoint(path)
    network = checkpoint.network()
    heads = checkpoint.heads(network)
    assert not heads.training
    image = torch.randn(2, 3, 64, 64)
    _, features = network.forward_features(image)
    expected = module.loss.heads(module.network.forward_features(image)[1])
    for one, other in zip(heads(features), expected, strict=True):
        assert one.shape[1] == 12
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(one.norm(dim=1), torch.ones(one[:, 0].shape))


@torch.no_grad()
@pytest.mark.parametrize(
    ("loss", "maps"), [("contextrast_pp", 4), ("pixel_contrast", 1), ("pixel_contrast_memory", 1), ("multiscale", 4)]
)
def test_every_loss_gives_its_heads_back(tmp_path, loss, maps):
    checkpoint = load_checkpoint(written(tiny_module(tmp_path, f"loss={loss}"), tmp_path / "last.ckpt"))
    network = checkpoint.network()
    _, features = network.forward_features(torch.randn(1, 3, 64, 64))
    embeddings = checkpoint.heads(network)(features)
    assert len(embeddings) == maps
    for one in embeddings:
        torch.testing.assert_close(one.norm(dim=1), torch.ones(one[:, 0].shape))


def test_only_the_heads_of_the_loss_are_kept(path):
    full = torch.load(path, weights_only=True)["state_dict"]
    assert any(key.startswith("loss.") and not key.startswith("loss.heads.") for key in full)
    kept = load_checkpoint(path).head_weights
    assert set(kept) == {key.removeprefix("loss.heads.") for key in full if key.startswith("loss.heads.")}


def test_cross_entropy_has_no_heads(tmp_path):
    checkpoint = load_checkpoint(written(tiny_module(tmp_path, "loss=ce"), tmp_path / "last.ckpt"))
    assert checkpoint.heads(checkpoint.network()) is None


def test_heads_of_another_width_are_refused_with_a_list(path):
    def narrower(content):
        content["hyper_parameters"]["loss"]["embedding_dim"] = 7

    checkpoint = load_checkpoint(altered(path, narrower))
    with pytest.raises(CheckpointError, match=r"(?s)ContextrastLoss.*\(12, .* in the checkpoint, \(7, ") as refused:
        checkpoint.heads(checkpoint.network())
    assert str(path) in str(refused.value)


def test_heads_whose_loss_has_none_are_refused(path):
    def cross_entropy(content):
        content["hyper_parameters"]["loss"] = {"_target_": "contextrast.contrast.CrossEntropyLoss"}

    checkpoint = load_checkpoint(altered(path, cross_entropy))
    with pytest.raises(CheckpointError, match="not in the loss"):
        checkpoint.heads(checkpoint.network())


def test_heads_without_settings_are_refused(path):
    checkpoint = load_checkpoint(altered(path, lambda content: content["hyper_parameters"].pop("loss")))
    with pytest.raises(CheckpointError, match="no settings of their loss"):
        checkpoint.heads(checkpoint.network())


def test_a_model_that_is_no_network_is_refused(path):
    def nothing(content):
        content["hyper_parameters"]["model"] = {}

    with pytest.raises(CheckpointError, match="describes no network"):
        load_checkpoint(altered(path, nothing)).network()


def test_a_loss_from_elsewhere_is_not_built(path):
    def foreign(content):
        content["hyper_parameters"]["loss"] = {"_target_": "os.system", "command": "true"}

    checkpoint = load_checkpoint(altered(path, foreign))
    with pytest.raises(Exception, match=r"os\.system is not allowed"):
        checkpoint.heads(checkpoint.network())


def test_where_files_are_kept_and_how_many_processes_read_is_not_for_a_checkpoint_to_say(path, tmp_path):
    storage = {"cache": str(tmp_path / "cache"), "cache_gib": 1e9, "num_workers": 300, "eval_batch_size": 999}
    storage |= {"pin_memory": True, "max_bad_samples": 0, "validate": False, "allow_absent_classes": True}
    original = load_checkpoint(path).config["data"]
    altered(path, lambda content: content["hyper_parameters"]["data"].update(storage))
    assert load_checkpoint(path).data == {key: value for key, value in original.items() if key not in storage}
