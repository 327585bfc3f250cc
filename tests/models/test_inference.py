"""Multi-scale and sliding-window inference against slow references."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from contextrast.errors import ConfigError
from contextrast.models import InferenceProtocol, inference
from contextrast.models.inference import _starts
from tests.models.slow import bilinear, softmax


@pytest.fixture(autouse=True)
def _thin_bands(monkeypatch):
    """Pictures of the tests are small, but cut into bands as large ones are."""
    monkeypatch.setattr(inference, "_BAND", 3)


@pytest.fixture
def predict():
    """A network whose answer depends on a pixel's surroundings, on its position and on the image's size."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 4, 5, padding=2)

    def segment(image):
        columns = torch.linspace(-1, 1, image.shape[-1]).expand(1, 1, *image.shape[-2:])
        with torch.no_grad():
            return conv(image) + columns * image.shape[-2] / 10

    return segment


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scales", [(1.0,), (0.75, 1.0, 1.25), (0.5, 2.0), (0.05,)])
def test_multi_scale_against_loops(predict, scales, flip):
    image = torch.randn(2, 3, 9, 13)
    result = InferenceProtocol(scales, flip)(predict, image)
    for b in range(2):
        expected = []
        for scale in scales:
            size = (max(1, int(9 * scale + 0.5)), max(1, int(13 * scale + 0.5)))
            scaled = bilinear(image[b].numpy().astype(np.float64), *size)
            for mirror in (False, True) if flip else (False,):
                view = scaled[:, :, ::-1].copy() if mirror else scaled
                logits = predict(torch.from_numpy(view).float()[None])[0].numpy()
                logits = logits[:, :, ::-1] if mirror else logits
                expected.append(softmax(bilinear(logits, 9, 13)))
        np.testing.assert_allclose(result[b].numpy(), np.mean(expected, 0), rtol=2e-4, atol=1e-5)


def test_single_scale_is_the_plain_softmax(predict):
    image = torch.randn(1, 3, 7, 10)
    torch.testing.assert_close(InferenceProtocol()(predict, image), predict(image).softmax(1), rtol=1e-6, atol=0)


def test_flips_make_mirrored_images_give_mirrored_answers(predict):
    image = torch.randn(1, 3, 8, 12)
    straight = InferenceProtocol((0.75, 1.5), flip=True)(predict, image)
    mirrored = InferenceProtocol((0.75, 1.5), flip=True)(predict, image.flip(-1)).flip(-1)
    torch.testing.assert_close(straight, mirrored, rtol=1e-4, atol=1e-5)


def test_half_precision_networks_give_float32_probabilities(predict):
    image = torch.randn(1, 3, 8, 12)
    result = InferenceProtocol((0.5, 1.0), flip=True)(lambda x: predict(x).bfloat16(), image)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.sum(1), torch.ones(1, 8, 12))
    assert InferenceProtocol(window=(4, 4))(lambda x: predict(x).half(), image).dtype == torch.float32


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_views_are_predicted_in_batches(predict, batch_size):
    seen = []

    def segment(image):
        seen.append(tuple(image.shape))
        return predict(image)

    image = torch.randn(2, 3, 8, 12)
    result = InferenceProtocol((0.5, 1.0), flip=True, batch_size=batch_size)(segment, image)
    if batch_size == 1:
        assert seen == [(2, 3, 4, 6)] * 2 + [(2, 3, 8, 12)] * 2
    else:
        assert seen == [(4, 3, 4, 6), (4, 3, 8, 12)]
    expected = torch.zeros(2, 4, 8, 12)
    for size in ((4, 6), (8, 12)):
        for axes in ((), (-1,)):
            scaled = F.interpolate(image, size, mode="bilinear", align_corners=False)
            logits = torch.cat([predict(one[None].flip(axes)).flip(axes) for one in scaled])
            expected += F.interpolate(logits, (8, 12), mode="bilinear", align_corners=False).softmax(1) / 4
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_views_are_predicted_at_least_singly():
    with pytest.raises(ConfigError, match="batch_size"):
        InferenceProtocol(batch_size=0)


@pytest.mark.parametrize("scales", [(), (0.0, 1.0), (-1.0,), (1e12,)])
def test_scales_that_are_none(scales):
    with pytest.raises(ConfigError, match="scales"):
        InferenceProtocol(scales)


@given(side=st.integers(1, 300), window=st.integers(1, 120), overlap=st.floats(0, 0.95))
def test_windows_cover_a_side_evenly_and_overlap_enough(side, window, overlap):
    starts = _starts(side, window, overlap)
    extent = min(window, side)
    covered = {pixel for start in starts for pixel in range(start, start + extent)}
    assert covered == set(range(side))
    steps = np.diff(starts)
    assert starts[0] == 0
    assert starts[-1] == side - extent
    if len(steps):
        assert steps.max() - steps.min() <= 1
        assert steps.min() >= 1
        assert steps.max() <= max(1, window * (1 - overlap))
        # One window fewer would have to take longer steps.
        assert len(steps) == 1 or (side - window) / (len(steps) - 1) > max(1, int(window * (1 - overlap)))


@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    window=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    overlap=st.sampled_from([0.0, 0.3, 0.5, 0.75]),
    batch_size=st.integers(1, 5),
)
def test_sliding_windows_against_loops(height, width, window, overlap, batch_size):
    conv = torch.nn.Conv2d(3, 4, 3, padding=1).requires_grad_(False)
    image = torch.randn(2, 3, height, width)
    result = InferenceProtocol(window=window, overlap=overlap, batch_size=batch_size)(conv, image)
    h, w = min(window[0], height), min(window[1], width)
    for b in range(2):
        total, count = np.zeros((4, height, width)), np.zeros((height, width))
        for y in _starts(height, h, overlap):
            for x in _starts(width, w, overlap):
                logits = conv(image[b : b + 1, :, y : y + h, x : x + w])[0].numpy()
                total[:, y : y + h, x : x + w] += softmax(logits)
                count[y : y + h, x : x + w] += 1
        np.testing.assert_allclose(result[b].numpy(), total / count, rtol=1e-4, atol=1e-6)


def test_a_network_without_surroundings_is_the_same_by_windows():
    conv = torch.nn.Conv2d(3, 4, 1).requires_grad_(False)
    image = torch.randn(2, 3, 33, 47)
    result = InferenceProtocol(window=(16, 20))(conv, image)
    torch.testing.assert_close(result, F.softmax(conv(image), 1))


def test_windows_are_predicted_in_batches():
    seen = []

    def segment(x):
        seen.append(tuple(x.shape))
        return x[:, :2]

    InferenceProtocol(window=(5, 5), overlap=0.0, batch_size=3)(segment, torch.zeros(2, 3, 10, 10))
    assert seen == [(6, 3, 5, 5), (2, 3, 5, 5)]


@pytest.mark.parametrize(
    "wrong", [{"window": (0, 4)}, {"window": (4,)}, {"overlap": 1.0}, {"overlap": -0.1}, {"batch_size": 0}]
)
def test_windows_that_cannot_be(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        InferenceProtocol(**{"window": (4, 4), **wrong})


@pytest.mark.parametrize(
    "protocol", [{}, {"scales": (0.5, 1.0, 1.5), "flip": True}, {"window": (8, 6)}, {"window": (5, 9), "overlap": 0.7}]
)
def test_labels_are_the_most_probable_classes(predict, protocol):
    image = torch.randn(2, 3, 23, 17)
    made = InferenceProtocol(**protocol)
    assert torch.equal(made.labels(predict, image), made(predict, image).argmax(1))


def test_windows_keep_probabilities_of_overlaps_alone(predict):
    predicted, done, most = np.zeros((64, 40), dtype=bool), np.zeros((64, 40), dtype=int), 0
    starts = iter([(y, x) for y in _starts(64, 8, 0.25) for x in _starts(40, 8, 0.25)])

    def segment(image):
        nonlocal most
        most = max(most, int((predicted & (done == 0)).sum()))
        y, x = next(starts)
        predicted[y : y + 8, x : x + 8] = True
        return predict(image)

    protocol = InferenceProtocol(window=(8, 8), overlap=0.25, batch_size=1)
    for rows, columns, _ in protocol.tiles(segment, torch.randn(1, 3, 64, 40)):
        done[rows, columns] += 1
    assert (done == 1).all()
    assert 0 < most <= 3 * 40 + 8 * 3  # the overlap with the next row of windows, and with the next window
