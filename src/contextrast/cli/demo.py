"""``contextrast-demo``: a page on which one drops an image and sees its classes, by one network or by two."""

from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from contextrast.cli.app import command
from contextrast.cli.predict import load_network, segment
from contextrast.demo import Shown, build, launch
from contextrast.models.devices import chosen_device


def demo(config: DictConfig) -> None:
    """Serve the page until it is interrupted.

    Raises:
        ContextrastError: If a network cannot be used, or the extra ``demo`` is not installed.
    """
    launch(page(config), config.host, config.port)


def page(config: DictConfig) -> Any:
    """The page of the networks that were asked for.

    Raises:
        ContextrastError: As `demo`.
    """
    device = chosen_device("device=", config.device)
    networks = []
    for path in filter(None, (config.checkpoint, config.compare)):
        network, labels = load_network(Path(path).expanduser(), device, config.trusted)
        networks.append(Shown(str(path), labels, partial(segment, network, config=config, device=device)))
    return build(networks, config.alpha)


main = command("demo")(demo)

if __name__ == "__main__":
    main()
