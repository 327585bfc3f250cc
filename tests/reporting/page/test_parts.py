"""The parts of the page by numbers: axes, curves, classes, pictures, environments."""

import base64
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from contextrast.reporting.comparison import compare
from contextrast.reporting.page.axes import Axis
from contextrast.reporting.page.classes import class_scores
from contextrast.reporting.page.curves import charts, history
from contextrast.reporting.page.layers import SIDE, write_layers
from contextrast.reporting.page.pictures import gallery
from contextrast.runs.records import read_runs
from tests.reporting.page_runs import LABELS, layers, write_comparison, write_full_run


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    (compared,) = compare(read_runs([write_comparison(tmp_path_factory.mktemp("parts"))]).runs)
    return compared


@given(st.lists(st.floats(-1e6, 1e6), max_size=9))
def test_an_axis_holds_its_values_in_their_order(values):
    axis = Axis.around(values)
    places = [axis.place(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(4 <= place <= 96 for place in places)
    assert all(4 <= place <= 96 for place, _ in axis.ticks())


def test_an_axis_that_points_up_and_its_round_values():
    axis = Axis.around([0.0, 1.0], start=100, end=0)
    assert [axis.place(value) for value in (0.0, 0.25, 1.0, 2.0)] == [100, 75, 0, 0]
    assert dict(axis.ticks()) == {100: "0", 80: "0.2", 60: "0.4", 40: "0.6", 20: "0.8", 0: "1"}


def test_curves_are_read_and_long_ones_become_means(tmp_path):
    path = tmp_path / "metrics.csv"
    lines = [f"{step},{step},,{'nan' if step == 3 else 0}" for step in range(240)] + ["239,239,0.5,inf"]
    path.write_text("\n".join(["step,train/loss,val/miou,train/b", *lines]))
    read = history(path)
    assert read["val/miou"] == [(239, 0.5)]
    assert len(read["train/loss"]) == 120
    assert read["train/loss"][0] == (0.5, 0.5)
    assert read["train/loss"][-1] == (238.5, 238.5)
    assert all(value == 0 for _, value in read["train/b"])


def test_a_chart_spans_its_area(comparison):
    loss, miou = charts(comparison.rows, [])
    assert (loss.name, miou.name) == ("train/loss", "val/miou")
    assert loss.curves[0].points.startswith("60.0,12.0 "), "the highest loss at the first step"
    assert loss.curves[0].points.endswith("632.0,244.0")
    assert [curve.setting for curve in loss.curves] == [0, 0, 1, 1]
    assert miou.curves[0].last == 0.5


def test_terms_of_the_loss_have_charts_where_there_are_several(tmp_path):
    for number, terms in enumerate((["train/a"], ["train/a", "train/b"])):
        folder = write_full_run(tmp_path / str(number), f"loss{number}", 0, 0.5, number=number)
        (folder / "metrics.csv").write_text("\n".join([",".join(["step", "train/loss", *terms]), "1,2,3,4"]))
    rows = compare(read_runs([tmp_path]).runs)[0].rows
    assert [chart.name for chart in charts(rows, [])] == ["train/loss", "train/a", "train/b"]
    assert [chart.name for chart in charts(rows[:1], [])] == ["train/loss"]


def test_classes_and_confusions_against_the_baseline(comparison):
    scores = class_scores(comparison)
    baseline, other = scores["settings"]
    assert scores["classes"] == ["sky", "road"]
    assert (baseline["baseline"], other["baseline"]) == (None, 0)
    assert baseline["iou"] == pytest.approx([0.45, 0.65])
    assert baseline["difference"] == [None, None]
    assert baseline["confusion"] == [[50, 50], [0, 100]], "its own, as it has nothing to compare with"
    assert [item[0] for item in other["difference"]] == pytest.approx([0.02, 0.02])
    # of 100 pixels of sky 40 and 60 were found, and then 50 and 80
    assert other["confusion"] == [[15, -15], [0, 0]]
    assert other["largest"] == [[0, 1, -15]]


@pytest.mark.parametrize("confusion", [None, [[1, 2], [3]], [["a", 1], [2, 3]], [[1]], "text"])
def test_confusions_that_are_none_are_left_out(tmp_path, confusion):
    folder = write_comparison(tmp_path)
    for path in folder.glob("loss=ce*/metrics.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"confusion": confusion}))
    (compared,) = compare(read_runs([folder]).runs)
    assert class_scores(compared)["settings"][1]["confusion"] is None


def picture(address):
    kind, _, content = address.partition(";base64,")
    return kind, Image.open(io.BytesIO(base64.b64decode(content)))


def test_layers_come_back_as_they_were_written(comparison):
    shown = gallery(comparison.rows, comparison.baseline, [])
    example = layers(0)
    assert shown.seed == 0
    assert [method["label"] for method in shown.data["methods"]] == ["loss=ce", "loss=contextrast"]
    assert shown.classes == {"sky": "#0000ff", "road": "#c80000"}
    own = shown.data["methods"][0]["images"][0]
    kind, prediction = picture(own["prediction"])
    assert kind == "data:image/png"
    rgba = np.asarray(prediction.convert("RGBA"))
    assert np.array_equal(rgba[..., :3], LABELS.colorize(example.prediction))
    assert np.array_equal(np.asarray(picture(own["errors"])[1].convert("RGBA"))[..., 3] > 0, example.errors)
    marks = np.asarray(picture(own["negatives"])[1])
    assert np.array_equal(marks == 2, example.edges)
    assert np.array_equal(marks > 0, example.negatives)
    image = shown.data["images"][0]
    assert image["name"] == "image <0>"
    assert picture(image["image"])[1].size == (16, 12)


def test_layers_are_small_whatever_the_images_are(tmp_path):
    write_layers(tmp_path, 5, [layers(0, size=(600, 1200))], LABELS)
    for path in tmp_path.glob("0_*"):
        with Image.open(path) as written:
            assert written.size == (SIDE, SIDE // 2)
        assert path.stat().st_size < 200_000, "noise is the worst case"


def test_ignored_pixels_are_transparent(tmp_path):
    example = layers(0)._replace(target=np.full((12, 16), 255, dtype=np.uint8))
    write_layers(tmp_path, 5, [example], LABELS)
    assert not np.asarray(Image.open(tmp_path / "0_truth.png").convert("RGBA"))[..., 3].any()


def test_pictures_that_do_not_fit_are_left_out_with_a_note(tmp_path):
    for number, loss in enumerate(("ce", "contextrast", "none", "large", "other")):
        write_full_run(tmp_path / loss, loss, 0, 0.5, number=number, images=2 if loss == "other" else 1)
    (tmp_path / "none" / "pictures" / "layers" / "0_errors.png").unlink()
    (tmp_path / "large" / "pictures" / "layers" / "0_errors.png").write_bytes(b" " * 500_000)
    (compared,) = compare(read_runs([tmp_path]).runs)
    notes = []
    shown = gallery(compared.rows, compared.baseline, notes)
    assert [method["label"] for method in shown.data["methods"]] == ["loss=ce", "loss=contextrast"]
    for part in ("none/pictures/layers/0_errors.png", "large/pictures/layers/0_errors.png", "loss=other, seed 0"):
        assert any(part in note for note in notes)


def test_without_layers_there_is_no_gallery(tmp_path):
    folder = write_comparison(tmp_path)
    for path in folder.rglob("layers.json"):
        path.unlink()
    (compared,) = compare(read_runs([folder]).runs)
    assert gallery(compared.rows, compared.baseline, []) is None
