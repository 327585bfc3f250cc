"""The page in a headless Chromium, where one is installed."""

import pytest

from contextrast.reporting.comparison import compare
from contextrast.reporting.page.document import html_page
from contextrast.runs.records import read_runs
from tests.reporting import browser
from tests.reporting.page_runs import write_comparison, write_full_run, write_sixty_runs

CHROMIUM = browser.executable()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"no browser: none of {', '.join(browser.NAMES)} is installed")

KEYS = {"Tab": 9, " ": 32, "ArrowRight": 39, "ArrowDown": 40}
FIRST = "document.querySelector('.stack')"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser.browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened
        assert not opened.errors, "no page says anything on the console"
        assert not opened.requests, "no page asks for anything"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    return page(write_comparison(folder / "sweep"), folder / "page.html")


def page(folder, path):
    path.write_text(html_page(compare(read_runs([folder]).runs), {}), encoding="utf-8")
    return path


def press(tab, key, times=1):
    for _ in range(times):
        tab.press(key, KEYS[key])


def focus(tab, selector):
    tab.run(f"document.querySelector('{selector}').focus()")


def clip(tab, side):
    return tab.run(f"getComputedStyle(document.querySelector('.half.{side}')).clipPath")


def shown(tab, layer):
    return tab.run(f"getComputedStyle(document.querySelector('.stack .{layer}')).display") != "none"


def test_slider_toggles_and_selects_work_by_keyboard(tab, compared):
    tab.open(compared)
    assert clip(tab, "right") == "inset(0px 0px 0px 50%)"
    focus(tab, "[data-part=split]")
    press(tab, "ArrowRight", 3)
    assert clip(tab, "right") == "inset(0px 0px 0px 53%)"
    assert clip(tab, "left") == "inset(0px 47% 0px 0px)"
    for layer in ("errors", "negatives", "truth"):
        assert not shown(tab, layer)
        focus(tab, f"[data-show={layer}]")
        press(tab, " ")
        assert shown(tab, layer)
    method = "document.querySelector('.left .prediction').src"
    before = tab.run(method)
    focus(tab, "[data-part=left]")
    press(tab, "ArrowDown", 2)
    assert tab.run("document.querySelector('.tag.of-left').textContent") == "ground truth"
    assert tab.run(method) != before
    assert tab.run(method) == tab.run("document.querySelector('.stack > .truth').src")


def test_everything_is_reached_with_the_tabulator(tab, compared):
    tab.open(compared)
    reached = []
    for _ in range(60):
        press(tab, "Tab")
        reached.append(tab.run("document.activeElement.id || document.activeElement.textContent.trim().slice(0, 30)"))
        if reached.count(reached[0]) > 1:
            break
    assert reached[0] == "Skip to the tables"
    controls = tab.run("[...document.querySelectorAll('select, input, button')].map((item) => item.id)")
    assert set(filter(None, controls)) <= set(reached)


def test_the_boundary_follows_the_pointer(tab, compared):
    tab.open(compared)
    tab.run(f"{FIRST}.scrollIntoView({{ block: 'center' }})")
    left, top, width, height = tab.run(f"(({{x, y, width, height}}) => [x, y, width, height])"
                                       f"({FIRST}.getBoundingClientRect())")  # fmt: skip
    for kind, share, buttons in (("mousePressed", 0.25, 1), ("mouseMoved", 0.75, 1), ("mouseReleased", 0.75, 0)):
        x, y = left + share * width, top + height / 2
        tab.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)
        assert clip(tab, "right") == f"inset(0px 0px 0px {100 * share:.0f}%)"


def test_marks_lie_above_the_prediction(tab, compared):
    tab.open(compared)
    order = "[...document.querySelector('.half.left').children].map((layer) => layer.className)"
    assert tab.run(order) == ["prediction", "errors", "negatives"]


def test_classes_confusions_and_curves_are_drawn(tab, compared):
    tab.open(compared)
    assert tab.run("document.querySelector('.bars tbody').rows.length") == 2
    bars = "[...document.querySelectorAll('.bars tr:first-child i')].map((bar) => bar.style.width)"
    assert tab.run(bars) == ["45%", "47%"]
    assert tab.run("document.querySelector('.matrix tbody td').textContent") == "+15.0"
    tab.run("document.querySelector('[data-line=\"0\"]').click()")
    hidden = "[...document.querySelectorAll('.curve')].filter((curve) => curve.style.display === 'none').length"
    assert tab.run(hidden) == 4


def test_a_single_run_is_drawn_beside_the_ground_truth(tab, tmp_path):
    tab.open(page(write_full_run(tmp_path / "run", "ce", 0, 0.5, correct=40), tmp_path / "page.html"))
    assert tab.run("[...document.querySelectorAll('.tag')].map((tag) => tag.textContent.slice(0, 12))") == [
        "ground truth", "loss=ce data",
    ]  # fmt: skip
    assert tab.run("[...document.querySelectorAll('.matrix td')].map((cell) => cell.textContent)") == [
        "40.0", "60.0", "", "100.0",
    ]  # fmt: skip


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_scrolls_down_only_and_the_page_follows_the_dark_mode(tab, compared, dark):
    tab.resize(390, 844, mobile=True, dark=dark)
    tab.open(compared)
    assert tab.run("document.documentElement.scrollWidth") <= 390
    color = tab.run("getComputedStyle(document.body).backgroundColor")
    assert color == ("rgb(17, 21, 26)" if dark else "rgb(255, 255, 255)")


def test_sixty_runs_stay_a_page_that_opens(tab, tmp_path):
    """What its time grows with: bytes to read and elements to place."""
    path = page(write_sixty_runs(tmp_path / "sweep"), tmp_path / "page.html")
    tab.resize(1280, 900)
    tab.open(path)
    assert path.stat().st_size < 3e6
    assert 60 < tab.run("document.getElementsByTagName('*').length") < 15_000


@pytest.mark.parametrize("width", [390, 980])
def test_no_word_of_a_setting_is_broken_where_the_table_is_narrow(tab, tmp_path, width):
    for number, loss in enumerate(("ce", "contextrast_of_long_name")):
        for seed in range(2):
            write_full_run(tmp_path / f"{loss}{seed}", loss, seed, 0.5 + number / 10 + seed / 100, number=number)
    tab.resize(width, 900)
    tab.open(page(tmp_path, tmp_path / "page.html"))
    lines = """[...document.querySelectorAll('.scores tbody .override')].flatMap((name) => [...name.childNodes])
        .filter((node) => node.nodeType === 3).map((node) => {
            const range = document.createRange(); range.selectNode(node);
            return [node.textContent, range.getClientRects().length]; })"""
    found = tab.run(lines)
    assert any(text.endswith("contextrast_of_long_name") for text, _ in found)
    assert {count for _, count in found} == {1}
