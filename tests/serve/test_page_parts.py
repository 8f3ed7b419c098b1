"""Parts of the page in a browser: its address, sizes, themes, keys, filters, map, basket, and hostile names."""

import json
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from make_streams import make_index
from nuscenes_tree import make_nuscenes_tree
from page_browser import PATIENCE_MS, Visitor, a_browser, a_server, a_visitor
from playwright.sync_api import Browser, Page, expect

from sceneminer.index.manage import optimize
from sceneminer.index.search import open_index
from sceneminer.mine.run import mine
from sceneminer.model.example import make_clip_folder

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def mined(tmp_path_factory) -> Path:
    """Two scenes; the first has a name and a description that are markup."""
    folder = tmp_path_factory.mktemp("parts")
    root = make_nuscenes_tree(folder)
    scenes = root / "v1.0-mini" / "scene.json"
    rows = json.loads(scenes.read_text())
    rows[0] |= {"name": HOSTILE, "description": f"Night, {HOSTILE}"}
    scenes.write_text(json.dumps(rows))
    mine(root, folder / "index", model=make_clip_folder(folder / "clip"))
    optimize(open_index(folder / "index"))
    return folder / "index"


@pytest.fixture(scope="module")
def browser():
    with a_browser() as found:
        yield found


@pytest.fixture(scope="module")
def address(mined: Path, tmp_path_factory):
    with a_server(mined, tmp_path_factory.mktemp("exports")) as found:
        yield found


@pytest.fixture
def visitor(browser: Browser, address: str):
    with a_visitor(browser, address) as found:
        yield found


def wide(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth")


def first_clip(page: Page) -> str:
    clip = page.locator(".card[data-clip]").first.get_attribute("data-clip")
    assert clip
    return clip.replace("+", "%2B")


def test_a_link_shows_the_same_after_reload_and_back_leads_to_before(visitor: Visitor):
    page = visitor.go("#text=a+car&where=risk+%3E%3D+0")
    page.locator(".card [data-act=up]").first.click()
    page.locator(".card a.open").first.click()
    expect(page.locator("#clip .sentence")).to_be_visible()
    page.keyboard.press(".")
    address, time = page.url, page.locator("#time").inner_text()
    page.reload()
    expect(page.locator("#clip .sentence")).to_be_visible()
    expect(page.locator("#time")).to_have_text(time)
    assert page.url == address
    assert page.locator("#text").input_value() == "a car"
    assert page.locator("#where").input_value() == "risk >= 0"
    page.keyboard.press("Escape")
    expect(page.locator("#clip")).not_to_be_visible()
    expect(page.locator("#marks-count")).to_have_text("1 liked, 0 disliked")
    page.go_back()
    expect(page.locator("#clip")).to_be_visible()


def test_names_from_logs_are_text_never_markup(visitor: Visitor):
    page = visitor.go()
    expect(page.locator(".card-line b", has_text="<img src=x")).to_have_count(1)
    page.locator(".card", has_text="<img").locator("a.open").click()
    expect(page.locator("#clip .facts")).to_contain_text(f"Night, {HOSTILE}")
    assert page.title() != "owned"
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("fragment", ["", "#view=map", "#text=a+car"])
def test_400_pixels_are_wide_enough(browser: Browser, address: str, fragment: str):
    with a_visitor(browser, address, width=400) as visitor:
        page = visitor.go(fragment)
        assert wide(page) <= 400
        assert page.locator("#grid").bounding_box()["width"] <= 400  # type: ignore[index]


def test_at_400_pixels_filters_clip_and_basket_are_sheets(browser: Browser, address: str):
    with a_visitor(browser, address, width=400, has_touch=True) as visitor:
        page = visitor.go()
        page.get_by_role("button", name="Filters").click()
        expect(page.locator("#where")).to_be_visible()
        page.locator("#tags [data-tag=rain]").click()
        page.get_by_role("button", name="Close the filters").click()
        expect(page.locator("#filters-open")).to_have_text("Filters (1)")
        visitor.go()
        page.locator(".card a.open").first.tap()
        expect(page.locator("#clip canvas.bev")).to_be_visible()
        sheet = page.locator("#clip").bounding_box()
        assert sheet and sheet["width"] == 400
        assert page.evaluate("document.querySelector('.clip-body').scrollWidth") <= 400
        page.get_by_role("button", name="Close (Esc)").tap()
        page.locator("#basket-open").tap()
        assert page.locator("#basket").bounding_box()["width"] <= 400  # type: ignore[index]
        assert wide(page) <= 400


CONTRAST = """([text, ground]) => {
  const probe = document.createElement("i");
  document.body.append(probe);
  const light = (name) => {
    probe.style.color = `var(--${name})`;
    const parts = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const linear = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const [a, b] = [light(text), light(ground)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}"""
PAIRS = [(text, ground) for text in ("text", "muted", "accent", "error") for ground in ("bg", "panel", "raised")] + [
    ("on-accent", "accent"),
    ("on-risk", "risk"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(browser: Browser, address: str, scheme: str):
    with a_visitor(browser, address, color_scheme=scheme) as visitor:
        found = {pair: visitor.page.evaluate(CONTRAST, list(pair)) for pair in PAIRS}
    assert min(found.values()) >= 4.5, min(found, key=found.__getitem__)


def test_the_theme_follows_the_system_until_one_is_chosen(browser: Browser, address: str):
    ground = "getComputedStyle(document.body).backgroundColor"
    with a_visitor(browser, address, color_scheme="dark") as visitor:
        page = visitor.page
        dark = page.evaluate(ground)
        page.get_by_role("button", name="Use the light theme").click()
        light = page.evaluate(ground)
        assert light != dark
        page.reload()
        expect(page.get_by_role("button", name="Use the dark theme")).to_be_visible()
        assert page.evaluate(ground) == light


def test_keys_move_open_step_mark_and_close(visitor: Visitor):
    page = visitor.go("#text=a+car")
    expect(page.locator(".card[data-clip]")).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("l")
    second = page.locator(".card[data-clip]").nth(1)
    expect(second.locator("a.open")).to_be_focused()
    page.keyboard.press("u")
    expect(second.locator("[data-act=up]")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("d")
    expect(second.locator("[data-act=down]")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("b")
    expect(page.locator("#basket-count")).to_have_text("1")
    page.keyboard.press("Enter")
    expect(page.locator("#clip .sentence")).to_be_visible()
    page.keyboard.press("k")
    expect(page.locator("#hit-place")).to_have_text("1 of 2")
    page.keyboard.press("Escape")
    expect(page.locator("#clip")).not_to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#help-keys")).to_contain_text("search")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("#text")).to_be_focused()


def test_chips_sliders_and_the_text_are_one_filter(visitor: Visitor):
    page = visitor.go()
    chip, where = page.locator("#tags [data-tag=rain]"), page.locator("#where")
    chip.click()
    expect(where).to_have_value("tag.rain >= 0.5")
    chip.click()
    expect(where).to_have_value("tag.rain < 0.5")
    expect(chip).to_have_attribute("aria-pressed", "mixed")
    page.get_by_label("Risk, least").focus()
    page.keyboard.press("ArrowRight")
    expect(where).to_have_value("tag.rain < 0.5 and risk >= 0.05")
    where.fill("risk <= 0.9 and (tag.night > 0.1 or tag.rain > 0.1)")
    where.press("Enter")
    expect(page.get_by_label("Risk, most")).to_have_value("0.9")
    expect(chip).to_have_attribute("aria-pressed", "false")
    chip.click()
    expect(where).to_have_value("risk <= 0.9 and (tag.night > 0.1 or tag.rain > 0.1) and tag.rain >= 0.5")


def test_a_word_about_agents_becomes_a_condition_that_the_server_takes(visitor: Visitor):
    page = visitor.go()
    page.get_by_text("What agents do").click()
    page.get_by_label("Kind of agent").select_option("car")
    for word in ("crossing in front", "turning", "left of", "ttc s", "lasting"):
        page.locator("#where-clear").click() if page.locator("#where").input_value() else None
        page.locator(".word", has=page.get_by_text(word, exact=False)).first.click()
        expect(page.locator("#where")).to_have_value(re.compile("agent.category == 'car'"))
        expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
        expect(page.locator("#where-error")).to_be_empty()
    page.locator("#where").fill("agent.category == 'car' and agent.distance_m < 40")
    page.locator("#where").press("Enter")
    expect(page.locator(".card").first).to_contain_text(re.compile(r"filter met by car .+ s in"))


def test_a_filter_that_is_wrong_is_told_at_its_field(browser: Browser, address: str):
    with a_visitor(browser, address, expected="status of 400") as visitor:
        page = visitor.page
        page.locator("#where").fill("speling > 1")
        page.keyboard.press("Enter")
        expect(page.locator("#where-error")).to_contain_text("speling")
        expect(page.locator("#grid .state")).to_contain_text("speling")
        page.get_by_role("button", name="Clear the filter").click()
        expect(page.locator(".card[data-clip]").first).to_be_visible()


def test_nothing_found_says_what_to_do(visitor: Visitor):
    page = visitor.go("#where=risk+%3E+2")
    expect(page.locator("#grid .state")).to_contain_text("No clip meets the whole filter")
    page.locator("#grid").get_by_role("button", name="Clear the filter").click()
    expect(page.locator(".card[data-clip]").first).to_be_visible()


def test_a_lasso_on_the_map_shows_what_lies_inside(visitor: Visitor):
    page = visitor.go()
    page.keyboard.press("m")
    expect(page.locator("#map-note")).to_contain_text("clips")
    expect(page.locator("#map-state")).to_be_hidden()
    box = page.locator("#map-line").bounding_box()
    assert box
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98), (0.02, 0.04)]
    spots = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot, steps=8)
    page.mouse.up()
    title = page.locator("#results-title")
    expect(title).to_have_text(re.compile(r"[1-9]\d* clips? inside the lasso"))
    said = title.inner_text()
    page.reload()
    expect(title).to_have_text(said)
    page.get_by_role("button", name="Clear the lasso").click()
    expect(title).to_have_text("Hardest clips of the index")


def test_an_image_is_a_query(visitor: Visitor, mined: Path):
    page = visitor.go()
    picture = next((mined.parent / "nuscenes" / "samples" / "CAM_FRONT").glob("*.jpg"))
    page.locator("#image-file").set_input_files(str(picture))
    expect(page.locator("#results-title")).to_have_text("Hits like the image")
    expect(page.locator("#parts")).to_contain_text("image: ")
    expect(page.locator(".card .score").first).to_be_visible()
    page.reload()
    expect(page.locator("#results-title")).to_have_text("Hits like the image")
    page.get_by_role("button", name="Leave out the image").click()
    expect(page.locator("#results-title")).to_have_text("Hardest clips of the index")


def test_a_saved_query_opens_again(visitor: Visitor, tmp_path: Path):
    page = visitor.go("#text=a+car&where=risk+%3E%3D+0")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the query").click()
    saved = tmp_path / "query.json"
    download.value.save_as(saved)
    assert json.loads(saved.read_text()) == {"format": 1, "text": "a car", "where": "risk >= 0"}
    visitor.go()
    page.locator("#image-file").set_input_files(str(saved))
    expect(page.locator("#results-title")).to_have_text("Hits for “a car”")
    expect(page.locator("#where")).to_have_value("risk >= 0")


def test_more_like_this_and_hovering(visitor: Visitor):
    page = visitor.go()
    page.locator(".card .picture").first.hover()
    expect(page.locator(".card canvas.film").first).to_be_visible()
    page.locator(".card a.open").first.click()
    page.locator("#more-like-this").click()
    expect(page.locator("#results-title")).to_have_text("More like this clip")
    expect(page.locator(".card .score").first).to_be_visible()


def test_the_basket_becomes_a_selection_and_outlives_a_reload(visitor: Visitor):
    page = visitor.go()
    page.locator(".card [data-act=basket]").first.click()
    page.reload()
    expect(page.locator("#basket-count")).to_have_text("1")
    page.locator("#basket-open").click()
    page.get_by_label("Name of the selection").fill("by hand")
    page.get_by_role("button", name="Make selection").click()
    made = page.locator("[data-selection='by hand']")
    expect(made.locator(".items li").first).to_be_visible()
    made.get_by_label("Format").select_option("csv")
    made.get_by_role("button", name="Export").click()
    expect(made.locator(".export-said")).to_contain_text("by hand-csv.csv")


def test_what_goes_wrong_in_a_sheet_is_told_in_it(browser: Browser, address: str):
    with a_visitor(browser, address, expected="status of 400") as visitor:
        page = visitor.page
        page.locator("#basket-open").click()
        page.locator("#choose-name").fill("never")
        page.locator("#quotas").fill("nonsense")
        page.get_by_role("button", name="Choose", exact=True).click()
        expect(page.locator("#basket .note.bad")).to_contain_text("expected a quota such as log<=3")


def test_a_server_that_may_not_write_offers_no_writing(browser: Browser, mined: Path, tmp_path: Path):
    with (
        a_server(mined, tmp_path, can_write=False) as address,
        a_visitor(browser, address) as visitor,
    ):
        page = visitor.page
        page.locator(".card [data-act=basket]").first.click()
        page.locator("#basket-open").click()
        expect(page.locator("#read-only")).to_be_visible()
        expect(page.get_by_role("button", name="Make selection")).to_be_hidden()
        expect(page.get_by_role("button", name="Choose", exact=True)).to_be_hidden()


def test_more_hits_are_one_click_away(browser: Browser, tmp_path: Path):
    index = make_index(tmp_path / "index", logs=30, per_log=10)
    with (
        a_server(index.folder, tmp_path / "exports") as address,
        a_visitor(browser, address, expected="status of 404") as visitor,
    ):
        page = visitor.go("#where=images+%3E+0")
        page.get_by_role("button", name="Show each clip").click()
        cards = page.locator(".card[data-clip]")
        expect(cards).to_have_count(60)
        first = cards.nth(59).get_attribute("data-clip")
        page.get_by_role("button", name="Show more").click()
        expect(cards).to_have_count(120)
        expect(page.locator(".card[data-clip]:focus-within")).to_have_count(1)
        assert cards.nth(59).get_attribute("data-clip") == first
        for shown in (180, 200):
            page.get_by_role("button", name="Show more").click()
            expect(cards).to_have_count(shown)
        expect(page.get_by_role("button", name="Show more")).to_have_count(0)
        page.locator("#where-clear").click()
        expect(cards).to_have_count(0)


def test_clips_without_a_picture_say_so(browser: Browser, mined: Path, tmp_path: Path):
    shutil.copytree(mined, tmp_path / "index")
    open_index(tmp_path / "index").store.delete("thumbs", "true")
    with (
        a_server(tmp_path / "index", tmp_path / "exports") as address,
        a_visitor(browser, address, expected="status of 404") as visitor,
    ):
        page = visitor.page
        expect(page.locator(".card .picture").first).to_contain_text("no image")
        page.locator(".card a.open").first.click()
        expect(page.locator("#clip .strip [aria-current]")).to_contain_text("no image")


def test_images_that_have_moved_are_said(browser: Browser, mined: Path, tmp_path: Path):
    shutil.copytree(mined, tmp_path / "index")
    away = mined.parent / "nuscenes"
    away.rename(mined.parent / "moved")
    try:
        with (
            a_server(tmp_path / "index", tmp_path / "exports") as address,
            a_visitor(browser, address) as visitor,
        ):
            page = visitor.page
            page.locator(".card a.open").first.click()
            expect(page.locator("#clip .banner")).to_contain_text(re.compile("expected|media-root|found"))
            expect(page.locator("#clip .sentence")).to_be_visible()
    finally:
        (mined.parent / "moved").rename(away)
