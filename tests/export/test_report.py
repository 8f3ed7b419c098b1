"""The report: valid, self-contained, escaped, and with the index's own numbers."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hostile_words import HOSTILE_NAME, HOSTILE_WORDS

from sceneminer.export.card import read_cards
from sceneminer.export.html import Html, tag
from sceneminer.export.report import write_report
from sceneminer.export.words import measure_words, risk_words, top_tags
from sceneminer.index.search import Index, hardest, search
from sceneminer.labels.prompts import TAGS

_VOID = {"meta", "img", "source", "br"}
QUERY = "a <b>car</b> & a bus"


class Page(HTMLParser):
    """Every element with its attributes, and the text; fails on elements that are not closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, name, attrs):
        self.elements.append((name, dict(attrs)))
        if name not in _VOID:
            self._open.append(name)

    def handle_endtag(self, name):
        assert self._open and self._open[-1] == name, f"</{name}> closes {self._open[-1:]}"
        self._open.pop()

    def handle_data(self, data):
        self.text.append(data)

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def make_report(index: Index, out: Path) -> tuple[str, Page]:
    searches = [(QUERY, search(index, QUERY, top=3)), ("nothing", ())]
    write_report(index, out, searches=searches, hardest=hardest(index, top=3), note="a note")
    text = out.read_text(encoding="utf-8")
    return text, Page(text)


@pytest.fixture(scope="module")
def hostile_page(hostile_index, tmp_path_factory) -> tuple[str, Page]:
    return make_report(hostile_index, tmp_path_factory.mktemp("report") / "report.html")


def test_the_report_asks_for_nothing_and_runs_nothing(hostile_page):
    text, page = hostile_page
    assert text.startswith("<!DOCTYPE html>")
    names = {name for name, _ in page.elements}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for name, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on")], name
        for key in ("src", "srcset", "href"):
            value = attributes.get(key)
            assert value is None or value.startswith("data:image/"), (name, key, value)
    assert "url(" not in text and "@import" not in text
    policy = [a for n, a in page.elements if n == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in str(policy[0]["content"])
    assert len(text) < 2_000_000


def test_hostile_names_and_words_stay_text(hostile_page):
    text, page = hostile_page
    assert "<script" not in text and "<img src=x" not in text
    assert HOSTILE_NAME in page.words() and HOSTILE_WORDS in page.words()
    assert QUERY in page.words()


def test_what_was_masked_is_counted_and_named(hostile_page):
    _, page = hostile_page
    assert re.search(r"\b1 images masked", page.words())
    assert "CAM_FRONT" in page.words() and "broken file" in page.words()


def test_numbers_are_those_of_the_index(town_index, tmp_path):
    _, page = make_report(town_index, tmp_path / "report.html")
    words = page.words()
    rows = town_index.store.read("clips").to_pylist()
    assert f"{len(rows)} clips" in words and "2 logs" in words
    for hit in hardest(town_index, top=3):
        assert f"{hit.score:.3f}" in words and hit.best_clip_id in words
        card = read_cards(town_index, [hit.best_clip_id])[hit.best_clip_id]
        assert risk_words(card) in words
        for name, probability in top_tags(card, most=4):
            assert f"{name.replace('_', ' ')} {probability:.2f}" in words
    for name in TAGS:
        sure = sum(row[f"tag_{name}"] is not None and row[f"tag_{name}"] >= 0.5 for row in rows)
        seen = sum(row[f"tag_{name}"] is not None for row in rows)
        assert f"{name.replace('_', ' ')} {sure} of {seen}" in words
    assert town_index.manifest["model"]["stream_fingerprint"] in words
    assert "risk is risk_tracks where the log has tracks" in words
    assert "null: no forecast head" in words


def test_the_report_says_nothing_of_where_data_lie(town_index, tmp_path):
    text, _ = make_report(town_index, tmp_path / "report.html")
    assert str(town_index.folder.parent) not in text


def test_both_themes_have_their_own_view_from_above(town_index, tmp_path):
    text, page = make_report(town_index, tmp_path / "report.html")
    dark = [a for n, a in page.elements if n == "source"]
    assert dark and all(a["media"] == "(prefers-color-scheme: dark)" for a in dark)
    assert "@media (prefers-color-scheme:dark)" in text
    assert len([n for n, _ in page.elements if n == "svg"]) == len(hardest(town_index, top=3))


def test_a_log_without_poses_says_why_it_has_no_view_from_above(bare_index, tmp_path):
    hits = search(bare_index, "a car", top=2)
    write_report(bare_index, tmp_path / "r.html", searches=[], hardest=hits)
    page = Page((tmp_path / "r.html").read_text())
    assert "no bird's-eye view: the log has no ego poses" in page.words()
    assert "risk unknown" in page.words() and "null: no tracks" in page.words()


def test_a_hit_without_a_score_is_shown_without_one(town_index, tmp_path):
    hits = tuple(replace(hit, score=None) for hit in search(town_index, where="risk >= 0", top=2))
    write_report(town_index, tmp_path / "report.html", searches=[("by filter", hits)], hardest=())
    assert '<span class="score">–</span>' in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_text_is_escaped_unless_it_was_made_here():
    assert tag("p", "<b>", Html("<i></i>"), title='"x"') == '<p title="&quot;x&quot;">&lt;b&gt;<i></i></p>'


def test_measures_are_said_in_words():
    assert measure_words("ttc_turn_s", 1.23) == "time to collision 1.2 s"
    assert measure_words("dce_m", 0.0) == "on paths that touch"
    assert measure_words("thw_s", 0.84) == "headway 0.8 s"
