"""What `scripts/fuzz.py` feeds to what: inputs as hypothesis strategies, and functions that take them."""

import io
import json
import pickle
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.io
import torch
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import save as save_tensors

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.cli.app import MENDABLE
from contextrast.config import instantiate
from contextrast.data import CamVid, Folder, Streets, coco_stuff, pascal_context
from contextrast.data.classes_file import read_classes
from contextrast.data.decoding import decode_image
from contextrast.data.formats import image_size
from contextrast.data.image_lists import read_image_list
from contextrast.data.masks import ColorMap, ValueMap, decode_indices, decode_mask
from contextrast.data.pairing import Pair, check_headers
from contextrast.errors import ConfigError, ContextrastError
from contextrast.export import load_export
from contextrast.folders import config_directory
from contextrast.models.weight_files import read_weights
from contextrast.runs.composition import compose
from contextrast.runs.reading import load
from contextrast.runs.recorded_overrides import recorded_overrides

Inputs = st.SearchStrategy[Any]

FOLDER: Final = Path(tempfile.mkdtemp(prefix="fuzz_"))
"""Where inputs are written as files; one at a time, under the same names."""

VALUES: Final = ValueMap({0: 255, 1: 0, 2: 1}, "Values are 0..2.")
COLORS: Final = ColorMap({(0, 0, 0): 0, (255, 0, 0): 1}, "Colours are black and red.", tolerance=0.1)
FORMATS: Final = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif", "PPM": ".ppm",
                  "GIF": ".gif", "JPEG2000": ".jp2"}  # fmt: skip
MODES: Final = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "F", "YCbCr", "HSV", "LAB")


@dataclass(frozen=True)
class Target:
    """A part of the package that takes what strangers make.

    Attributes:
        name: What it is called on the command line.
        inputs: What it is fed.
        feed: Takes one input.
        expected: Errors that are a proper answer.
    """

    name: str
    inputs: Inputs
    feed: Callable[[Any], object]
    expected: tuple[type[Exception], ...] = (ContextrastError,)


def every(calls: Sequence[Callable[[], object]]) -> None:
    """Make all calls, also after one that was properly refused."""
    for call in calls:
        try:
            call()
        except ContextrastError:
            continue


def written(name: str, content: bytes) -> Path:
    """A file with this content, in a folder that holds nothing else under its name."""
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@st.composite
def damaged(draw: st.DrawFn, originals: Inputs) -> bytes:
    """A file's bytes with some of them changed, left out, repeated or cut off."""
    content = bytearray(draw(originals))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, max(0, min(len(content), draw(st.sampled_from([32, 200, 10**6]))) - 1)))
        length = draw(st.integers(0, 8))
        new = draw(st.one_of(st.binary(max_size=8), st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"])))
        content[place : place + (len(new) if draw(st.booleans()) else length)] = new
    if draw(st.booleans()):
        return bytes(content)
    return bytes(content[: draw(st.integers(0, len(content)))])


# --- image_headers


@cache
def image(form: str, mode: str) -> bytes:
    """A small file of a format, in a mode if the format has it, else in RGB."""
    picture = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    exif = Image.Exif()
    exif[274] = 6
    buffer = io.BytesIO()
    try:
        picture.convert(mode).save(buffer, form, exif=exif.tobytes())
    except (OSError, ValueError, KeyError):
        buffer = io.BytesIO()
        picture.save(buffer, form)
    return buffer.getvalue()


IMAGES: Final = st.tuples(st.sampled_from(list(FORMATS)), st.sampled_from(MODES))


def feed_image(value: tuple[str, bytes]) -> None:
    """Read a file as image, mask and header, alone and beside a sound one."""
    form, content = value
    path = written(f"image{FORMATS[form]}", content)
    sound = written("sound.png", image("PNG", "L"))
    every([
        partial(decode_image, path), partial(decode_image, path, (8, 8)), partial(decode_indices, path),
        partial(decode_mask, path), partial(VALUES, path), partial(COLORS, path), partial(image_size, path),
        partial(check_headers, [Pair("image", path, sound)]), partial(check_headers, [Pair("image", sound, path)]),
    ])  # fmt: skip


# --- label_maps


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """What a variable of a .mat file can hold, label maps among it."""
    shape = draw(st.lists(st.integers(0, 5), max_size=3))
    kind = draw(st.sampled_from(["u1", "u2", "i2", "i4", "i8", "f4", "f8", "c8", "bool"]))
    values = draw(st.lists(st.sampled_from([0, 1, 2, 33, 59, 182, 459, 460, 65535, 65536, -1, 0.5, np.inf, np.nan]),
                           min_size=1, max_size=4))  # fmt: skip
    with np.errstate(all="ignore"):
        array = np.resize(np.array(values), shape).astype(kind)
    wrap = draw(st.sampled_from(["plain", "plain", "plain", "cell", "struct", "text", "sparse"]))
    if wrap == "sparse":
        return scipy.sparse.csc_matrix(np.atleast_2d(np.nan_to_num(array.real)).astype(float)[:3].reshape(1, -1))
    return {"cell": np.array([array, "x"], dtype=object), "struct": {"a": array}, "text": "text"}.get(wrap, array)


def mat(variables: dict[str, Any], compressed: bool) -> bytes:
    """A .mat file."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, variables, do_compression=compressed)  # type: ignore[arg-type]  # the stub knows paths only
    return buffer.getvalue()


MATS: Final = st.builds(
    mat,
    st.dictionaries(st.sampled_from(["S", "LabelMap", "names", "other"]), arrays(), min_size=1, max_size=3),
    st.booleans(),
)
PIXELS: Final = st.tuples(
    st.sampled_from(["L", "P", "RGB", "RGBA", "I;16", "LA", "1"]), st.lists(st.integers(0, 65535), max_size=6)
)


def feed_label_map(value: bytes | tuple[str, list[int]]) -> None:
    """Read a label map: a .mat file, or a mask in a dataset of one's own."""
    if isinstance(value, bytes):
        path = written("map.mat", value)
        every([partial(coco_stuff.decode_label_map, path), partial(pascal_context.decode_label_map, path)])
        return
    mode, values = value
    kind = np.uint16 if mode == "I;16" else np.uint8
    pixels = np.resize(np.array(values or [0]).astype(kind), (4, 4))
    mask = Image.fromarray(pixels) if kind is np.uint16 else Image.fromarray(pixels).convert(mode)
    root = FOLDER / "own"
    for part in ("images", "masks"):
        (root / part / "train").mkdir(parents=True, exist_ok=True)
    mask.save(root / "masks" / "train" / "a.png")
    Image.new("RGB", (4, 4)).save(root / "images" / "train" / "a.png")
    (root / "classes.txt").write_text("road 0 0 0\ncar 255 255 255\n")
    every([lambda: Folder(root)[0], partial(VALUES, root / "masks" / "train" / "a.png")])


# --- list_files

LINES: Final = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(["a", "a.png", "/SegNet/CamVid/train/a.png x", "..", "/", "a\0/b.png", "x" * 300 + "/a.png",
                         "road 128 64 128", "car 1 2 " + "9" * 5000, "road: [1, 2, 3]", "- car", "- &a [1, 2]", "- *a",
                         "car: 2001-99-99", "!!int x: 1", "? [1]", "x: !!float ''", "- ${oc.env:HOME}", "???: 1",
                         "[" * 3000, "~: [1]", "a: ${b}", "- !!binary x", "- !!timestamp x", "- !!bool x"]),
    ),
    max_size=6,
)  # fmt: skip
LISTS: Final = st.one_of(LINES.map(lambda lines: "\n".join(lines).encode(errors="replace")), st.binary(max_size=60))


def feed_list(content: bytes) -> None:
    """Read a list file of either kind, and a classes file as text and as YAML."""
    root = FOLDER / "segnet"
    for part in ("train", "trainannot"):
        written(f"segnet/{part}/a.png", image("PNG", "L"))
    written("segnet/train.txt", content)
    calls: list[Callable[[], object]] = [partial(read_image_list, root / "train.txt"), lambda: CamVid(root)]
    for name in ("list.txt", "list.yaml"):
        path = written(name, content)
        calls.append(lambda path=path: read_classes(FOLDER, path).label_table("fuzz").to_dict())  # type: ignore[misc]  # mypy cannot type a default
    every(calls)


# --- configs

VALUES_TYPED: Final = st.one_of(
    st.sampled_from(["null", "true", "-1", "0", "1", "1e400", "nan", "''", "abc", "[]", "{}", "[1]", "[a,b]", "[1,2,3]",
                     "{a:1}", "70000", "-5", "0.5", "${seed}", "${nothing}", "[[1,2],[3]]", "99999999999999999999"]),
    st.integers().map(str), st.floats().map(str), st.text(max_size=8),
)  # fmt: skip


@cache
def keys() -> list[str]:
    """Keys that an override can have, of the parts that are built here."""
    config = compose("train", ["data=folder", "+data.dataset.size=[32,32]"])
    found = [
        key for part in ("data", "loss", "optimizer", "scheduler", "callbacks") for key in dotted(config[part], part)
    ]
    return [*found, "loss", "data", "optimizer", "scheduler", "model.stages", "recipe.steps", "+data.x", "~loss.memory"]


def dotted(config: Any, prefix: str) -> list[str]:
    """Dotted keys of a configuration, of mappings and of values."""
    below = (dotted(config._get_node(key), f"{prefix}.{key}") for key in config) if OmegaConf.is_dict(config) else []
    return [prefix, *chain.from_iterable(below)]


OVERRIDES: Final = st.lists(
    st.builds("{}={}".format, st.deferred(lambda: st.sampled_from(keys())), VALUES_TYPED), max_size=3
)
SCALARS: Final = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
TREES: Final = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.text(max_size=4), st.sampled_from(["_target_", "_args_", "_partial_", "_convert_", "name"])),
            st.one_of(inner, st.sampled_from(["contextrast.data.Streets", "contextrast.", "torch.optim.SGD", "${a}",
                                              "contextrast.contrast.losses", "torch.optim.\0", "contextrast..x"])),
            max_size=4,
        ),
    ),
    max_leaves=10,
)  # fmt: skip


def feed_config(value: tuple[str, Any]) -> None:
    """Compose overrides and build what they describe, or build a tree of plain containers."""
    kind, content = value
    if kind == "tree":
        instantiate(content)
        return
    own = FOLDER / "own"
    feed_label_map(("L", [0]))
    try:
        config = compose("train", ["data=folder", f"data.root={own}", f"paths.run_dir={FOLDER}", *content])
    except ValueError as error:
        if "Config group override must be" in str(error):  # Hydra's answer to GROUP=null, see `cli/app.py`
            raise ConfigError(str(error)) from error
        raise
    module = instantiate(config.data)
    instantiate(config.optimizer)
    instantiate(config.scheduler)
    for callback in config.callbacks.values():
        instantiate(callback)
    instantiate(config.loss, num_classes=2, in_channels=[8, 8, 8, 8])
    module.dataset("train")[0]


# --- checkpoints and exports


@cache
def checkpoint(kind: int) -> bytes:
    """A sound checkpoint without weights, a state dict, and files that are neither."""
    model = {"_target_": "contextrast.models.Segmenter", "architecture": "FPN", "encoder": "nothing"}
    labels = Streets.labels.to_dict()
    whole = {"state_dict": {"network.a": torch.zeros(2)}, "global_step": 1,
             "hyper_parameters": {"model": model, "data": {}, "labels": labels}}  # fmt: skip
    buffer = io.BytesIO()
    torch.save([whole, {"a": torch.zeros(2)}, [1, 2]][kind % 3], buffer)
    return buffer.getvalue()


def described(header: Any) -> bytes:
    """A safetensors file with metadata."""
    pairs = header.items() if isinstance(header, dict) else ()
    return save_tensors({"a": torch.zeros(2)}, {str(key): json.dumps(value) for key, value in pairs})


def saved(tree: Any) -> bytes:
    """What ``torch.save`` makes of plain containers."""
    buffer = io.BytesIO()
    torch.save(tree, buffer)
    return buffer.getvalue()


HYPER: Final = st.fixed_dictionaries(
    {},
    optional={
        "hyper_parameters": st.one_of(
            TREES, st.fixed_dictionaries({"model": TREES, "data": TREES, "labels": TREES}),
            st.fixed_dictionaries({"model": TREES, "data": TREES, "labels": st.just(Streets.labels.to_dict())}),
        ),
        "state_dict": st.one_of(TREES, st.just({"network.a": torch.zeros(1)})),
        "global_step": SCALARS,
    },
)  # fmt: skip
EXPORTS: Final = st.one_of(
    st.tuples(st.sampled_from([".ckpt", ".pth"]), damaged(st.integers(0, 2).map(checkpoint))),
    st.tuples(st.just(".ckpt"), st.one_of(HYPER, TREES).map(saved)),
    st.tuples(st.just(".ckpt"), TREES.map(pickle.dumps)),
    st.tuples(st.just(".safetensors"), damaged(TREES.map(described))),
    st.tuples(st.just(".safetensors"), st.fixed_dictionaries(
        {"model": TREES, "classes": TREES, "palette": TREES, "dataset": TREES, "input": TREES}).map(described)),
    st.tuples(st.just(".onnx"), st.binary(max_size=40)),
    st.tuples(st.just("smp"), TREES.map(lambda tree: json.dumps(tree).encode())),
)  # fmt: skip


def feed_export(value: tuple[str, bytes]) -> None:
    """Read a file as checkpoint, weights and export."""
    suffix, content = value
    if suffix == "smp":
        folder = written("smp/config.json", content).parent
        written("smp/metadata.json", content)
        every([partial(load_export, folder, torch.device("cpu"))])
        return
    path = written(f"file{suffix}", content)
    every([
        lambda: load_checkpoint(path).network(), partial(read_weights, path, "model.weights"),
        partial(load_export, path, torch.device("cpu")),
    ])  # fmt: skip


# --- overrides of run folders

PIECES: Final = st.sampled_from([
    "hydra", "_target_", "loss", "data", "logger", "callbacks", "trainer", "model", "e", "=", "+", "~", "++", ".", "/",
    "@", ":", "{", "}", "[", "]", ",", "'", '"', "${", "}", "..", "os.system", "numpy.load", "file:///tmp/x", "$", "\\",
    "(", ")", "str", "_global_", "_args_", " ", "1", "ce", "csv", "camvid", "-", "--config-dir", "hydra.callbacks",
    "_here_", "oc.env:HOME", "|", "#", "&a", "*a", "!!python/name:os.system", "\n", "\u2028",
])  # fmt: skip
SPELT: Final = st.one_of(
    st.lists(PIECES, min_size=2, max_size=12).map("".join),
    st.builds("{}{}={}".format, st.sampled_from(["", "+", "++", "~"]), st.deferred(lambda: st.sampled_from(keys())),
              st.one_of(VALUES_TYPED, st.lists(PIECES, max_size=6).map("".join))),
)  # fmt: skip
RECORDED: Final = st.one_of(
    st.lists(SPELT, max_size=4).map(lambda texts: "\n".join(f"- {text}" for text in texts).encode(errors="replace")),
    st.lists(SPELT, max_size=4).map(lambda texts: json.dumps(texts).encode()),
    damaged(st.lists(SPELT, max_size=4).map(lambda texts: json.dumps(texts).encode())),
)


def feed_recorded(content: bytes) -> None:
    """Read a run folder's overrides, and compose what is taken of them: nothing of Hydra's, and no code but ours."""
    path = written("run/overrides.yaml", content)
    taken = recorded_overrides(load(path), path, ()).taken
    try:
        config = whole_config(tuple(taken))
    except Exception:  # what does not compose does nothing
        return
    plain = whole_config(())
    for part in ("callbacks", "launcher", "sweeper", "searchpath", "sweep", "mode"):
        assert config["hydra"][part] == plain["hydra"][part], taken
    assert targets_in(config) <= shipped_targets() | targets_in(plain), taken


@lru_cache(4)
def whole_config(texts: tuple[str, ...]) -> Any:
    """What Hydra makes of overrides, its own settings included."""
    return OmegaConf.to_container(compose("train", texts, return_hydra_config=True))


@cache
def shipped_targets() -> set[str]:
    """What the files of ``conf/`` name."""
    files = config_directory().rglob("*.yaml")
    return set().union(*(targets_in(OmegaConf.to_container(OmegaConf.load(path))) for path in files))


def targets_in(config: Any) -> set[str]:
    """All that a configuration would have called."""
    if isinstance(config, dict):
        return {str(value) for key, value in config.items() if key == "_target_"} | targets_in(list(config.values()))
    return set().union(*map(targets_in, config)) if isinstance(config, list) else set()


TARGETS: Final = {
    target.name: target
    for target in (
        Target("image_headers", st.tuples(st.sampled_from(list(FORMATS)), damaged(IMAGES.map(lambda it: image(*it)))),
               feed_image),
        Target("label_maps", st.one_of(MATS, damaged(MATS), PIXELS), feed_label_map),
        Target("list_files", LISTS, feed_list),
        Target("configs", st.one_of(st.tuples(st.just("overrides"), OVERRIDES), st.tuples(st.just("tree"), TREES)),
               feed_config, tuple(kind for kind in MENDABLE if kind is not OSError)),
        Target("exports", EXPORTS, feed_export),
        Target("recorded_overrides", RECORDED, feed_recorded),
    )
}  # fmt: skip
