"""Text, such as a path, as Hydra's override grammar takes it, and back."""

import re


def quoted(text: object) -> str:
    """Text as Hydra's override grammar takes it, whatever characters it has."""
    escaped = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + (r"\"" if found[2] else ""), str(text))
    return '"' + escaped.replace("${", r"\${") + '"'


def unquoted(text: str) -> str:
    """The value of an override as typed, or as `quoted` makes it."""
    value = text.partition("=")[2]
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        inner = re.sub(rf"\\+(?={value[0]}|$)", lambda run: "\\" * (len(run[0]) // 2), value[1:-1])
        return inner.replace(r"\${", "${")
    return value
