"""The page is well-formed, complete in itself, usable by keyboard, safe, and says what the tables say."""

import csv
import io
import json
import re

import numpy as np
import pytest

from contextrast.reporting.comparison import compare
from contextrast.reporting.comparison_csv import comma_separated
from contextrast.reporting.comparison_tables import effort_text
from contextrast.reporting.page.document import html_page
from contextrast.runs.image_counts import ImageCounts, write_image_counts
from contextrast.runs.records import read_runs
from tests.reporting.page_runs import Page, write_comparison, write_full_run
from tests.reporting.records import write_run, write_sweep


def written(*folders, **options):
    """Text and content of the page of some folders."""
    records = read_runs(folders)
    text = html_page(compare(records.runs, **options), records.left_out)
    return text, Page(text)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    return written(write_comparison(tmp_path_factory.mktemp("page") / "sweep"))


def test_the_table_says_what_the_csv_says(tmp_path):
    folder = write_sweep(tmp_path / "sweep", {0.1: {0: 0.5, 1: 0.6}, 0.2: {0: 0.52, 1: 0.61}, 0.3: {0: 0.7}})
    rows = list(csv.DictReader(io.StringIO(comma_separated(compare(read_runs([folder]).runs)))))
    head, *lines = written(folder)[1].tables[0]
    assert [cell for cell in head if " to " not in cell] == [
        "setting",
        "seeds",
        "mIoU %",
        "difference",
        "95 % interval",
        "verdict",
    ]
    assert [line[0] for line in lines] == [row["setting"] for row in rows]
    for line, row in zip(lines, rows, strict=True):
        numbers = [float(text) for text in re.findall(r"[-+]?\d+\.\d+", " ".join(line[2:]))]
        expected = [row[key] for key in ("mean", "std", "difference", "low", "high") if row[key]]
        assert numbers == pytest.approx([100 * float(value) for value in expected], abs=0.00501)
    assert lines[0][4] == "baseline"


def test_costs_commands_and_environment_are_there(compared):
    text = compared[1].text
    for shown in (
        "5.00 M",
        "0.25 M",
        "125 ms",
        "1.5 min",
        "contextrast-train loss=ce data=camvid seed=0",
        "contextrast-train -m seed=0,1",
        "Environment of 4 runs",
        "versions",
        "2.11",
    ):
        assert shown in text


def test_nothing_is_loaded_from_elsewhere(compared):
    text, page = compared
    for _, attributes, _ in page.elements:
        for name in ("src", "href", "srcset", "action", "poster"):
            assert attributes.get(name, "data:").startswith(("data:", "#")), attributes
    assert not re.search(r"https?://|url\(|@import", text)
    assert "default-src 'none'" in next(item["content"] for item in page.all("meta") if "http-equiv" in item)


def test_every_control_has_a_name_and_every_id_is_there_once(compared):
    page = compared[1]
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {item["for"] for item in page.all("label")}
    controls = [*page.all("input"), *page.all("select")]
    assert {item["id"] for item in controls} == labelled
    assert {item["type"] for item in page.all("input")} == {"range", "checkbox"}
    for _, attributes, _ in page.elements:
        for name in attributes.get("aria-labelledby", "").split():
            assert name in ids
        if attributes.get("role") == "region":
            assert attributes["tabindex"] == "0", "what scrolls can be reached by keyboard"
            assert "aria-label" in attributes or "aria-labelledby" in attributes


def test_each_chart_has_a_line_a_run(compared):
    charts = re.findall(r"<figure class=\"chart\">.*?</figure>", compared[0], re.DOTALL)
    assert [re.search(r">([^<]+)</figcaption>", chart)[1] for chart in charts] == ["train/loss", "val/miou"]
    assert [chart.count("<polyline") for chart in charts] == [4, 4]


def test_what_the_contrast_does_at_each_map_has_charts_of_its_own(tmp_path):
    for number, loss in enumerate(("ce", "contextrast")):
        folder = write_full_run(tmp_path / loss, loss, 0, 0.5, number=number)
    (folder / "metrics.csv").write_text(
        "step,train/loss,gradients/ratio/stage2,gradients/ratio/stage3,contrast/silent_share/stage2,gradients/cosine/stage2\n"
        "1,2,0.5,0.25,0.1,0.5\n2,1,0.4,0.3,0.2,0.5\n"
    )
    text, page = written(tmp_path)
    charts = re.findall(r"<figure class=\"chart\">.*?</figure>", text, re.DOTALL)
    assert [re.search(r">([^<]+)</figcaption>", chart)[1] for chart in charts] == [
        "train/loss", "val/miou", "gradients/ratio/stage2", "gradients/ratio/stage3", "contrast/silent_share/stage2",
    ]  # fmt: skip
    assert [chart.count("<polyline") for chart in charts] == [2, 1, 1, 1, 1]
    assert ": 0.3 at the end" in charts[3]
    assert "no negative" in page.text


def test_names_from_run_folders_cannot_become_elements(tmp_path):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    folder = write_full_run(tmp_path / "run", "ce", 0, 0.5)
    (folder / "overrides.yaml").write_text(json.dumps([f"loss={evil}"]))
    (folder / "environment.json").write_text(json.dumps({evil: evil, "command": evil, "versions": {evil: evil}}))
    content = json.loads((folder / "metrics.json").read_text())
    content["iou"] = {evil: 0.5, "road": 0.5}
    (folder / "metrics.json").write_text(json.dumps(content))
    index = folder / "pictures" / "layers" / "layers.json"
    shown = json.loads(index.read_text())
    index.write_text(json.dumps(shown | {"names": [evil], "step": evil, "classes": {evil: "#000000", "x": "red;}"}}))
    clean = written(write_full_run(tmp_path / "clean", "ce", 0, 0.5))[1]
    text, page = written(folder)
    assert "<script>alert" not in text
    assert "<img" not in text
    assert len(page.all("script")) == len(clean.all("script"))
    assert "red;}" not in text
    assert page.data[0]["classes"] == [evil, "road"], "it is shown as text"


def test_runs_that_do_not_count_are_listed(tmp_path):
    folder = write_comparison(tmp_path / "sweep")
    write_run(folder / "failed", ["loss=ce", "data=camvid", "seed=7"], error="ValueError: <b>", seed=7, kind="ce")
    write_run(folder / "foreign", [], 0.5)
    (folder / "foreign" / "metrics.json").write_text("{")
    page = written(folder)[1]
    assert "loss=ce, seed 7: failed: ValueError: <b>" in page.text
    assert "Left out" in page.text
    assert str(folder / "foreign") in page.text


def test_datasets_have_sections_of_their_own(tmp_path):
    write_sweep(tmp_path / "a", {0.1: {0: 0.5}})
    write_run(tmp_path / "b", ["seed=0"], 0.4, target="contextrast.data.Cityscapes")
    page = written(tmp_path / "a", tmp_path / "b")[1]
    links = [item["href"] for item in page.all("a")]
    assert links[:3] == ["#main", "#s0", "#s1"]
    ids = {attributes.get("id") for _, attributes, _ in page.elements}
    assert {link.removeprefix("#") for link in links} <= ids, "no link leads nowhere"
    assert [heading["id"] for heading in page.all("h2")] == ["s0-title", "s1-title"]
    scores = [table for table in page.tables if "mIoU %" in table[0]]
    assert [[row[0] for row in table[1:]] for table in scores] == [["loss.alpha=0.1 data=camvid"], ["defaults"]]
    assert len(page.data) == 2


def test_a_single_run_has_its_own_confusions_and_nothing_to_compare(tmp_path):
    page = written(write_full_run(tmp_path / "run", "ce", 0, 0.5, correct=40))[1]
    assert "Training run" in page.text
    assert "difference" not in page.tables[0][0]
    assert "baseline" not in page.text
    (own,) = page.data[0]["settings"]
    assert own["confusion"] == [[40, 60], [0, 100]]
    assert own["largest"] == [[0, 1, 60]]
    assert [item["data-show"] for item in page.all("input") if "data-show" in item] == ["truth", "errors", "negatives"]


def test_without_a_finished_run_the_page_says_so(tmp_path):
    write_run(tmp_path / "stopped", ["loss=ce", "seed=0"])
    page = written(tmp_path)[1]
    assert "0 of 1" in page.tables[0][1]
    assert "seed 0: not finished" in page.text
    (tmp_path / "stopped" / "config.yaml").write_text("somebody: else")
    page = written(tmp_path)[1]
    assert "No run can be compared" in page.text
    assert "is no run of contextrast-train" in page.text


def test_results_without_folders_give_table_and_bars(tmp_path):
    path = tmp_path / "results" / "short" / "ce" / "0.json"
    path.parent.mkdir(parents=True)
    run = {"recipe": "short", "variant": "ce", "seed": 0, "metrics": {"miou": 0.5, "iou": {"Pole": 0.25, "Car": None}}}
    path.write_text(json.dumps(run))
    page = written(tmp_path / "results")[1]
    assert page.data[0]["settings"][0]["iou"] == [0.25, None]
    assert not page.all("polyline")
    for shown in ("hold no curves", "hold no pictures", "50.00", "loss=ce seed=0"):
        assert shown in page.text


def test_damaged_files_of_a_run_are_notes(tmp_path):
    folder = write_full_run(tmp_path / "run", "ce", 0, 0.5)
    (folder / "metrics.csv").write_text("step,train/loss\n1,abc\n")
    (folder / "environment.json").write_text("[]")
    (folder / "pictures" / "layers" / "layers.json").write_text("{")
    text = written(folder)[1].text
    for shown in ("metrics.csv has no curves", "environment.json is no dict", "layers.json cannot be read"):
        assert shown in text


def test_what_is_no_number_cannot_break_the_script(tmp_path):
    folder = write_full_run(tmp_path / "run", "ce", 0, 0.5)
    content = json.loads((folder / "metrics.json").read_text())
    content |= {"iou": {"sky": float("nan"), "road": 0.5}, "confusion": [[float("nan"), 1], [0, float("inf")]]}
    (folder / "metrics.json").write_text(json.dumps(content))
    index = folder / "pictures" / "layers" / "layers.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"step": float("nan")}))
    page = written(folder)[1]
    assert page.data[0]["settings"][0]["iou"] == [None, 0.5]
    assert page.data[0]["pictures"]["methods"][0]["step"] is None


def test_the_page_says_the_verdict_and_what_more_certainty_takes(tmp_path):
    folder = write_sweep(tmp_path / "sweep", {0.1: {0: 0.5, 1: 0.6, 2: 0.7}, 0.2: {0: 0.55, 1: 0.651, 2: 0.749}})
    records = read_runs([folder])
    (comparison,) = compare(records.runs)
    page = written(folder)[1]
    head, baseline, other = page.tables[0]
    assert (baseline[head.index("verdict")], other[head.index("verdict")]) == ("", "helps")
    (sure,) = [table for table in page.tables if "to tell 0.5 points" in table[0]]
    assert sure[1][1:] == [effort_text(effort) for effort in comparison.rows[1].verdict.efforts]


def test_one_seed_with_images_says_how_far_they_matter(tmp_path):
    rows = np.array([[0, 0, 0, 50], [0, 1, 0, 50], [1, 1, 1, 80], [1, 1, 0, 20]])
    for loss, miou in (("ce", 0.5), ("contextrast", 0.6)):
        path = tmp_path / "short" / loss / "0.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"recipe": "short", "variant": loss, "seed": 0, "metrics": {"miou": miou}}))
        write_image_counts(path.with_suffix(".npz"), ImageCounts(["a", "b"], ["x", "y"], rows, rows, 3))
    (sure,) = [table for table in written(tmp_path)[1].tables if "on other images" in table[0]]
    assert sure == [["setting", "on other images"], ["loss=contextrast", "[+0.00, +0.00]"]]
