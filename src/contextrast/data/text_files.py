"""Text files that people write: lists of images and of classes, with whatever mark their editor puts at the start."""

import codecs
import unicodedata
from pathlib import Path


def read_lines(path: Path, *, errors: str = "strict") -> list[str]:
    """Lines of a text file in UTF-8, or in UTF-16 with a byte order mark, without the blanks around them.

    Args:
        path: The file.
        errors: As `bytes.decode` takes it.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is something else, and ``errors`` is ``"strict"``.
    """
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return [line.strip() for line in content.decode("utf-16" if wide else "utf-8-sig", errors).splitlines()]


def normal(name: str) -> str:
    """A name in the form of Unicode in which equal names have equal letters: systems differ in how they write an ä."""
    return unicodedata.normalize("NFC", name)
