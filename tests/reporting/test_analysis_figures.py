"""Figures of analyses: what is in them is what was given."""

from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from contextrast.data.labels import LabelTable
from contextrast.metrics.error_distance import ErrorCurve
from contextrast.reporting import analysis_figures as figures

LABELS = LabelTable("three", ("sky", "road", "car"), ((0, 0, 255), (200, 0, 0), (0, 90, 0)))


def curve(cosine, pixels, correct=0.75):
    cosine = torch.tensor(cosine, dtype=torch.double)
    return ErrorCurve(cosine, torch.tensor(pixels), torch.tensor(correct), torch.tensor(9), torch.tensor(0))


def rendered(figure):
    with BytesIO() as file:
        figure.savefig(file, dpi=40)
        return np.asarray(Image.open(file).convert("RGB"))


def test_curves_end_where_too_few_pixels_are_left():
    few = figures.FEWEST_PIXELS - 1
    curves = {"ce": [curve([0.1, 0.2, 0.9, float("nan")], [500, 40, few, 0])]}
    above, below = figures.error_distance_figure(curves, ["stage2"], "title").axes
    line, correct = above.lines
    assert line.get_xdata().tolist() == [0, 1, 2]
    np.testing.assert_equal(line.get_ydata(), [0.1, 0.2, np.nan])
    assert set(correct.get_ydata()) == {0.75}
    assert below.lines[0].get_ydata().tolist() == [500, 40, few]
    assert below.get_yscale() == "log"
    assert "pixels of the stage's grid" in below.get_xlabel()


def test_networks_differ_in_colour_and_marker_and_the_legend_names_them():
    curves = {f"network {n}": [curve([0.1 * n, 0.2], [500, 400])] * 2 for n in range(5)}
    figure = figures.error_distance_figure(curves, ["stage2", "stage3"], "title")
    lines = figure.axes[0].lines[::2]
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 5
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [*curves, "correctly classified pixels"]
    assert [axes.get_title() for axes in figure.axes[:2]] == ["stage2", "stage3"]
    assert rendered(figure).std() > 0


def test_a_split_without_errors_can_be_drawn():
    empty = curve([float("nan")] * 3, [0, 0, 0])
    figure = figures.error_distance_figure({"perfect": [empty]}, ["stage2"], "title")
    assert rendered(figure).std() > 0
    assert figure.axes[0].lines[0].get_xdata().tolist() == []


def test_points_have_the_colours_of_their_classes_and_absent_classes_no_entry():
    places = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], dtype=np.float32)
    points = {"a": [(places, np.array([2, 0, 2]))], "b": [(places, np.array([0, 0, 0]))]}
    figure = figures.plane_figure(points, ["stage2"], LABELS, "title")
    drawn = figure.axes[0].collections[0]
    np.testing.assert_allclose(drawn.get_offsets(), places)
    np.testing.assert_allclose(drawn.get_facecolors()[:, :3] * 255, np.array(LABELS.palette)[[2, 0, 2]], atol=1e-9)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sky", "car"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["a", "b"]
    assert rendered(figure).std() > 0


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_heat_grows_brighter_and_lets_the_image_through(level):
    images = [np.full((2, 3, 3), shade, dtype=np.uint8) for shade in (0, 200)]
    dark, bright = (figures.heated(image, np.full((2, 3), level, dtype=np.float32)) for image in images)
    assert dark.dtype == np.uint8
    assert (bright.astype(int) - dark == 90).all()
    colors = [color for _, color in figures.heat_legend()]
    np.testing.assert_allclose(dark[0, 0], np.array(colors[int(2 * level)]) * 0.55, atol=1)
    assert sum(colors[0]) < sum(colors[1]) < sum(colors[2])


def test_colours_of_networks_can_be_told_apart():
    colors = [np.array(to_rgb(color)) for color in figures._COLORS]
    gaps = [np.abs(one - other).sum() for n, one in enumerate(colors) for other in colors[:n]]
    assert min(gaps) > 0.3


@pytest.mark.parametrize("name", ["$x_1$", r"$\frac$", "a $"])
def test_names_are_shown_as_they_are(name):
    points = {name: [(np.zeros((2, 2), np.float32), np.array([0, 0]))]}
    drawn = [
        figures.error_distance_figure({name: [curve([0.1, 0.2], [500, 400])]}, [name], name),
        figures.plane_figure(points, [name], LabelTable("one", (name,), ((9, 9, 9),)), name),
    ]
    for figure, places in zip(drawn, (3, 4), strict=True):
        assert rendered(figure).std() > 0  # a formula that cannot be read would raise
        shown = [text for text in figure.findobj(Text) if text.get_text() == name]
        assert len(shown) == places
        assert not any(text.get_parse_math() for text in shown)
