"""Sphinx's settings. The pages need no network: system fonts, mathematics as MathML, no search service.

sphinx-build -W --keep-going docs build/docs
"""

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "scripts"))

import document_api  # noqa: E402  (scripts, found by the line above)
import document_options  # noqa: E402
from contextrast.folders import config_directory  # noqa: E402

document_options.write_changed(document_options.pages(config_directory()), HERE / "configuration")
document_options.write_changed(document_api.pages(), HERE / "api")  # both before Sphinx looks for pages

project = "Contextrast"
author = "The Contextrast developers"
html_title = project
html_theme = "furo"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False

extensions = [
    "myst_nb",  # Markdown, and notebooks with the outputs they were committed with
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # Google docstrings
    "sphinx.ext.viewcode",  # source code beside the API
]
exclude_patterns = ["notebooks/runs"]
default_role = "py:obj"  # `names` in docstrings become links where such a name is documented
nb_execution_mode = "off"  # the tests execute them
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type"]  # pictures come as PNG and as JPEG; one is shown

autodoc_mock_imports = ["wandb_workspaces"]  # of an extra that the pages can do without
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False  # torch's and Lightning's methods are documented there
autodoc_class_signature = "mixed"
napoleon_use_ivar = True  # attributes are documented once, with their class
napoleon_use_rtype = False


def setup(app: Sphinx) -> None:
    """Register what Sphinx has no setting for."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    app.connect("autodoc-skip-member", skip_alias)
    app.connect("autodoc-process-docstring", escape, priority=600)  # behind napoleon
    app.connect("source-read", link_symbols)
    app.connect("source-read", name_files)


html_math_renderer = "mathml"


def visit_math(translator: Any, node: nodes.math) -> None:
    """Mathematics in a line."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_displaymath(translator: Any, node: nodes.math_block) -> None:
    """Mathematics on lines of its own."""
    translator.body.append(tex2mathml(node.astext(), as_block=True))
    raise nodes.SkipNode


def skip_alias(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:  # noqa: ARG001  (Sphinx's signature)
    """Leave out fields of named tuples, which are documented with their class."""
    is_field = (getattr(obj, "__doc__", "") or "").startswith("Alias for field number")
    return True if is_field else None


def escape(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001  (Sphinx's signature)
    """Show what docstrings mean as text: bars are norms, double stars arguments, and a single letter no list."""
    for number, line in enumerate(lines):
        parts = line.split("``")
        parts[::2] = [re.sub(r"(?<!\\)(\||\*\*(?=\w))", r"\\\1", part) for part in parts[::2]]
        lines[number] = re.sub(r"^(:\w+ [^:]+: |)([A-Z]\.)(?=$| )", r"\1\\\2", "``".join(parts))


def link_symbols(app: Sphinx, docname: str, source: list[str]) -> None:  # noqa: ARG001  (Sphinx's signature)
    """Make links to the API of the method page's ``file.py:symbol``, which stays readable where Markdown is shown."""
    if docname == "method":
        source[0] = re.sub(r"`([\w/]+)\.py:([\w.]+)`", _link, source[0])


def name_files(app: Sphinx, docname: str, source: list[str]) -> None:  # noqa: ARG001  (Sphinx's signature)
    """Show links to files outside this folder, which lead there where Markdown is shown, as the files' paths."""
    if "/" not in docname:
        source[0] = re.sub(r"\[([^\]]*)\]\(\.\./([\w/.]+)\)", _path, source[0])


def _path(found: re.Match[str]) -> str:
    text, path = found.groups()
    return f"`{path}`" if text == path else f"{text} (`{path}`)"


def _link(found: re.Match[str]) -> str:
    file, symbol = found.groups()
    return f"{{py:obj}}`{file}.py:{symbol} <contextrast.{file.replace('/', '.')}.{symbol}>`"
