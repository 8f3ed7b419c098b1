"""Parquet and CSV: what is read back is what the index and the Selection say."""

import csv
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hostile_words import HOSTILE_WORDS
from make_selection import make_selection
from make_streams import EMBED_DIM, make_clips

from sceneminer import __version__
from sceneminer.export.origin import BATCH
from sceneminer.export.tables import export_csv, export_parquet
from sceneminer.index.errors import IndexFault
from sceneminer.index.search import open_index
from sceneminer.index.selection import Selected
from sceneminer.index.store import Store

GONE = Selected("gone+0000000", "gone", '=HYPERLINK("x")\n../a,b', 1, 2, None, {"risk": 0.5})


def test_parquet_holds_items_clips_and_vectors(town_index, tmp_path):
    selection = make_selection(town_index)
    report = export_parquet(town_index, selection, tmp_path / "new" / "s.parquet")
    assert report.items == len(selection.items) == 2 and report.left_out == ()
    table = pq.read_table(report.path)
    rows = table.to_pylist()
    clips = {row["clip_id"]: row for row in town_index.store.read("clips").to_pylist()}
    for rank, (row, item) in enumerate(zip(rows, selection.items, strict=True)):
        clip = clips[item.clip_id]
        assert (row["rank"], row["clip_id"], row["start_us"], row["end_us"]) == (
            rank,
            item.clip_id,
            item.start_us,
            item.end_us,
        )
        assert row["score"] == item.score and row["part_risk"] == item.parts["risk"]
        assert row["part_novel"] is (rank == 0) and row["part_nothing"] is None
        same = [name for name in clip if name not in ("start_us", "end_us")]
        assert {name: row[name] for name in same} == {name: clip[name] for name in same}
        assert row["selection"] == selection.content and row["sceneminer"] == __version__
    kind = table.schema.field("embedding").type
    assert kind.list_size == len(clips[rows[0]["clip_id"]]["embedding"]) and str(kind.value_type) == "float"


def test_licence_query_and_origin_travel_in_the_file(town_index, tmp_path):
    selection = make_selection(town_index)
    export_parquet(town_index, selection, tmp_path / "s.parquet")
    told = json.loads(pq.read_schema(tmp_path / "s.parquet").metadata[b"sceneminer"])
    log = town_index.store.read("logs").to_pylist()[0]
    assert told["selection"] == selection.content and told["query"] == {"text": "a walker"}
    assert told["index_version"] == told["index_version_now"] == selection.index_version
    mine = next(entry for entry in told["logs"] if entry["log_id"] == log["log_id"])
    assert mine["licence"] == log["licence"] and mine["dataset"] == "nuscenes"
    row = pq.read_table(tmp_path / "s.parquet").to_pylist()[0]
    assert row["licence"] == log["licence"]


def test_frames_are_those_of_the_interval(town_index, tmp_path):
    selection = make_selection(town_index)
    export_parquet(town_index, selection, tmp_path / "s.parquet", frames=True)
    frames = town_index.store.read("frames").to_pylist()
    for row in pq.read_table(tmp_path / "s.parquet").to_pylist():
        own = [f for f in frames if f["log_id"] == row["log_id"] and row["start_us"] <= f["time_us"] <= row["end_us"]]
        assert [f["time_us"] for f in row["frames"]] == sorted(f["time_us"] for f in own) != []
        assert row["frames"][0]["speed_mps"] == min(own, key=lambda f: f["time_us"])["speed_mps"]


def test_a_clip_that_is_gone_is_named_and_keeps_its_row(town_index, tmp_path):
    report = export_parquet(town_index, make_selection(town_index, items=1, extra=(GONE,)), tmp_path / "s.parquet")
    assert [what for what, _ in report.left_out] == ["gone+0000000"]
    row = pq.read_table(report.path).to_pylist()[1]
    assert row["log_name"] == GONE.log_name and row["embedding"] is None and row["licence"] is None


def test_order_holds_beyond_one_batch_of_rows(tmp_path):
    store = Store.create(tmp_path / "index", embed_dim=EMBED_DIM, manifest={"mining": {"stride_us": 1_000_000}})
    store.append("clips", make_clips(BATCH // 10 + 1, 10))
    index = open_index(tmp_path / "index")
    selection = make_selection(index)
    selection = replace(selection, items=selection.items[::-1])
    export_parquet(index, selection, tmp_path / "s.parquet")
    table = pq.read_table(tmp_path / "s.parquet", columns=["rank", "clip_id", "images"])
    assert table["clip_id"].to_pylist() == [item.clip_id for item in selection.items]
    assert table["rank"].to_pylist() == list(range(BATCH + 10)) and set(table["images"].to_pylist()) == {4}


def test_csv_reads_back_and_runs_no_formula(town_index, tmp_path):
    selection = make_selection(town_index, extra=(GONE, replace(GONE, log_name="\ud800 half")))
    report = export_csv(town_index, selection, tmp_path / "s.csv")
    raw = report.path.read_bytes()
    assert raw.count(b"\r\n") == 1 + report.items
    with report.path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    clips = {row["clip_id"]: row for row in town_index.store.read("clips").to_pylist()}
    for row, item in zip(rows, selection.items[:-2], strict=False):
        clip = clips[item.clip_id]
        assert row["score"] == str(item.score) and row["part_novel"] in ("true", "false")
        assert np.float32(row["ego_speed_mps"]) == np.float32(clip["ego_speed_mps"])
        assert row["location"] == "smallville" and row["tag_rain"] and "embedding" not in row
    assert rows[-2]["log_name"] == "'" + GONE.log_name and rows[-2]["ego_speed_mps"] == ""
    assert rows[-1]["log_name"] == "? half"


def test_hostile_words_stay_text(hostile_index, tmp_path):
    export_csv(hostile_index, make_selection(hostile_index), tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(encoding="utf-8", newline="") as file:
        assert HOSTILE_WORDS in {row["description"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("export", [export_parquet, export_csv])
def test_nothing_is_overwritten_and_a_failure_leaves_nothing(town_index, tmp_path, export):
    selection = make_selection(town_index)
    (tmp_path / "there").write_text("mine")
    with pytest.raises(IndexFault, match="already"):
        export(town_index, selection, tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"

    def stop(said: str):
        raise KeyboardInterrupt(said)

    with pytest.raises(KeyboardInterrupt):
        export(town_index, selection, tmp_path / "cut", say=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
