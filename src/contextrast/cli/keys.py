"""Settings that do not exist: what they may have meant, and those that nothing would read."""

import difflib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from typing_extensions import override

from contextrast.runs.composition import compose

_CHOICE: Final = re.compile(r"[\w/]+=[\w/-]+")
"""An override that looks like the choice of a file of a group."""

_OPEN: Final[Mapping[str, tuple[str, ...]]] = {
    "train": ("callbacks", "logger", "metrics"),
    "evaluate": ("callbacks", "logger", "metrics", "protocols", "data", "model"),
}
"""Settings, by command, to which others may be added: named objects, and what is handed on as a whole."""


class UnreadSettings(Callback):
    """Hydra callback that refuses settings added with ``+`` where nothing reads them, before a folder is made.

    Arguments of classes (below a ``_target_``) are left to `contextrast.config.instantiate`, which knows them.
    """

    @override
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Look at what was typed for a single run.

        Raises:
            SystemExit: With an explanation; Hydra turns other exceptions of callbacks into warnings.
        """
        command, chosen = str(config.hydra.job.config_name), config.hydra.runtime.choices
        for item in OverridesParser.create().parse_overrides(list(config.hydra.overrides.task)):
            key, added = str(item.key_or_group), item.is_add() or item.is_force_add()
            if added and key not in chosen and not _read(config, key.split("."), command):
                text = str(item.input_line)
                hint = meant(key, command, text.partition("=")[2])
                raise SystemExit(f"ConfigError: {text}: there is no setting {key}, and nothing reads it.{hint}")

    @override
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Look at what was typed for a sweep.

        Raises:
            SystemExit: As above.
        """
        self.on_run_start(config)


def meant(key: str, command: str, value: str = "VALUE") -> str:
    """A sentence with existing settings that a key may have meant, or with where all of them are listed.

    Args:
        key: What was typed.
        command: The file of ``conf/`` that it was typed for.
        value: Its value.
    """
    near = _near(key, command)
    if not near:
        return f" contextrast-{command} --cfg job lists all settings."
    return f" Did you mean {' or '.join(f'{name}={value}' for name in near)}?"


def unknown_setting(message: str) -> str | None:
    """The setting that Hydra says it does not know, None if it says something else.

    Its advice, to append the setting with ``+``, makes one that nothing reads.
    """
    refused = re.search(r"Could not override '([^']+)'", message)
    return None if refused is None else refused[1]


def _near(key: str, command: str) -> Sequence[str]:
    """Existing settings that are called the same, or nearly so; the likeliest first."""
    GlobalHydra.instance().clear()
    choices = [text for text in sys.argv[1:] if _CHOICE.fullmatch(text) and text.partition("=")[0] != key]
    try:  # a check knows no settings of data before its dataset is chosen
        composed = compose(command, choices)
    except HydraException:
        return []
    known = list(dict.fromkeys(_keys(OmegaConf.to_container(composed))))
    same = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    whole = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    last: dict[str, str] = {name.rpartition(".")[2]: name for name in reversed(known)}  # the first of a name counts
    inner = [last[name] for name in difflib.get_close_matches(key.rpartition(".")[2], last, n=2, cutoff=0.8)]
    return list(dict.fromkeys([*same[:3], *whole, *inner]))[:4]


def _read(config: DictConfig, path: Sequence[str], command: str) -> bool:
    """Whether something reads what was added at a path."""
    if path[0] in (*_OPEN.get(command, ()), "hydra"):
        return True
    node: Any = config
    for name in path[:-1]:
        node = node.get(name) if OmegaConf.is_dict(node) else None
        if OmegaConf.is_dict(node) and "_target_" in node:
            return True
    return False


def _keys(config: object, prefix: str = "") -> Iterator[str]:
    """Dotted names of all keys of nested plain containers, shallow ones first."""
    if isinstance(config, dict):
        yield from (f"{prefix}{key}" for key in config)
        for key, value in config.items():
            yield from _keys(value, f"{prefix}{key}.")
