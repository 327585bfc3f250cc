"""Pictures, looked at pixel by pixel where their content is determined."""

import numpy as np
import pytest

from contextrast.data.labels import LabelTable
from contextrast.reporting import figures

LABELS = LabelTable("two", ("sky", "road"), ((0, 0, 255), (200, 0, 0)))
IDS = np.array([[0, 1], [255, 1]], dtype=np.uint8)
IMAGE = np.full((2, 2, 3), 100, dtype=np.uint8)


def test_overlay_mixes_colours_and_leaves_ignored_pixels() -> None:
    picture = figures.overlay(IMAGE, IDS, LABELS, alpha=0.25)
    assert picture.dtype == np.uint8
    assert picture[0, 0].tolist() == [75, 75, 139]
    assert picture[0, 1].tolist() == [125, 75, 75]
    assert picture[1, 0].tolist() == [100, 100, 100]


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, IMAGE), (1.0, LABELS.colorize(IDS))])
def test_overlay_at_its_ends(alpha, expected) -> None:
    labelled = IDS != 255
    assert np.array_equal(figures.overlay(IMAGE, IDS, LABELS, alpha)[labelled], expected[labelled])


def test_error_map_tells_hits_errors_and_ignored_apart() -> None:
    prediction = np.array([[0, 0], [0, 1]])
    picture = figures.error_map(IDS, prediction, 2)
    assert picture[0, 0].tolist() == list(figures.CORRECT_COLOR)
    assert picture[0, 1].tolist() == list(figures.ERROR_COLOR)
    assert picture[1, 0].tolist() == [0, 0, 0]
    assert picture[1, 1].tolist() == list(figures.CORRECT_COLOR)


def test_error_boundary_draws_edges_over_negatives_over_errors() -> None:
    image = np.zeros((1, 4, 3), dtype=np.uint8)
    errors = np.array([[False, True, True, True]])
    negatives = np.array([[False, False, True, True]])
    edges = np.array([[False, False, False, True]])
    picture = figures.error_boundary(image, errors, edges, negatives)
    expected = [(50, 50, 50), figures.ERROR_COLOR, figures.NEGATIVE_COLOR, figures.EDGE_COLOR]
    assert [tuple(pixel) for pixel in picture[0].tolist()] == [tuple(color) for color in expected]


def test_greyed_keeps_the_order_of_brightness() -> None:
    image = np.array([[[0, 0, 0], [90, 90, 90], [255, 255, 255]]], dtype=np.uint8)
    picture = figures.greyed(image)
    assert (picture == picture[..., :1]).all()
    assert picture[0, 0, 0] < picture[0, 1, 0] < picture[0, 2, 0]


@pytest.mark.parametrize("count", [2, 30])
def test_the_confusion_figure_survives_classes_without_pixels(count) -> None:
    confusion = np.eye(count, dtype=np.int64)
    confusion[0] = 0
    picture = figures.confusion_figure(confusion, [f"class {n}" for n in range(count)], "title")
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    blue = (picture[..., 2].astype(int) - picture[..., 0] > 60).mean()
    assert blue > 0.01, "the diagonal is drawn in strong blue"


def test_a_sheet_shows_every_picture_whole() -> None:
    red, green = (np.full((20, 30, 3), color, dtype=np.uint8) for color in ((255, 0, 0), (0, 255, 0)))
    sheet = figures.contact_sheet([[red, green], [green, red]], ["left", "right"])
    for color in ((255, 0, 0), (0, 255, 0)):
        assert (sheet == color).all(axis=2).sum() == 2 * 20 * 30


def test_wide_pictures_are_scaled_and_keep_their_shape() -> None:
    wide = np.full((100, 400, 3), (255, 0, 0), dtype=np.uint8)
    sheet = figures.contact_sheet([[wide]], ["wide"], tile_width=200)
    assert (sheet == (255, 0, 0)).all(axis=2).sum() == 200 * 50


def test_the_legend_wraps_and_grows_the_sheet() -> None:
    picture = np.zeros((10, 120, 3), dtype=np.uint8)
    plain = figures.contact_sheet([[picture]], ["x"])
    legend = [(f"class {n}", (250, 250 - n, 7)) for n in range(6)]
    explained = figures.contact_sheet([[picture]], ["x"], legend)
    assert explained.shape[1] == plain.shape[1]
    assert explained.shape[0] > plain.shape[0] + 2 * 20
    for _, color in legend:
        assert (explained == color).all(axis=2).any()


def test_a_larger_font_makes_titles_and_legend_larger() -> None:
    picture = np.zeros((10, 400, 3), dtype=np.uint8)
    small, large = (figures.contact_sheet([[picture]], ["x"], [("y", (9, 9, 9))], font_size=size) for size in (14, 28))
    assert large.shape[0] >= small.shape[0] + 2 * 14
    inked = [(sheet.sum(axis=2) < 600).sum() - picture[..., 0].size for sheet in (small, large)]
    assert inked[1] > 2 * inked[0], "letters and boxes have four times the area, less their outlines"


def test_class_legend_ends_with_what_is_ignored() -> None:
    assert figures.class_legend(LABELS) == [("sky", (0, 0, 255)), ("road", (200, 0, 0)), ("ignored", (0, 0, 0))]


def test_rows_and_titles_have_to_fit() -> None:
    with pytest.raises(ValueError, match=r"needs 2 pictures.*\[1\]"):
        figures.contact_sheet([[IMAGE]], ["one", "two"])


def test_names_in_a_confusion_matrix_are_shown_as_they_are() -> None:
    confusion = np.array([[3, 1], [0, 2]])
    formula, plain = (figures.confusion_figure(confusion, [name, "b"], name) for name in (r"$\frac$", r"$\frbc$"))
    assert formula.shape == plain.shape  # a formula that cannot be read would raise
    assert not np.array_equal(formula, plain)
