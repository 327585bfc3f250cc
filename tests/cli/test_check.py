"""A whole dataset is read and summed up, everything wrong with it is said, and the exit code tells which it was."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from contextrast.data import CamVid
from tests.cli import commands
from tests.data.conftest import grey, save


@pytest.fixture
def camvid(tmp_path):
    """Two training frames and one of val, 3 x 4 pixels, and no test frames."""
    root = tmp_path / "camvid"
    masks = {
        "train/a": [[3, 3, 3, 3], [3, 3, 0, 0], [0, 0, 1, 11]],
        "train/b": [[3, 3, 5, 5], [5, 5, 10, 9], [1, 11, 11, 11]],
        "val/c": [[0, 0, 0, 11], [0, 0, 0, 11], [2, 2, 2, 11]],
    }
    for name, mask in masks.items():
        split, stem = name.split("/")
        save(root / split / f"{stem}.png", grey(1, 3, 4))
        save(root / f"{split}annot" / f"{stem}.png", mask)
    return root


def test_a_good_folder(run, camvid, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, done, report = run("data=camvid", f"data.root={camvid}", workers=2)
    assert code == 0, done.stderr
    train, val = report["splits"]["train"], report["splits"]["val"]
    assert set(report["splits"]) == {"train", "val"}
    assert train["pixels"] == [4, 2, 0, 8, 0, 4, 0, 0, 0, 1, 1]
    assert val["pixels"] == [6, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0]
    assert [train["ignored_pixels"], val["ignored_pixels"]] == [4, 3]
    assert [train["samples"], val["samples"]] == [2, 1]
    assert train["sizes"] == {"4x3": 2}
    assert train["problems"] == val["problems"] == []
    # by training pixels 8 4 4 2 1 1 0 0 0 0 0, ties by train id, in groups of 4, 4 and 3
    assert report["groups"] == {"head": [3, 0, 5, 1], "mid": [9, 10, 2, 4], "tail": [6, 7, 8]}
    assert np.allclose(report["frequency"], np.array(train["pixels"]) / 20)
    assert report["classes"] == list(CamVid.labels.classes)
    for word in ("Reading train", "100%", "4x3 (2)", "Road", "head", "40.00", "66.67", "16.67"):
        assert word in done.stdout
    assert sorted(path.name for path in camvid.iterdir()) == ["train", "trainannot", "val", "valannot"]


def test_a_bad_folder(run, camvid, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    save(camvid / "train" / "lonely.png", grey(1, 3, 4))
    save(camvid / "trainannot" / "a.png", np.zeros((3, 5)))
    save(camvid / "trainannot" / "b.png", np.full((3, 4), 12))
    (camvid / "val" / "c.png").write_bytes((camvid / "val" / "c.png").read_bytes()[:45])
    code, done, report = run("data=camvid", f"data.root={camvid}", workers=2)
    assert code == 1
    assert f"DataError: 4 problem(s) with {camvid}" in done.stderr
    assert "Traceback" not in done.stderr
    problems = [problem for split in report["splits"].values() for problem in split["problems"]]
    expected = [
        f"image without mask: {camvid / 'train' / 'lonely.png'}",
        f"{camvid / 'trainannot' / 'a.png'} is 5x3",
        f"{camvid / 'trainannot' / 'b.png'} has the value(s) 12",
        f"{camvid / 'val' / 'c.png'} cannot be decoded",
    ]
    assert len(problems) == len(expected)
    for part, problem in zip(expected, problems, strict=True):
        assert part in problem
        assert part in done.stdout
    assert report["groups"] is None  # no training frame can be used


@pytest.fixture
def run(tmp_path):
    """Runs the command; returns its exit code, what it printed, and what it wrote."""

    def call(*arguments, workers=0):
        absent = [] if "data=folder" in arguments else ["data.allow_absent_classes=true"]  # in tiny copies
        done = commands.run(
            "check", *arguments, *absent, f"data.num_workers={workers}", "hydra.run.dir=run", cwd=tmp_path
        )
        path = tmp_path / "run" / "check.json"
        return done.returncode, done, json.loads(path.read_text()) if path.exists() else None

    return call


def folder(tmp_path, masks, classes, images=None):
    """A folder of one's own with training pairs of 4 x 4 pixels, each mask a number or an array."""
    root = tmp_path / "own"
    for name, mask in masks.items():
        save(root / "images" / "train" / f"{name}.png", grey(1, 4, 4))
        save(root / "masks" / "train" / f"{name}.png", np.broadcast_to(mask, (4, 4)))
    (root / "classes.txt").write_text(classes)
    return root


def test_a_class_without_a_pixel_in_training_is_a_problem(run, tmp_path):
    root = folder(tmp_path, {"a": 0, "b": 1}, "road\ncar\nsky\n")
    code, printed, report = run("data=folder", f"data.root={root}")
    assert code == 1
    (problem,) = report["splits"]["train"]["problems"]
    assert "no pixel of sky" in problem
    assert "255" not in problem
    assert "data.allow_absent_classes=true" in printed.stdout
    assert run("data=folder", f"data.root={root}", "data.allow_absent_classes=true")[0] == 0


def test_a_class_that_the_ignored_value_swallows_is_hinted_at(run, tmp_path):
    root = folder(tmp_path, {"a": np.repeat([[0, 255]], 2, axis=1)}, "background\nobject\n")
    code, _, report = run("data=folder", f"data.root={root}")
    assert code == 1
    (problem,) = report["splits"]["train"]["problems"]
    assert "255 is ignored (data.dataset.ignore), and 50.0% of the pixels" in problem
    assert "object 255 255 255" in problem
    settings = ["data.dataset.values=[0,255]", "data.dataset.ignore=null"]
    assert all(setting in problem for setting in settings)
    code, _, report = run("data=folder", f"data.root={root}", *settings)
    assert (code, report["splits"]["train"]["pixels"]) == (0, [8, 8])
    (root / "classes.txt").write_text("background 0 0 0\nobject 255 255 255\n")
    code, _, report = run("data=folder", f"data.root={root}")
    assert (code, report["splits"]["train"]["pixels"], report["splits"]["train"]["ignored_pixels"]) == (0, [8, 8], 0)


@pytest.mark.parametrize(
    ("classes", "part"),
    [
        ("road 1 2 3\ncar\n", "car: no colour, while others have one"),
        ("".join(f"c{number}\n" for number in range(300)), "it has 300 classes"),
        ("thing\n", "'background' and 'thing'"),
        ("road\nroad\n", "road is named twice"),
    ],
)
def test_a_bad_classes_file_is_said_and_nothing_else(run, tmp_path, classes, part):
    code, printed, report = run("data=folder", f"data.root={folder(tmp_path, {'a': 0}, classes)}")
    assert (code, report) == (1, None)
    assert part in printed.stderr
    assert "Traceback" not in printed.stderr


def test_pairs_of_which_none_is_complete(run, tmp_path):
    root = folder(tmp_path, {"a": 0}, "road\ncar\n")
    (root / "masks" / "train" / "a.png").rename(root / "masks" / "train" / "b.png")
    code, printed, report = run("data=folder", f"data.root={root}")
    assert code == 1
    assert "2 problem(s)" in printed.stderr
    assert report["splits"]["train"]["samples"] == 0


def test_images_whose_orientation_is_ambiguous_are_listed(run, tmp_path):
    root = folder(tmp_path, {"a": [0, 1, 0, 1], "b": 1}, "road\ncar\n")
    exif = Image.Exif()
    exif[274] = 3
    Image.fromarray(grey(1, 4, 4)).save(root / "images" / "train" / "a.png", exif=exif)
    code, printed, report = run("data=folder", f"data.root={root}")
    assert code == 0
    (note,) = report["splits"]["train"]["notes"]
    assert note == f"{root}/images/train/a.png has the orientation tag 3"
    assert note in printed.stdout
    assert "data.orientation=stored" in printed.stdout
    code, printed, report = run("data=folder", f"data.root={root}", "data.orientation=stored")
    assert (code, report["splits"]["train"]["notes"]) == (0, [])


def test_scaled_values_are_recognised_with_their_map(run, tmp_path):
    root = folder(tmp_path, {"a": [0, 127, 254, 0]}, "red\ngreen\nblue\n")
    code, _, report = run("data=folder", f"data.root={root}")
    assert code == 1
    assert "data.dataset.values=[0,127,254]" in report["splits"]["train"]["problems"][0]
    code, _, report = run("data=folder", f"data.root={root}", "data.dataset.values={0:0,127:1,254:2}")
    assert (code, report["splits"]["train"]["pixels"]) == (0, [8, 4, 4])


@pytest.mark.parametrize("name", ["a=b", "a,b", "a[1]", "a{1}", "a b", "a(1)", "a'b", "a#1"])
def test_names_that_the_command_line_would_read_otherwise(run, tmp_path, name):
    root = folder(tmp_path, {"a": [0, 1, 0, 1]}, "road\ncar\n").rename(tmp_path / name)
    code, printed, report = run("data=folder", f"data.root={root}")
    assert code == 0 or re.search("quote", printed.stderr)
    code, _, report = run("data=folder", f'data.root="{root}"', f'data.dataset.classes="{root}/classes.txt"')
    assert (code, report["splits"]["train"]["pixels"]) == (0, [8, 8])


@pytest.mark.parametrize("escape", ["", "\\"])
def test_names_that_are_interpolations_are_told_the_way_out(run, tmp_path, escape):
    folder(tmp_path, {"a": [0, 1, 0, 1]}, "road\ncar\n").rename(tmp_path / "${x}")
    code, printed, _ = run("data=folder", f"data.root={tmp_path}/{escape}${{x}}")
    assert code == 1
    assert "link" in printed.stderr


def test_misspelt_settings_get_their_message(run, tmp_path):
    """Though nothing can be composed without a dataset."""
    code, done, _ = run("data=folder", f"data.root={tmp_path}", "data.dataset.mask_sufix=_mask")
    assert code == 1
    assert re.search(r"Did you mean .*data\.dataset\.mask_suffix=", done.stderr)
    code, done, _ = run("data=folder", f"data.root={tmp_path}", "outptu=report.json")
    assert code == 1
    assert "outptu" in done.stderr


def test_a_folder_that_is_not_there(run):
    code, printed, report = run("data=camvid", "data.root=/no/such/folder")
    assert code == 1
    assert "/no/such/folder does not exist" in printed.stderr
    assert "Traceback" not in printed.stderr
    assert report is None


def test_a_split_that_cannot_be_opened_does_not_hide_the_others(run, camvid):
    (camvid / "val.txt").write_text("\n")
    save(camvid / "trainannot" / "b.png", np.full((3, 4), 12))
    code, printed, report = run("data=camvid", f"data.root={camvid}")
    assert code == 1
    assert report["splits"]["train"]["pixels"][3] == 6
    assert "b.png has the value(s) 12" in report["splits"]["train"]["problems"][0]
    assert "val.txt names no image" in report["splits"]["val"]["problems"][0]
    assert "2 problem(s)" in printed.stderr


def test_many_problems_are_all_in_the_file(run, camvid):
    for index in range(50):
        save(camvid / "train" / f"lonely{index}.png", grey(1, 3, 4))
    code, printed, report = run("data=camvid", f"data.root={camvid}")
    assert code == 1
    assert len(report["splits"]["train"]["problems"]) == 50
    assert printed.stdout.count("image without mask") == 30
    assert "50 problem(s)" in printed.stderr
    assert "the first 30 listed above" in printed.stderr


def test_generated_scenes_can_be_checked_too(run):
    lengths = [f"data.dataset.lengths.{split}=2" for split in ("train", "val", "test")]
    code, _, report = run("data=streets", "data.dataset.size=[40,48]", *lengths)
    assert code == 0
    assert {name: split["sizes"] for name, split in report["splits"].items()} == {
        split: {"48x40": 2} for split in ("train", "val", "test")
    }


def test_the_dataset_has_to_be_named(run):
    code, printed, _ = run()
    assert code == 1
    assert "data" in printed.stderr
    assert "pascal_context" in printed.stderr


def test_a_folder_without_classes_and_split_gets_both_where_that_is_asked_for(run, tmp_path):
    root = tmp_path / "own"
    for name in ("a1", "a2", "b1", "b2"):
        save(root / "images" / f"{name}.png", np.zeros((4, 4, 3)))
        save(root / "masks" / f"{name}.png", [[0, 1, 1, 2]] * 4)
    code, done, _ = run("data=folder", f"data.root={root}")
    assert code == 1
    assert "write=true" in done.stderr
    assert "class_2" in done.stdout
    assert sorted(path.name for path in root.iterdir()) == ["images", "masks"]
    code, done, report = run("data=folder", f"data.root={root}", "write=true", "val_share=0.5")
    assert code == 0, done.stderr
    assert report["classes"] == ["class_0", "class_1", "class_2"]
    assert [report["splits"][split]["samples"] for split in ("train", "val")] == [2, 2]
    assert (root / "classes.txt").read_text() == "class_0\nclass_1\nclass_2\n"
