"""The package's rooms: which may import which, as CONTRIBUTING has it, and objects that stay as they were made."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "contextrast"


def room_of(module):
    """The room of ``contextrast.ROOM...``, or the module beside the rooms; empty for others."""
    package, _, inner = module.partition(".")
    return inner.partition(".")[0] if package == "contextrast" else ""


def imported(source):
    """Names of what a file imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows(package):
    """The other rooms that each room imports, with a file that does."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        for other in filter(None, map(room_of, imported(path.read_text("utf-8")))):
            if other != room:
                found.setdefault(room, {}).setdefault(other, path)
    found.pop("__init__", None)
    return found


def levels(text):
    """Level of each room that CONTRIBUTING names, the uppermost 0."""
    (order,) = re.findall(r"^Arrows point one way: (.*?)\.", text, re.MULTILINE | re.DOTALL)
    return {room: level for level, rooms in enumerate(order.split("→")) for room in re.findall(r"`(\w+)`", rooms)}


def upward(found, level):
    return [f"{path}: {room} → {other}" for room, others in found.items() for other, path in others.items()
            if level[other] < level[room]]  # fmt: skip


def test_arrows_between_rooms_point_down_and_make_no_circle():
    found, level = arrows(PACKAGE), levels((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms | {path.stem for path in PACKAGE.glob("[!_]*.py")} == level.keys()
    assert len(rooms) <= 20
    assert not upward(found, level)
    TopologicalSorter(found).prepare()  # raises CycleError
    assert len(found) > 10
    assert set(found["contrast"]) == {"errors"}


def test_an_arrow_up_is_seen(tmp_path):
    level = levels("Arrows point one way: `cli` → `models`,\n`data` → `errors`. More.")
    assert level == {"cli": 0, "models": 1, "data": 1, "errors": 2}
    for name, source in {"cli/a": "import contextrast.models.x", "data/a": "def f():\n    from contextrast import cli",
                         "models/a": "from contextrast.data import b\nimport torch"}.items():  # fmt: skip
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    assert upward(arrows(tmp_path), level) == [f"{tmp_path / 'data' / 'a.py'}: data → cli"]


def altered(source):
    """Lines that set an attribute of another object than ``self``, and do not say why beside or above them."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "__setattr__")):
            targets = [ast.Attribute(node.args[0])] if node.args else []
        else:
            continue
        flat = [inner for target in targets for inner in getattr(target, "elts", [target])]
        others = [one for one in flat if isinstance(one, ast.Attribute) and ast.unparse(one.value) != "self"]
        near = lines[max(0, node.lineno - 2) : node.lineno]
        if others and not any(re.search(r"# (?!type:|noqa)", line) for line in near):
            yield lines[node.lineno - 1].strip()


def test_objects_are_not_altered_from_outside_without_a_reason():
    found = {path: list(altered(path.read_text("utf-8"))) for path in PACKAGE.rglob("*.py")}
    assert not {path: lines for path, lines in found.items() if lines}


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("a.b = 1", True),
        ("x, a.b = 1, 2", True),
        ("a.b += 1  # type: ignore[x]", True),
        ("setattr(a, 'b', 1)", True),
        ("object.__setattr__(a, 'b', 1)", True),
        ("self.b = self.c.d = 1", True),
        ("self.b = 1", False),
        ("setattr(self, 'b', 1)", False),
        ("a.b = 1  # the library wants it", False),
        ("# The library wants it.\na.b = 1", False),
        ("a['b'] = 1", False),
    ],
)
def test_an_alteration_is_seen(source, seen):
    assert bool(list(altered(source))) is seen
