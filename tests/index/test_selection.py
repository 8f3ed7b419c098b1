"""A Selection on disk: it comes back as it was, and one that is not as it was written is refused."""

import json
from pathlib import Path

import pytest

from sceneminer.index.errors import IndexFault
from sceneminer.index.selection import Selected, Selection, read_selection, write_selection


@pytest.fixture
def selection() -> Selection:
    first = Selected("a+0", "a", "scène ☂", 0, 3_000_000, 0.5, {"risk": 0.25, "risk_measure": "ttc_s", "rarity": None})
    second = Selected("b+1", "b", "b", 1, 2, None)
    return Selection((first, second), "2-0123", ("ff",), {"text": "a bus"}, {"n": 2})


@pytest.fixture
def path(selection: Selection, tmp_path: Path) -> Path:
    write_selection(selection, tmp_path / "new" / "s.json")
    return tmp_path / "new" / "s.json"


def test_it_comes_back_as_it_was(selection, path):
    assert read_selection(path) == selection
    assert read_selection(path).content == selection.content
    assert sorted(p.name for p in path.parent.iterdir()) == ["s.json"]


def test_it_is_never_overwritten(selection, path):
    before = path.read_bytes()
    with pytest.raises(IndexFault, match="already"):
        write_selection(selection, path)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


def _changed(change):
    def apply(text: str) -> str:
        document = json.loads(text)
        change(document)
        return json.dumps(document)

    return apply


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_changed(lambda d: d["items"].reverse()), "changed since"),
        (_changed(lambda d: d["items"][0].update(score=0.6)), "changed since"),
        (_changed(lambda d: d["query"].update(text="a car")), "changed since"),
        (_changed(lambda d: d["items"][0].update(start_us="0")), "item 0"),
        (_changed(lambda d: d["items"][1].update(end_us=0)), "item 1"),
        (_changed(lambda d: d["items"][1].update(parts={"risk": [1]})), "item 1"),
        (_changed(lambda d: d["items"][0].pop("log_id")), "item 0"),
        (_changed(lambda d: d.update(format=9)), "format 1"),
        (_changed(lambda d: d.update(kind="x")), "another kind"),
        (_changed(lambda d: d.update(more=1)), "found .*more"),
        (_changed(lambda d: d["index"].update(models="ff")), "models"),
        (lambda text: text[:-20], "JSON"),
        (lambda text: text.replace("0.25", "NaN"), "NaN is not JSON"),
        (lambda text: "[" * 100_000, "JSON"),
    ],
)
def test_what_is_not_as_it_was_written_is_refused(path, change, said):
    path.write_text(change(path.read_text()))
    with pytest.raises(IndexFault, match=said):
        read_selection(path)


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(IndexFault, match="expected a selection at"):
        read_selection(tmp_path / "none.json")
