"""What an analysis finds of a network, against the same found by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from contextrast.analysis import Analysis
from contextrast.contrast.stages import to_grid
from contextrast.data import Streets
from contextrast.data.loader import Loader, collate
from contextrast.models import Segmenter


class OneMap(nn.Module):
    """As heads of losses that embed all stages into one map: the mean of their first channels, of unit length."""

    def forward(self, features):
        size = features[1].shape[-2:]
        return [F.normalize(sum(F.adaptive_avg_pool2d(one[:, :6], size) for one in features), dim=1)]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Segmenter(
        num_classes=11, mean=[0.5] * 3, std=[0.5] * 3, architecture="FPN", encoder="resnet18", encoder_weights=None,
        decoder_pyramid_channels=8, decoder_segmentation_channels=32, stages=[2, 3, 5],
    )  # fmt: skip
    return network.eval()


@pytest.fixture(scope="module")
def dataset():
    """Images whose sides are no multiples of the stride."""
    return Streets("val", size=(50, 70), lengths={"val": 3})


def analysis_of(network, dataset, heads=None, batch_size=2, pixels_per_class=5):
    return Analysis("a", network, heads, Loader(dataset, batch_size, collate_fn=collate), pixels_per_class, seed=0)


@torch.no_grad()
def by_hand(network, dataset):
    """Of each image: padded logits, features and labels."""
    for number in range(len(dataset)):
        sample = dataset[number]
        image = network.pad(network.normalize(sample["image"][None]))
        target = torch.full((1, 64, 96), 255)
        target[:, :50, :70] = sample["mask"]
        yield (*network.forward_features(image), target)


def test_grids_are_the_stages_or_the_embeddings(network, dataset):
    grids = analysis_of(network, dataset).grids
    assert [tuple(grid) for grid in grids] == [("stage2", 64, 4), ("stage3", 128, 8), ("stage5", 512, 32)]
    assert [tuple(grid) for grid in analysis_of(network, dataset, OneMap()).grids] == [("embedding1", 6, 8)]


def test_class_means_are_those_of_all_labelled_pixels_of_the_split(network, dataset):
    analysis = analysis_of(network, dataset)
    seen = list(by_hand(network, dataset))
    for number, means in enumerate(analysis.survey.means):
        maps = [features[number] for _, features, _ in seen]
        rows = torch.cat([one[0].flatten(1).T for one in maps])
        ids = torch.cat([to_grid(target, *one.shape[-2:]).flatten() for (_, _, target), one in zip(seen, maps)])
        rounding = 1e-6 * float(rows.abs().max())  # of a network that sees two images at once, not each by itself
        for train_id in range(11):
            own = rows[ids == train_id].double()
            assert int(means.pixels[train_id]) == len(own)
            if len(own):
                torch.testing.assert_close(means.vectors[train_id], own.mean(0), rtol=1e-5, atol=rounding)
        present = means.vectors[means.pixels > 0]
        torch.testing.assert_close(analysis.centres[number], present.mean(0))


def test_every_labelled_pixel_is_in_the_curve_once(network, dataset):
    analysis = analysis_of(network, dataset)
    seen = list(by_hand(network, dataset))
    for number, curve in enumerate(analysis.curves()):
        wrong = right = 0
        for logits, features, target in seen:
            size = features[number].shape[-2:]
            truth, guess = to_grid(target, *size), to_grid(logits.argmax(1), *size)
            wrong += int(((truth != guess) & (truth != 255)).sum())
            right += int((truth == guess).sum())
        assert int(curve.pixels.sum() + curve.boundless) == wrong
        assert int(curve.correct_pixels) == right
        assert wrong > 0


def test_embeddings_are_compared_as_they_are(network, dataset):
    analysis = analysis_of(network, dataset, OneMap())
    assert [centre.tolist() for centre in analysis.centres] == [[0.0] * 6]
    assert len(analysis.curves()) == 1
    rows, classes = analysis.points()[0]
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))
    assert rows.shape == (len(classes), 6)


def test_points_are_few_of_each_class_and_the_same_whatever_the_batches(network, dataset):
    one, other = (analysis_of(network, dataset, batch_size=size).points() for size in (1, 3))
    for (rows, classes), (others, same) in zip(one, other, strict=True):
        assert torch.equal(classes, same)
        torch.testing.assert_close(rows, others, rtol=1e-4, atol=1e-5)
        assert classes.bincount().max() <= 5
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))


def test_the_class_that_is_missed_most(network, dataset):
    analysis, sample = analysis_of(network, dataset), dataset[0]
    with torch.no_grad():
        prediction = network(network.normalize(sample["image"][None])).argmax(1)[0]
    mask = sample["mask"]
    wrong = mask[(mask != prediction) & (mask != 255)]
    assert analysis.most_missed(sample) == int(wrong.bincount().argmax())
    allright = {**sample, "mask": torch.where(prediction == prediction[0, 0], prediction, 255)}
    assert analysis.most_missed(allright) == int(prediction[0, 0])


def test_features_of_an_image_come_with_its_padding(network, dataset):
    found = analysis_of(network, dataset).features(dataset[0]["image"])
    assert [tuple(one.shape) for one in found] == [(64, 16, 24), (128, 8, 12), (512, 2, 3)]
