"""Run folders with all that a page shows, written by hand; and a reader of pages."""

import json
import shutil
from html.parser import HTMLParser

import numpy as np
import yaml

from contextrast.data.labels import LabelTable
from contextrast.reporting.page.layers import Layers, write_layers
from tests.reporting.records import metrics, write_run

LABELS = LabelTable("two", ("sky", "road"), ((0, 0, 255), (200, 0, 0)))
ENVIRONMENT = {"git": None, "versions": {"torch": "2.11"}, "seed": 0, "command": "contextrast-train -m seed=0,1"}


def scored(miou, correct):
    """Metrics of two classes of 100 pixels, of which ``correct`` of the first are found."""
    iou = {"sky": miou - 0.1, "road": miou + 0.1}
    return metrics(miou, iou=iou, confusion=[[correct, 100 - correct], [0, 100]], train_seconds=90.0)


def layers(seed, size=(12, 16)):
    """One image with random classes."""
    draw = np.random.default_rng(seed)
    target, prediction = draw.integers(0, 2, (2, *size))
    wrong = target != prediction
    image = draw.integers(0, 256, (*size, 3), dtype=np.uint8)
    return Layers(f"image <{seed}>", image, target, prediction, wrong, wrong & (target == 0), wrong)


def write_full_run(folder, loss, seed, miou, correct=50, number=0, images=1):
    """A finished run of training with its curves, layers, overrides and environment."""
    overrides = [f"loss={loss}", "data=camvid", f"seed={seed}"]
    write_run(folder, overrides, miou, number, seed=seed, kind=loss)
    (folder / "metrics.json").write_text(json.dumps(scored(miou, correct)))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT | {"seed": seed}))
    rows = [f"{step},{2 / step},{'' if step % 2 else miou * step / 10}" for step in range(1, 11)]
    (folder / "metrics.csv").write_text("\n".join(["step,train/loss,val/miou", *rows]) + "\n")
    write_layers(folder / "pictures" / "layers", 10, [layers(place) for place in range(images)], LABELS)
    return folder


def write_comparison(folder):
    """Two losses, two seeds each."""
    scores = {
        ("ce", 0): (0.5, 40),
        ("ce", 1): (0.6, 60),
        ("contextrast", 0): (0.53, 50),
        ("contextrast", 1): (0.61, 80),
    }
    for number, ((loss, seed), (miou, correct)) in enumerate(scores.items()):
        write_full_run(folder / f"loss={loss},seed={seed}", loss, seed, miou, correct, number)
    return folder


def write_sixty_runs(folder):
    """Twenty settings of three seeds of the size of real ones: 19 classes, 300 logged steps, pictures of 480 by 240."""
    draw = np.random.default_rng(0)
    names = [f"class {number}" for number in range(19)]
    table = LabelTable("many", tuple(names), tuple((11 * number, 255 - 9 * number, 90) for number in range(19)))
    examples = []
    for number in range(4):
        target, prediction = draw.integers(0, 19, (2, 15, 30)).repeat(16, axis=1).repeat(16, axis=2)
        image = draw.integers(0, 256, (60, 120, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
        wrong = target != prediction
        examples.append(Layers(f"image {number}", image, target, prediction, wrong, wrong & (target < 4), wrong))
    write_layers(folder / "layers", 300, examples, table)
    for number in range(60):
        run = write_full_run(folder / str(number), f"loss{number // 3}", number % 3, 0.5, number=number, images=0)
        scores = draw.random(19).tolist(), draw.integers(1, 1_000_000, (19, 19)).tolist()
        metrics_file = run / "metrics.json"
        content = {"iou": dict(zip(names, scores[0], strict=True)), "confusion": scores[1]}
        metrics_file.write_text(json.dumps(json.loads(metrics_file.read_text()) | content))
        lines = [",".join(map(str, (step, *draw.random(4)))) for step in range(300)]
        heads = "step,train/loss,val/miou,train/cross_entropy,train/pixel_anchor"
        (run / "metrics.csv").write_text("\n".join([heads, *lines]) + "\n")
        shutil.copytree(folder / "layers", run / "pictures" / "layers", dirs_exist_ok=True)
    return folder


def _no_constant(name):
    raise AssertionError(f"{name} is no JSON: a browser does not read it")


class Page(HTMLParser):
    """What a page consists of. Elements that are left open or closed twice are an error."""

    EMPTY = frozenset({"meta", "link", "input", "img", "br", "wbr"})

    def __init__(self, text):
        super().__init__()
        self.elements, self.tables, self.text, self._open = [], [], "", []
        self.data = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(name for name, _ in self._open)))
        if tag not in self.EMPTY:
            self._open.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(name for name, _ in self._open)))

    def handle_endtag(self, tag):
        opened = self._open.pop()[0] if self._open else None
        assert opened == tag, f"</{tag}> ends <{opened}> at {self.getpos()}"

    def handle_data(self, text):
        names = [name for name, _ in self._open]
        if names[-1:] == ["script"] and self._open[-1][1].get("type") == "application/json":
            self.data.append(json.loads(text, parse_constant=_no_constant))
        elif not {"script", "style"} & set(names):
            self.text += text
            if {"td", "th"} & set(names):
                self.tables[-1][-1][-1] += text

    def all(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]
