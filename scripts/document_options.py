"""Write the configuration reference: one Markdown page for each folder of ``conf/``, from the YAML files' comments.

python scripts/document_options.py docs/configuration
"""

import argparse
import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import yaml

from contextrast.folders import config_directory

COMMANDS = "commands"
"""The page of the files that are commands themselves, ``train.yaml`` and its neighbours."""

NO_GROUPS = ("wandb_sweeps",)
"""Folders of ``conf/`` that Hydra does not read: ``wandb sweep`` has a format of its own."""


CHOICES = "[!_]*.yaml"
"""Files that can be chosen. Those that start with an underscore are what several of them have in common."""


class Option(NamedTuple):
    """One setting of a file.

    Attributes:
        key: What stands before ``=`` in an override, such as ``loss.negatives.percentage``.
        default: Its value as the file writes it.
        comment: What the file says about it; empty where it says nothing.
    """

    key: str
    default: str
    comment: str


def main() -> None:
    """Write the pages into the folder that is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder of the pages; pages of the same names are replaced")
    write_changed(pages(config_directory()), parser.parse_args().output)


def write_changed(texts: Mapping[str, str], folder: Path) -> None:
    """Write pages into a folder by their names, and take away those that it has from an earlier time."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in set(folder.glob("*.md")) - {folder / f"{name}.md" for name in texts}:
        path.unlink()
    for name, text in texts.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text("utf-8") != text:  # an unchanged page is not built again
            path.write_text(text, "utf-8")


def pages(conf: Path) -> dict[str, str]:
    """The pages by name: the index, the commands, and the groups.

    Args:
        conf: The folder ``conf``.
    """
    folders = sorted(path for path in conf.iterdir() if path.is_dir() and path.name not in NO_GROUPS)
    groups = {path.name: files for path in folders if (files := sorted(path.rglob(CHOICES)))}
    made = {COMMANDS: _page("Commands", sorted(conf.glob(CHOICES)), conf)}
    made |= {group: _page(f"`{group}`", files, conf) for group, files in groups.items()}
    listed = "\n".join(made)
    index = (
        "# Configuration reference\n\nEvery option of every file under `conf/`, generated from the comments that stand "
        "beside them. A group's file is chosen by `GROUP=NAME`, an option is changed by `KEY=VALUE`, and "
        "`contextrast-train --cfg job` prints what a command line adds up to.\n\n"
        f"```{{toctree}}\n:maxdepth: 2\n\n{listed}\n```\n"
    )
    return {"index": index, **made}


def _page(title: str, files: list[Path], conf: Path) -> str:
    return "\n".join([f"# {title}", "", *(_section(path, conf) for path in files)])


def _section(path: Path, conf: Path) -> str:
    """A file: how it is chosen, what it says at its top, and a table of its options."""
    name = path.relative_to(conf).with_suffix("")
    group = name.parent.as_posix()
    heading = f"{path.name}" if group == "." else f"{group}={name.name}"
    lines = [f"## `{heading}`", "", *_described(head(path.read_text("utf-8"))), ""]
    rows = options(path, conf)
    if rows:
        lines += ["| option | default | meaning |", "|---|---|---|"]
        lines += [f"| `{row.key}` | {_cell(row.default)} | {_escape(row.comment)} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def head(text: str) -> list[str]:
    """What a file says about itself: the comment lines at its top, without its package."""
    comments = takewhile(lambda line: line.startswith("#"), text.splitlines())
    return [line.removeprefix("#").strip() for line in comments if "@package" not in line]


def options(path: Path, conf: Path) -> list[Option]:
    """The options of a file in its order, then those that it takes over from the files that it starts from.

    Of an option that it changes and says nothing about, the other file's comment counts. Targets and Hydra's defaults
    list are no options.

    Args:
        path: The file.
        conf: The folder ``conf``, from which the file's package follows.
    """
    return list(_options(path, conf, package(path, conf, path.read_text("utf-8"))).values())


def package(path: Path, conf: Path, text: str) -> str:
    """Where the options of a file lie: what its ``@package`` says, else its folder; empty for the top."""
    named = re.search(r"^# @package (\S+)$", text, re.MULTILINE)
    if named is not None:
        return "" if named[1] == "_global_" else named[1]
    return ".".join(path.relative_to(conf).parent.parts)


def _options(path: Path, conf: Path, prefix: str) -> dict[str, Option]:
    text = path.read_text("utf-8")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return {}
    own = {option.key: option for option in _walk(root, prefix, text.splitlines())}
    for base, its_package in _bases(path, conf, text, prefix):
        for key, option in _options(base, conf, its_package).items():
            own[key] = own[key]._replace(comment=own[key].comment or option.comment) if key in own else option
    return {key: own[key] for key in own if not re.search(r"(^|\.)(_target_|_partial_|defaults)$", key)}


def _bases(path: Path, conf: Path, text: str, prefix: str) -> Iterator[tuple[Path, str]]:
    """Files that the defaults list names without a choice, and where their options lie."""
    entries = (yaml.safe_load(text) or {}).get("defaults", ())
    for place, _, target in (entry.partition("@") for entry in entries if isinstance(entry, str)):
        base = (conf / place[1:] if place.startswith("/") else path.parent / place).with_suffix(".yaml")
        if base.is_file():
            here = prefix if target == "_here_" else f"{prefix}.{target}".strip(".")
            yield base, here if target else package(base, conf, base.read_text("utf-8"))


def _walk(node: yaml.MappingNode, prefix: str, lines: list[str]) -> Iterator[Option]:
    """Options below a node, depth first; of a mapping only its comment, if it has one, and what it holds."""
    for key_node, value in node.value:
        key = f"{prefix}.{key_node.value}" if prefix else key_node.value
        comment = _comment(key_node, value, lines)
        if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
            if comment:
                yield Option(key, "", comment)
            yield from _walk(value, key, lines)
        else:
            yield Option(key, _source(value, lines), comment)


def _source(value: yaml.Node, lines: list[str]) -> str:
    """A value as the file writes it, on one line."""
    first, last = value.start_mark, value.end_mark
    if first.line == last.line:
        return lines[first.line][first.column : last.column]
    between = [lines[first.line][first.column :], *lines[first.line + 1 : last.line], *lines[last.line : last.line + 1]]
    return " ".join(line.partition(" #")[0].strip() for line in between).strip()


def _comment(key: yaml.Node, value: yaml.Node, lines: list[str]) -> str:
    """What stands behind an option, else in the comment lines right above it."""
    block = isinstance(value, yaml.CollectionNode) and not value.flow_style
    mark = key.end_mark if block else value.end_mark
    behind = lines[mark.line][mark.column :].removeprefix(":").strip() if mark.line < len(lines) else ""
    if behind.startswith("#"):
        return behind.removeprefix("#").strip()
    above = takewhile(lambda line: line.lstrip().startswith("#"), reversed(lines[: key.start_mark.line]))
    found = [line.strip().removeprefix("#").strip() for line in above]
    at_the_top = len(found) == key.start_mark.line  # such comments are about the file
    return "" if at_the_top else " ".join(reversed(found))


def _described(lines: list[str]) -> list[str]:
    """A file's own words as Markdown: running text, with commands as paragraphs of code."""
    return [f"\n`{line}`\n" if line.startswith("contextrast-") else _escape(line) for line in lines]


def _escape(text: str) -> str:
    """Plain text as Markdown that shows it as it is; backticks stay code, and angle brackets no tags."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*_|<>$\[\]{}#~])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts).replace("|", r"\|").replace(r"\\|", r"\|")


def _cell(default: str) -> str:
    return f"`{default.replace('|', chr(92) + '|')}`" if default else ""


if __name__ == "__main__":
    main()
