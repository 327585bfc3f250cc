"""The documentation: its equations lead to code, every option and module is in it, and it builds without a network."""

import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from contextrast.folders import config_directory
from tests.conftest import choices

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS, PACKAGE, CONF = ROOT / "docs", ROOT / "src" / "contextrast", config_directory()
PAGES = (README, *DOCS.glob("*.md"), *DOCS.glob("how_to/*.md"))
HYDRAS = ("_target_", "_partial_")
SYMBOL = re.compile(r"`([\w/]+)\.py:([\w.]+)`")


@pytest.fixture
def reference(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return import_module("document_options")


@pytest.mark.parametrize(("path", "symbol"), SYMBOL.findall((DOCS / "method.md").read_text("utf-8")))
def test_every_equation_leads_to_code(path, symbol):
    found = import_module(f"contextrast.{path.replace('/', '.')}")
    module = found.__name__
    for name in symbol.split("."):
        found = getattr(found, name)
    assert found.__module__ == module, f"{symbol} is only imported in {path}.py"
    assert found.__doc__


def test_the_method_page_covers_the_papers_equations():
    text = (DOCS / "method.md").read_text("utf-8")
    for number in (1, 2, 3, 4, 6, 7):
        assert re.search(rf"^\| Eq\. {number}\b", text, re.MULTILINE), number
    for number in ("2", "3", "5", "7-9", "10", "11", "15"):
        assert re.search(rf"\+\+ Eqs?\. {number}\b", text), number
    assert len(SYMBOL.findall(text)) > 20


def test_options_named_on_the_method_page_exist(reference):
    keys = {row.key for path in CONF.rglob("*.yaml") for row in reference.options(path, CONF)}
    named = set(re.findall(r"`(loss\.[a-z_.]+)`", (DOCS / "method.md").read_text("utf-8")))
    assert named
    assert named <= keys


def test_every_option_of_a_file_is_in_the_reference(reference, tmp_path):
    """Against an independent reader of the same file: Hydra's composition."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loss = compose("train").loss
    flat = {f"loss.{key}" for key in _flat(OmegaConf.to_container(loss, resolve=False)) if not key.endswith("_target_")}
    files = ("contextrast", "base/cross_entropy", "negatives/bane", "fusion/static", "memory/none")
    found = {row.key for name in files for row in reference.options(CONF / "loss" / f"{name}.yaml", CONF)}
    assert flat - {"loss.memory"} <= found


@pytest.mark.parametrize(
    ("group", "choice"),
    [
        (group, choice)
        for group in ("data", "model", "loss/negatives", "loss/fusion", "optimizer", "scheduler", "trainer")
        for choice in choices(group)
    ],
)
def test_a_choice_lists_what_it_starts_from(reference, group, choice):
    """Keys and values against Hydra's composition, which merges the files by itself."""
    key = group.replace("/", ".")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        made = OmegaConf.to_container(OmegaConf.select(compose("train", [f"{group}={choice}"]), key))
    composed = {f"{key}.{name}": value for name, value in _flat(made).items() if name.rpartition(".")[2] not in HYDRAS}
    rows = [row for row in reference.options(CONF / group / f"{choice}.yaml", CONF) if row.key.startswith(f"{key}.")]
    assert {row.key: yaml.safe_load(row.default) for row in rows if row.default} == composed
    if group in ("data", "model", "loss/negatives", "loss/fusion"):
        assert all(row.comment for row in rows if not re.search(r"\.(lengths|color_jitter)\.", row.key))


def test_values_and_comments_are_those_of_the_file(reference, tmp_path):
    folder = tmp_path / "group"
    folder.mkdir()
    path = folder / "choice.yaml"
    path.write_text(
        "# What it is.\n_target_: a.B\n\n"
        "plain: 1  # behind\nlist: [1, 2]  # a | bar\n# above,\n# on two lines\nbare: x\n"
        "deep:  # of a mapping\n  inner: null # within\n  empty: {}\n"
    )
    assert [tuple(row) for row in reference.options(path, tmp_path)] == [
        ("group.plain", "1", "behind"),
        ("group.list", "[1, 2]", "a | bar"),
        ("group.bare", "x", "above, on two lines"),
        ("group.deep", "", "of a mapping"),
        ("group.deep.inner", "null", "within"),
        ("group.deep.empty", "{}", ""),
    ]
    assert r"a \| bar" in reference.pages(tmp_path)["group"]
    assert "## `group=choice`\n\nWhat it is." in reference.pages(tmp_path)["group"]


def test_packages_decide_the_keys(reference, tmp_path):
    path = tmp_path / "group" / "choice.yaml"
    path.parent.mkdir()
    for package, key in (("_global_", "steps"), ("other.place", "other.place.steps")):
        path.write_text(f"# @package {package}\n# Said.\nsteps: 1\n")
        assert [row.key for row in reference.options(path, tmp_path)] == [key]
        assert reference.head(path.read_text()) == ["Said."]


def test_every_file_of_conf_has_its_section(reference):
    text = "".join(reference.pages(CONF).values())
    for path in CONF.rglob(reference.CHOICES):
        name = path.relative_to(CONF)
        if name.parts[0] in reference.NO_GROUPS:
            continue
        heading = path.name if len(name.parts) == 1 else f"{name.parent.as_posix()}={path.stem}"
        assert f"## `{heading}`" in text
        assert isinstance(yaml.safe_load(path.read_text("utf-8")) or {}, dict)


def test_every_public_module_is_in_the_api_reference(reference):
    """Against Python's own list of what can be imported."""
    written = import_module("document_api")
    text = "\n".join(written.pages().values())
    found = set(_importable(PACKAGE, "contextrast."))
    left_out = re.compile(rf"contextrast\.({'|'.join(written.COMMANDS)}|data\.streets)\..*|.*\._\w+")
    public = {name for name in found if not left_out.fullmatch(name)} | {"contextrast.data.streets.dataset"}
    assert set(re.findall(r"automodule:: ([\w.]+)", text)) == public
    assert "contrast" in written.pages()


def python_blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def test_python_on_the_pages_is_valid():
    for page in PAGES:
        for block in python_blocks(page):
            compile(block, str(page), "exec")


def test_the_loop_in_the_readme_runs_and_trains_as_it_stands():
    (block,) = python_blocks(README)
    torch.manual_seed(0)
    names = {}
    exec(compile(block, str(README), "exec"), names)
    assert {"total", "pixel_anchor"} <= set(names["terms"])
    assert names["terms"].total.isfinite()
    assert names["criterion"].step == len(names["batches"]), "update() was called after each step"
    trained = [parameter for group in names["optimizer"].param_groups for parameter in group["params"]]
    moved = [name for name, value in names["criterion"].heads.named_parameters() if value.grad.abs().sum() > 0]
    assert moved, "the contrast reaches the heads"
    assert len(trained) == len([*names["model"].parameters(), *names["criterion"].parameters()])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings_that_exist(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text("utf-8"))):
        if re.match(r"https?:|\.\./\.\./actions/", target):  # elsewhere, or GitHub's own page of the workflow
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if path.parent != DOCS / "configuration":  # written when the pages are built
            assert path.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(path), f"{page.name} links to {target}"


def without_code(text):
    return re.sub(r"```.*?```|`[^`\n]*`", "`code`", text, flags=re.DOTALL)


def anchors(page):
    """Of its headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_index_and_from_the_readme():
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.glob("*.md")} - {"index.md"}
    linked = set(re.findall(r"\]\(([\w/]+\.md)", (DOCS / "index.md").read_text("utf-8")))
    assert pages <= linked
    assert {f"docs/{name}" for name in pages} <= set(re.findall(r"\]\(([\w/]+\.md)", README.read_text("utf-8")))


def test_no_command_installs_the_package_from_an_index_and_extras_exist():
    """It is on none: what is installed is a checkout, or a wheel from a folder."""
    written = [*PAGES, *PACKAGE.rglob("*.py"), *(ROOT / "scripts").glob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")]
    texts = {path: path.read_text("utf-8") for path in written}
    pattern = r"pip install (?!.*--no-index)[^`\n]*\bcontextrast\b(?![/-]).*"
    assert {path: found for path, text in texts.items() if (found := re.findall(pattern, text))} == {}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {
        name for text in texts.values() for group in re.findall(r"'\.\[([\w,-]+)\]'", text) for name in group.split(",")
    }
    assert named
    assert named <= extras.keys()


def test_badges_and_addresses_say_what_the_package_says():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    badges = {path.stem: path.read_text("utf-8") for path in (DOCS / "badges").glob("*.svg")}
    assert f">{project['license']}<" in badges["licence"]
    assert f">{project['requires-python'].removeprefix('>=')}+<" in badges["python"]
    assert (citation["license"], citation["version"]) == (project["license"], project["version"])
    assert all(url.startswith(citation["repository-code"]) for url in project["urls"].values())
    assert f"## [{project['version']}] - {citation['date-released']}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_workflow_and_the_issue_forms_are_what_github_reads():
    (workflow,) = (ROOT / ".github" / "workflows").glob("*.yml")
    job = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]["check"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == [".ci/run"]
    assert os.access(ROOT / commands[0], os.X_OK)
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text("utf-8"))
        if path.stem != "config":
            assert {"name", "description", "body"} <= set(form)
            named = [field["id"] for field in form["body"] if field["type"] != "markdown"]
            assert len(named) == len(set(named)) > 0


def test_overrides_on_the_pages_compose():
    """Every contextrast-train line without a placeholder, word for word."""
    lines = [
        line.partition(" #")[0].strip()
        for page in PAGES
        for line in page.read_text("utf-8").replace("\\\n", " ").splitlines()
        if line.startswith("contextrast-train") and not {"-m", "..."} & {*line.split()} and "resume=" not in line
    ]
    assert len(lines) > 10
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for line in lines:
            assert compose("train", line.split()[1:])


@pytest.mark.slow
def test_the_pages_build_without_a_warning_or_a_request(tmp_path):
    pytest.importorskip("sphinx", reason="needs the extra docs: pip install 'contextrast[docs]'")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    method = (tmp_path / "method.html").read_text("utf-8")
    assert "<math" in method
    link = r'<a class="reference internal" href="api/[^"]+"[^>]*><code[^>]*><span class="pre">([\w/]+\.py:[\w.]+)<'
    links = re.findall(link, method)
    assert links == [f"{path}.py:{symbol}" for path, symbol in SYMBOL.findall((DOCS / "method.md").read_text("utf-8"))]
    loaded = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']([^\"']+)|<link[^>]*\shref=[\"']([^\"']+)|url\(([^)]+)\)"
    )
    for page in (*tmp_path.rglob("*.html"), *tmp_path.rglob("*.css")):
        for groups in loaded.findall(page.read_text("utf-8")):
            address = "".join(groups).strip("\"'")
            assert not re.match(r"(https?:)?//", address), f"{page.name} loads {address}"


def _importable(folder, prefix):
    for module in pkgutil.iter_modules([str(folder)], prefix):
        if module.ispkg:
            yield from _importable(folder / module.name.removeprefix(prefix), f"{module.name}.")
        else:
            yield module.name


def _flat(content, prefix=""):
    flat = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def test_tests_that_pages_name_are_there():
    named = {
        name
        for page in (*PAGES, ROOT / "SECURITY.md")
        for name in re.findall(r"`(tests/[\w/.:]+)`", page.read_text("utf-8"))
    }
    assert len(named) > 15
    for name in named:
        file, _, function = name.partition("::")
        assert (ROOT / file).exists(), name
        assert not function or f"\ndef {function}(" in (ROOT / file).read_text("utf-8"), name
