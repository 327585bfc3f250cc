"""``contextrast-demo``: the page in a browser that nothing else is asked for; without one, its parts."""

import socket
import time
import uuid

import httpx
import numpy as np
import pytest
from PIL import Image

from contextrast.data import Streets
from contextrast.data.labels import LabelTable
from contextrast.demo.page import legend
from tests.analysis.checkpoints import tiny_module, written
from tests.reporting import browser

CHROMIUM = browser.executable()


def test_the_legend_counts_and_does_not_trust_names():
    labels = LabelTable("toy", ("sky", "<script>alert(1)</script>", "pole"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))
    found = legend(labels, np.array([[1, 1], [1, 0]], dtype=np.uint8))
    assert "<script>" not in found
    assert found.index("&lt;script&gt;alert(1)&lt;/script&gt; 75.0%") < found.index("sky 25.0%")
    assert "rgb(4, 5, 6)" in found
    assert "pole" not in found


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


@pytest.mark.skipif(CHROMIUM is None, reason=f"no browser: none of {', '.join(browser.NAMES)} is installed")
def test_a_dropped_image_is_segmented_by_both_networks(composed, tmp_path, connections):
    pytest.importorskip("gradio", reason="comes with the extra `demo`")
    from contextrast.tasks.demo import launch, page  # noqa: PLC0415  (Gradio is optional)

    checkpoint = written(tiny_module(tmp_path, "loss=ce"), tmp_path / "a.ckpt")
    other = written(tiny_module(tmp_path, "loss=ce"), tmp_path / "b.ckpt")
    Image.fromarray(Streets("test", size=(70, 90)).read(0)[0]).save(tmp_path / "scene.png")
    folder = tmp_path / "files"
    folder.mkdir()
    blocks = page(composed("demo", f"checkpoint={checkpoint}", f"compare={other}", "device=cpu"), folder)
    address = launch(blocks, "127.0.0.1", None, block=False)
    try:
        with browser.browser(CHROMIUM, tmp_path / "profile") as tab:
            tab.send("Page.navigate", url=address)
            wait_for(tab, "document.querySelector('input[type=file]') !== null")
            drop(tab, tmp_path / "scene.png")
            assert wait_for(tab, "document.querySelectorAll('ul li span[style]').length") >= 2  # two legends
            assert str(checkpoint) in tab.run("document.body.innerText")
            sizes = "[...document.querySelectorAll('img')].filter(i => i.naturalWidth == 90).length"
            wait_for(tab, f"{sizes} >= 3")  # the image, and one picture a network
            assert tab.run("document.querySelectorAll('[aria-label*=hare]').length") == 0  # no button to send pictures
            sources = "[...document.querySelectorAll('img')].map(i => i.src).join()"
            before = tab.run(sources)
            tab.run("document.querySelector('input[type=range]').focus()")
            tab.press("ArrowRight", 39)
            wait_for(tab, f"{sources} != {before!r} && {sizes} >= 3")  # drawn anew with another opacity
            assert [url for url in tab.requests if not url.startswith((address, "blob:"))] == []
            assert len([path for path in folder.rglob("*") if path.is_file()]) >= 5  # the upload, and pictures twice
            tab.send("Page.navigate", url="about:blank")
            end = time.monotonic() + 60
            while left := [path for path in folder.rglob("*") if path.is_file()]:
                assert time.monotonic() < end, left
                time.sleep(0.3)
    finally:
        blocks.close()
    assert {host for host in connections if host not in ("127.0.0.1", "localhost", None)} == set()


@pytest.fixture
def served(tmp_path):
    """The address of a page whose network finds class 0 everywhere, and the folder of its files."""
    pytest.importorskip("gradio", reason="comes with the extra `demo`")
    from contextrast.demo.page import Shown, build, launch  # noqa: PLC0415  (Gradio is optional)

    folder = tmp_path / "files"
    folder.mkdir()
    shown = Shown("toy", Streets.labels, lambda image: np.zeros(image.shape[:2], np.uint8))
    blocks = build([shown], folder, megapixels=0.01)
    yield launch(blocks, "127.0.0.1", None, block=False), folder
    blocks.close()


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
    assert '"success":true' in asked(address, [{"path": there, "meta": {"_type": "gradio.FileData"}}, 0.5]).replace(
        " ", ""
    )
    (folder / "link").mkdir()
    (folder / "link" / "a.png").symlink_to(tmp_path / "secret.png")
    made = next(folder.glob("sessions/*/*.png"))
    for path in (tmp_path / "secret.png", folder / ".." / "secret.png", folder / "link" / "a.png", made, "/etc/passwd",
                 folder, "/dev/zero"):  # fmt: skip
        for mark in ({}, {"meta": {"_type": "gradio.FileData"}}, {"url": str(path)}):
            answer = asked(address, [{"path": str(path), **mark}, 0.5]).replace(" ", "")
            assert '"success":false' in answer, path


def test_an_image_that_is_too_large_is_refused_before_it_is_decoded(served, tmp_path, monkeypatch):
    address, _ = served
    monkeypatch.setattr("contextrast.demo.uploads.decode_image", None)  # would fail otherwise
    Image.new("RGB", (101, 100)).save(tmp_path / "large.png")
    there = uploaded(address, tmp_path / "large.png")
    assert "101 x 100" in asked(address, [{"path": there, "meta": {"_type": "gradio.FileData"}}, 0.5])
