"""What `scripts/fuzz.py` found, each kept as the smallest input that showed it; and the fuzzer itself."""

import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from contextrast.config import instantiate
from contextrast.data import CamVid, Cityscapes, Folder, LabelTable
from contextrast.data.classes_file import read_classes
from contextrast.data.coco_stuff import decode_label_map
from contextrast.data.masks import ColorMap
from contextrast.errors import ConfigError, ContextrastError, DataError

from .data.conftest import grey, save

ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)


@example("car 1 2 " + "9" * 5000, "txt")  # Python refuses to convert that many digits
@example("!!timestamp", "yaml")  # AttributeError inside PyYAML
@example("- !!bool x", "yaml")  # KeyError inside PyYAML
@example("x: !!float ''", "yaml")  # ValueError or IndexError inside PyYAML
@example("[" * 3000, "yaml")  # RecursionError
@example("\n".join(["[" * 3000] * 6), "yaml")  # minutes of PyYAML's scanner
@example(
    "- &a [x]\n" + "".join(f"- &{k} [{', '.join(['*' + j] * 9)}]\n" for j, k in zip("abcdefgh", "bcdefghi")), "yaml"
)
@given(st.text(max_size=40), st.sampled_from(["txt", "yaml"]))
@ONE_FOLDER
def test_a_classes_file_is_read_or_refused_in_seconds(tmp_path, text, suffix):
    path = tmp_path / f"classes.{suffix}"
    path.write_text(text, "utf-8")
    began = time.process_time()
    with suppress(DataError):
        read_classes(tmp_path, path)
    assert time.process_time() - began < 5


def test_a_folder_in_a_list_that_no_file_system_takes(tmp_path):
    save(tmp_path / "train" / "a.png", grey(1))
    (tmp_path / "train.txt").write_text("x" * 300 + "/a.png\n")
    with pytest.raises(DataError, match="cannot be looked into"):
        CamVid(tmp_path)


def test_colours_of_no_class_in_a_large_mask_take_no_minutes(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), dtype=np.uint8)).save(path)
    map_colors = ColorMap({(0, 0, 0): 0}, "Black.")
    began = time.process_time()
    with pytest.raises(DataError, match=r"\[0, 0, \d+\], .*, \.\.\.\. Black"):
        map_colors(path)
    assert time.process_time() - began < 2.5, "sorting rows takes twice that"


def test_a_sparse_label_map_says_how_to_write_it(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"S": scipy.sparse.csc_matrix(np.eye(4))})
    with pytest.raises(DataError, match=r"S = full\(S\)"):
        decode_label_map(path)


@pytest.fixture
def own(tmp_path):
    save(tmp_path / "images" / "train" / "a.png", grey(1))
    save(tmp_path / "masks" / "train" / "a.png", np.zeros((4, 6)))
    (tmp_path / "classes.txt").write_text("road\ncar\n")
    return tmp_path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("first_value", value) for value in (-1, 70000, 65535, "a", True)],
        *[("ignore", value) for value in (-1, 65536, "red", 0.5, True, [0.5, 1, 2], ["a", "b", "c"])],
        *[("classes", value) for value in (5, "x" * 300, "~nobody-of-that-name/x")],
    ],
)
def test_values_that_no_mask_can_have_and_paths_that_are_none(own, key, value):
    with pytest.raises(ConfigError, match=f"data.dataset.{key}="):
        Folder(own, **{key: value})


def test_the_largest_values_that_a_mask_can_have(own):
    mask = np.full((4, 6), 65534, np.uint16)
    mask[0] = 65535
    mask[1] = 65533
    Image.fromarray(mask).save(own / "masks" / "train" / "a.png")
    read = Folder(own, ignore=65533, first_value=65534)[0]["mask"]
    assert read[:3, 0].tolist() == [1, 255, 0]


@pytest.mark.parametrize("root", [5, ["a"], "x" * 300, "~nobody-of-that-name/x", "a\0b"])
def test_a_root_that_is_no_path(root):
    with pytest.raises(ContextrastError, match=r"data\.root=|does not exist"):
        Cityscapes(root)


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ({"_target_": "torch.optim.SGD", "_partial_": None}, "_partial_"),
        ({"_target_": "torch.optim.SGD", "_partial_": True, "speed": 1}, "'speed'; it takes params, lr"),
        ({"_target_": "contextrast.data.SegmentationDataModule", "crop": [8, 8], "batch_size": 1,
          "dataset": {"_target_": "contextrast.data.CamVid", "_partial_": True, "folder": "x"}}, "'folder'; it takes"),
        ({"_target_": "contextrast.data.Streets", None: 1}, "nothing can be built|could not be built"),
    ],
)  # fmt: skip
def test_settings_that_hydra_itself_trips_over(described, words):
    with pytest.raises(ConfigError, match=words):
        instantiate(described)


def test_settings_that_hold_themselves():
    settings = {"_target_": "contextrast.data.Streets"}
    settings["split"] = [settings]
    with pytest.raises(ConfigError, match="recursion"):
        instantiate(settings)


@pytest.mark.parametrize(
    "content",
    [
        None, [], {"name": "x"}, {"palette": 5}, {"palette": [[1, 2]]}, "text",
        {"name": "x", "classes": ["a"], "palette": [[0, 0, 0], [1, 1, 1]]},
        {"name": "x", "classes": ["a"], "palette": [[0, 0, 256]]},
        {"name": "x", "classes": ["a"], "palette": [[0, 0, 0]], "frequency": [0.5, 0.5]},
        {"name": "x", "classes": [], "palette": []},
        {"name": "x", "classes": ["a"] * 255, "palette": [[0, 0, 0]] * 255},
    ],
)  # fmt: skip
def test_a_label_table_from_a_stranger(content):
    with pytest.raises(DataError, match="table of classes cannot be read"):
        LabelTable.from_dict(content)


def test_the_fuzzer_finds_a_bug_once_and_a_proper_refusal_never(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "scripts")
    fuzz, targets = import_module("fuzz"), import_module("fuzz_targets")

    def feed(value):
        if value > 100:
            raise DataError("refused")
        if value > 10:
            raise KeyError(value)

    fuzzer = fuzz.Fuzzer(targets.Target("toy", st.integers(0, 1000), feed))
    fuzzer.run(0.5, tmp_path)
    assert fuzzer.executions > 100
    ((found, text),) = fuzzer.findings.items()
    assert found[0] == "KeyError"
    assert "Input: 11" in text, "shrunk to the smallest"
