import numpy as np
import pytest
from matplotlib.text import Text

from contextrast.data import IGNORE_INDEX, LabelTable
from contextrast.data.drawing import sample_figure


def test_the_legend_has_what_is_in_the_mask_in_its_colors():
    labels = LabelTable(
        "many", tuple(f"class {index}" for index in range(171)), tuple((index, 0, 5) for index in range(171))
    )
    mask = np.array([[170, 3], [IGNORE_INDEX, 3]])
    figure = sample_figure(np.zeros((2, 2, 3), np.uint8), mask, labels, "a title")
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["class 3", "class 170", "ignored"]
    colors = [np.multiply(patch.get_facecolor()[:3], 255).round().tolist() for patch in legend.get_patches()]
    assert colors == [[3, 0, 5], [170, 0, 5], [0, 0, 0]]


def test_figures_can_be_written(tmp_path):
    labels = LabelTable("one", ("a",), ((255, 0, 0),))
    sample_figure(np.zeros((3, 50, 3), np.uint8), np.zeros((3, 50), np.uint8), labels).savefig(tmp_path / "sample.png")
    assert (tmp_path / "sample.png").stat().st_size > 0


@pytest.mark.parametrize("name", ["$x_1$", r"$\frac$", "a $", "_background_"])
def test_names_are_shown_as_they_are(tmp_path, name):
    labels = LabelTable("one", (name,), ((255, 0, 0),))
    figure = sample_figure(np.zeros((3, 50, 3), np.uint8), np.zeros((3, 50), np.uint8), labels, name)
    figure.savefig(tmp_path / "sample.png")  # a formula that cannot be read would raise
    shown = [text for text in figure.findobj(Text) if text.get_text() == name]
    assert len(shown) == 2, "heading and legend"
    assert not any(text.get_parse_math() for text in shown)
