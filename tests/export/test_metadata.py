"""The page about an export."""

import pytest
from markdown_it import MarkdownIt

from contextrast.export.metadata import model_card

SCRIPT = "<script>alert(1)</script>"
HOSTILE = [SCRIPT, "<img src=x onerror=alert(1)>", "`<b>`", "a|b", "[x](javascript:alert(1))", "![x](http://a/b.png)",
           "a\n\n# b", "&lt;script&gt;", "\\<b>"]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_names_of_a_stranger_are_shown_and_nothing_else(text):
    """A renderer of Markdown that lets HTML through sees text alone."""
    metadata = {
        "model": {"_target_": text, "architecture": text, "encoder": text}, "dataset": text, "classes": [text, "road"],
        "palette": [[0, 0, 0], [1, 1, 1]], "licence": text, "output": "labels",
        "input": {"takes": "RGB", "mean": [0], "std": [1], "stride": 4, "smallest_side": 8},
        "metrics": {"miou": 0.5, "split": "val", "step": 2, "iou": {text: 0.5}},
        "checkpoint": {"name": text, "sha256": text, "step": 2, "git": {"commit": "c"}},
        "training": {"loss": {"_target_": text}, "optimizer": {"_target_": text}, "seed": text,
                     "data": {"batch_size": text, "crop": text}},
    }  # fmt: skip
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(model_card(metadata, text, "load()"))
    for tag in ("<script", "<img", "<b>", "<a "):
        assert tag not in page
    assert page.count("<h1>") == 1
    assert page.count("<tr>") == 3
