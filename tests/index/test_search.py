"""Search against brute force, on a store of random clips."""

import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from lancedb.index import IvfSq

from sceneminer.index.errors import IndexFault, QueryError, WriterBusyError
from sceneminer.index.hardness import index_version, mean_neighbour_distance, refresh_hardness
from sceneminer.index.manage import delete_logs, hardness_words, index_info, move_root, optimize
from sceneminer.index.nearest import nearest
from sceneminer.index.quarantine import Quarantine, Quarantined
from sceneminer.index.schema import LOGS_SCHEMA, clips_schema
from sceneminer.index.search import Index, hardest, open_index, search
from sceneminer.index.store import Store, writer_lock

WIDTH = 16


def make_clips(logs: int, per_log: int, *, seed: int = 0, first: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    rows = []
    for log in range(first, first + logs):
        for k in range(per_log):
            vector = rng.normal(size=WIDTH).astype(np.float32)
            rows.append(
                {
                    "clip_id": f"log{log:03d}-0badf00d+{k * 1000:07d}",
                    "log_id": f"log{log:03d}-0badf00d",
                    "log_name": f"log{log:03d}",
                    "unit_id": f"unit{log:03d}",
                    "start_us": k * 1_000_000,
                    "end_us": (k + 2) * 1_000_000,
                    "location": "north" if log % 2 else None,
                    "risk_tracks": None if log % 3 == 0 else float(rng.random()),
                    "tag_rain": float(rng.random()),
                    "stream_fingerprint": "s",
                    "embedding": vector / np.linalg.norm(vector),
                }
            )
    return pa.Table.from_pylist(rows, schema=clips_schema(WIDTH))


def make_logs(logs: int) -> pa.Table:
    rows = [
        {
            "log_id": f"log{i:03d}-0badf00d",
            "name": f"log{i:03d}",
            "root": f"/data/a/{i}",
            "options": "{}",
            "issues": "[]",
        }
        for i in range(logs)
    ]
    return pa.Table.from_pylist(rows, schema=LOGS_SCHEMA)


@pytest.fixture
def index(tmp_path) -> Index:
    store = Store.create(tmp_path / "index", embed_dim=WIDTH)
    store.append("logs", make_logs(12))
    store.append("clips", make_clips(12, 10))
    store.set_manifest({"mining": {"stride_us": 1_000_000}})
    return open_index(tmp_path / "index")


def brute_force(index: Index, vector: np.ndarray, keep) -> list[str]:
    rows = [row for row in index.store.read("clips").to_pylist() if keep(row)]
    return [r["clip_id"] for r in sorted(rows, key=lambda r: -float(np.dot(r["embedding"], vector)))]


def test_text_search_ranks_as_brute_force_and_merges_neighbours(index):
    vector = np.random.default_rng(5).normal(size=WIDTH)
    hits = search(index, "anything", top=120, encode_text=lambda texts: vector[None])
    order = brute_force(index, vector, lambda row: True)
    assert len(hits) == 12  # every clip found, so each log is one interval
    assert hits[0].best_clip_id == order[0]
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert sum(len(h.clip_ids) for h in hits) == 120
    assert hits[0].start_us == 0 and hits[0].end_us == 11_000_000


def test_top_counts_intervals_after_merging(index):
    vector = np.random.default_rng(6).normal(size=WIDTH)
    hits = search(index, "anything", top=7, encode_text=lambda texts: vector[None])
    assert len(hits) == 7
    for hit in hits:
        starts = [int(c.rsplit("+")[1]) for c in hit.clip_ids]
        assert all(b - a <= 1000 for a, b in pairwise(starts))


def test_an_interval_holds_the_clips_that_earned_it(index):
    vector = np.random.default_rng(8).normal(size=WIDTH)
    order = brute_force(index, vector, lambda row: True)
    for top in (1, 3, 5):
        hits = search(index, "anything", top=top, encode_text=lambda texts: vector[None])
        members = {clip for hit in hits for clip in hit.clip_ids}
        assert members == set(order[: len(members)])  # no clip was swept in past a better one
        outsider = order[len(members)]
        log, ms = outsider.rsplit("+", 1)
        near = [c for c in members if c.rsplit("+", 1)[0] == log and abs(int(c.rsplit("+", 1)[1]) - int(ms)) <= 1000]
        assert not near  # the next clip would have opened one interval too many


def test_each_clip_is_a_hit_of_its_own_where_nothing_is_merged(index):
    vector = np.random.default_rng(8).normal(size=WIDTH)
    hits = search(index, "anything", top=7, merge=False, encode_text=lambda texts: vector[None])
    assert [hit.best_clip_id for hit in hits] == brute_force(index, vector, lambda row: True)[:7]
    assert all(hit.clip_ids == (hit.best_clip_id,) and hit.end_us - hit.start_us == 2_000_000 for hit in hits)


def test_by_filter_alone_each_clip_is_a_hit_too(tmp_path):
    store, rng = Store.create(tmp_path / "index", embed_dim=WIDTH), np.random.default_rng(3)
    rows = [row | {"hardness": float(rng.random())} for row in make_clips(3, 20).to_pylist()]
    rows[7]["hardness"] = None
    store.append("clips", pa.Table.from_pylist(rows, schema=clips_schema(WIDTH)))
    store.set_manifest({"mining": {"stride_us": 1_000_000}, "hardness": {}})
    index = open_index(tmp_path / "index")
    known = [row for row in rows if row["hardness"] is not None]
    order = [row["clip_id"] for row in sorted(known, key=lambda row: -row["hardness"])]
    found = search(index, where="tag.rain >= 0", top=100, merge=False)
    assert [hit.best_clip_id for hit in found] == [*order, rows[7]["clip_id"]] and found[-1].score is None
    assert [hit.best_clip_id for hit in hardest(index, top=100, merge=False)] == order


def test_a_small_index_comes_back_as_intervals_and_not_as_whole_logs(tmp_path):
    """Few logs, fewer than ``top``: what is near the best clips is theirs, and what is far from them is not."""
    store = Store.create(tmp_path / "index", embed_dim=WIDTH)
    rows = make_clips(2, 60).to_pylist()
    for row in rows:
        hot = row["log_id"].startswith("log001") and 20 <= row["start_us"] / 1e6 < 25
        row["hardness"] = (0.9 if hot else 0.1) + 1e-4 * (row["start_us"] / 1e6 % 7)
    store.append("clips", pa.Table.from_pylist(rows, schema=clips_schema(WIDTH)))
    store.set_manifest({"mining": {"stride_us": 1_000_000}, "hardness": {}})
    index = open_index(tmp_path / "index")
    best = hardest(index, top=5)[0]
    assert (best.log_name, best.start_us, best.end_us) == ("log001", 20_000_000, 26_000_000)
    hits = hardest(index, top=5)
    assert len(hits) == 5
    for a in hits:
        for b in hits:
            starts = [int(x.clip_ids[0].rsplit("+")[1]) for x in (a, b)]
            assert a is b or a.log_id != b.log_id or abs(starts[0] - starts[1]) > 1000
    everything = search(index, where="hardness > 0", top=100)  # a filter's matches are hits all
    assert sorted(len(hit.clip_ids) for hit in everything) == [60, 60]


def test_what_is_not_a_number_is_unknown_in_a_hit(tmp_path):
    store = Store.create(tmp_path / "index", embed_dim=WIDTH)
    rows = make_clips(1, 1).to_pylist()
    rows[0] |= {"risk_tracks": 0.5, "risk_tracks_value": float("inf"), "rarity": float("nan")}
    store.append("clips", pa.Table.from_pylist(rows, schema=clips_schema(WIDTH)))
    store.set_manifest({"mining": {"stride_us": 1_000_000}})
    (hit,) = search(open_index(tmp_path / "index"), "x", encode_text=lambda texts: np.ones((1, WIDTH)))
    assert hit.parts["rarity"] is None and hit.parts["risk_value"] is None and hit.parts["risk"] == 0.5
    json.dumps(asdict(hit), allow_nan=False)


def test_filters_keep_what_they_say_and_null_never_matches(index):
    vector = np.ones(WIDTH)
    for where, keep in {
        "risk > 0.5 and tag.rain > 0.5": lambda r: (r["risk_tracks"] or 0) > 0.5 and r["tag_rain"] > 0.5,
        "not risk > 0.5": lambda r: r["risk_tracks"] is not None and r["risk_tracks"] <= 0.5,
        "location != 'south'": lambda r: r["location"] is not None,
        "log in ('log001', 'log002')": lambda r: r["log_name"] in ("log001", "log002"),
    }.items():
        hits = search(index, "x", where=where, top=1000, encode_text=lambda texts: vector[None])
        found = {clip for hit in hits for clip in hit.clip_ids}
        assert found == set(brute_force(index, vector, keep)), where


@pytest.mark.parametrize(
    ("where", "clips"),
    [
        ("images > 2.5", {3, 5}),
        ("images >= 99999999999", set()),
        ("9999999999999999999 > images", {2, 3, 5}),
        ("images / 2 = 1.5", {3}),
        ("images_masked / images > 0.3", {3}),
        ("images / images_masked > 0", {3, 5}),
        ("not images / images_masked > 2.9", set()),
        ("1 / 0 > 1 or images = 5", {5}),
        ("start_us * 99999999999999 >= 0", {2, 3, 5}),
        ("start_us > 1.5e300 * 1e300", set()),
    ],
)
def test_arithmetic_is_that_of_real_numbers_and_null_by_zero(tmp_path, where, clips):
    store = Store.create(tmp_path / "index", embed_dim=WIDTH)
    rows = make_clips(1, 3).to_pylist()
    for row, (images, masked) in zip(rows, ((2, 0), (3, 1), (5, 1)), strict=True):
        row |= {"clip_id": f"clip+{images}", "images": images, "images_masked": masked}
    store.append("clips", pa.Table.from_pylist(rows, schema=clips_schema(WIDTH)))
    hits = search(open_index(tmp_path / "index"), where=where)
    assert {int(clip.rsplit("+")[1]) for hit in hits for clip in hit.clip_ids} == clips


def test_the_hour_is_that_of_a_clock_and_null_where_there_was_none(tmp_path):
    store = Store.create(tmp_path / "index", embed_dim=WIDTH)
    rows = make_clips(1, 3).to_pylist()
    for row, start_us in zip(rows, (5 * 3_600_000_000, 1_700_000_000_000_000, 1_700_006_400_000_000), strict=True):
        row |= {"start_us": start_us, "end_us": start_us + 2_000_000}
    store.append("clips", pa.Table.from_pylist(rows, schema=clips_schema(WIDTH)))

    def found(where: str) -> set[str]:
        return {clip for hit in search(open_index(tmp_path / "index"), where=where) for clip in hit.clip_ids}

    unset, evening, midnight = (row["clip_id"] for row in rows)
    assert found("hour_utc is null") == {unset}
    assert found("hour_utc >= 22") == {evening}  # 22:13 UTC
    assert found("hour_utc < 1") == {midnight}  # exactly 00:00 UTC


def test_like_leaves_out_the_clip_itself(index):
    clip = "log004-0badf00d+0003000"
    own = index.store.read("clips", where=f"clip_id = '{clip}'").to_pylist()[0]
    hits = search(index, like=clip, top=500)
    found = {c for hit in hits for c in hit.clip_ids}
    assert clip not in found and "log004-0badf00d+0004000" not in found and "log004-0badf00d+0005000" in found
    outside = brute_force(index, np.array(own["embedding"]), lambda r: r["clip_id"] in found)
    assert hits[0].best_clip_id == outside[0]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "a clip to be like, or a filter"),
        ({"unlike": "log001-0badf00d+0000000"}, "beside clips to be unlike"),
        ({"text": '"a bus" and rain'}, "quoted texts joined"),
        ({"text": '"a bus" ; "b"'}, "quoted texts joined"),
        ({"text": '"a bus" -- and not "b"'}, "quoted texts joined"),
        ({"text": " or ".join(f'"{k}"' for k in range(17))}, "at most 16"),
        ({"like": [f"x{k}" for k in range(201)]}, "at most 200"),
        ({"image": b"no image"}, "an image to be like"),
        ({"image": "no/such.png"}, "an image at no/such.png"),
        ({"text": "  "}, "1 to 1000 characters"),
        ({"text": "x" * 1001}, "1 to 1000 characters"),
        ({"like": "no'such"}, "no'such"),
        ({"text": "x", "top": 0}, "top between"),
        ({"text": "x", "where": "nonsense > 1"}, "nonsense"),
        ({"text": "caf\udce9"}, "UTF-8"),
        ({"like": "caf\udce9"}, "UTF-8"),
    ],
)
def test_bad_queries_are_refused(index, kwargs, message):
    with pytest.raises(QueryError, match=message):
        search(index, **kwargs)


def test_hardness_is_refreshed_explicitly_and_ranks(index):
    with pytest.raises(IndexFault, match="optimize"):
        hardest(index)
    refresh_hardness(index.store)
    hits = hardest(index, top=500)
    rows = {r["clip_id"]: r for r in index.store.read("clips").to_pylist()}
    assert {c for h in hits for c in h.clip_ids} == set(rows)
    assert hits[0].score == pytest.approx(max(r["hardness"] for r in rows.values()))
    unknown = [r for r in rows.values() if r["risk_tracks"] is None]
    known = [r for r in rows.values() if r["risk_tracks"] is not None]
    risks = np.array([r["risk_tracks"] for r in known])
    rarities = np.sort([r["rarity"] for r in rows.values()])
    for row in known[:20]:
        share = np.mean(risks < row["risk_tracks"])
        rare = np.searchsorted(rarities, row["rarity"], "left") / len(rarities)
        assert row["hardness"] == pytest.approx((0.5 * share + 0.25 * rare) / 0.75, abs=1e-6)
    for row in unknown[:20]:  # the null part is left out, not taken for zero
        rare = np.searchsorted(rarities, row["rarity"], "left") / len(rarities)
        assert row["hardness"] == pytest.approx(rare, abs=1e-6)


def test_a_filter_alone_finds_clips_without_hardness_last(index):
    everything = search(index, where="ego_speed_mps is null", top=500)  # nothing has been refreshed yet
    assert {clip for hit in everything for clip in hit.clip_ids} == set(
        index.store.read("clips")["clip_id"].to_pylist()
    )
    assert all(hit.score is None for hit in everything)


@pytest.mark.parametrize("top", [1, 2, 100])
def test_by_filter_alone_an_interval_is_whole_whatever_top(tmp_path, top):
    """Also where the clip that joins two others is the least hard of all."""
    store = Store.create(tmp_path / "index", embed_dim=WIDTH)
    rows = [row for row in make_clips(2, 9).to_pylist() if row["start_us"] != 4_000_000]
    for row in rows:
        row["hardness"] = {0: 0.9, 1: 0.1, 2: 0.8, 3: None}.get(row["start_us"] // 1_000_000, 0.5)
        row["hardness"] = None if row["log_id"].startswith("log001") else row["hardness"]
    store.append("clips", pa.Table.from_pylist(rows[::-1], schema=clips_schema(WIDTH)))
    store.set_manifest({"mining": {"stride_us": 1_000_000}, "hardness": {}})
    hits = search(open_index(tmp_path / "index"), where="start_us >= 0", top=top)
    whole = [("log000", 0.9, 0, 4), ("log000", 0.5, 5, 4), ("log001", None, 0, 4), ("log001", None, 5, 4)]
    told = [(hit.log_name, hit.score, hit.start_us // 1_000_000, len(hit.clip_ids)) for hit in hits]
    assert told == [(log, pytest.approx(score), start, clips) for log, score, start, clips in whole][:top]


def test_rarity_is_the_mean_distance_to_neighbours_of_other_logs():
    rng = np.random.default_rng(1)
    vectors, logs = rng.normal(size=(40, 5)), np.repeat(np.arange(4), 10)
    fast = mean_neighbour_distance(vectors, logs, neighbours=3)
    for i, vector in enumerate(vectors):
        cosine = [
            1 - vector @ other / np.linalg.norm(vector) / np.linalg.norm(other)
            for other, log in zip(vectors, logs, strict=True)
            if log != logs[i]
        ]
        assert fast[i] == pytest.approx(np.mean(np.sort(cosine)[:3]), abs=1e-5)
    assert np.isnan(mean_neighbour_distance(vectors, np.zeros(40, int), neighbours=3)).all()


def test_clips_without_images_are_not_found_by_text(index):
    rows = make_clips(1, 3, first=90).to_pylist()
    for row in rows:
        row["embedding"] = row["stream_fingerprint"] = None
    index.store.append("clips", pa.Table.from_pylist(rows, schema=clips_schema(WIDTH)))
    vector = np.ones(WIDTH)
    hits = search(index, "x", top=1000, encode_text=lambda texts: vector[None])
    assert all(hit.log_name != "log090" for hit in hits)
    refresh_hardness(index.store)
    with pytest.raises(QueryError, match="clip with images"):
        search(index, like=rows[0]["clip_id"])


def test_logs_are_deleted_and_moved(index, tmp_path):
    before = index_version(index.store)
    removed = delete_logs(index, ("log003",))
    assert removed["clips"] == 10 and removed["logs"] == 1
    assert index.store.rows("clips") == 110 and index_version(index.store) != before
    with pytest.raises(IndexFault, match="log003"):
        delete_logs(index, ("log003",))
    assert move_root(index, Path("/data/a"), Path("/mnt/b")) == 11
    assert set(index.store.read("logs")["root"].to_pylist()) == {f"/mnt/b/{i}" for i in range(12) if i != 3}
    with pytest.raises(IndexFault, match="/data/a"):
        move_root(index, Path("/data/a"), Path("/x"))


def test_a_move_may_be_told_by_relative_paths_and_takes_media_along(index, tmp_path, monkeypatch):
    rows = make_logs(1).to_pylist()
    rows[0] |= {
        "root": str(tmp_path / "old" / "tables"),
        "options": json.dumps({"media_root": str(tmp_path / "old" / "media")}),
    }
    index.store.upsert("logs", "log_id", pa.Table.from_pylist(rows, schema=LOGS_SCHEMA))
    monkeypatch.chdir(tmp_path)
    assert move_root(index, Path("old"), Path("new/place")) == 1
    (row,) = [r for r in index.store.read("logs").to_pylist() if r["name"] == "log000"]
    assert row["root"] == str(tmp_path / "new/place/tables")
    assert json.loads(row["options"]) == {"media_root": str(tmp_path / "new/place/media")}


def test_the_version_tells_what_was_mined_again_with_other_images(index):
    before = index_version(index.store)
    assert hardness_words(index).startswith("not computed")
    refresh_hardness(index.store)
    assert hardness_words(index) == f"computed at {before}"
    row = index.store.read("clips", where="clip_id = 'log000-0badf00d+0000000'").to_pylist()[0] | {"images_masked": 3}
    index.store.upsert("clips", "clip_id", pa.Table.from_pylist([row], schema=clips_schema(WIDTH)))
    after = index_version(index.store)
    assert after != before and after in hardness_words(index) and "optimize" in hardness_words(index)


def test_a_delete_cut_short_can_be_done_again(index, monkeypatch):
    Quarantine(index.folder).replace(
        [], [Quarantined("log003-0badf00d", "unit003", "image", "a.jpg", "broken_file", "x")]
    )

    def killed(self, log_ids):
        raise SystemExit

    monkeypatch.setattr(Quarantine, "forget_logs", killed)
    with pytest.raises(SystemExit):
        delete_logs(index, ("log003",))
    monkeypatch.undo()
    assert delete_logs(index, ("log003",))["logs"] == 1
    assert not Quarantine(index.folder).lines and index.store.rows("clips") == 110


@pytest.mark.parametrize("table", ["clips", "manifest"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_broken_index_is_one_line_that_names_the_table(index, table, damage):
    (index.folder / "quarantine.jsonl").unlink(missing_ok=True)
    for path in (index.folder / f"{table}.lance" / "data").iterdir():
        path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(IndexFault, match=f"table {table}") as error:
        search(open_index(index.folder), where="risk > 0.5")
    assert "\n" not in str(error.value) and ".rs" not in str(error.value)


def test_a_second_writer_is_refused(index):
    with writer_lock(index.folder), pytest.raises(WriterBusyError), writer_lock(index.folder):
        pass


def test_what_is_no_index_is_refused(tmp_path):
    with pytest.raises(IndexFault, match="found none"):
        open_index(tmp_path)
    store = Store.create(tmp_path / "x", embed_dim=4)
    store.set_manifest({"format_version": 99})
    with pytest.raises(IndexFault, match="found 99"):
        open_index(tmp_path / "x")


@pytest.mark.slow
def test_the_vector_index_builds_itself_and_narrow_filters_stay_exact(tmp_path, monkeypatch):
    store = Store.create(tmp_path / "index", embed_dim=WIDTH)
    for part in range(4):
        store.append("clips", make_clips(250, 10, seed=part, first=part * 250))
    index = open_index(tmp_path / "index")
    assert not index_info(index).ann
    done = optimize(index, ann_from_rows=10_000)
    assert done.ann and index_info(index).ann
    rng = np.random.default_rng(3)
    rows = store.read("clips", columns=["clip_id", "embedding", "tag_rain"])
    matrix = np.stack(rows["embedding"].to_numpy(zero_copy_only=False))
    ids, rain = np.array(rows["clip_id"].to_pylist()), rows["tag_rain"].to_numpy()
    recall, exact = [], []
    for _ in range(20):
        vector = rng.normal(size=WIDTH)
        truth = ids[np.argsort(-(matrix @ vector))[:10]]
        found = nearest(store, vector.astype(np.float32), columns=["clip_id"], where=None, limit=10)
        recall.append(len(set(truth) & set(found["clip_id"].to_pylist())) / 10)
        keep = np.flatnonzero(rain > 0.99)
        truth = ids[keep[np.argsort(-(matrix[keep] @ vector))[:10]]]
        found = nearest(store, vector.astype(np.float32), columns=["clip_id"], where="tag_rain > 0.99", limit=10)
        exact.append(found["clip_id"].to_pylist() == truth.tolist())
    assert np.mean(recall) >= 0.95
    assert all(exact)
    # One of many partitions looked into holds fewer than asked for: the scan answers instead.
    monkeypatch.setattr("sceneminer.index.nearest.PROBES", 1)
    with store.table("clips") as table:
        table.create_index("embedding", config=IvfSq(distance_type="cosine", num_partitions=16))
    one = np.ones(WIDTH, np.float32)
    assert nearest(store, one, columns=["clip_id"], where=None, limit=10_000).num_rows == 10_000
