"""Heads of an index: what they learn, what filters may say of them, and that nothing else moves."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from make_streams import busyness, clip_id, column_of, fog_csv, is_foggy, make_index, make_tokens

from sceneminer.index.backfill import backfill
from sceneminer.index.errors import IndexFault, QueryError
from sceneminer.index.heads import add_head, adopt_head, drop_head, list_heads, upgrade_head
from sceneminer.index.label_set import mark, read_ids, read_labels, read_values
from sceneminer.index.schema import TABLES
from sceneminer.index.search import search
from sceneminer.model.errors import CheckpointError

LOGS, PER_LOG = 12, 10


def whole(index) -> dict:
    """Every table and every file of heads, as they are."""
    tables = {name: index.store.read(name) for name in TABLES if name != "manifest"}
    tables = {name: t.sort_by("clip_id") if "clip_id" in t.column_names else t for name, t in tables.items()}
    files = {str(path): path.read_bytes() for path in sorted((index.folder / "heads").glob("*"))}
    return tables | files | {"manifest": index.manifest}


@pytest.fixture
def index(tmp_path):
    return make_index(tmp_path / "index", logs=LOGS, per_log=PER_LOG)


def test_labels_from_a_file_become_a_column_that_filters(index, tmp_path):
    before = index.store.read("clips").to_pylist()
    report = add_head(index, "weather", read_labels(fog_csv(tmp_path / "fog.csv")))
    assert report.columns == ("head_weather_fog",)
    assert report.held_out["fog"].ap > 0.95 and report.held_out["fog"].logs == LOGS
    assert report.clips == LOGS * (PER_LOG - 1) and report.without_stream == LOGS
    column = column_of(index, "head_weather_fog")
    for log in range(LOGS):
        assert column[clip_id(log, PER_LOG - 1)] is None
        assert all((column[clip_id(log, k)] > 0.5) == is_foggy(log, k) for k in range(PER_LOG - 1))
    for words in ("head_weather_fog > 0.5", "weather.fog > 0.5"):
        hits = search(index, where=words, top=100)
        assert {c for hit in hits for c in hit.clip_ids} == {c for c, v in column.items() if v is not None and v > 0.5}
    after = index.store.read("clips").drop_columns(["head_weather_fog"]).to_pylist()
    assert sorted(after, key=lambda r: r["clip_id"]) == sorted(before, key=lambda r: r["clip_id"])
    assert index.manifest["columns"] == {
        "embedding": "head embedding 0123",
        "head_weather_fog": f"head weather {report.fingerprint[:12]}",
    }


def test_a_number_is_learnt_from_a_column_with_its_nulls_left_out(index):
    report = add_head(index, "speed", "ego_speed_mps")
    assert report.clips == LOGS * (PER_LOG - 2)
    assert report.held_out["speed"].spearman > 0.9 and report.held_out["speed"].rmse < 2.5
    column = column_of(index, "head_speed")
    # k = 0 has no speed in the column: it was not fitted to.
    assert np.mean([abs(column[clip_id(log, 0)] - busyness(log, 0)) for log in range(LOGS)]) < 2.5
    assert search(index, where="speed > 8", top=100)


def test_marked_clips_make_a_relevance(index):
    foggy = [clip_id(log, k) for log in range(4) for k in range(PER_LOG - 1) if is_foggy(log, k)]
    report = add_head(index, "like_these", mark(foggy))
    assert report.clips == len(foggy) and report.weak > 50
    column = column_of(index, "head_like_these")
    unseen = [(is_foggy(log, k), column[clip_id(log, k)]) for log in range(4, LOGS) for k in range(PER_LOG - 1)]
    assert min(v for foggy, v in unseen if foggy) > max(v for foggy, v in unseen if not foggy)


def test_the_same_labels_and_seed_give_the_same_head_in_any_order_of_rows(index, tmp_path):
    one = add_head(index, "fog", read_labels(fog_csv(tmp_path / "fog.csv")), dry_run=True)
    other = make_index(tmp_path / "other", logs=1, per_log=PER_LOG)
    rows = make_tokens(LOGS, PER_LOG)
    order = np.random.default_rng(0).permutation(rows.num_rows)
    other.store.delete("tokens", "true")
    other.store.delete("clips", "true")
    other.store.append("tokens", rows.take(pa.array(order)))
    other.store.append("clips", index.store.read("clips"))
    two = add_head(other, "fog", read_labels(fog_csv(tmp_path / "fog.csv")), dry_run=True)
    assert one.fingerprint == two.fingerprint and one.backfilled is None


def test_backfill_gives_the_same_bits_again_and_drop_leaves_no_trace(index, tmp_path):
    untouched = whole(index)
    report = add_head(index, "fog", read_labels(fog_csv(tmp_path / "fog.csv")))
    first = column_of(index, "head_fog_fog")
    index.store.merge_columns(
        "clips", "clip_id", pa.table({"clip_id": [clip_id(0, 0)], "head_fog_fog": pa.array([0.123], pa.float32())})
    )
    again = backfill(index, "fog")
    assert column_of(index, "head_fog_fog") == first
    assert (again.clips, again.without_stream, again.fingerprint) == (LOGS * 9, LOGS, report.fingerprint)
    drop_head(index, "fog")
    now = whole(index)
    assert now.pop("manifest").pop("heads") == {}
    untouched.pop("manifest")
    assert now == untouched
    with pytest.raises(QueryError, match="unknown column 'head_fog_fog'"):
        search(index, where="head_fog_fog > 0.5")


def test_an_upgraded_head_starts_as_the_old_and_learns_from_the_new(index, tmp_path):
    add_head(index, "fog", read_labels(fog_csv(tmp_path / "few.csv", logs=range(2))))
    old = column_of(index, "head_fog_fog")
    few = read_labels(fog_csv(tmp_path / "few.csv", logs=range(2)))
    report = upgrade_head(index, "fog", read_labels(fog_csv(tmp_path / "more.csv", logs=range(2, 9))))
    new = column_of(index, "head_fog_fog")
    assert new != old and report.clips == 9 * (PER_LOG - 1)
    assert report.held_out["fog"].logs == 7, "only logs that the old head had not seen"
    assert report.held_out["fog"].ap >= report.before["fog"].ap
    (listed,) = list_heads(index)
    assert listed.fingerprint == report.fingerprint and listed.whole
    assert len(list((index.folder / "heads").iterdir())) == 3, "the files of the old head are gone"
    with pytest.raises(IndexFault, match="expected fog for head fog, found relevance"):
        upgrade_head(index, "fog", mark(few.clip_ids))


def test_a_write_that_is_cut_short_is_not_used_and_can_be_finished(index, tmp_path, monkeypatch):
    monkeypatch.setattr(type(index.store), "merge_columns", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        add_head(index, "fog", read_labels(fog_csv(tmp_path / "fog.csv")))
    monkeypatch.undo()
    with pytest.raises(QueryError, match="unknown column"):
        search(index, where="head_fog_fog > 0.5")
    (listed,) = list_heads(index)
    assert not listed.whole
    backfill(index, "fog")
    assert search(index, where="head_fog_fog > 0.5") and list_heads(index)[0].whole


def test_another_indexs_head_is_taken_over_with_its_bits(index, tmp_path):
    add_head(index, "fog", read_labels(fog_csv(tmp_path / "fog.csv")))
    other = make_index(tmp_path / "other", logs=LOGS, per_log=PER_LOG)
    adopt_head(other, "fog", index.folder)
    assert column_of(other, "head_fog_fog") == column_of(index, "head_fog_fog")


def test_another_stream_is_refused_with_both_fingerprints(index, tmp_path):
    add_head(index, "fog", read_labels(fog_csv(tmp_path / "fog.csv")))
    other = make_index(tmp_path / "other", logs=LOGS, per_log=PER_LOG, stream="a" * 64)
    before = whole(other)
    with pytest.raises(IndexFault, match="expected head fog of stream aaaaaaaaaaaa, found stream 555555555555"):
        adopt_head(other, "fog", index.folder)
    assert whole(other) == before
    index.store.delete("tokens", f"clip_id = '{clip_id(3, 3)}'")
    wrong = make_tokens(LOGS, PER_LOG, stream="b" * 64).to_pylist()
    mixed = [row for row in wrong if row["clip_id"] == clip_id(3, 3)]
    index.store.append("tokens", pa.Table.from_pylist(mixed, schema=index.store.read("tokens").schema))
    before = whole(index)
    with pytest.raises(IndexFault, match="of stream 555555555555, found stream bbbbbbbbbbbb"):
        backfill(index, "fog")
    with pytest.raises(IndexFault, match="of stream 555555555555, found stream bbbbbbbbbbbb"):
        add_head(index, "other", read_labels(fog_csv(tmp_path / "fog.csv")))
    assert whole(index) == before


def test_streams_that_are_not_finite_are_named_and_nothing_is_written(index, tmp_path):
    rows = index.store.read("tokens").to_pylist()
    for row in rows:
        if row["clip_id"] == clip_id(11, 4):
            row["tokens"][17] = float("inf")
    schema = index.store.read("tokens").schema
    index.store.delete("tokens", "true")
    index.store.append("tokens", pa.Table.from_pylist(rows, schema=schema))
    before = whole(index)
    with pytest.raises(IndexFault, match=f"found NaN or infinity in that of {clip_id(11, 4)[:6]}"):
        add_head(index, "fog", read_labels(fog_csv(tmp_path / "fog.csv", logs=range(4))))
    assert whole(index) == before and not (index.folder / "heads").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip_id,label\nnobody,fog\nnothing,fog\n", "found 2 of 2 that are not: nobody, nothing"),
        (f"clip_id,fog\n{clip_id(0, 0)},1\n{clip_id(1, 0)},1\n", "with and without fog .*found none without"),
        (f"clip_id,fog,ice\n{clip_id(0, 0)},1,0\n{clip_id(1, 0)},0,0\n", "with and without ice .*found none with it"),
        (f"clip_id,fog\n{clip_id(0, 0)},1\n{clip_id(0, 0)},0\n", "expected one value of fog for clip log000.*1 and 0"),
        (f"clip_id,fog\n{clip_id(0, 0)},0.5\n", "expected 1 or 0 in line 2 .*'0.5'"),
        (f"clip_id,fog\n{clip_id(0, 0)}\n", "expected a clip id and 1 more cells in line 2"),
        ("clip_id,Fog!\nx,1\n", "expected a label of at most 41 letters"),
        ("clip,fog\nx,1\n", "expected a header of clip_id"),
        ("", "expected a header of clip_id.*found nothing"),
        ("clip_id,fog\n", "found none in labels.csv"),
        ("clip_id,label,value\nx,,1\n", "expected a label in line 2"),
        ("clip_id,label\nx,label\n", "found one named label"),
    ],
)  # fmt: skip
def test_bad_labels_are_refused_in_one_sentence_and_nothing_is_written(index, tmp_path, text, message):
    path, before = tmp_path / "labels.csv", whole(index)
    path.write_text(text)
    with pytest.raises(IndexFault, match=message):
        add_head(index, "fog", read_labels(path))
    assert whole(index) == before and not (index.folder / "heads").exists()


@pytest.mark.parametrize(
    "name", ["risk", "embedding", "tag", "location", "Fog", "fog-2", "", "1st", "a" * 42, "log", "tags", "forecast"]
)
def test_names_that_mean_something_else_are_refused(index, tmp_path, name):
    before = whole(index)
    with pytest.raises(ValueError, match="expected a "):
        add_head(index, name, read_labels(fog_csv(tmp_path / "fog.csv")))
    assert whole(index) == before


def test_long_labels_without_a_column_of_values_say_all_of_a_clip(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("clip_id,label\na,fog\na,ice\nb,ice\nc,\n")
    labels = read_labels(path)
    assert labels.outputs == ("fog", "ice")
    rows = dict(zip(labels.clip_ids, labels.values.tolist(), strict=True))
    assert rows == {"a": [1, 1], "b": [0, 1], "c": [0, 0]}
    path.write_text("clip_id,label,value\na,fog,1\na,ice,0\nb,ice,\n")
    labels = read_labels(path)
    assert np.array_equal(labels.values, [[1, 0], [np.nan, 1]], equal_nan=True)


def test_values_and_ids_from_files(tmp_path):
    path = tmp_path / "values.csv"
    path.write_text("clip_id,seconds\na,1.5\nb,\nc,-2e3\n")
    values = read_values(path)
    assert values.clip_ids == ("a", "c") and values.values.tolist() == [[1.5], [-2000.0]]
    path.write_text("clip_id,seconds\na,nan\n")
    with pytest.raises(IndexFault, match="expected a finite number in line 2"):
        read_values(path)
    path.write_text("clip_id\na\nb\n")
    assert read_ids(str(path)) == ("a", "b") and read_ids("a, b") == ("a", "b")


def test_a_head_file_that_was_changed_is_refused(index, tmp_path):
    report = add_head(index, "fog", read_labels(fog_csv(tmp_path / "fog.csv")))
    stem = index.folder / "heads" / f"fog-{report.fingerprint[:16]}"
    weights, said = stem.with_suffix(".safetensors"), stem.with_suffix(".json")
    good = weights.read_bytes()
    bent = bytearray(good)
    bent[-6] ^= 1
    weights.write_bytes(bent)
    with pytest.raises(CheckpointError, match="its weights have changed"):
        backfill(index, "fog")
    weights.write_bytes(good[: len(good) // 2])
    with pytest.raises(CheckpointError, match="whole safetensors file"):
        list_heads(index)
    weights.write_bytes(good)
    document = json.loads(said.read_text())
    said.write_text(json.dumps(document | {"head": document["head"] | {"name": "../fog"}}))
    with pytest.raises(CheckpointError, match="a head's name"):
        list_heads(index)
    said.write_text(json.dumps(document))
    assert list_heads(index)[0].trained["clips"] == report.clips
    assert Path(stem.with_suffix(".csv")).read_text().startswith("clip_id,fog\n")
