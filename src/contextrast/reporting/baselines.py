"""Which setting each setting is compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from contextrast.errors import ConfigError

_CONTRAST: Final = ("loss", "model.stages", "model.contrast_on", "module.loss_lr_ratio")
"""What is overridden to choose a contrast, or within one."""

_BASE: Final = ("loss.base", "loss/base", "loss.cross_entropy")
"""What is overridden to choose the loss that a contrast is added to."""


@dataclass(frozen=True)
class Baselines:
    """How baselines are chosen.

    Attributes:
        default: Label of the row that all others are compared with, or a part of it that no other label has; None
            takes the first row.
        pairs: Labels, or parts, of rows that have a baseline of their own, and of that baseline.
        own_base: Whether a contrast is compared with the row that differs from it in the contrast alone, where there
            is one: Contextrast on Lovász with Lovász.
    """

    default: str | None = None
    pairs: Sequence[tuple[str, str]] = ()
    own_base: bool = False

    def of(self, settings: Sequence[tuple[str, Mapping[str, str]]]) -> tuple[list[int | None], int | None]:
        """Place of each row's baseline, and of that of the others.

        Args:
            settings: Label and overrides by key of each row.

        Returns:
            None where this table has no such row; the row that is everybody's baseline has none.
        """
        labels = [label for label, _ in settings]
        default = 0 if self.default is None else find(labels, self.default)
        places = [None if place == default else default for place in range(len(labels))]
        if self.own_base:
            bases = [_base_of(place, [overrides for _, overrides in settings]) for place in range(len(labels))]
            places = [place if base is None else base for place, base in zip(places, bases, strict=True)]
        for text, other in self.pairs:
            row, base = find(labels, text), find(labels, other)
            if row is not None and base is not None and row != base:
                places[row] = base
        return places, default

    def check(self, tables: Sequence[Sequence[str]]) -> None:
        """Refuse names that are no row of any table.

        Args:
            tables: Labels of each table.

        Raises:
            ConfigError: If there are any.
        """
        shown = "\n  ".join(label for labels in tables for label in labels)
        asked = [] if self.default is None else [("--baseline", (self.default,))]
        for option, texts in [*asked, *(("--against", pair) for pair in self.pairs)]:
            if tables and not any(all(find(labels, text) is not None for text in texts) for labels in tables):
                words = " ".join(f'"{text}"' if " " in text else text for text in texts)
                raise ConfigError(f"{option} {words}: no row, or more than one, is called so. There are\n  {shown}")
            if len(texts) == 2 and any(find(labels, texts[0]) == find(labels, texts[1]) for labels in tables):
                raise ConfigError(f"{option} {texts[0]} {texts[1]}: a row is no baseline of itself.")


def find(labels: Sequence[str], text: str) -> int | None:
    """Place of the label that is the text, with or without ``loss=`` before it, or else alone contains it."""
    for exact in (text, f"loss={text}"):
        if exact in labels:
            return labels.index(exact)
    containing = [place for place, label in enumerate(labels) if text in label]
    return containing[0] if len(containing) == 1 else None


def _base_of(place: int, rows: Sequence[Mapping[str, str]]) -> int | None:
    """The row of plain cross-entropy or another base whose other overrides are the same."""
    if rows[place].get("loss") == "loss=ce":
        return None
    rest = _without_contrast(rows[place])
    bases = [other for other, row in enumerate(rows) if row.get("loss") == "loss=ce" and _without_contrast(row) == rest]
    return bases[0] if bases else None


def _without_contrast(overrides: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in overrides.items() if key.startswith(_BASE) or not key.startswith(_CONTRAST)}
