"""Starting from a whole trained network: the same classes, other classes, and files that do not fit."""

import pytest
import torch
from safetensors.torch import save_file

from contextrast.errors import WeightsError
from contextrast.models import Segmenter
from tests.models.test_weights import randomised, same

SETTINGS = {"num_classes": 5, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
HEAD = ("segmentation_head.0.weight", "segmentation_head.0.bias")


def build(classes=5, **options):
    small = {"decoder_pyramid_channels": 8, "decoder_segmentation_channels": 32, "encoder": "resnet18"}
    return Segmenter(**{**SETTINGS, "num_classes": classes, "encoder_weights": None, **small, **options})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network of 5 classes, and a checkpoint of it as Lightning writes them."""
    network = randomised(build())
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    state |= {"loss.heads.heads.0.0.weight": torch.zeros(2), "auxiliary.layers.0.weight": torch.zeros(2)}
    path = tmp_path_factory.mktemp("run") / "best.ckpt"
    torch.save({"state_dict": state, "global_step": 3, "hyper_parameters": {"seed": 0}}, path)
    return network, path


def test_a_runs_checkpoint_starts_the_same_network(trained):
    network, path = trained
    assert same(build(weights=path), network)


@pytest.mark.parametrize("kind", ["plain network", "segmenter", "safetensors"])
def test_other_files_of_the_network(trained, tmp_path, kind):
    network, _ = trained
    if kind == "safetensors":
        save_file(network.network.state_dict(), path := tmp_path / "network.safetensors")
    else:
        torch.save((network if kind == "segmenter" else network.network).state_dict(), path := tmp_path / "network.pth")
    assert same(build(weights=str(path)), network)


def test_encoder_weights_are_not_looked_at_then(trained):
    network, path = trained
    assert same(build(weights=path, encoder_weights="gone.pth"), network)


def test_other_classes_are_an_error_that_names_both_counts_and_the_remedy(trained):
    _, path = trained
    with pytest.raises(WeightsError) as caught:
        build(7, weights=path)
    message = str(caught.value)
    assert f"{path} was trained on 5 classes, this network has 7" in message
    assert all(name in message for name in HEAD)
    assert "model.allow_class_mismatch=true" in message


def test_other_classes_start_the_last_layer_anew_if_allowed(trained):
    network, path = trained
    torch.manual_seed(4)
    fresh = build(7).network.state_dict()
    torch.manual_seed(4)
    tuned = build(7, weights=path, allow_class_mismatch=True).network.state_dict()
    for name, value in network.network.state_dict().items():
        assert torch.equal(tuned[name], fresh[name] if name in HEAD else value), name


def test_the_same_classes_keep_the_last_layer_where_others_would_be_allowed(trained):
    network, path = trained
    assert same(build(weights=path, allow_class_mismatch=True), network)


def test_ocrnets_regions_are_class_layers_too(tmp_path):
    ocr = {
        "architecture": "OCRNet", "encoder": "tu-hrnet_w18_small", "encoder_weights": None, "decoder_channels": 16,
        "decoder_key_channels": 8,
    }  # fmt: skip
    network = randomised(Segmenter(**SETTINGS, **ocr))
    torch.save(network.state_dict(), tmp_path / "ocr.pth")
    others = {**SETTINGS, "num_classes": 3}
    with pytest.raises(WeightsError, match=r"5 classes.*3 \(decoder\.regions\.1\.weight, .*segmentation_head"):
        Segmenter(**others, **ocr, weights=tmp_path / "ocr.pth")
    tuned = Segmenter(**others, **ocr, weights=tmp_path / "ocr.pth", allow_class_mismatch=True)
    assert torch.equal(tuned.network.decoder.pixels[0].weight, network.network.decoder.pixels[0].weight)


@pytest.mark.parametrize("allow", [False, True])
def test_another_network_is_refused_with_what_does_not_match(trained, allow):
    _, path = trained
    with pytest.raises(WeightsError) as caught:
        build(weights=path, decoder_segmentation_channels=64, allow_class_mismatch=allow)
    message = str(caught.value)
    assert str(path) in message
    assert "decoder.seg_blocks.0.block.0.block.0.weight is (32, 8, 3, 3) in the file, (64, 8, 3, 3)" in message
    assert "model.weights=null" in message


def test_a_file_of_an_encoder_is_sent_to_encoder_weights(trained, tmp_path):
    network, _ = trained
    torch.save(network.encoder.state_dict(), tmp_path / "encoder.pth")
    with pytest.raises(WeightsError, match=r"missing in the file: encoder\.conv1[\s\S]*model\.encoder_weights"):
        build(weights=tmp_path / "encoder.pth")


def test_missing(tmp_path):
    with pytest.raises(WeightsError, match=r"No weight file at .*gone\.ckpt.*model\.weights"):
        build(weights=tmp_path / "gone.ckpt")
