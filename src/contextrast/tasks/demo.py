"""``contextrast-demo``: a page on which one drops an image and sees its classes, by one network or by two."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig

from contextrast.config import plain
from contextrast.data.decoding import Picture
from contextrast.demo import Found, Shown, build, launch
from contextrast.errors import ConfigError
from contextrast.models import InferenceProtocol
from contextrast.models.channels import RGB
from contextrast.models.devices import chosen_device
from contextrast.predicting import Predictor, load_predictor
from contextrast.reporting.page.pictures import COMMON, LAYERS
from contextrast.runs.reading import load
from contextrast.tasks.chosen import checkpoint_or_export
from contextrast.terminal import say


def demo(config: DictConfig) -> None:
    """Serve the page until it is interrupted.

    Raises:
        ContextrastError: If a network cannot be used, or the extra ``demo`` is not installed.
    """
    with TemporaryDirectory(prefix="contextrast_demo_") as folder:
        served = page(config, Path(folder))
        say(f"Open {launch(served, config.host, config.port)} in a browser. Ctrl-C ends it.")
        served.block_thread()


def page(config: DictConfig, folder: Path) -> Any:
    """The page of the networks that were asked for.

    Args:
        config: The composed configuration.
        folder: For the files of visitors; see `build`.

    Raises:
        ContextrastError: As `demo`.
    """
    device = chosen_device("device=", config.device)
    settings = plain(config)
    protocol = InferenceProtocol.of(settings)
    runs = Path(config.paths.runs)
    paths = [Path(checkpoint_or_export(asked, runs)) for asked in filter(None, (config.checkpoint, config.compare))]
    predictors = [load_predictor(path, protocol, device, config.trusted, settings["image_range"]) for path in paths]
    for path, predictor in zip(paths, predictors, strict=True):
        if predictor.network.channels != RGB:
            raise ConfigError(
                f"{path} takes images of {predictor.network.channels} channel(s), and the page takes pictures of "
                "three: use contextrast-predict."
            )
    ranges = {predictor.image_range for predictor in predictors}
    if len(ranges) > 1:
        raise ConfigError(
            "checkpoint and compare were trained with different data.dataset.image_range, and images are read once for "
            "both: set image_range=[LEAST,MOST]."
        )
    networks = [
        Shown(title, predictor.labels, _segmenting(predictor), about(path, predictor))
        for path, title, predictor in zip(paths, titles(paths, runs), predictors, strict=True)
    ]
    image_range = ranges.pop()
    # Examples of a run are stored with 8 bits a channel, after its range was applied.
    offered = examples(paths) if image_range is None else []
    return build(networks, folder, config.alpha, config.max_megapixels, image_range, offered)


def titles(paths: Sequence[Path], runs: Path) -> list[str]:
    """A name for each network: its run's folder below those of all runs, and which checkpoint where it is not the last.

    Args:
        paths: Checkpoints and exports.
        runs: Folder of the runs.
    """
    named = [_title(path.absolute(), runs.absolute()) for path in paths]
    return named if len(set(named)) == len(named) else [str(path) for path in paths]


def about(path: Path, predictor: Predictor) -> str:
    """What a network is and what its run measured with these weights, in a line.

    Args:
        path: The checkpoint or export.
        predictor: The network.
    """
    said = [str(getattr(predictor.network, "name", path.suffix.removeprefix(".") or path.name))]
    metrics = load(path.absolute().parent.parent / "metrics.json") if path.suffix == ".ckpt" else None
    if isinstance(metrics, dict):
        measured = metrics.get("best") if path.stem == "best" else metrics if path.stem == "last" else None
        if isinstance(measured, dict) and isinstance(miou := measured.get("miou"), float):
            said.append(f"mIoU {100 * miou:.1f} % on validation, step {measured.get('step')}")
    return ", ".join(said)


def examples(paths: Sequence[Path]) -> list[Path]:
    """Validation images that the first of some runs with pictures has drawn; none of exports."""
    for path in paths:
        found = sorted((path.absolute().parent.parent / LAYERS).glob(f"*_{COMMON['image']}"))
        if path.suffix == ".ckpt" and found:
            return found
    return []


def _title(path: Path, runs: Path) -> str:
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    name = str(run.relative_to(runs)) if run.is_relative_to(runs) and run != runs else run.name
    if path.parent.name != "checkpoints":
        return f"{name}, {path.name}"
    return name if path.stem == "last" else f"{name}, {path.stem}"


def _segmenting(predictor: Predictor) -> Any:
    def segment(image: Picture) -> Found:
        if predictor.knows_probabilities:
            return Found(*predictor.with_confidence(image))
        return Found(predictor(image))

    return segment
