"""What packages of the user's own may bring, and how they are refused."""

import sys
import textwrap

import pytest
from hydra import compose, initialize_config_dir
from torch import nn

from contextrast.checkpoints.contents import DATA, LOSSES, NETWORKS
from contextrast.config import instantiate
from contextrast.errors import ConfigError
from contextrast.folders import config_directory, own_configurations

CODE = """
import os
from torch import nn
from contextrast.data import SegmentationDataset, Streets

class Net(nn.Linear):
    def __init__(self, width):
        super().__init__(width, 1)

class Scenes(Streets):
    pass

class Plain:
    def __init__(self, **settings):
        open("called", "w").close()

    @classmethod
    def make(cls):
        return cls()

def build(**settings):
    return Plain()
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes a package that Python finds, and names it; returns its folder."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write(name="wharf", code=CODE, named=True, **files):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text(textwrap.dedent(code))
        for path, text in files.items():
            target = folder / "conf" / f"{path.replace('__', '/')}.yaml"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        monkeypatch.setenv("CONTEXTRAST_PACKAGES", f" {name} ," if named else "")
        return folder

    yield write
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("wharf", "quay"):
            del sys.modules[name]


def test_what_the_user_types_may_be_any_class_of_a_named_package(package):
    package()
    assert isinstance(instantiate({"_target_": "wharf.Net", "width": 3}), nn.Linear)
    assert type(instantiate({"_target_": "wharf.Plain"})).__name__ == "Plain"


@pytest.mark.parametrize("allowed", [NETWORKS, LOSSES, DATA], ids=["networks", "losses", "data"])
@pytest.mark.parametrize(
    "target", ["wharf.build", "wharf.Plain", "wharf.Plain.make", "wharf.os.system", "wharf.nn.Linear", "wharf.os"]
)
def test_what_a_file_names_is_neither_a_function_nor_a_class_of_another_kind(package, allowed, target, tmp_path):
    package()
    with pytest.raises(ConfigError, match="is not allowed"):
        instantiate({"_target_": target}, allowed)
    assert not (tmp_path / "called").exists()


def test_what_a_file_names_is_of_the_kind_that_belongs_there(package):
    package()
    assert isinstance(instantiate({"_target_": "wharf.Net", "width": 3}, NETWORKS), nn.Module)
    scenes = {"_target_": "wharf.Scenes", "split": "val", "lengths": {"train": 1, "val": 2, "test": 1}}
    assert len(instantiate(scenes, DATA)) == 2
    with pytest.raises(ConfigError, match=r"no .*SegmentationDataset"):
        instantiate({"_target_": "wharf.Net", "width": 3}, DATA)
    with pytest.raises(ConfigError, match=r"no torch\.nn\.modules\.module\.Module"):
        instantiate(scenes, NETWORKS)


def test_a_function_is_refused_for_the_user_too_with_what_to_do(package):
    package()
    with pytest.raises(ConfigError, match="write a class"):
        instantiate({"_target_": "wharf.build"})


def test_an_unnamed_package_is_not_even_imported(package):
    package(named=False)
    with pytest.raises(ConfigError, match="CONTEXTRAST_PACKAGES=wharf"):
        instantiate({"_target_": "wharf.Net", "width": 3})
    assert "wharf" not in sys.modules


def test_a_name_that_only_begins_like_a_package_s_is_another_one(package):
    package()
    with pytest.raises(ConfigError, match="is not allowed"):
        instantiate({"_target_": "wharfs.Net"})


def test_code_that_fails_is_named_with_its_reason(package):
    package(code="raise RuntimeError('the tide is out')")
    with pytest.raises(ConfigError, match=r"wharf cannot be imported.*the tide is out"):
        instantiate({"_target_": "wharf.Net"})


def test_a_class_that_does_not_exist_is_named(package):
    package()
    with pytest.raises(ConfigError, match=r"wharf\.Nett does not exist"):
        instantiate({"_target_": "wharf.Nett"})


@pytest.mark.parametrize("named", ["/home/me/wharf", "wharf.py/", "a-b"])
def test_a_path_is_no_name(monkeypatch, named):
    monkeypatch.setenv("CONTEXTRAST_PACKAGES", named)
    with pytest.raises(ConfigError, match="PYTHONPATH"):
        own_configurations()


def test_a_package_that_is_nowhere_is_an_error_of_every_command(monkeypatch):
    monkeypatch.setenv("CONTEXTRAST_PACKAGES", "no_such_wharf")
    with (
        pytest.raises(ConfigError, match="no_such_wharf"),
        initialize_config_dir(str(config_directory()), version_base="1.3"),
    ):
        compose("export", ["format=onnx"])


def test_files_are_found_behind_the_package_s_own(package):
    package(loss__fusion__mine="# Mine.\n_target_: wharf.Net\nwidth: 3\n")
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        assert compose("train", ["loss/fusion=mine"]).loss.fusion._target_ == "wharf.Net"


def test_a_file_that_would_stand_for_another_is_refused(package):
    package(loss__contextrast="# Mine.\nalpha: 2\n")
    with pytest.raises(ConfigError, match=r"conf/loss/contextrast\.yaml"):
        own_configurations()


def test_a_missing_partial_is_what_the_message_speaks_of(package):
    package(code="from torch import nn\nclass Net(nn.Module):\n    def __init__(self, num_classes): ...\n")
    settings = {
        "_target_": "contextrast.models.Segmenter", "mean": [0.5] * 3, "std": [0.5] * 3,
        "network": {"_target_": "wharf.Net"},
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"num_classes.*_partial_: true"):
        instantiate(settings, NETWORKS, num_classes=2)


def test_naming_a_package_gives_files_no_room_beside_it(package):
    package()
    for target in ("torch.nn.Linear", "torch.hub.load", "contextrast.callbacks.RunFiles"):
        with pytest.raises(ConfigError, match="is not allowed"):
            instantiate({"_target_": target}, NETWORKS)
