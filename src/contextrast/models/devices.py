"""Where a network runs."""

import torch

from contextrast.errors import ConfigError, first_line


def best_device() -> torch.device:
    """This machine's accelerator, as training takes it too, or its CPU where it has none."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def chosen_device(option: str, name: str) -> torch.device:
    """The device that an option names.

    Args:
        option: The option as it is typed, for messages, up to the name: ``device=``.
        name: ``auto`` for the best one, or torch's name of one.

    Raises:
        ConfigError: If there is no such device here.
    """
    if name == "auto":
        return best_device()
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ConfigError(
            f"{option}{name} cannot be used here ({first_line(error)}). Choose cpu, auto, or one that is here: "
            f"{best_device().type}."
        ) from error


def device_name(device: torch.device) -> str:
    """What a GPU is called, or the kind of another device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
