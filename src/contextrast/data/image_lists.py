"""List files: which images a split has, one name per line."""

from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath

from contextrast.data.problems import fail_if
from contextrast.data.text_files import normal, read_lines
from contextrast.errors import DataError, MissingSplitError


def read_image_list(path: Path) -> list[str]:
    """Read the names in a list file, in order; blanks around them, as VOC has, do not count.

    Raises:
        MissingSplitError: There is no such file.
        DataError: The file names no image, one twice, or one outside the dataset.
    """
    if not path.is_file():
        raise MissingSplitError(
            f"{path} does not exist; it lists the images of the split, a name per line. Fetch or write it."
        )
    names = [normal(line) for line in read_lines(path, errors="replace") if line]
    fail_if(
        [name for name, count in Counter(names).items() if count > 1],
        f"{path} names images more than once; leave one of each",
    )
    fail_if(
        [name for name in names if _leaves(name)], f"{path} has entries that leave the dataset's folder; remove them"
    )
    if not names:
        raise DataError(f"{path} names no image. Fetch it again.")
    return names


def _leaves(name: str) -> bool:
    """Whether a name, joined to a folder, can be a path outside of it, on any system."""
    windows = PureWindowsPath(name)  # splits at slashes of both kinds
    return PurePosixPath(name).is_absolute() or bool(windows.anchor) or ".." in windows.parts
