"""The dashboard in a real browser."""

import csv
import io
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from query.listen import Listen
from query.serving import HttpServer
from tests.components import require
from tests.query.stores import BOTH_NETS, NOON, SECOND, StoreFile, every_frame, shares

pytestmark = pytest.mark.integration

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
WAIT_MS = 20_000  # two cores, shared

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StoreFile, str]]:
    """A clip with four people and a gap, a live dated camera with action units; and where they are served."""
    store = StoreFile(tmp_path_factory.mktemp("dashboard") / "store.db")
    fill(store)
    server = HttpServer(store.path, Listen(port=0))
    while not server.is_ready:
        time.sleep(0.02)
    yield store, server.url
    server.close()
    store.close()


def fill(store: StoreFile) -> None:
    store.session("clip", complete_until=60 * SECOND, looked_at=1_500)
    store.gap(20 * SECOND, 30 * SECOND, "decode_error")
    times = every_frame(1_500)
    times = times[(times < 20 * SECOND) | (times >= 30 * SECOND)]
    for person in range(4):
        mine = times[(times >= person * 5 * SECOND)]
        store.person(f"clip.s1.{person}", mine, shares(len(mine), seed=person))
    store.session(
        "door", opened_at=NOON, dated=True, complete_until=NOON + 10 * SECOND, closed=False, uri="rtsp://door"
    )
    store.person(
        "door.s1.0", every_frame(250, begin=NOON), shares(250, 20), source="door", schema=BOTH_NETS, picture=None
    )


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for most tests: its cache holds the chart library."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext, served: tuple[StoreFile, str]) -> Iterator[Open]:
    """Open the dashboard; at the end, nothing may have complained and nothing may have left the host."""
    pages: list[Page] = []
    complaints: list[str] = []
    hosts: set[str] = set()

    def open_page(place: str = "#clip", within: BrowserContext = context) -> Page:
        page = within.new_page()
        pages.append(page)
        page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(f"{served[1]}/{place}")
        expect(page.locator(".card[data-drawn]").first).to_be_visible(timeout=WAIT_MS)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []
    assert hosts - {""} == {urlsplit(served[1]).netloc}  # «blob:» of a download has no host


def shown(page: Page) -> tuple[float, float]:
    """The stretch that the first card shows, in seconds."""
    text = page.locator(".card").first.get_attribute("data-drawn") or ""
    begin, end = map(float, text.split("…"))
    return begin, end


def until_shown(page: Page, wanted: tuple[float, float]) -> None:
    text = "{:.3f}…{:.3f}".format(*wanted)
    expect(page.locator(".card").first).to_have_attribute("data-drawn", text, timeout=WAIT_MS)


def test_the_people_of_a_recording_are_shown_on_one_time_axis(visit: Open) -> None:
    page = visit()

    expect(page.locator(".card h2")).to_have_text([f"Person {number}" for number in (1, 2, 3, 4)])
    expect(page.locator(".who p").first).to_have_text("seen 0:00 to 1:00 · 1,250 readings")
    expect(page.locator("#facts")).to_contain_text("1,500 of 1,500 frames looked at · 4 people · 1 gap")
    expect(page.locator("#completeness")).to_have_text("Complete until 1:00.0")
    expect(page.locator("#models")).to_have_text("Read by fer-test 1.2 (sha256 abababababab…).")
    expect(page.locator("#note")).to_have_text("Expressions are what a face shows, not what a person feels.")
    expect(page.locator(".words small").first).to_have_text("mean share · 1,250 readings shown")
    expect(page.locator(".words small").first).to_be_visible()
    assert shown(page) == (0, 60)


def test_nothing_is_drawn_where_nothing_was_seen(visit: Open) -> None:
    page = visit()

    drawn = page.evaluate(
        """() => document.querySelectorAll('.plot')[1].data.filter((trace) => trace.stackgroup)
            .map((trace) => trace.x.map((x, i) => [x, trace.y[i]]))"""
    )

    for area in drawn:
        x, y = np.array(area).T
        assert not np.any(y[(x < 5) | ((x > 20) & (x < 30))])  # before they came, and in the gap
        assert np.all(y[(x > 5.1) & (x < 19.9)] > 0)
        around = x[np.searchsorted(x, 20.5) - 1], x[np.searchsorted(x, 20.5)]
        assert around == pytest.approx((20, 30), abs=1e-3)  # both ends of the hole stand at zero
        assert np.interp([5.0 - 1e-3, 25.0], x, y).tolist() == [0, 0]


def test_pointing_tells_the_shares_or_why_there_are_none(visit: Open) -> None:
    page = visit()
    box = page.locator(".plot").nth(1).bounding_box()
    assert box is not None

    def point(seconds: float) -> None:
        page.mouse.move(box["x"] + 46 + (box["width"] - 72) * seconds / 60, box["y"] + 60)

    point(25)
    expect(page.locator("#tip em")).to_have_text("not looked at: damaged pictures")
    point(2)
    expect(page.locator("#tip em")).to_have_text("this face is not seen")
    point(15)
    expect(page.locator("#tip strong")).to_have_text("0:15")
    expect(page.locator("#tip em")).to_have_text("mean of 5 readings")
    assert page.locator("#tip b").count() == 5
    assert page.locator(".cross:visible").count() >= 2  # the same moment on every chart in sight


def test_dragging_zooms_all_people_and_refines_the_resolution(visit: Open) -> None:
    page = visit()
    expect(page.locator("#shown")).to_have_text("0:00 – 1:00 · one value per 200 ms")
    box = page.locator(".plot").first.bounding_box()
    assert box is not None

    page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 70, steps=5)
    page.mouse.up()

    expect(page.locator("#shown")).to_contain_text("every reading", timeout=WAIT_MS)
    begin, end = shown(page)
    assert 30 < begin < 35
    assert 44 < end < 49
    ranges = page.evaluate("() => [...document.querySelectorAll('.plot')].slice(0, 2).map((p) => p.layout.xaxis.range)")
    assert ranges[0] == ranges[1] == pytest.approx([begin, end], abs=1e-3)
    expect(page.locator(".words small").first).not_to_contain_text("1,250")

    page.mouse.dblclick(box["x"] + box["width"] / 2, box["y"] + 60)
    until_shown(page, (0, 60))


def test_the_keyboard_reaches_everything(visit: Open) -> None:
    page = visit()

    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("+")
    until_shown(page, (15, 45))
    page.keyboard.press("ArrowRight")
    until_shown(page, (22.5, 52.5))
    page.keyboard.press("-")
    until_shown(page, (0, 60))
    page.keyboard.press("+")
    page.keyboard.press("0")
    until_shown(page, (0, 60))

    page.locator("#recordings button[aria-current]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#recordings button", has_text="Person 2")).to_be_focused()
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#person-2 .chart")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#person-2 summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#person-2 table tbody tr").first).to_contain_text("this face is not seen")


def test_light_and_dark_follow_the_system_until_one_is_chosen(browser: Browser, visit: Open) -> None:
    def ground() -> int:
        text = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        return sum(map(int, text.removeprefix("rgb(").removesuffix(")").split(",")))

    dark = browser.new_context(color_scheme="dark")
    page = visit(within=dark)
    assert ground() < 150
    page.emulate_media(color_scheme="light")
    assert ground() > 600
    page.emulate_media(color_scheme="dark")
    page.locator("#theme").click()
    assert ground() > 600
    page.reload()
    expect(page.locator(".card[data-drawn]").first).to_be_visible(timeout=WAIT_MS)
    assert ground() > 600
    dark.close()


def test_nothing_overflows_on_a_narrow_screen(visit: Open) -> None:
    page = visit()
    for width in (1280, 700, 400):
        page.set_viewport_size({"width": width, "height": 900})
        expect(page.locator(".plot svg.main-svg").first).not_to_have_attribute("width", "0")
        page.wait_for_function(
            "() => document.querySelector('.plot svg.main-svg').getBoundingClientRect().right <= innerWidth"
        )

        assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
        wide = page.evaluate(
            """() => [...document.querySelectorAll('.card, .tools, .legend, .top, .head, .chart')]
                .filter((node) => node.scrollWidth > node.clientWidth + 1
                    || node.getBoundingClientRect().right > innerWidth)
                .map((node) => node.className)"""
        )
        assert wide == []


def test_a_download_holds_every_reading(visit: Open) -> None:
    page = visit()

    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download all readings of Person 4 as CSV").click()

    lines = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
    assert waiting.value.suggested_filename == "clip.s1.3.csv"
    assert [float(line["t"]) for line in (lines[0], lines[-1])] == [15.0, 59.96]
    assert len(lines) == 125 + 750


def test_a_live_camera_grows_by_itself(visit: Open, served: tuple[StoreFile, str]) -> None:
    store, _ = served
    page = visit("#door")
    expect(page.locator("#completeness")).to_contain_text("Live · complete until")
    assert shown(page)[1] == pytest.approx(10, abs=0.1)
    assert page.evaluate("() => document.querySelector('.plot').data.some((trace) => trace.type === 'heatmap')")

    times = every_frame(250, begin=NOON + 10 * SECOND)
    store.person("door.s1.0", times, shares(250, 20, seed=5), source="door", schema=BOTH_NETS)
    store.person("door.s1.1", times, shares(250, 20, seed=6), source="door", schema=BOTH_NETS)
    store.session(
        "door",
        opened_at=NOON,
        dated=True,
        complete_until=NOON + 20 * SECOND,
        looked_at=500,
        closed=True,
        uri="rtsp://door",
    )

    expect(page.locator(".card h2")).to_have_text(["Person 1", "Person 2"], timeout=WAIT_MS)
    until_shown(page, (0, 20))
    expect(page.locator("#completeness")).not_to_contain_text("Live")
    expect(page.locator(".who p").first).to_contain_text("500 readings")


def test_an_empty_and_an_unreadable_store_are_told(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    server = HttpServer(path, Listen(port=0))
    page = browser.new_page()
    while not server.is_ready:
        time.sleep(0.02)

    page.goto(f"{server.url}/")
    expect(page.locator("#banner")).to_contain_text("The store cannot be read", timeout=WAIT_MS)
    store = StoreFile(path)
    expect(page.locator("#state h1")).to_have_text("No recordings yet", timeout=WAIT_MS)
    expect(page.locator("#banner")).to_be_hidden()
    store.session("corridor", uri="corridor.mp4")
    expect(page.locator("#state h1")).to_have_text("No face in this recording", timeout=WAIT_MS)
    server.close()
    expect(page.locator("#banner")).to_contain_text("does not answer", timeout=WAIT_MS)
    page.close()
    store.close()
