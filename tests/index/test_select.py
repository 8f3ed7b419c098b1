"""Selecting: the greedy rule against a loop, quotas, exclusion, near-duplicates against brute force, and replay."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from test_search import WIDTH, make_logs

from sceneminer.index.errors import IndexFault, QueryError
from sceneminer.index.greedy import Group, Pool, pick
from sceneminer.index.manage import delete_logs
from sceneminer.index.near_duplicates import near_duplicates
from sceneminer.index.query import make_query
from sceneminer.index.quota import parse_quota, parse_quotas
from sceneminer.index.replay import replay, rule_of
from sceneminer.index.schema import clips_schema
from sceneminer.index.search import open_index
from sceneminer.index.select import Rule, excluding, near_cosine, select
from sceneminer.index.selection import Selection, read_selection, write_selection
from sceneminer.index.store import Store


def unit(rng, rows, width=WIDTH):
    vectors = rng.normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def index(tmp_path):
    rng = np.random.default_rng(4)
    store = Store.create(tmp_path / "index", embed_dim=WIDTH)
    store.append("logs", make_logs(12))
    vectors = unit(rng, 240)
    rows = [
        {
            "clip_id": f"log{k // 20:03d}-0badf00d+{k % 20 * 1000:07d}",
            "log_id": f"log{k // 20:03d}-0badf00d",
            "log_name": f"log{k // 20:03d}",
            "unit_id": f"unit{k // 20:03d}",
            "start_us": k % 20 * 1_000_000,
            "end_us": (k % 20 + 2) * 1_000_000,
            "location": ("north", "south", None)[k // 20 % 3],
            "hardness": None if k % 17 == 0 else float(rng.random()),
            "tag_night": float(rng.random() ** 3),
            "risk_tracks": float(rng.random()),
            "stream_fingerprint": None if k % 20 == 19 else "s",
            "embedding": None if k % 20 == 19 else vectors[k],
        }
        for k in range(240)
    ]
    store.append("clips", pa.Table.from_pylist(rows, schema=clips_schema(WIDTH)))
    store.set_manifest({"mining": {"stride_us": 1_000_000}})
    return open_index(store.folder)


def encode(texts):
    return unit(np.random.default_rng(8), len(texts))


def by_loop(pool, n, diversity):
    scale = 1 - float(np.sum(pool.unit.mean(0) ** 2))
    chosen = []
    while len(chosen) < n:
        best = None
        for k in range(len(pool.value)):
            clash = any(
                pool.log[k] == pool.log[c] and pool.start_us[k] < pool.end_us[c] and pool.end_us[k] > pool.start_us[c]
                for c in chosen
            )
            if k in chosen or clash:
                continue
            near = min([1 - float(pool.unit[k] @ pool.unit[c]) for c in chosen], default=scale)
            gain = pool.value[k] + diversity * min(near / scale, 1.0)
            if best is None or gain > best[0] + 1e-7:
                best = gain, k
        if best is None:
            break
        chosen.append(best[1])
    return chosen


@pytest.mark.parametrize("diversity", [0.0, 0.5, 5.0])
def test_the_greedy_rule_is_what_a_loop_does(diversity):
    rng = np.random.default_rng(0)
    start = rng.integers(0, 8, 60) * 1_000_000
    pool = Pool(unit(rng, 60), rng.random(60), start, start + 2_000_000, rng.integers(0, 6, 60))
    assert list(pick(pool, 12, diversity=diversity).rows) == by_loop(pool, 12, diversity)


def test_groups_hold_and_are_filled():
    rng = np.random.default_rng(1)
    pool = Pool(unit(rng, 50), rng.random(50), np.arange(50) * 10, np.arange(50) * 10 + 5, np.zeros(50, int))
    rare, common = pool.value < 0.1, pool.value > 0.5
    assert 3 <= rare.sum() < 10
    picked = pick(pool, 10, diversity=0.0, groups=[Group(rare, least=3), Group(common, most=4)])
    assert rare[list(picked.rows)].sum() == 3 and common[list(picked.rows)].sum() == 4
    few = pick(pool, 10, diversity=0.0, groups=[Group(rare, least=40)])
    assert rare[list(few.rows)].sum() == min(10, rare.sum()), "as many as there are, and the rest of the places is used"
    assert len(few.rows) == 10


def test_quotas_that_can_be_met_together_are():
    """The best clip of each log is by day, only one of a log may be taken, and three are wanted by night."""
    rng = np.random.default_rng(7)
    log, start = np.repeat(np.arange(6), 4), np.tile(np.arange(4), 6) * 10
    night = (start == 30) & (log > 0)
    pool = Pool(unit(rng, 24), np.where(night, 0.1, 0.9), start, start + 20, log)
    each = [Group(log == k, most=1) for k in range(6)]
    picked = list(pick(pool, 6, diversity=0.1, groups=[*each, Group(night, least=3)]).rows)
    assert night[picked].sum() >= 3 and sorted(log[picked]) == [0, 1, 2, 3, 4, 5]
    scarce, wide = (log == 2) & night, log < 4
    picked = list(pick(pool, 2, diversity=0.1, groups=[Group(wide, least=2), Group(scarce, least=1), each[2]]).rows)
    assert scarce[picked].sum() == 1 and wide[picked].all()


@pytest.mark.parametrize("seed", range(4))
def test_quotas_are_missed_next_to_never_where_they_can_be_met(seed):
    """Against an exact solver, on small random pools of overlapping clips."""
    rng = np.random.default_rng(seed)
    missed = possible = 0
    for _ in range(50):
        logs = int(rng.integers(2, 6))
        log, start = np.repeat(np.arange(logs), 8), np.tile(np.arange(8), logs) * 10
        rows, n = len(log), int(rng.integers(3, 12))
        groups = [Group(log == k, most=int(rng.integers(1, 4))) for k in range(logs)]
        groups += [Group(rng.random(rows) < share, least=int(rng.integers(1, 4))) for share in (0.25, 0.15)]
        picked = pick(Pool(unit(rng, rows), rng.random(rows), start, start + 20, log), n, diversity=1.0, groups=groups)
        met = all(group.members[list(picked.rows)].sum() >= group.least for group in groups)
        apart = [(log == log[k]) & np.isin(start, [start[k], start[k] + 10]) for k in range(rows)]
        bounds = [(group.members, group.least, rows if group.most is None else group.most) for group in groups]
        bounds += [(both, 0, 1) for both in apart] + [(np.ones(rows, bool), 0, n)]
        table, low, high = (np.array(column, float) for column in zip(*bounds, strict=True))
        solved = milp(
            np.zeros(rows),
            constraints=LinearConstraint(table, low, high),
            integrality=np.ones(rows),
            bounds=Bounds(0, 1),
        )
        possible += solved.success
        missed += solved.success and not met
        assert not met or solved.success
    assert possible >= 15 and missed <= 0.05 * possible


def test_the_same_call_gives_the_same_selection_and_it_holds_its_quotas(index):
    rule = Rule(n=24, quotas=("log<=3", "tag.night>=6", "location=south>=7", "location<=9"), near_duplicate=None)
    first, again = (select(index, None, rule) for _ in range(2))
    assert first == again and first.unmet == ()
    rows = {row["clip_id"]: row for row in index.store.read("clips").to_pylist()}
    chosen = [rows[item.clip_id] for item in first.selection.items]
    assert len(chosen) == 24
    logs = [row["log_name"] for row in chosen]
    assert max(map(logs.count, logs)) <= 3
    assert sum(row["tag_night"] >= 0.5 for row in chosen) >= 6
    places = [row["location"] for row in chosen]
    assert 7 <= places.count("south") <= 9 and places.count("north") <= 9
    spans = sorted((row["log_id"], row["start_us"], row["end_us"]) for row in chosen)
    assert all(a[0] != b[0] or a[2] <= b[1] for a, b in pairwise(spans)), "none overlap"


def test_what_a_quota_lacks_is_said(index):
    report = select(index, make_query(where="log != 'log003'"), Rule(n=20, quotas=("log=log003>=2", "tag.night>=200")))
    assert report.unmet[0] == "log=log003>=2: 0 found" and report.unmet[1].startswith("tag.night>=200: ")
    assert len(report.selection.items) == 20


def test_weights_steer(index):
    hard = select(index, None, Rule(n=10, diversity=0.0, near_duplicate=None)).selection
    rows = {row["clip_id"]: row for row in index.store.read("clips").to_pylist()}
    values = [rows[item.clip_id]["hardness"] for item in hard.items]
    assert values == sorted(values, reverse=True) and values[0] == max(r["hardness"] or 0 for r in rows.values())
    query = make_query("anything")
    by_score = Rule(n=5, hardness=0.0, diversity=0.0, near_duplicate=None)
    near = select(index, query, by_score, encode_text=encode).selection
    likeness = [item.parts["likeness"] for item in near.items]
    vector = encode(["anything"])[0]
    best = max(float(np.dot(r["embedding"], vector)) for r in rows.values() if r["embedding"] is not None)
    assert likeness == sorted(likeness, reverse=True) and likeness[0] == pytest.approx(best, abs=1e-5)

    def spread(selection):
        vectors = np.array(
            [rows[item.clip_id]["embedding"] for item in selection.items if rows[item.clip_id]["embedding"]]
        )
        return float((vectors @ vectors.T)[np.triu_indices(len(vectors), 1)].max())

    some = select(index, make_query(where="risk > 0.1"), Rule(n=12, hardness=1.0, diversity=0.0, near_duplicate=None))
    wide = select(index, make_query(where="risk > 0.1"), Rule(n=12, hardness=0.0, diversity=1.0, near_duplicate=None))
    assert spread(wide.selection) < spread(some.selection)


def test_earlier_selections_are_kept_out(index):
    first = select(index, None, Rule(n=15)).selection
    second = select(index, None, Rule(n=15, exclude=excluding(first)))
    assert second.excluded >= 15
    taken = {(i.log_id, i.start_us, i.end_us) for i in first.items}
    for item in second.selection.items:
        assert not any(item.log_id == log and item.start_us < end and item.end_us > start for log, start, end in taken)


def test_of_near_duplicates_the_better_stays(index):
    rows = index.store.read("clips").to_pylist()
    twins = []
    for k, (hardness, source) in enumerate(((2.0, 5), (1.9, 5), (1.8, 30))):
        vector = np.array(rows[source]["embedding"]) + 0.001 * np.eye(WIDTH)[k]
        log = f"twin{k}-0badf00d"
        ids = {"clip_id": f"{log}+0000000", "log_id": log, "log_name": f"twin{k}", "unit_id": "t"}
        twins.append(rows[source] | ids | {"hardness": hardness, "embedding": vector / np.linalg.norm(vector)})
    index.store.append("clips", pa.Table.from_pylist(twins, schema=clips_schema(WIDTH)))
    report = select(index, None, Rule(n=30, diversity=0.0))
    chosen = [item.clip_id for item in report.selection.items]
    assert chosen[0] == twins[0]["clip_id"] and twins[2]["clip_id"] in chosen
    assert twins[1]["clip_id"] not in chosen and rows[5]["clip_id"] not in chosen and rows[30]["clip_id"] not in chosen
    assert report.near_duplicates == 3


@pytest.mark.parametrize("rows", [300, 12_000])
def test_near_duplicates_are_those_of_brute_force(rows):
    rng = np.random.default_rng(2)
    base = unit(rng, rows // 3, 32)
    spread = np.tile([0.0, 0.01, 0.05], rows // 3)[:, None]
    noisy = np.repeat(base, 3, 0) + spread * rng.normal(size=(rows // 3 * 3, 32))
    vectors = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True))[rng.permutation(len(noisy))].astype(np.float32)
    vectors[7] = np.nan
    value = rng.integers(0, 50, len(vectors)).astype(float)
    found = near_duplicates(lambda: np.array_split(vectors, 7), value, at_least=0.97)
    rank = np.lexsort((np.arange(len(value)), -value)).argsort()
    known = np.nan_to_num(vectors)
    expected = np.zeros(len(value), bool)
    for start in range(0, len(value), 1000):
        near = known[start : start + 1000] @ known.T >= 0.97
        expected[start : start + 1000] = (near & (rank[None] < rank[start : start + 1000, None])).any(1)
    assert not found[7]
    assert (found & expected).sum() >= 0.99 * expected.sum()
    # fp16 decides pairs within about 0.001 of the threshold either way.
    assert (found & ~expected).sum() <= 0.002 * len(value)


@pytest.mark.parametrize("at_least", [1.0, 0.9999])
def test_a_copy_is_a_near_duplicate_however_strict_one_is(at_least):
    vectors = np.tile(unit(np.random.default_rng(3), 300, 64), (2, 1))
    found = near_duplicates(lambda: [vectors], np.zeros(600), at_least=at_least)
    assert not found[:300].any() and found[300:].all()


def test_what_is_a_near_duplicate_goes_by_how_close_together_all_clips_are(index):
    vectors = np.array([r["embedding"] for r in index.store.read("clips").to_pylist() if r["embedding"]], np.float64)
    pairs = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    assert near_cosine(index.store.snapshot("clips")) == pytest.approx(1 - 0.02 * (1 - pairs.mean()), abs=2e-4)
    assert select(index, None, Rule(n=3)).near_cosine == near_cosine(index.store.snapshot("clips"))
    assert select(index, None, Rule(n=3, near_duplicate=0.9)).near_cosine == 0.9
    assert select(index, None, Rule(n=3, near_duplicate=None)).near_cosine is None


def test_a_tower_that_puts_all_images_close_together_loses_no_more_clips(tmp_path):
    """The same clips, seen by towers whose embeddings share more and more."""
    rng = np.random.default_rng(6)
    own, shared = unit(rng, 100), unit(rng, 1)
    left = []
    for k, share in enumerate((0.0, 3.0, 10.0)):
        vectors = np.concatenate([own, own[:10] + 0.02 * unit(rng, 10)]) + share * shared
        store = Store.create(tmp_path / f"index{k}", embed_dim=WIDTH)
        rows = [
            {"clip_id": f"c{n}+0000000", "log_id": f"c{n}", "log_name": f"c{n}", "unit_id": "u", "start_us": 0}
            | {"end_us": 2_000_000, "stream_fingerprint": "s", "embedding": v / np.linalg.norm(v)}
            for n, v in enumerate(vectors.astype(np.float32))
        ]
        store.append("clips", pa.Table.from_pylist(rows, schema=clips_schema(WIDTH)))
        found = select(open_index(store.folder), None, Rule(n=110))
        left.append(found.near_duplicates)
    assert left == [10, 10, 10]


def test_a_selection_replays_or_says_what_changed(index, tmp_path):
    query = make_query("anything", where="risk > 0.05")
    rule = Rule(n=20, quotas=("log<=4",), exclude=(("log000-0badf00d", 0, 3_000_000),))
    write_selection(select(index, query, rule, encode_text=encode).selection, tmp_path / "s.json")
    selection = read_selection(tmp_path / "s.json")
    assert rule_of(selection) == rule
    same = replay(index, selection, encode_text=encode)
    assert same.same and same.now == selection and same.version_then == same.version_now
    gone = {item.log_name for item in selection.items}
    delete_logs(index, (sorted(gone)[0],))
    changed = replay(index, selection, encode_text=encode)
    assert not changed.same and changed.version_then != changed.version_now
    assert {item.log_name for item in changed.gone} == {sorted(gone)[0]}
    assert len(changed.new) == len(changed.gone) + len(changed.left)


def test_what_was_picked_by_hand_cannot_be_replayed(index):
    with pytest.raises(IndexFault, match="picked by hand"):
        replay(index, Selection((), "0", (), {}, {"picked": "by hand"}))
    with pytest.raises(QueryError, match="rule of a selection"):
        rule_of(Selection((), "0", (), {}, {"m": 3}))
    with pytest.raises(QueryError, match="of a selection"):
        rule_of(Selection((), "0", (), {}, {"n": "3"}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("log<3", "expected a quota such as"),
        ("speed<=3", "quota on one of log"),
        ("tag.night=1>=3", "found a value"),
        ("log>=3", "log=NAME>=3"),
        ("tag.unicorn>=3", "quota on one of"),
        ("log<=3; drop", "expected a quota such as"),
    ],
)
def test_quotas_that_cannot_be_meant_are_refused(text, said):
    with pytest.raises(QueryError, match=said):
        parse_quota(text)


def test_a_quota_is_given_once():
    with pytest.raises(QueryError, match="each quota once"):
        parse_quotas(["log<=3", "log <= 4"])


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule(n=0), "between 1 and"),
        (Rule(n=5, hardness=-1.0), "weights between"),
        (Rule(n=5, hardness=0.0, score=0.0, diversity=0.0), "not all 0"),
        (Rule(n=5, diversity=float("nan")), "weights between"),
        (Rule(n=5, near_duplicate=0.2), "between 0.5 and 1"),
        (Rule(n=5, near_duplicate=float("nan")), "between 0.5 and 1"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(index, rule, said):
    with pytest.raises(QueryError, match=said):
        select(index, None, rule)
