"""Logs that cannot be used in whole or in part, found out on opening or later: named, and no reason to stop."""

import json
from pathlib import Path

import pytest
from argoverse2_tree import make_argoverse2_tree
from make_mined_log import START_US, content, make_log, quarantine_text, times_us
from nuscenes_tree import make_nuscenes_tree

from sceneminer.data.adapters.nuscenes_store import NuscenesStore
from sceneminer.data.errors import DataError
from sceneminer.index.errors import IndexFault
from sceneminer.index.quarantine import Quarantine
from sceneminer.index.store import Store
from sceneminer.mine import run
from sceneminer.mine.run import mine
from sceneminer.mine.units import MiningPlan


def lines_of(index: Path) -> list[dict]:
    return [json.loads(line) for line in quarantine_text(index).splitlines()]


def test_a_root_in_which_every_log_is_refused_names_them(tmp_path, model):
    root, index = tmp_path / "root", tmp_path / "index"
    for name in ("a", "b"):
        make_log(root, name, {"front": [START_US, START_US + 10**15]}, poses=False)
    for _ in range(2):
        with pytest.raises(DataError, match=r"at least one usable log.*quarantine\.jsonl"):
            mine(root, index, model=model)
        assert [(line["what"], line["subject"], line["kind"]) for line in lines_of(index)] == [
            ("log", "a", "odd_time"),
            ("log", "b", "odd_time"),
        ]
    (root / "a" / "front" / f"{START_US + 10**15}.jpg").unlink()
    assert mine(root, index, model=model).exit_code == 3
    assert [line["subject"] for line in lines_of(index)] == ["b"]


@pytest.mark.parametrize("make", [make_nuscenes_tree, make_argoverse2_tree])
@pytest.mark.parametrize("text", ["", "[1]", "\0"])
def test_a_broken_map_is_left_out_and_named_and_the_log_is_mined(tmp_path, model, make, text):
    root, index = make(tmp_path), tmp_path / "index"
    good = mine(root, tmp_path / "good", model=model)
    path = sorted([*root.rglob("log_map_archive_*.json"), *root.rglob("expansion/*.json")])[0]
    before = path.read_bytes()
    path.write_text(text)
    report = mine(root, index, model=model)
    assert report.exit_code == 3 and report.clips == good.clips
    assert {(line["what"], line["subject"]) for line in lines_of(index)} >= {("map", path.relative_to(root).as_posix())}
    assert {line.what for line in report.left_out} == {"map"}
    whole, found = content(tmp_path / "good"), content(index)
    assert [row["embedding"] for row in found["clips"]] == [row["embedding"] for row in whole["clips"]]
    lines = quarantine_text(index)
    assert mine(root, index, model=model).exit_code == 3 and quarantine_text(index) == lines
    path.write_bytes(before)
    assert mine(root, index, model=model, retry_quarantined=True).exit_code == good.exit_code
    assert content(index) == whole and not [line for line in lines_of(index) if line["what"] == "map"]


def test_a_log_whose_tables_break_after_opening_is_quarantined_and_the_rest_mined(tmp_path, model, monkeypatch):
    root, index = make_nuscenes_tree(tmp_path), tmp_path / "index"
    mine(root, tmp_path / "good", model=model)
    read, broken = NuscenesStore.read_tracks, []

    def once_broken(self):
        broken.append(self.scene_token)
        if self.scene_token == broken[0]:
            raise DataError("expected the tables as they were, found them changed")
        return read(self)

    monkeypatch.setattr(NuscenesStore, "read_tracks", once_broken)
    report = mine(root, index, model=model)
    (line,) = lines_of(index)
    assert line["what"] == "log" and "found them changed" in line["reason"] and line["unit_id"]
    assert report.exit_code == 3 and report.clips == 1 and len(content(index)["empty_units"]) == 1
    assert mine(root, index, model=model).units_already == 2
    assert quarantine_text(index) == json.dumps(line, ensure_ascii=False) + "\n"
    monkeypatch.undo()
    assert mine(root, index, model=model, retry_quarantined=True).exit_code == 0
    assert content(index) == content(tmp_path / "good") and quarantine_text(index) == ""


def test_killed_while_replacing_a_changed_log_no_line_of_the_old_one_stays(tmp_path, model, monkeypatch):
    root, index = tmp_path / "root", tmp_path / "index"
    log = make_log(root, "a", {"front": times_us(4, 2), "rear": times_us(4, 2)})
    (log / "front" / f"{START_US + 1_000_000}.jpg").write_bytes(b"")
    mine(root, index, model=model)
    only_rear = {"model": model, "plan": MiningPlan(cameras=("rear",)), "retry_quarantined": True}
    options = run.OpenOptions(cameras=("rear",))
    forget = run._forget_units

    def killed(*args):
        forget(*args)
        raise SystemExit

    monkeypatch.setattr(run, "_forget_units", killed)
    with pytest.raises(SystemExit):
        mine(root, index, options=options, **only_rear)
    monkeypatch.undo()
    assert mine(root, index, options=options, **only_rear).exit_code == 0
    assert quarantine_text(index) == ""


def test_a_folder_of_other_things_is_left_as_it_was(tmp_path, model):
    root, out = tmp_path / "root", tmp_path / "home"
    make_log(root, "a", {"front": times_us(3, 2)})
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    with pytest.raises(IndexFault, match="other files"):
        mine(root, out, model=model)
    assert [path.name for path in out.iterdir()] == ["letter.txt"]
    with pytest.raises(IndexFault, match="found a file"):
        mine(root, out / "letter.txt", model=model)


def test_where_media_lie_is_kept_as_an_absolute_path(tmp_path, model, monkeypatch):
    root, index = make_nuscenes_tree(tmp_path), tmp_path / "index"
    monkeypatch.chdir(tmp_path)
    mine(root.relative_to(tmp_path), index, model=model, options=run.OpenOptions(media_root=root.relative_to(tmp_path)))
    rows = Store.open(index).read("logs").to_pylist()
    assert {(row["root"], json.loads(row["options"])["media_root"]) for row in rows} == {(str(root), str(root))}


def test_what_was_left_out_counts_a_log_once_however_many_units_it_has(tmp_path):
    from sceneminer.index.quarantine import Quarantined

    quarantine = Quarantine(tmp_path)
    quarantine.replace([], [Quarantined("l", f"u{i}", "map", "m.json", "bad_table", "x") for i in range(3)])
    assert quarantine.count("map") == 1
    assert not Store.exists(tmp_path)
