"""``contextrast-demo``: the page in a browser that nothing else is asked for; without one, its parts."""

import re
import socket
import time
import uuid

import httpx
import numpy as np
import pytest
from PIL import Image

from contextrast.data import Streets
from contextrast.data.labels import LabelTable
from contextrast.demo import Found, views
from contextrast.reporting.page.pictures import LAYERS
from contextrast.tasks.demo import titles
from tests.analysis.checkpoints import tiny_module, written
from tests.reporting import browser

CHROMIUM = browser.executable()


TOY = LabelTable("toy", ("sky", "<script>alert(1)</script>", "pole"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))
TURNED = LabelTable("turned", ("pole", "sky"), ((9, 9, 9), (1, 2, 3)))


def rows_of(table):
    rows = re.findall("<tr>(.*?)</tr>", table)
    return [[re.sub("<.*?>", "", cell) for cell in re.findall("<t[hd]>(.*?)</t[hd]>", row)] for row in rows]


def test_the_table_counts_and_does_not_trust_names():
    found = Found(np.array([[1, 1], [1, 0]], np.uint8), np.array([[255, 255], [0, 51]], np.uint8))
    table = views.areas([found], [TOY])
    assert "<script>" not in table
    assert "rgb(4, 5, 6)" in table
    assert rows_of(table) == [
        ["class", "area %", "confidence %"],
        ["&lt;script&gt;alert(1)&lt;/script&gt;", "75.0", "66.7"],
        ["sky", "25.0", "20.0"],
    ]
    assert rows_of(views.areas([Found(found.ids)], [TOY]))[2] == ["sky", "25.0", "–"]


def test_two_networks_are_compared_by_the_names_of_their_classes():
    first, second = Found(np.array([[0, 0, 2, 1]], np.uint8)), Found(np.array([[1, 0, 0, 1]], np.uint8))
    assert rows_of(views.areas([first, second], [TOY, TURNED]))[1:] == [
        ["sky", "50.0", "50.0", "0.0"],
        ["pole", "25.0", "50.0", "+25.0"],
        ["&lt;script&gt;alert(1)&lt;/script&gt;", "25.0", "0.0", "−25.0"],
    ]
    image = np.full((1, 4, 3), 90, np.uint8)
    picture, share = views.differences(image, [first, second], [TOY, TURNED])
    assert share == 0.5
    assert (picture == views.DIFFERENT).all(2).tolist() == [[False, True, False, True]]


def test_marks_are_mixed_with_the_grey_image_by_how_sure_a_network_is():
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (300, 3, 3), np.uint8)  # more rows than are mixed at once
    sure = generator.integers(0, 256, (300, 3), np.uint8)
    drawn = views.confidence(image, Found(np.zeros((300, 3), np.uint8), sure))
    for row, column in [(0, 0), (255, 2), (256, 1), (299, 2)]:
        grey = 50 + (image[row, column] @ [0.299, 0.587, 0.114]) * 120 / 255
        share = sure[row, column] / 255
        expected = [grey * share + value * (1 - share) for value in views.UNSURE]
        assert np.abs(drawn[row, column] - expected).max() <= 1
    assert views.confidence(image, Found(np.zeros((300, 3), np.uint8))) is image


def test_networks_are_named_by_their_runs(tmp_path):
    runs = tmp_path / "runs"
    last, best = (runs / "set" / "a" / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    assert titles([last, best], runs) == ["set/a", "set/a, best"]
    assert titles([tmp_path / "else" / "b" / "checkpoints" / "last.ckpt", runs / "export" / "model.onnx"], runs) == [
        "b", "export, model.onnx",
    ]  # fmt: skip
    assert titles([last, last], runs) == [str(last)] * 2


def wait_for(tab, script, seconds=60):
    end = time.monotonic() + seconds
    while not (value := tab.run(script)):
        assert time.monotonic() < end, f"{script}: {tab.errors} {tab.run('document.body.innerText')[:500]}"
        time.sleep(0.3)
    return value


@pytest.fixture
def connections(monkeypatch):
    """The hosts that anything in this process looks up or connects to."""
    hosts, look_up, connect = [], socket.getaddrinfo, socket.socket.connect

    def recorded_look_up(host, *arguments, **options):
        hosts.append(host)
        return look_up(host, *arguments, **options)

    def recorded_connect(self, address):
        hosts.append(address[0] if isinstance(address, tuple) else None)
        return connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", recorded_look_up)
    monkeypatch.setattr(socket.socket, "connect", recorded_connect)
    return hosts


def drop(tab, path):
    """Gives a file to the page's upload, as dropping it there does."""
    root = tab.send("DOM.getDocument")["root"]["nodeId"]
    node = tab.send("DOM.querySelector", nodeId=root, selector="input[type=file]")["nodeId"]
    tab.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason=f"none of {', '.join(browser.NAMES)} is installed")
PICTURES = "[...document.querySelectorAll('img')].filter(i => i.naturalWidth == 90).length"
SOURCES = "[...document.querySelectorAll('img')].map(i => i.src).join()"
ROWS = "document.querySelectorAll('.areas tbody tr').length"


def raise_opacity(tab):
    """Moves the slider; the pictures are drawn anew."""
    before = tab.run(SOURCES)
    tab.run("document.querySelector('input[type=range]').focus()")
    tab.press("ArrowRight", 39)
    return f"{SOURCES} != {before!r}"


def files_in(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


@needs_browser
def test_an_example_and_a_dropped_image_are_segmented_by_both_networks(composed, tmp_path, connections, caplog):
    pytest.importorskip("gradio", reason="comes with the extra `demo`")
    from contextrast.tasks.demo import launch, page  # noqa: PLC0415  (Gradio is optional)

    checkpoint = written(tiny_module(tmp_path, "loss=ce"), tmp_path / "first" / "checkpoints" / "last.ckpt")
    other = written(tiny_module(tmp_path, "loss=ce"), tmp_path / "second" / "checkpoints" / "best.ckpt")
    scenes = Streets("test", size=(70, 90))
    Image.fromarray(scenes.read(0)[0]).save(tmp_path / "scene.png")
    (tmp_path / "second" / LAYERS).mkdir(parents=True)
    Image.fromarray(scenes.read(1)[0]).save(tmp_path / "second" / LAYERS / "0_image.jpg")
    folder = tmp_path / "files"
    folder.mkdir()
    caplog.set_level("INFO")
    blocks = page(composed("demo", f"checkpoint={checkpoint}", f"compare={other}", "device=cpu"), folder)
    before = files_in(folder)
    address = launch(blocks, "127.0.0.1", None)
    try:
        with browser.browser(CHROMIUM, tmp_path / "profile") as tab:
            tab.resize(390, 844, mobile=True)
            tab.send("Page.navigate", url=address)
            wait_for(tab, "document.querySelector('button.gallery-item') !== null")
            assert tab.run("document.querySelector('h1').innerText") == "Contextrast"
            tab.run("document.querySelector('button.gallery-item').click()")
            assert wait_for(tab, f"{PICTURES} >= 5") >= 1  # the example twice, a picture a network, their differences
            assert wait_for(tab, ROWS) >= 1
            text = tab.run("document.body.innerText")
            assert "1 · first" in text
            assert "2 · second, best" in text
            assert str(tmp_path) not in text
            assert "They differ on 0.0 % of the pixels." in text  # weights of one seed
            tab.run("document.querySelector('[aria-label^=Remove]').click()")
            wait_for(tab, f"document.querySelector('input[type=file]') !== null && {ROWS} == 0")
            drop(tab, tmp_path / "scene.png")
            wait_for(tab, f"{ROWS} > 0 && {PICTURES} >= 5")
            assert tab.run("document.querySelectorAll('[aria-label*=hare]').length") == 0  # no button to send pictures
            wait_for(tab, f"{raise_opacity(tab)} && {PICTURES} >= 5")
            assert tab.run("document.documentElement.scrollWidth") <= 390
            assert [url for url in tab.requests if not url.startswith((address, "blob:"))] == []
            assert len(files_in(folder)) >= 6  # two uploads, and pictures twice
            tab.send("Page.navigate", url="about:blank")
            end = time.monotonic() + 60
            while (left := files_in(folder)) != before:
                assert time.monotonic() < end, left
                time.sleep(0.3)
    finally:
        blocks.close()
    assert len(before) == 1  # the example, for the next visitor
    assert {host for host in connections if host not in ("127.0.0.1", "localhost", None)} == set()
    assert not [record for record in caplog.records if record.name.startswith("httpx")]


@pytest.fixture
def served(tmp_path):
    """The address of a page whose network finds class 0 everywhere, and the folder of its files."""
    pytest.importorskip("gradio", reason="comes with the extra `demo`")
    from contextrast.demo.page import Shown, build, launch  # noqa: PLC0415  (Gradio is optional)

    folder = tmp_path / "files"
    folder.mkdir()
    shown = Shown("toy", Streets.labels, lambda image: Found(np.zeros(image.shape[:2], np.uint8)))
    blocks = build([shown], folder, megapixels=0.01)
    yield launch(blocks, "127.0.0.1", None), folder
    blocks.close()


@needs_browser
def test_one_network_is_drawn_anew_and_a_file_that_is_no_image_is_told(served, tmp_path):
    address, _ = served
    Image.fromarray(Streets("test", size=(70, 90)).read(0)[0]).save(tmp_path / "scene.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with browser.browser(CHROMIUM, tmp_path / "profile") as tab:
        tab.send("Page.navigate", url=address)
        wait_for(tab, "document.querySelector('input[type=file]') !== null")
        drop(tab, tmp_path / "scene.png")
        wait_for(tab, f"{ROWS} == 1 && {PICTURES} == 2")
        wait_for(tab, f"{raise_opacity(tab)} && {PICTURES} == 2")
        tab.run("document.querySelector('[aria-label^=Remove]').click()")
        wait_for(tab, f"document.querySelector('input[type=file]') !== null && {ROWS} == 0")
        drop(tab, tmp_path / "broken.png")
        message = wait_for(tab, "document.querySelector('.toast-body')?.innerText")
        assert "The file cannot be decoded" in message
        assert str(tmp_path) not in message


def asked(address, data):
    """What the server's queue answers to a request that was written by hand: the last event, as text."""
    api, session = f"{address}gradio_api/queue", uuid.uuid4().hex
    body = {"data": data, "fn_index": 0, "session_hash": session, "event_data": None, "trigger_id": None}
    httpx.post(f"{api}/join", json=body).raise_for_status()
    with httpx.stream("GET", f"{api}/data", params={"session_hash": session}, timeout=60) as answer:
        for line in answer.iter_lines():
            if "process_completed" in line:
                return line
    raise AssertionError("no answer")


def uploaded(address, path):
    with path.open("rb") as file:
        (there,) = httpx.post(f"{address}gradio_api/upload", files={"files": (path.name, file)}).json()
    return there


def test_a_request_names_uploads_alone(served, tmp_path):
    """Any image of the server's disk, by its path, with and without the web library's own mark; links and steps up."""
    address, folder = served
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    there = uploaded(address, tmp_path / "secret.png")
    assert '"success":true' in asked(
        address, [{"path": there, "meta": {"_type": "gradio.FileData"}}, "classes", 0.5]
    ).replace(" ", "")
    (folder / "link").mkdir()
    (folder / "link" / "a.png").symlink_to(tmp_path / "secret.png")
    made = next(folder.glob("sessions/*/*.png"))
    for path in (tmp_path / "secret.png", folder / ".." / "secret.png", folder / "link" / "a.png", made, "/etc/passwd",
                 folder, "/dev/zero"):  # fmt: skip
        for mark in ({}, {"meta": {"_type": "gradio.FileData"}}, {"url": str(path)}):
            answer = asked(address, [{"path": str(path), **mark}, "classes", 0.5]).replace(" ", "")
            assert '"success":false' in answer, path


def test_an_image_that_is_too_large_is_refused_before_it_is_decoded(served, tmp_path, monkeypatch):
    address, _ = served
    monkeypatch.setattr("contextrast.demo.uploads.decode_image", None)  # would fail otherwise
    Image.new("RGB", (101, 100)).save(tmp_path / "large.png")
    there = uploaded(address, tmp_path / "large.png")
    assert "101 x 100" in asked(address, [{"path": there, "meta": {"_type": "gradio.FileData"}}, "classes", 0.5])
