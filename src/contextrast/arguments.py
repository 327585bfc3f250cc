"""Plain values held to what a class takes: the types that its signature names, and ranges that others leave unsaid."""

import json
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from inspect import Parameter, signature
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from contextrast.errors import ConfigError, check_number

_RANGES: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "lightning.pytorch.trainer.trainer.Trainer": {
        "max_steps": {"least": -1, "whole": True},
        "max_epochs": {"least": -1, "whole": True},
        "devices": {"least": -1, "most": 2**16, "whole": True},  # they are listed one by one
        "num_nodes": {"least": 1, "whole": True},
        "log_every_n_steps": {"least": 1, "whole": True},
        "accumulate_grad_batches": {"least": 1, "whole": True},
        "check_val_every_n_epoch": {"least": 1, "whole": True},
        "num_sanity_val_steps": {"least": -1, "whole": True},
        "val_check_interval": {"above": True},
        "gradient_clip_val": {"above": True},
    },
    "torch.optim.lr_scheduler.PolynomialLR": {"power": {}},
    "lightning.pytorch.loggers.csv_logs.CSVLogger": {"flush_logs_every_n_steps": {"least": 1, "whole": True}},
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint": {"save_top_k": {"least": -1, "whole": True}},
    "lightning.pytorch.callbacks.progress.rich_progress.RichProgressBar": {"refresh_rate": {"whole": True}},
}
"""Ranges, as of `check_number`, of arguments of others' classes that take anything and fail later."""

_KINDS: Final = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null",
}  # fmt: skip


def check_arguments(target: Callable[..., Any], given: Mapping[str, Any], key: str = "") -> None:
    """Refuse values that are not of the types in a signature, or out of range where its owner does not look.

    Types are those of JSON: a whole number is a number, but no text is. Values that describe objects (``_target_``),
    and types that no plain value has, are left alone.

    Args:
        target: A class or function.
        given: Arguments by name.
        key: Of the setting that they are, for messages.

    Raises:
        ConfigError: If there is one.
    """
    for name, value in given.items():
        hint = _hints(target).get(name)
        full = f"{key}.{name}".lstrip(".")
        if hint is not None and not _is_object(value):
            check_value(full, hint, value)
        for ranged in (_RANGES.get(f"{kind.__module__}.{kind.__qualname__}", {}) for kind in _bases(target)):
            if name in ranged and type(value) in (int, float):
                check_number(full, value, **ranged[name])


def check_value(key: str, hint: Any, value: Any) -> None:
    """Refuse a plain value that is not of a type, as JSON has types.

    Args:
        key: Of the setting, for messages.
        hint: The type, as annotations have it.
        value: What was given.

    Raises:
        ConfigError: If it is of another one.
    """
    if not _fits(hint, value):
        raise ConfigError(f"{key} must be {_described(hint)}, got {value!r}")


def _bases(target: Callable[..., Any]) -> Sequence[type]:
    return target.__mro__ if isinstance(target, type) else ()


@cache
def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Types by argument, of a class also those that its constructor passes on to the next one."""
    found: dict[str, Any] = {}
    for function in [vars(kind).get("__init__") for kind in _bases(target)] or [target]:
        if function is None:
            continue
        try:
            found = get_type_hints(function) | found
        except (NameError, TypeError, AttributeError):  # names that only type checkers import
            return found
        if not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in signature(function).parameters.values()):
            break
    return found


def _is_object(value: Any) -> bool:
    """Whether a value has descriptions of objects in it."""
    if isinstance(value, Mapping):
        return "_target_" in value or any(_is_object(part) for part in value.values())
    return isinstance(value, list | tuple) and any(_is_object(part) for part in value)


def _fits(hint: Any, value: Any) -> bool:
    adapter = _adapter(hint)
    if adapter is None:
        return True
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except TypeError:  # an object that was made already
        return True
    except ValueError:  # as which pydantic says that it does not fit
        return False
    return True


@cache
def _adapter(hint: Any) -> Any:
    """What validates values of a type, a `pydantic.TypeAdapter`; None of one that no plain value has."""
    from pydantic import ConfigDict, TypeAdapter  # noqa: PLC0415  (half a second, which composing does without)
    from pydantic.errors import PydanticUserError  # noqa: PLC0415  (likewise)

    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticUserError, TypeError, NameError):
        return None


def _described(hint: Any) -> str:
    """A type in words."""
    if hint in _KINDS:
        return _KINDS[hint]
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(map(str, inside))
    if origin in (Union, types.UnionType):
        return " or ".join(_described(part) for part in inside)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping of names to {_described(inside[1])}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list of {_described(inside[0])}"
    return getattr(hint, "__name__", str(hint))
