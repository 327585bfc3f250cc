"""Write the API reference: one Markdown page for each room of the package, which Sphinx fills from the docstrings.

python scripts/document_api.py docs/api
"""

import argparse
import ast
from pathlib import Path
from typing import Final

from document_options import write_changed

PACKAGE: Final = Path(__file__).parents[1] / "src" / "contextrast"

COMMANDS: Final = ("benchmarks", "cli", "demo")
"""Rooms that are run and not imported; the scripts' and commands' own help tells about them."""


def main() -> None:
    """Write the pages into the folder that is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder of the pages; pages of the same names are replaced")
    write_changed(pages(), parser.parse_args().output)


def pages() -> dict[str, str]:
    """The pages by name: the index, the package's own modules, and its rooms."""
    rooms = {
        path.parent.name: sorted(path.parent.rglob("*.py"))
        for path in sorted(PACKAGE.glob("*/__init__.py"))
        if path.parent.name not in COMMANDS
    }
    made = {"contextrast": _page(PACKAGE / "__init__.py", sorted(PACKAGE.glob("*.py")))}
    made |= {name: _page(PACKAGE / name / "__init__.py", files) for name, files in rooms.items()}
    index = "# API\n\nThe package from its docstrings, one page per room.\n\n```{toctree}\n:maxdepth: 1\n\n"
    return {"index": "\n".join([index + "contextrast", *rooms, "```\n"]), **made}


def _page(room: Path, files: list[Path]) -> str:
    """What a room says about itself, and its public modules."""
    said = ast.get_docstring(ast.parse(room.read_text("utf-8"))) or ""
    sections = [f"## `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n" for name in map(_name, files) if name]
    return "\n".join([f"# `{_name(room) or _dotted(room.parent)}`\n", f"{said}\n", *sections])


def _name(path: Path) -> str:
    """A public module's name; empty for a package's own file, a private one, and what only draws the scenes."""
    inner = path.parent.name == "streets" and path.stem != "dataset"
    return "" if path.stem.startswith("_") or inner else _dotted(path.with_suffix(""))


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).parts)


if __name__ == "__main__":
    main()
