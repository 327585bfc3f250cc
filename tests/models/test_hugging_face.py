"""Networks of transformers against transformers' own post-processing, loss and folders."""

from types import SimpleNamespace

import pytest
import torch

from contextrast.contrast import ContextrastLoss
from contextrast.contrast.segmentation import CrossEntropyLoss, LossTerms
from contextrast.errors import ConfigError, WeightsError
from contextrast.models import Segmenter
from contextrast.models.network_weights import load_network_weights
from contextrast.training.module import _in_place_of_base

transformers = pytest.importorskip("transformers", reason="the extra huggingface is not installed")

from contextrast.models.hugging_face import Mask2Former, binary_masks, semantic_logits  # noqa: E402

TINY = {
    "embed_dim": 12, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2), "window_size": 4, "num_queries": 6,
    "hidden_dim": 32, "pixel_decoder_layers": 1, "decoder_layers": 3, "train_num_points": 64,
}  # fmt: skip


def network(num_classes=5):
    torch.manual_seed(0)
    return Mask2Former(num_classes, **TINY)


def labels():
    target = torch.randint(0, 5, (2, 64, 96), generator=torch.Generator().manual_seed(1))
    target[0, :20] = 255
    return target


def test_the_classes_are_those_of_transformers_post_processing():
    generator = torch.Generator().manual_seed(0)
    classes, masks = torch.randn(1, 3, 5, generator=generator), torch.randn(1, 3, 384, 384, generator=generator)
    answer = SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)
    (expected,) = transformers.Mask2FormerImageProcessor.post_process_semantic_segmentation(None, answer)
    logits = semantic_logits(classes, masks)
    assert torch.equal(logits.argmax(1)[0], expected)
    scores = sum(classes[0, q].softmax(0)[:4, None, None] * masks[0, q].sigmoid() for q in range(3))
    torch.testing.assert_close(logits[0].exp(), scores)


def test_the_loss_is_transformers_own():
    model, image, target = network().eval(), torch.randn(2, 3, 64, 96), labels()
    masks = [torch.stack([one == label for label in range(5)]).float() for one in target]
    torch.manual_seed(3)  # of the points that the loss looks at
    expected = model.model(pixel_values=image, mask_labels=masks, class_labels=[torch.arange(5)] * 2).loss
    torch.manual_seed(3)
    torch.testing.assert_close(model.own_loss(model(image), target), expected)


def test_ignored_pixels_are_in_no_mask():
    masks, classes = binary_masks(torch.tensor([[[0, 2, 255]], [[255, 255, 255]]]))
    assert [one.tolist() for one in classes] == [[0, 2], []]
    assert masks[0].tolist() == [[[1, 0, 0]], [[0, 1, 0]]]
    assert masks[1].shape == (0, 1, 3)


def test_images_without_labels_train(settings):
    segmenter = Segmenter(network(), encoder_weights=None, **settings).train()
    seen = segmenter.forward_training(torch.randn(2, 3, 64, 64))
    for target in (torch.full((2, 64, 64), 255), torch.stack([torch.full((64, 64), 255), torch.zeros(64, 64).long()])):
        assert segmenter.own_loss(seen, target).isfinite()


def test_the_network_s_loss_takes_the_base_s_place_and_the_contrast_stays(settings):
    segmenter = Segmenter(network(), encoder_weights=None, **settings).train()
    seen, target = segmenter.forward_training(torch.randn(2, 3, 64, 96)), labels()
    loss = ContextrastLoss(5, segmenter.stage_channels, embedding_dim=8)
    plain = loss(seen.logits, target, seen.features)
    own = segmenter.own_loss(seen, target)
    terms = _in_place_of_base(plain, own)
    torch.testing.assert_close(terms.total, own + plain.weighted["contrast"])
    assert {"network", "cross_entropy", "pixel_anchor"} <= set(terms.terms)
    terms.total.backward()
    assert all((p.grad is not None) == p.requires_grad for p in segmenter.network.parameters())
    assert torch.equal(_in_place_of_base(CrossEntropyLoss(5)(seen.logits, target), own).total, own)
    with pytest.raises(ConfigError, match="does not say what its base is"):
        _in_place_of_base(LossTerms(own, {}), own)


class TestFolders:
    @pytest.fixture
    def folder(self, tmp_path):
        network().model.save_pretrained(tmp_path / "saved")
        return tmp_path / "saved"

    def test_a_folder_that_transformers_saved_is_all_of_the_network(self, folder):
        other = Mask2Former(5, **TINY)
        load_network_weights(other, folder, 5)
        expected = network().state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in other.state_dict().items())

    def test_a_folder_of_other_classes_keeps_all_but_the_last_layer(self, folder):
        with pytest.raises(WeightsError, match=r"6 classes.*allow_class_mismatch"):
            load_network_weights(Mask2Former(3, **TINY), folder, 3)
        other = Mask2Former(3, **TINY)
        load_network_weights(other, folder, 3, allow_class_mismatch=True)
        assert torch.equal(other.model.model.transformer_module.queries_features.weight,
                           network().model.model.transformer_module.queries_features.weight)  # fmt: skip

    def test_a_folder_of_something_else_is_refused(self, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        with pytest.raises(WeightsError, match="cannot be read as a folder of Mask2Former"):
            load_network_weights(network(), tmp_path, 5)
