"""Text, such as a path, as Hydra's override grammar takes it, and back."""

import re
from typing import Final

_WORD: Final = re.compile(
    r"(?!(?:null|true|false|nan|inf)$)[A-Za-z_][\w./-]*|\.{0,2}/[\w./-]+", re.IGNORECASE | re.ASCII
)
"""Text that Hydra's grammar takes for text, and a shell for one word."""


def quoted(text: object) -> str:
    """Text as Hydra's override grammar takes it, whatever characters it has."""
    escaped = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + (r"\"" if found[2] else ""), str(text))
    return '"' + escaped.replace("${", r"\${") + '"'


def as_value(text: object) -> str:
    """Text as an override's value: as it is where it can only be text, quoted elsewhere (a folder called 12)."""
    word = str(text)
    return word if _WORD.fullmatch(word) else quoted(word)


def unquoted(text: str) -> str:
    """The value of an override as typed, or as `quoted` makes it."""
    value = text.partition("=")[2]
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        inner = re.sub(rf"\\+(?={value[0]}|$)", lambda run: "\\" * (len(run[0]) // 2), value[1:-1])
        return inner.replace(r"\${", "${")
    return value
