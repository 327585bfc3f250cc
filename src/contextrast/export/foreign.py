"""Settings that came with a file: they describe a network, and may not send for anything beside the file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contextrast.errors import WeightsError

# Arguments of smp, timm and `Segmenter` that name weights elsewhere: on a hub, or in another file.
_SOURCES = ("encoder_weights", "weights", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path")


def refuse_other_sources(settings: Mapping[str, Any], path: Path) -> None:
    """Refuse settings of a network with which building it would read or fetch anything else than the file.

    Args:
        settings: As they came with the file.
        path: The file, for messages.

    Raises:
        WeightsError: If there are such.
    """
    named: dict[str, Any] = {}
    for part in (settings, settings.get("network") or {}):
        named |= {key: part[key] for key in _SOURCES if part.get(key)}
        # timm takes `hf-hub:NAME` and `local-dir:PATH` for the name of a network
        named |= {key: value for key, value in part.items() if key.startswith("encoder") and ":" in str(value)}
    if named:
        found = ", ".join(f"{key}={value}" for key, value in named.items())
        raise WeightsError(
            f"{path} was refused: with {found} it asks for more than the file holds, and an export holds all of its "
            "network. Have it exported again by contextrast-export."
        )
