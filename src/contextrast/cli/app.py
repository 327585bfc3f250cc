"""What the Hydra commands share: finding ``conf/``, and errors without a traceback where the user can mend them."""

import logging
import sys
import warnings
from collections.abc import Callable

import hydra
import torch
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from contextrast.config import config_directory
from contextrast.errors import ContextrastError

MENDABLE = (ContextrastError, HydraException, OmegaConfBaseException, OSError)


def command(config_name: str) -> Callable[[Callable[[DictConfig], object]], Callable[[], None]]:
    """Make a console script of a task: composes ``config_name``, runs the task, exits with 1 on a mendable error."""

    def decorate(task: Callable[[DictConfig], object]) -> Callable[[], None]:
        app = hydra.main(version_base="1.3", config_path=str(config_directory()), config_name=config_name)(task)

        def main() -> None:
            _quiet()
            try:
                app()
            except MENDABLE as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                sys.exit(1)

        return main

    return decorate


def _quiet() -> None:
    """Keep what is no news to the user off the terminal."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)  # advertisements, device lists
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's use of torch, mended in its next release
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # a choice of conf/data


def fastest_precision() -> str:
    """Lightning's name of bfloat16 autocast where this machine computes in bfloat16, else of float32."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    return "bf16-mixed" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "32-true"


OmegaConf.register_new_resolver("fastest_precision", fastest_precision, replace=True)
