"""``contextrast-demo``: a page on which one drops an image and sees its classes, by one network or by two."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig

from contextrast.config import plain
from contextrast.demo import Shown, build, launch
from contextrast.errors import ConfigError
from contextrast.models import InferenceProtocol
from contextrast.models.channels import RGB
from contextrast.models.devices import chosen_device
from contextrast.predicting import load_predictor
from contextrast.tasks.chosen import checkpoint_or_export


def demo(config: DictConfig) -> None:
    """Serve the page until it is interrupted.

    Raises:
        ContextrastError: If a network cannot be used, or the extra ``demo`` is not installed.
    """
    with TemporaryDirectory(prefix="contextrast_demo_") as folder:
        launch(page(config, Path(folder)), config.host, config.port)


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
    networks, ranges = [], set()
    for asked in filter(None, (config.checkpoint, config.compare)):
        path = checkpoint_or_export(asked, Path(config.paths.runs))
        predictor = load_predictor(path, protocol, device, config.trusted, settings["image_range"])
        if predictor.network.channels != RGB:
            raise ConfigError(
                f"{path} takes images of {predictor.network.channels} channel(s), and the page takes pictures of "
                "three: use contextrast-predict."
            )
        ranges.add(predictor.image_range)
        networks.append(Shown(str(path), predictor.labels, predictor))
    if len(ranges) > 1:
        raise ConfigError(
            "checkpoint and compare were trained with different data.dataset.image_range, and images are read once for "
            "both: set image_range=[LEAST,MOST]."
        )
    return build(networks, folder, config.alpha, config.max_megapixels, ranges.pop())
