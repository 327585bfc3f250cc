"""Mistakes with data, each made by writing files into an empty folder and opening them."""

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.io
import scipy.sparse
from PIL import Image

from contextrast.config import instantiate
from contextrast.data import ADE20K, CamVid, Cityscapes, CocoStuff10k, Folder, PascalContext
from contextrast.data.decoding import decode_image
from contextrast.data.masks import decode_indices
from contextrast.errors import ContextrastError

Make = Callable[[Path], str]
"""Makes a mistake in a folder; returns the message."""

Files = dict[str, Any]
"""Files by their paths: pixel values (one number for all, or an array), texts, bytes, or variables of a .mat file."""


@dataclass(frozen=True)
class Mistake:
    """Something that goes wrong.

    Attributes:
        what: What the user did.
        how: Command or call.
        make: Does it.
        names: What the message has to name; empty for any word of the command or call.
    """

    what: str
    how: str
    make: Make
    names: str = ""


def write(folder: Path, files: Files) -> None:
    """Write files into a folder; images are 6 pixels wide and 4 high unless they are arrays."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, "utf-8")
        elif isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, dict):
            scipy.io.savemat(path, content)
        else:
            pixels = np.full((4, 6), content, np.uint8) if isinstance(content, int) else content
            Image.fromarray(pixels).save(path)


def told(call: Callable[[], object]) -> str:
    """The message of a call that is refused.

    Raises:
        AssertionError: If it is not refused.
    """
    try:
        call()
    except ContextrastError as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError("was not refused")


def opened(what: str, dataset: type[Any], files: Files, **arguments: Any) -> Mistake:
    """Opening a dataset in a folder with these files, and reading its first sample."""

    def make(folder: Path) -> str:
        write(folder, files)
        return told(lambda: dataset(folder, **arguments)[0])

    shown = "".join(f", {key}={value!r}" for key, value in arguments.items())
    return Mistake(what, f'{dataset.__name__}("PATH"{shown})[0]', make)


def read(what: str, reader: Callable[[Path], object], name: str, content: Any) -> Mistake:
    """Reading a file, which is not there if it has no content."""

    def make(folder: Path) -> str:
        write(folder, {} if content is None else {name: content})
        return told(partial(reader, folder / name))

    return Mistake(what, f'{reader.__name__}("PATH/{name}")', make)


RGB: Final = np.full((4, 6, 3), 90, np.uint8)
SEGNET: Final[Files] = {"train/a.png": RGB, "trainannot/a.png": 3}
CITY: Final[Files] = {"leftImg8bit/train/ulm/ulm_0_0_leftImg8bit.png": RGB}
CITY_MASK: Final = "gtFine/train/ulm/ulm_0_0_gtFine_labelIds.png"
ADE: Final[Files] = {"images/training/a.jpg": RGB, "annotations/training/a.png": 1}
VOC: Final = "VOCdevkit/VOC2010"
PASCAL: Final[Files] = {f"{VOC}/JPEGImages/a.jpg": RGB, f"{VOC}/ImageSets/Main/train.txt": "a\n"}
COCO: Final[Files] = {"images/a.jpg": RGB, "imageLists/train.txt": "a\n"}
OWN: Final[Files] = {"images/train/a.jpg": RGB, "masks/train/a.png": 0, "classes.txt": "road\ncar\n"}
COLORED: Final = OWN | {"classes.txt": "road 128 64 128\ncar 0 0 142\n"}


def camvid_root(value: str | None) -> Mistake:
    """CamVid with a setting of its folder that leads nowhere."""
    shown = "" if value is None else repr(value)
    what = "no folder" if value is None else "a folder that does not exist"
    return Mistake(f"CamVid with {what}", f"CamVid({shown})", lambda _: told(lambda: CamVid(value)))


def png(width: int, height: int) -> bytes:
    """A PNG whose header promises that many grey pixels, and that holds none."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"")),
              (b"IEND", b"")]  # fmt: skip
    parts = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
             for kind, data in chunks]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def built(what: str, settings: dict[str, Any]) -> Mistake:
    """Settings from a stranger's file, as they reach what builds objects."""
    return Mistake(what, f"instantiate({settings})", lambda _: told(lambda: instantiate(settings)))


MISTAKES: Final[dict[str, Sequence[Mistake]]] = {
    "Data sets": (
        camvid_root(None),
        camvid_root("/no/such/folder"),
        opened("CamVid in an empty folder", CamVid, {}),
        opened("CamVid's folder is that of something else", CamVid, {"notes.txt": "x"}),
        opened("CamVid without the split", CamVid, SEGNET, split="test"),
        opened("CamVid with a split that it does not have", CamVid, SEGNET, split="validation"),
        opened("CamVid merged in an unknown way", CamVid, SEGNET, merge="mine"),
        opened("CamVid, an image lacks its mask", CamVid, SEGNET | {"train/b.png": RGB}),
        opened("CamVid, a mask lacks its image", CamVid, SEGNET | {"trainannot/b.png": 3}),
        opened("CamVid, two images of one name", CamVid, SEGNET | {"train/a.jpg": RGB}),
        opened("CamVid, a value that is no class", CamVid, SEGNET | {"trainannot/a.png": 12}),
        opened("CamVid, original layout, colours of no class", CamVid,
               {"701_StillsRaw_full/a.png": RGB, "LabeledApproved_full/a_L.png": RGB}, split="test"),
        opened("Cityscapes without gtFine", Cityscapes, CITY),
        opened("Cityscapes without the split", Cityscapes, CITY | {CITY_MASK: 7}, split="val"),
        opened("Cityscapes, train ids in files of label ids", Cityscapes, CITY | {CITY_MASK: 255}),
        opened("Cityscapes, an unknown encoding", Cityscapes, CITY | {CITY_MASK: 7}, encoding="colors"),
        opened("Cityscapes, label_root is no text", Cityscapes, CITY | {CITY_MASK: 7}, label_root=5),
        opened("ADE20K without its masks", ADE20K, {"images/training/a.jpg": RGB}),
        opened("ADE20K, a value above 150", ADE20K, ADE | {"annotations/training/a.png": 151}),
        opened("ADE20K has no test split", ADE20K, ADE, split="test"),
        opened("PASCAL-Context without VOC2010", PascalContext, {"trainval/a.mat": {"LabelMap": np.eye(4)}}),
        opened("PASCAL-Context without its list file", PascalContext,
               {f"{VOC}/JPEGImages/a.jpg": RGB, "trainval/a.mat": {"LabelMap": np.eye(4)}}),
        opened("PASCAL-Context, a .mat file without LabelMap", PascalContext,
               PASCAL | {"trainval/a.mat": {"Labels": np.eye(4)}}),
        opened("PASCAL-Context, a label map of fractions", PascalContext,
               PASCAL | {"trainval/a.mat": {"LabelMap": np.eye(4) / 2}}),
        opened("PASCAL-Context, a label above 459", PascalContext,
               PASCAL | {"trainval/a.mat": {"LabelMap": np.full((4, 6), 460)}}),
        opened("COCO-Stuff 10k, a damaged .mat file", CocoStuff10k, COCO | {"annotations/a.mat": b"MATLAB 5.0"}),
        opened("COCO-Stuff 10k, a label map of version 1.0", CocoStuff10k,
               COCO | {"annotations/a.mat": {"S": np.ones((4, 6)), "names": np.zeros((172, 1))}}),
        opened("COCO-Stuff 10k, a sparse label map", CocoStuff10k,
               COCO | {"annotations/a.mat": {"S": scipy.sparse.csc_matrix(np.eye(4))}}),
        opened("COCO-Stuff 10k, masks of COCO-Stuff 164k", CocoStuff10k,
               {"images/train2014/a.jpg": RGB, "annotations/train2014/a_labelTrainIds.png": 200}),
    ),
    "List files": (
        opened("an empty list", CamVid, SEGNET | {"train.txt": "\n"}),
        opened("a list that leads out of the folder", CamVid, SEGNET | {"train.txt": "../secret/a.png\n"}),
        opened("a list that names what is not there", CamVid, SEGNET | {"train.txt": "train/b.png\n"}),
        opened("a list with a folder that cannot be", CamVid, SEGNET | {"train.txt": "x" * 300 + "/a.png\n"}),
        opened("a list that names an image twice", CocoStuff10k,
               COCO | {"imageLists/train.txt": "a\na\n", "annotations/a.mat": {"S": np.eye(4)}}),
        opened("a list with an absolute path", CocoStuff10k,
               COCO | {"imageLists/train.txt": "/etc/passwd\n", "annotations/a.mat": {"S": np.eye(4)}}),
        opened("a list without names", CocoStuff10k,
               COCO | {"imageLists/train.txt": "", "annotations/a.mat": {"S": np.eye(4)}}),
    ),
    "A folder of your own": (
        opened("no split of that name", Folder, OWN, split="val"),
        opened("masks without images", Folder, {"masks/train/a.png": 0, "classes.txt": "road\ncar\n"}),
        opened("folders without an image file", Folder,
               {"images/train/a.heic": b"", "masks/train/b": b"", "classes.txt": "road\ncar\n"}),
        opened("masks as JPEG", Folder,
               {"images/train/a.jpg": RGB, "masks/train/a.jpg": RGB, "classes.txt": "road\ncar\n"}),
        opened("image and mask differ in size", Folder, OWN | {"images/train/a.jpg": RGB[:3]}),
        opened("a value without a class", Folder, OWN | {"masks/train/a.png": 7}),
        opened("a mask in colours, a classes file without", Folder, OWN | {"masks/train/a.png": RGB}),
        opened("a mask in other colours", Folder, COLORED | {"masks/train/a.png": RGB}),
        opened("the ignored value is a class's", Folder, OWN, ignore=1),
        opened("an ignored colour by its name", Folder, COLORED, ignore="red"),
        opened("an ignored value that no mask can have", Folder, OWN, ignore=-1),
        opened("values that begin below 0", Folder, OWN, first_value=-1),
        opened("values for too few classes", Folder, OWN, values=[0]),
        opened("masks read by colours that are not given", Folder, OWN, masks="colors"),
        opened("masks with another name than their images", Folder,
               {"images/train/a.jpg": RGB, "masks/train/a_mask.png": 0, "classes.txt": "road\ncar\n"}),
        opened("one class", Folder, OWN | {"classes.txt": "road\n"}),
        opened("colours of YAML that are comments", Folder, OWN | {"classes.yaml": "road: #804080\ncar: #00008e\n"}),
        opened("values that end above 16 bits", Folder, OWN, first_value=70000),
        opened("no classes file", Folder, {"images/train/a.jpg": RGB, "masks/train/a.png": 0}),
        opened("a classes file elsewhere than said", Folder, OWN, classes="names.txt"),
        opened("classes as a number", Folder, OWN, classes=5),
        opened("a class named twice", Folder, OWN | {"classes.txt": "road\nroad\n"}),
        opened("a colour used twice", Folder, OWN | {"classes.txt": "road 1 2 3\ncar 1 2 3\n"}),
        opened("a colour above 255", Folder, OWN | {"classes.txt": "road 1 2 300\n"}),
        opened("a colour for some classes alone", Folder, OWN | {"classes.txt": "road 1 2 3\ncar\n"}),
        opened("an empty classes file", Folder, OWN | {"classes.txt": "# none yet\n"}),
        opened("255 classes", Folder, OWN | {"classes.txt": "".join(f"c{number}\n" for number in range(255))}),
        opened("a classes file that is no text", Folder, OWN | {"classes.txt": b"\xff\xfe\x00"}),
        opened("YAML that reads a name as a truth value", Folder, OWN | {"classes.yaml": "- on\n- road\n"}),
        opened("YAML with a tag and no value for it", Folder, OWN | {"classes.yaml": "- !!timestamp x\n"}),
        opened("YAML that refers to itself", Folder, OWN | {"classes.yaml": "- &a [x]\n- *a\n"}),
        opened("YAML with a program", Folder, OWN | {"classes.yaml": "- !!python/object/apply:os.getcwd []\n"}),
    ),
    "Images": (
        read("a file that is not there", decode_image, "a.png", None),
        read("a text called an image", decode_image, "a.png", "hello"),
        read("a file that was cut off", decode_image, "a.png", png(6, 4)[:40]),
        read("an image without its pixels", decode_image, "a.png", png(6, 4)),
        read("an image of a billion pixels", decode_image, "a.png", png(40000, 25000)),
        read("a program in PostScript", decode_image, "a.png", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"),
        read("an image of 16 bits a channel", decode_image, "a.png", np.full((4, 6), 900, np.uint16)),
        read("a colour image for a mask of indices", decode_indices, "a.png", RGB),
        read("a mask of floats", decode_indices, "a.tif", np.full((4, 6), 0.5, np.float32)),
    ),
    "Settings from strangers": (
        built("a target that runs programs", {"_target_": "os.system", "command": "ls"}),
        built("a target behind what a module imports", {"_target_": "contextrast.data.cache.os.system"}),
        built("a target that does not exist", {"_target_": "contextrast.data.Citiscapes"}),
        built("an interpolation in what is built", {"_target_": "contextrast.data.Streets", "split": "${oc.env:HOME}"}),
        built("an argument that is missing", {"_target_": "contextrast.data.Streets"}),
        built("an argument that does not exist", {"_target_": "torch.optim.SGD", "learning_rate": 1}),
    ),
}  # fmt: skip
