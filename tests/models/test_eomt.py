"""EoMT against transformers' own forward pass, loss and folders, at its own size and at others."""

import pytest
import torch

from contextrast.contrast import ContextrastLoss
from contextrast.errors import WeightsError
from contextrast.models import Segmenter
from contextrast.models.network_weights import load_network_weights
from contextrast.training.module import _in_place_of_base

transformers = pytest.importorskip("transformers", reason="the extra huggingface is not installed")

from contextrast.models.eomt import EoMT  # noqa: E402

TINY = {
    "hidden_size": 24, "layers": 4, "heads": 2, "query_layers": 2, "num_queries": 6, "image_size": 64,
    "train_num_points": 64,
}  # fmt: skip


def network(num_classes=5, **settings):
    torch.manual_seed(0)
    return EoMT(num_classes, **{**TINY, **settings})


def stock(ours):
    """Transformers' class with the same weights, which takes images of one size."""
    theirs = transformers.EomtForUniversalSegmentation(ours.model.config)
    theirs.load_state_dict(ours.model.state_dict())
    return theirs


def labels(height=64, width=64):
    target = torch.randint(0, 5, (2, height, width), generator=torch.Generator().manual_seed(1))
    target[0, :20] = 255
    return target


@pytest.mark.parametrize("channels", [3, 5])
def test_masks_and_maps_are_transformers(channels):
    ours, image = network(in_channels=channels).eval(), torch.randn(2, channels, 64, 64)
    expected = stock(ours).eval()(pixel_values=image, output_hidden_states=True)
    seen = {}
    for number, place in enumerate(ours.maps):
        place.register_forward_hook(lambda _, __, output, number=number: seen.update({number: output}))
    answer = ours(image)
    masks, classes = answer["predictions"][-1]
    torch.testing.assert_close(masks, expected.masks_queries_logits)
    torch.testing.assert_close(classes, expected.class_queries_logits)
    scores = torch.einsum("bqc,bqhw->bchw", classes.softmax(-1)[..., :5], masks.sigmoid())
    torch.testing.assert_close(answer["logits"].exp(), scores)
    for number, tokens in enumerate(expected.hidden_states[1:]):  # four blocks, one map each
        torch.testing.assert_close(seen[number].flatten(2).transpose(1, 2), tokens[:, -16:])


def test_the_loss_is_transformers_own_of_every_prediction():
    ours, image, target = network().train(), torch.randn(2, 3, 64, 64), labels()
    theirs = stock(ours).train()
    masks = [torch.stack([one == label for label in range(5)]).float() for one in target]
    torch.manual_seed(3)  # of the points that the loss looks at
    expected = theirs(pixel_values=image, mask_labels=masks, class_labels=[torch.arange(5)] * 2).loss
    torch.manual_seed(3)
    torch.testing.assert_close(ours.own_loss(ours(image), target), expected)


def test_any_size_trains_with_the_contrast_and_a_step_changes_all(settings):
    segmenter = Segmenter(network(), encoder_weights=None, **settings).train()
    assert segmenter.stage_strides == (16, 16, 16, 16)
    assert segmenter.stage_channels == (24, 24, 24, 24)
    assert segmenter.stride == 16
    before = {name: value.clone() for name, value in segmenter.network.named_parameters() if value.requires_grad}
    seen, target = segmenter.forward_training(torch.randn(2, 3, 48, 96)), labels(48, 96)
    assert [tuple(one.shape) for one in seen.features] == [(2, 24, 3, 6)] * 4
    loss = ContextrastLoss(5, segmenter.stage_channels, embedding_dim=8)
    terms = _in_place_of_base(loss(seen.logits, target, seen.features), segmenter.own_loss(seen, target))
    terms.total.backward()
    torch.optim.AdamW(segmenter.network.parameters(), lr=1e-2).step()
    same = [
        name for name, value in segmenter.network.named_parameters() if name in before and value.equal(before[name])
    ]
    assert not same
    assert segmenter.eval()(torch.randn(1, 3, 50, 70)).shape == (1, 5, 50, 70)


def test_a_folder_that_transformers_saved_is_all_of_the_network(tmp_path):
    stock(network()).save_pretrained(tmp_path / "saved")
    other = EoMT(5, **TINY)
    load_network_weights(other, tmp_path / "saved", 5)
    assert all(torch.equal(value, network().state_dict()[name]) for name, value in other.state_dict().items())
    with pytest.raises(WeightsError, match=r"6 classes.*allow_class_mismatch"):
        load_network_weights(EoMT(3, **TINY), tmp_path / "saved", 3)
    load_network_weights(EoMT(3, **TINY), tmp_path / "saved", 3, allow_class_mismatch=True)
    with pytest.raises(WeightsError, match="cannot be read as a folder of EoMT"):
        load_network_weights(other, tmp_path, 5)


@pytest.mark.parametrize(("sizes", "published"), [
    ({"hidden_size": 768, "layers": 12, "heads": 12, "query_layers": 3}, 93),
    ({"hidden_size": 1024, "layers": 24, "heads": 16, "query_layers": 4}, 316),
])  # fmt: skip
def test_parameters_are_as_many_as_published(sizes, published):
    with torch.device("meta"):
        whole = EoMT(150, **sizes)
    assert round(sum(parameter.numel() for parameter in whole.parameters()) / 1e6) == published
