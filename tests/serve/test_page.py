"""The story of a first morning, through real clicks: find, see why, mark, train, select, export."""

import os
import re
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from page_browser import PATIENCE_MS, Visitor, a_browser, a_server, a_visitor
from playwright.sync_api import Browser, Page, expect

from sceneminer.data.open import open_logs
from sceneminer.data.synth.write import write_dataset
from sceneminer.mine.run import mine

INDEX = "SCENEMINER_PAGE_INDEX"
"""Names an index to tell the story on, such as the demo's; else three logs of the demo's town are made."""
CAMERAS = ("CAM_FRONT", "CAM_FRONT_LEFT", "CAM_FRONT_RIGHT")

expect.set_options(timeout=PATIENCE_MS)


# One town for all of these: they are not spread over processes.
pytestmark = pytest.mark.xdist_group("town behind the page")


@pytest.fixture(scope="module")
def town_index(tmp_path_factory) -> Path:
    """The first three logs of the demo's town; two are at night, and in one of these somebody jaywalks."""
    if os.environ.get(INDEX):
        return Path(os.environ[INDEX]).resolve()
    folder = tmp_path_factory.mktemp("town")
    write_dataset(
        folder / "town",
        logs=3,
        seed=9,
        split="val",
        size_hw=(128, 224),
        sensors=CAMERAS,
        duration_s=12.0,
        workers=1,
        logs_per_town=5,
    )
    mine(folder / "town", folder / "night-town")
    return folder / "night-town"


@pytest.fixture(scope="module")
def browser():
    with a_browser() as found:
        yield found


@pytest.fixture(scope="module")
def address(town_index: Path, tmp_path_factory):
    """Exports go into a folder beside, whose name on the page tells nothing of this machine."""
    with pytest.MonkeyPatch.context() as patch, a_server(town_index, Path("exports")) as found:
        patch.chdir(tmp_path_factory.mktemp("work"))
        yield found


@pytest.fixture
def visitor(browser: Browser, address: str):
    with a_visitor(browser, address) as found:
        yield found


def is_drawn(page: Page, selector: str) -> bool:
    """Whether a canvas shows more than one colour."""
    return page.evaluate(
        """(selector) => {
          const canvas = document.querySelector(selector);
          const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          return new Set(new Uint32Array(pixels.buffer)).size > 3;
        }""",
        selector,
    )


@pytest.mark.slow
def test_a_new_user_finds_sees_marks_trains_selects_and_exports(visitor: Visitor):
    page = visitor.page
    assert "token" not in page.url
    _find_jaywalkers_at_night(visitor)
    _see_why(visitor)
    _mark_ten(page)
    _train_and_save(visitor)
    _select(visitor)
    folder = _export(visitor)
    logs = open_logs(folder)
    assert logs.logs
    assert all(log.cameras() for log in logs.logs)


@pytest.mark.slow
def test_the_map_shows_the_town_and_dark_and_narrow_windows_do_too(browser: Browser, address: str):
    with a_visitor(browser, address, color_scheme="dark") as dark:
        page = dark.go("#view=map")
        expect(page.locator("#map-state")).to_be_hidden()
        page.locator("#map-column").select_option("tag.night")
        expect(page.locator("#map-note")).to_contain_text("clips")
        dark.picture("map-dark")
    with a_visitor(browser, address, width=400, has_touch=True) as narrow:
        page = narrow.go("#text=a+jaywalker+at+night")
        narrow.picture("narrow")
        page.locator(".card a.open").first.tap()
        expect(page.locator("#clip canvas.bev")).to_have_attribute("aria-label", re.compile("From above"))
        assert page.evaluate("document.querySelector('.clip-body').scrollWidth") <= 400
        narrow.picture("narrow-clip")


def _find_jaywalkers_at_night(visitor: Visitor) -> None:
    page = visitor.page
    # The picture shows how long a search takes, not how long a server takes that has only just started.
    page.request.post(f"{visitor.origin}/api/search", data={"text": "a street", "top": 1}, timeout=PATIENCE_MS)
    page.get_by_label("Describe a scene").fill("a jaywalker at night")
    page.keyboard.press("Enter")
    expect(page.locator("#results-title")).to_have_text("Hits for “a jaywalker at night”")
    page.locator("#tags [data-tag=night]").click()
    expect(page.locator("#where")).to_have_value("tag.night >= 0.5")
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    night = page.locator("#tags [data-tag=night] .count")
    expect(page.locator("#filters-count")).to_have_text(re.compile(r"^Met by \d+ clips in 2 logs$"))
    expect(page.locator("#filters-count")).to_contain_text(f" {night.inner_text()} clips")
    cards = page.locator(".card[data-clip]")
    assert cards.count() >= 1
    for at in range(cards.count()):
        expect(cards.nth(at).locator(".badge", has_text="night")).to_have_count(1)
    expect(page.locator(".thumb").first).to_be_visible()
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    visitor.picture("search")


def _see_why(visitor: Visitor) -> None:
    page = visitor.page
    page.locator(".card a.open").first.click()
    said = page.locator("#clip .sentence")
    expect(said).to_have_text(re.compile(r"^Risk 0\.\d\d from the recorded tracks: .+ at \d+:\d\d\.\d, .+\d"))
    expect(page.locator("#clip canvas.bev")).to_have_attribute("aria-label", re.compile("From above at .*: .*car"))
    page.wait_for_function("document.querySelectorAll('.cell canvas').length >= 3")
    page.wait_for_function("[...document.querySelectorAll('.cell canvas')].every((one) => one.width > 16)")
    assert is_drawn(page, "#clip canvas.bev")
    assert is_drawn(page, "#clip canvas.timeline")
    visitor.picture("clip")
    before = page.locator("#time").inner_text()
    page.keyboard.press("Space")
    page.wait_for_function("(before) => document.getElementById('time').textContent !== before", arg=before)
    page.keyboard.press("Escape")


def _mark_ten(page: Page) -> None:
    """Five down from the list of the first hit's clips, five up with keys along the row of its log's clips."""
    page.locator(".card .members-button").first.click()
    members = page.locator(".member")
    for at in range(5):
        members.nth(at).get_by_role("button", name="Thumbs down").click()
    expect(page.locator("#marks-count")).to_have_text("0 liked, 5 disliked")
    page.locator(".card a.open").first.click()
    frames = page.locator("#clip .frame")
    expect(frames.first).to_be_visible()
    frames.last.click()
    for at in range(frames.count() - 1, frames.count() - 6, -1):
        expect(frames.nth(at)).to_have_attribute("aria-current", "true")
        page.keyboard.press("u")
        page.keyboard.press("[")
    expect(page.locator("#clip .frame[data-mark=up]")).to_have_count(5)
    page.get_by_role("button", name="Close (Esc)").click()
    expect(page.locator("#marks-count")).to_have_text("5 liked, 5 disliked")
    assert "up=" in page.url
    assert "down=" in page.url


def _train_and_save(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("button", name="Train").click()
    expect(page.locator("#results-title")).to_have_text("Ranked by your marks")
    expect(page.locator("#figures")).to_have_text(re.compile(r"Trained on 10 examples in .+"))
    liked = page.url.split("up=")[1].split("&")[0]
    assert page.locator(".card[data-clip]").first.get_attribute("data-clip") in liked.replace("%2B", "+")
    visitor.picture("train")
    page.get_by_label("Name of the head").fill("night_walker")
    page.get_by_role("button", name="Save as head").click()
    expect(page.locator("#saved")).to_contain_text("Saved as head night_walker")
    page.get_by_role("button", name=re.compile("Filter by head")).click()
    expect(page.locator("#where")).to_have_value(re.compile(r"tag\.night >= 0\.5 and .*night_walker.* >= 0\.5"))
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    assert page.locator(".card[data-clip]").count() >= 1
    expect(page.locator("#head-chips button")).to_have_attribute("aria-pressed", "true")
    page.locator("#where-clear").click()


def _select(visitor: Visitor) -> None:
    page = visitor.page
    page.keyboard.press("Shift+B")
    page.locator("#choose-from").select_option("all")
    page.locator("#choose-n").fill("20")
    page.locator("#choose-name").fill("first morning")
    page.locator("#quotas").fill("log<=8")
    page.get_by_role("button", name="Choose", exact=True).click()
    expect(page.locator("#choose-said")).to_contain_text(re.compile(r"Chose (1\d|20) clips of \d+ matches"))
    made = page.locator("[data-selection='first morning']")
    expect(made.locator("summary")).to_contain_text(re.compile(r"(1\d|20) clips"))
    expect(made.locator(".items li").first).to_be_visible()
    visitor.picture("select")


def _export(visitor: Visitor) -> str:
    page = visitor.page
    made = page.locator("[data-selection='first morning']")
    made.get_by_label("Format").select_option("nuscenes")
    made.get_by_role("button", name="Export").click()
    said = made.locator(".export-said")
    expect(said).to_contain_text("Exported")
    made.scroll_into_view_if_needed()
    visitor.picture("export")
    page.keyboard.press("Escape")
    return said.locator("code").inner_text()


def test_each_clip_by_itself_is_a_choice_that_the_address_keeps(visitor: Visitor):
    page = visitor.go("#text=a+car")
    whole = page.locator(".card[data-clip]").count()
    expect(page.locator(".members-button").first).to_be_visible()
    page.get_by_role("button", name="Each clip", exact=True).click()
    expect(page.locator("#results-sub")).to_contain_text(" clips in ")
    assert page.locator(".card[data-clip]").count() > whole and page.locator(".members-button").count() == 0
    page.reload()
    expect(page.get_by_role("button", name="Each clip", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Each clip", exact=True).click()
    expect(page.locator(".card[data-clip]")).to_have_count(whole)
