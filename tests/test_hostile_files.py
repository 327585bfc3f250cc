"""Files from strangers: each is really malicious, and is refused with its name before it can do anything."""

import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from PIL import EpsImagePlugin, Image

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.config import instantiate
from contextrast.data import Streets
from contextrast.data.classes_file import read_classes
from contextrast.data.decoding import decode_image
from contextrast.data.formats import image_size
from contextrast.data.image_lists import read_image_list
from contextrast.data.masks import decode_indices
from contextrast.errors import CheckpointError, ConfigError, DataError, WeightsError
from contextrast.models.weight_files import read_weights
from contextrast.runs.reading import load
from tests.cli.processes import ended, train


class Creates:
    """Unpickled, it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def mark(tmp_path):
    """A file that none of the attacks may create."""
    mark = tmp_path / "executed"
    yield mark
    assert not mark.exists()


def test_the_pickle_is_malicious(tmp_path):
    pickle.loads(pickle.dumps(Creates(tmp_path / "proof")))
    assert (tmp_path / "proof").exists()


def run_folder(path, overrides):
    """A folder as contextrast-train leaves it."""
    (path / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": {}}, path / "checkpoints" / "last.ckpt")
    (path / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    return path


def test_resuming_a_stranger_s_run_executes_nothing_of_it(tmp_path, mark):
    """A process of its own, as a user starts it: Hydra calls what its callbacks name before the task begins."""
    (tmp_path / "array.npy").write_bytes(pickle.dumps(Creates(mark)))
    torch.save(Creates(mark), tmp_path / "weights.pt")
    (tmp_path / "a.pth").write_text(f"import pathlib; pathlib.Path({str(mark)!r}).touch()\n")
    attacks = [
        f"+hydra.callbacks.a={{_target_:numpy.load,file:{tmp_path}/array.npy,allow_pickle:true}}",
        f"+hydra.callbacks.b={{_target_:torch.load,f:{tmp_path}/weights.pt,weights_only:false}}",
        f"+hydra.callbacks.c={{_target_:site.addsitedir,sitedir:{tmp_path}}}",
    ]
    assert ended(train(tmp_path, f"resume={run_folder(tmp_path / 'run', attacks)}")) == [1]
    assert "overrides.yaml" in (tmp_path / "output.txt").read_text()


def bare(protocol):
    return lambda content, path: path.write_bytes(pickle.dumps(content, protocol))


PICKLES = {
    "archive": (torch.save, "(builtins.)?getattr"),
    "archive of protocol 4": (partial(torch.save, pickle_protocol=4), r"pathlib\.Path\.touch"),
    "torch's old format": (partial(torch.save, _use_new_zipfile_serialization=False), "(builtins.)?getattr"),
    "torch's old format of protocol 4": (
        partial(torch.save, _use_new_zipfile_serialization=False, pickle_protocol=4), r"pathlib\.Path\.touch"
    ),
    "protocol 0": (bare(0), "__builtin__.getattr"),
    "protocol 2": (bare(2), "(__builtin__.)?getattr"),
    "protocol 5": (bare(5), r"pathlib\.Path\.touch"),
}  # fmt: skip


@pytest.mark.parametrize(("write", "name"), PICKLES.values(), ids=PICKLES)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_executes_is_no_checkpoint_and_no_weight_file(tmp_path, mark, write, name):
    path = tmp_path / "best.ckpt"
    write({"state_dict": {}, "hyper_parameters": Creates(mark)}, path)
    what = rf"best\.ckpt was refused: it holds a {name}, and only"
    with pytest.raises(CheckpointError, match=what):
        load_checkpoint(path)
    with pytest.raises(WeightsError, match=what):
        read_weights(path, "model.weights")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_tensors_in_a_protocol_that_is_not_read_are_told_from_damage(tmp_path):
    torch.save({"state_dict": {"weight": torch.zeros(3)}}, tmp_path / "best.pth", pickle_protocol=4)
    with pytest.raises(WeightsError, match="pickle_protocol=2"):
        read_weights(tmp_path / "best.pth", "model.weights")


PEAK = """
import sys, torch, timm, segmentation_models_pytorch
from contextrast.checkpoints.contents import load_checkpoint
from contextrast.errors import CheckpointError

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])

before = peak()
try:
    load_checkpoint(sys.argv[1]).network()
except CheckpointError:
    print((peak() - before) / 2**10)
"""


def compressed(path):
    """A checkpoint of 300 kB that unpacks to 256 MB."""
    torch.save({"state_dict": {"network.weight": torch.zeros(1 << 26)}, "global_step": 1}, path)
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, content)


def described_large(path):
    """A hundred kilobytes that describe a network of 30 GB."""
    model = {"_target_": "contextrast.models.Segmenter", "mean": [0.5] * 3, "std": [0.5] * 3, "architecture": "FPN",
             "encoder": "resnet18", "decoder_pyramid_channels": 30_000}  # fmt: skip
    hostile_checkpoint(path, model)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system for the peak")
@pytest.mark.parametrize("write", [compressed, described_large])
def test_a_small_file_takes_little_memory(tmp_path, write):
    """In a process of its own, whose peak the system tells; 30 GB would end it."""
    write(tmp_path / "last.ckpt")
    assert (tmp_path / "last.ckpt").stat().st_size < 500_000
    command = [sys.executable, "-c", PEAK, str(tmp_path / "last.ckpt")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 150


def hostile_checkpoint(path, model):
    labels = Streets.labels.to_dict()
    settings = {"model": model, "data": {}, "labels": labels}
    torch.save({"state_dict": {}, "hyper_parameters": settings, "global_step": 1}, path)
    return path


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "contextrast.runs.files.os.system",  # by way of a module's imports
        "contextrast.runs.files.subprocess.getoutput",
        "contextrast.checkpoints.contents.torch.hub.load",
        "torch.optim.adam.torch.load",
        "contextrast.extras.import_module",
        "contextrast.runs.files.Path.touch",
        "contextrast.models.build.HRNetV2.from_pretrained",  # a class of ours, a method of another library
        "contextrast.runs.files.write_json",  # ours, but no class
    ],
)
def test_a_target_in_a_checkpoint_calls_nothing_but_classes_of_ours(tmp_path, mark, target):
    model = {"_target_": target, "_args_": [f"touch {mark}"], "architecture": "FPN", "encoder": "resnet18"}
    path = hostile_checkpoint(tmp_path / "last.ckpt", model)
    with pytest.raises(ConfigError, match="is not allowed"):
        load_checkpoint(path).network()


@pytest.mark.parametrize(
    "model",
    [
        {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "here"},
        {"_target_": "contextrast.models.Segmenter", "mean": {"_target_": "contextrast.runs.loggers.CSVLogger"}},
        {"_target_": "contextrast.data.Streets"},
    ],
)
def test_a_checkpoint_s_network_is_made_of_networks_alone(tmp_path, model):
    settings = {"architecture": "FPN", "encoder": "resnet18"} | model
    with pytest.raises(ConfigError, match=r"is not allowed; targets here start with contextrast\.models\."):
        load_checkpoint(hostile_checkpoint(tmp_path / "last.ckpt", settings)).network()


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("encoder", "tu-hf-hub:stranger/network", "names a place"),
        ("encoder", "tu-local-dir:/tmp", "names a place"),
        ("checkpoint_path", "/etc/passwd", "cannot be set"),
        ("pretrained_cfg_overlay", {"url": "x"}, "cannot be set"),
    ],
)
def test_a_checkpoint_sends_for_nothing(tmp_path, setting, value, message):
    model = {
        "_target_": "contextrast.models.Segmenter", "architecture": "FPN", "encoder": "tu-resnet18",
        "mean": [0.5] * 3, "std": [0.5] * 3, setting: value,
    }  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        load_checkpoint(hostile_checkpoint(tmp_path / "last.ckpt", model)).network()


@pytest.mark.parametrize(
    "hidden",
    [
        "${oc.create:{_target_:os.system}}",
        ["${oc.env:HOME}"],
        {"deeper": "${oc.create:'{_target_: os.system, command: touch}'}"},
    ],
)
def test_an_interpolation_in_a_checkpoint_is_not_resolved(tmp_path, hidden):
    model = {"_target_": "contextrast.models.Segmenter", "architecture": "FPN", "encoder": "resnet18", "mean": hidden}
    with pytest.raises(ConfigError, match=r"\$\{oc\..*no interpolations"):
        load_checkpoint(hostile_checkpoint(tmp_path / "last.ckpt", model)).network()


def test_a_target_that_does_not_exist_is_named():
    with pytest.raises(ConfigError, match=r"contextrast\.contrast\.Nothing does not exist"):
        instantiate({"_target_": "contextrast.contrast.Nothing"})


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!python/object/new:os.system"])
def test_yaml_that_executes_is_refused(tmp_path, mark, tag):
    for name in ("classes.yaml", "config.yaml"):
        (tmp_path / name).write_text(f"road: {tag} ['touch {mark}']\n")
    with pytest.raises(DataError, match=r"classes\.yaml"):
        read_classes(tmp_path, None)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        load(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    "entry",
    [
        "../../etc/passwd",
        "images/../../secret",
        "/etc/passwd",
        "..",
        r"..\..\secret",
        r"C:\Windows\win.ini",
        r"\\host\share\x",
    ],
)
def test_a_list_cannot_leave_the_dataset(tmp_path, entry):
    path = tmp_path / "train.txt"
    path.write_text(f"2008_000001\n{entry}\n")
    with pytest.raises(DataError, match=r"train\.txt has entries that leave"):
        read_image_list(path)


def test_dots_inside_names_are_names(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("a..b\n.hidden\nfolder/c.d\n")
    assert read_image_list(path) == ["a..b", ".hidden", "folder/c.d"]


@pytest.mark.parametrize("read", [decode_image, decode_indices, image_size])
def test_a_program_in_postscript_is_no_image(tmp_path, mark, monkeypatch, read):
    ghostscript = tmp_path / "gs"  # stands in for the interpreter that pillow runs such files with
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/proof\nexit 1\n")
    ghostscript.chmod(0o755)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", str(ghostscript))
    path = tmp_path / "photograph.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(x) (w) file\n%%EOF\n")
    with pytest.raises(subprocess.CalledProcessError), Image.open(path) as image:  # the attack works on pillow alone
        image.load()
    (tmp_path / "proof").rename(tmp_path / "was_executed")
    with pytest.raises(DataError, match=r"photograph\.png cannot be decoded"):
        read(path)
    assert not (tmp_path / "proof").exists()


def png(width, height, *more):
    """A PNG of 8-bit grey values whose header promises that many pixels; its data hold none of them."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), *more, (b"IDAT", zlib.compress(b""))]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [*chunks, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # pillow's, below twice its limit
@pytest.mark.parametrize(("width", "height"), [(40_000, 25_000), (10_000, 10_000)])
@pytest.mark.parametrize("read", [decode_image, decode_indices, image_size])
def test_an_image_of_100_million_pixels_or_a_billion_is_not_opened(tmp_path, read, width, height):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(width, height))
    with pytest.raises(DataError, match=rf"bomb\.png is not opened.*{width * height} pixels"):
        read(path)


def test_a_compressed_text_of_100_million_bytes_is_not_unpacked(tmp_path):
    path = tmp_path / "text.png"
    path.write_bytes(png(8, 8, (b"zTXt", b"k\0\0" + zlib.compress(bytes(100_000_000)))))
    with pytest.raises(DataError, match=r"text\.png cannot be decoded"):
        decode_image(path)
