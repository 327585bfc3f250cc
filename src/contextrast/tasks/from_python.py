"""The commands' doors for Python: a training as one call, and a trained network as a function of a picture."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from numpy.typing import ArrayLike, NDArray
from omegaconf import DictConfig, open_dict

from contextrast.errors import ConfigError
from contextrast.folders import choices_of
from contextrast.models import InferenceProtocol, Network
from contextrast.models.channels import RGB
from contextrast.models.devices import chosen_device
from contextrast.predicting import Predictor, load_predictor
from contextrast.runs.composition import compose
from contextrast.runs.quoting import as_value, quoted
from contextrast.runs.reading import load as read
from contextrast.tasks.chosen import checkpoint_or_export
from contextrast.tasks.train import train as train_configured

_RUNS = Path("runs")


@dataclass(frozen=True)
class TrainedRun:
    """A finished training.

    Attributes:
        folder: Where everything lies, as ``contextrast-train`` leaves it.
        miou: Of the last step on the validation split, in 0..1; NaN without a validation.
    """

    folder: Path
    miou: float

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting of the run, as plain containers."""
        return dict(read(self.folder / "config.yaml") or {})

    @property
    def metrics(self) -> dict[str, Any]:
        """What it measured: the content of ``metrics.json``."""
        return dict(read(self.folder / "metrics.json") or {})

    def load(self, device: str = "auto", **protocol: Any) -> "TrainedNetwork":
        """The trained network, as :func:`load` has it."""
        return load(self.folder, device, **protocol)


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network with what its labels mean.

    Attributes:
        predictor: The network with its classes, and how it looks at pictures.
    """

    predictor: Predictor

    @property
    def network(self) -> Network:
        """The plain network: images ``[B, C, H, W]``, normalised by its ``normalize``, to logits ``[B, N, H, W]``."""
        return self.predictor.network

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in the order of the labels."""
        return self.predictor.labels.classes

    @property
    def colors(self) -> Sequence[Sequence[int]]:
        """Red, green and blue of each class in 0..255."""
        return self.predictor.labels.palette

    def predict(self, image: ArrayLike) -> NDArray[np.uint8]:
        """Labels of a picture.

        Args:
            image: uint8 ``[H, W, C]``, of any size and of the channels of the training, most often red, green and blue:
                a numpy array, or what makes one, as a PIL image.

        Returns:
            uint8 ``[H, W]``, indices of `classes`.

        Raises:
            ConfigError: If it is no such picture.
        """
        picture = np.asarray(image)
        channels = self.predictor.network.channels
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != channels:
            way = '(red, green, blue); a PIL image is converted by image.convert("RGB")' if channels == RGB else ""
            raise ConfigError(
                f"image must be uint8 [H, W, {channels}], got {picture.dtype} {list(picture.shape)} {way}".rstrip()
            )
        return self.predictor(picture)


def train(*overrides: str, run_dir: str | Path | None = None, **settings: Any) -> TrainedRun:
    """Train as ``contextrast-train`` does, by the same settings.

    Args:
        *overrides: As typed on the command line, such as ``"~callbacks.pictures"``.
        run_dir: Folder of the run; None makes one under ``runs/``.
        **settings: Settings by key, with ``__`` for a dot or slash: ``data="folder", data__root=PATH,
            recipe__steps=500, loss__base="lovasz"``. Lists, None and truth values are Python's.

    Raises:
        ContextrastError: As the command prints it.
    """
    typed = [*(_override(key, value) for key, value in settings.items()), *overrides]
    asked = {text.partition("=")[0] for text in typed}
    for key in ("resume", "hydra.run.dir"):
        if key in asked:
            raise ConfigError(f"{key} is not taken here: name the folder with run_dir; contextrast-train resumes.")
    folder = Path(run_dir) if run_dir is not None else _new_folder()
    with _composed("train", [*typed, f"paths.run_dir={quoted(folder.absolute())}"]) as config:
        miou = train_configured(config)
    return TrainedRun(folder.absolute(), miou)


def load(path: str | Path, device: str = "auto", trusted: bool = False, **protocol: Any) -> TrainedNetwork:
    """A trained network from a run's folder, a checkpoint, an export, or ``latest`` under ``runs/``.

    Args:
        path: Which.
        device: ``cpu``, ``cuda`` or ``auto``.
        trusted: Whether an export may be read that can execute code.
        **protocol: How pictures are looked at, as `contextrast.models.InferenceProtocol` takes it; by default whole.

    Raises:
        ContextrastError: If there is none, or it cannot be used.
    """
    chosen = checkpoint_or_export(str(path), _RUNS, "path")
    found = chosen_device("device=", device)
    return TrainedNetwork(load_predictor(chosen, InferenceProtocol(**protocol), found, trusted))


def _override(key: str, value: Any) -> str:
    """A keyword as an override; two underscores stand for a dot, or for the slash in a group's name."""
    group = key.replace("__", "/")
    return f"{group if choices_of(group) else key.replace('__', '.')}={_text(key, value)}"


def _text(key: str, value: Any) -> str:
    """A value as Hydra's grammar has it.

    Raises:
        ConfigError: If it is no plain value.
    """
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, str | Path):
        return as_value(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_text(key, one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(key, one) for one in value) + "]"
    raise ConfigError(f"{key} must be a plain value (text, number, list, mapping), got {type(value).__name__}")


def _new_folder() -> Path:
    return _RUNS / "python" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"


@contextmanager
def _composed(config_name: str, overrides: Sequence[str]) -> Iterator[DictConfig]:
    """A command's configuration, and Hydra's for as long as the task runs."""
    before = HydraConfig.instance().cfg
    config = compose(config_name, overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    try:
        yield config
    finally:
        HydraConfig.instance().cfg = before  # `set_config` takes no None
