"""No known-bad version is pinned, and none that is a direct dependency is allowed."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
BAD = tomllib.loads(Path(__file__).with_name("known_bad_versions.toml").read_text())["bad"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LISTS = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
ALLOWED = [Requirement(text) for requirements in LISTS for text in requirements]
LOCK = (ROOT / "requirements.lock").read_text().splitlines()
PINNED = [Requirement(line) for line in LOCK if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad['package']} {bad['example']}")
def test_known_bad_versions_are_neither_pinned_nor_allowed(bad):
    versions, name = SpecifierSet(bad["versions"]), canonicalize_name(bad["package"])
    assert versions.contains(bad["example"])
    for requirement in PINNED:
        if canonicalize_name(requirement.name) == name:
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            assert not versions.contains(pin.version), bad["why"]
    mine = [requirement for requirement in ALLOWED if canonicalize_name(requirement.name) == name]
    allowing = [requirement for requirement in mine if requirement.specifier.contains(bad["example"])]
    assert len(allowing) < len(mine) or not mine, bad["why"]  # of several ranges for one package all count


def test_everything_is_pinned_and_nothing_names_an_index():
    assert len(PINNED) > 100
    assert all([pin.operator for pin in requirement.specifier] == ["=="] for requirement in PINNED)
    assert not any("://" in line or line.startswith("-") for line in LOCK)
    names = {canonicalize_name(requirement.name) for requirement in PINNED}
    ray = {canonicalize_name(Requirement(text).name) for text in PROJECT["optional-dependencies"]["ray"]}
    assert {canonicalize_name(requirement.name) for requirement in ALLOWED} - ray <= names
