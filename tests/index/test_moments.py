"""Filters on agents against loops over rows that anybody can follow, on a table of random agents."""

from itertools import pairwise, product

import numpy as np
import pyarrow as pa
import pytest
from test_search import WIDTH, make_logs

from sceneminer.geometry.box import footprint
from sceneminer.index.errors import QueryError
from sceneminer.index.resolve import resolve
from sceneminer.index.schema import AGENTS_SCHEMA, clips_schema
from sceneminer.index.search import open_index, search
from sceneminer.index.store import Store
from sceneminer.index.where_plan import parse_plan
from sceneminer.labels.ego import EGO_SIZE

LOGS, TRACKS, STEPS = 4, 6, 24
CATEGORIES = ("car", "bicycle", "pedestrian", "truck", "bicycle", "car")


def make_agents():
    rng = np.random.default_rng(1)
    rows = []
    for log, t, k in product(range(LOGS), range(STEPS), range(TRACKS)):
        if rng.random() < 0.1:
            continue
        rows.append(
            {
                "log_id": f"log{log:03d}-0badf00d",
                "unit_id": f"unit{log:03d}",
                "time_us": t * 500_000,
                "track_id": f"t{k}",
                "category": CATEGORIES[k],
                "x_m": float(rng.uniform(-15, 15)),
                "y_m": float(rng.uniform(-10, 10)),
                "yaw_rad": float(rng.uniform(-3, 3)),
                "vx_mps": float(rng.normal() * 3),
                "vy_mps": float(rng.normal()),
                "length_m": 4.5 if k in (0, 3, 5) else 1.8,
                "width_m": 1.9 if k in (0, 3, 5) else 0.7,
                "ttc_s": float(rng.uniform(0, 5)) if rng.random() < 0.5 else None,
                "risk": float(rng.random()),
                "acceleration_mps2": float(rng.normal()),
                "turn_rad": float(rng.normal()),
                "following": bool(rng.random() < 0.3),
                "in_ego_lane": None if k == 2 else bool(rng.random() < 0.5),
            }
        )
    return rows


AGENTS = make_agents()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    store = Store.create(tmp_path_factory.mktemp("index") / "i", embed_dim=WIDTH)
    store.append("logs", make_logs(LOGS + 1))
    store.append("agents", pa.Table.from_pylist(AGENTS, schema=AGENTS_SCHEMA))
    clips = [
        {
            "clip_id": f"log{log:03d}-0badf00d+{k * 1000:07d}",
            "log_id": f"log{log:03d}-0badf00d",
            "log_name": f"log{log:03d}",
            "unit_id": f"unit{log:03d}",
            "start_us": k * 1_000_000,
            "end_us": (k + 2) * 1_000_000,
            "ego_speed_mps": float((log * 5 + k) % 7),
            "risk_tracks": None if log == LOGS else 0.0,
            "hardness": 0.01 * k + 0.1 * log,
            "stream_fingerprint": "s",
            "embedding": np.eye(WIDTH, dtype="f4")[(log + k) % WIDTH],
        }
        for log in range(LOGS + 1)
        for k in range(10)
    ]
    store.append("clips", pa.Table.from_pylist(clips, schema=clips_schema(WIDTH)))
    store.set_manifest({"mining": {"stride_us": 1_000_000}})
    return open_index(store.folder)


@pytest.fixture(scope="module")
def clips(index):
    return index.store.read("clips").to_pylist()


def found_by(index, where):
    ids = index.store.read("clips", columns=["clip_id"])["clip_id"].to_pylist()
    return {ids[k] for k in resolve(index.store, where, added={}).positions}


def expected(clips, *, some=None, none=None, of_clip=lambda clip: True):
    """Clips with an agent of which ``some`` is true, and with none of which ``none`` is."""
    out = set()
    for clip in clips:
        here = [
            a for a in AGENTS if a["log_id"] == clip["log_id"] and clip["start_us"] <= a["time_us"] <= clip["end_us"]
        ]
        good = of_clip(clip) and (some is None or any(map(some, here)))
        if good and (none is None or (clip["risk_tracks"] is not None and not any(map(none, here)))):
            out.add(clip["clip_id"])
    return out


def speed(agent):
    return float(np.hypot(np.float32(agent["vx_mps"]), np.float32(agent["vy_mps"])))


@pytest.mark.parametrize(
    ("where", "how"),
    [
        ("measure.ttc_s < 0.4 and agent.category == 'pedestrian'",
         {"some": lambda a: a["category"] == "pedestrian" and a["ttc_s"] is not None and a["ttc_s"] < 0.4}),
        ("agent.category = 'pedestrian' and agent.risk > 0.95 and ego_speed_mps > 2",
         {"some": lambda a: a["category"] == "pedestrian" and a["risk"] > 0.95,
          "of_clip": lambda c: c["ego_speed_mps"] > 2}),
        ("agent.category = 'car' and not measure.ttc_s < 4.5",
         {"some": lambda a: a["category"] == "car" and a["ttc_s"] is not None and a["ttc_s"] >= 4.5}),
        ("agent.category in ('vehicle', 'rider') and agent.speed_mps > 7 and abs(agent.y_m) < 5",
         {"some": lambda a: a["category"] != "pedestrian" and speed(a) > 7 and abs(a["y_m"]) < 5}),
        ("none(agent.category = 'bicycle' and agent.distance_m < 5)",
         {"none": lambda a: a["category"] == "bicycle" and np.hypot(a["x_m"], a["y_m"]) < 5}),
        ("not (agent.risk > 0.97 and ego_speed_mps < 3)",
         {"none": None, "of_clip": lambda c: c["ego_speed_mps"] >= 3}),
        ("some(agent.risk > 0.97) and some(agent.category = 'truck' and agent.x_m > 12)", None),
        ("agent.in_ego_lane and not agent.following and agent.category != 'car' and agent.risk > 0.9",
         {"some": lambda a: a["in_ego_lane"] and not a["following"] and a["category"] != "car" and a["risk"] > 0.9}),
        ("not agent.in_ego_lane and agent.category = 'pedestrian'", {"some": lambda a: False}),
        ("agent.category = 'truck' and (agent.risk > 0.9 or ego_speed_mps > 100)",
         {"some": lambda a: a["category"] == "truck" and a["risk"] > 0.9}),
        ("(agent.risk > 0.9 and log != 'x' or log = 'y') and (log = 'y' or agent.category = 'truck')",
         {"some": lambda a: a["category"] == "truck" and a["risk"] > 0.9}),
        ("not (agent.category = 'truck' and (agent.risk > 0.9 or ego_speed_mps > 100))",
         {"none": lambda a: a["category"] == "truck" and a["risk"] > 0.9}),
        ("none(agent.in_ego_lane and agent.risk > 0.9)",
         {"none": lambda a: a["in_ego_lane"] is not False and a["risk"] > 0.9}),
        ("not (agent.in_ego_lane and agent.risk > 0.9 and ego_speed_mps >= 0)",
         {"none": lambda a: a["in_ego_lane"] is not False and a["risk"] > 0.9}),
        ("none(measure.ttc_s < 0.2)", {"none": lambda a: a["ttc_s"] is not None and a["ttc_s"] < 0.2}),
        ("agent.in_ego_lane is null and agent.risk > 0.98",
         {"some": lambda a: a["in_ego_lane"] is None and a["risk"] > 0.98}),
        ("turning('left') and agent.turn_rad > 2",
         {"some": lambda a: a["turn_rad"] > 2 and speed(a) >= 1}),
        ("braking() and agent.acceleration_mps2 between -3 and -2 and agent.track = 't3'",
         {"some": lambda a: -3 <= a["acceleration_mps2"] <= -2 and a["track_id"] == "t3"}),
        ("agent.x_m / 0 > 1", {"some": lambda a: False}),
    ],
)  # fmt: skip
def test_filters_find_what_loops_find(index, clips, where, how):
    if how is None:
        left = expected(clips, some=lambda a: a["risk"] > 0.97)
        want = left & expected(clips, some=lambda a: a["category"] == "truck" and a["x_m"] > 12)
    elif "none" in how and how["none"] is None:
        want = expected(clips, of_clip=how["of_clip"]) | expected(clips, none=lambda a: a["risk"] > 0.97)
    else:
        want = expected(clips, **how)
    assert found_by(index, where) == want
    assert len(want) < len(clips)


def gap(a, b):
    """By brute force: the least distance between points of two outlines; 0 where one holds a point of the other."""
    import shapely

    boxes = [
        shapely.Polygon(footprint(np.array([x, y]), np.array(yaw), np.array([length, width])))
        for x, y, yaw, length, width in (a, b)
    ]
    return boxes[0].distance(boxes[1])


def box(agent):
    return tuple(float(np.float32(agent[n])) for n in ("x_m", "y_m", "yaw_rad", "length_m", "width_m"))


EGO = (EGO_SIZE.rear_axle_to_center_m, 0.0, 0.0, EGO_SIZE.length_m, EGO_SIZE.width_m)


def placed(word, agent, other, within):
    """Whether the relation holds between two boxes."""
    if gap(agent, other) > within:
        return False
    if word == "near":
        return True
    base, side = (agent, other) if word.startswith("has_") else (other, agent)
    c, s = np.cos(base[2]), np.sin(base[2])
    dx, dy = side[0] - base[0], side[1] - base[1]
    along, left = c * dx + s * dy, c * dy - s * dx
    word = word.removeprefix("has_").removesuffix("_of")
    if word in ("left", "right"):
        return abs(along) < base[3] / 2 and (left if word == "left" else -left) > base[4] / 2
    return abs(left) < base[4] / 2 and (along if word == "ahead" else -along) > base[3] / 2


@pytest.mark.parametrize(
    "word", ["left_of", "right_of", "ahead_of", "behind", "has_left", "has_right", "has_ahead", "has_behind", "near"]
)
@pytest.mark.parametrize("of", ["bicycle", "ego"])
def test_relations_between_two_are_what_loops_over_pairs_find(index, clips, word, of):
    within = 3.0

    def holds(agent):
        if agent["category"] != "car":
            return False
        if of == "ego":
            return placed(word, box(agent), EGO, within)
        others = [o for o in AGENTS if o["log_id"] == agent["log_id"] and o["time_us"] == agent["time_us"]]
        return any(o["category"] == of and placed(word, box(agent), box(o), within) for o in others)

    want = expected(clips, some=holds)
    assert found_by(index, f"agent.category = 'car' and {word}('{of}', {within})") == want


def test_nobody_is_placed_against_itself(index, clips):
    def holds(agent):
        others = [o for o in AGENTS if o["log_id"] == agent["log_id"] and o["time_us"] == agent["time_us"]]
        cars = [o for o in others if o["category"] == "car" and o["track_id"] != agent["track_id"]]
        return agent["category"] == "car" and any(gap(box(agent), box(o)) <= 1.0 for o in cars)

    assert found_by(index, "agent.category = 'car' and near('car', 1)") == expected(clips, some=holds)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.5])
def test_what_lasts_is_an_unbroken_stretch_of_one_agent(index, clips, seconds):
    good, held = {}, set()
    for agent in AGENTS:
        if agent["risk"] > 0.35:
            good.setdefault((agent["log_id"], agent["track_id"]), []).append(agent["time_us"])
    for key in good:
        everything = {a["time_us"]: a["risk"] > 0.35 for a in AGENTS if (a["log_id"], a["track_id"]) == key}
        seen = sorted(everything)
        for i, start in enumerate(seen):
            for j in range(i, len(seen)):
                run = seen[i : j + 1]
                whole = all(everything[t] for t in run) and all(b - a <= 1_100_000 for a, b in pairwise(run))
                if whole and run[-1] - start >= seconds * 1e6:
                    held |= {(*key, t) for t in run}
    want = expected(clips, some=lambda a: (a["log_id"], a["track_id"], a["time_us"]) in held and a["risk"] < 0.6)
    assert found_by(index, f"lasting(agent.risk > 0.35, {seconds}) and agent.risk < 0.6") == want


def test_hits_say_who_and_when(index):
    hits = search(index, where="agent.category = 'truck' and agent.x_m > 10 and log = 'log001'", top=3)
    for hit in hits:
        here = [a for a in AGENTS if a["log_id"] == hit.log_id and hit.start_us <= a["time_us"] <= hit.end_us]
        rows = [a for a in here if a["category"] == "truck" and a["x_m"] > 10]
        assert hit.parts["agents"] == "truck t3"
        assert hit.parts["agents_start_us"] == min(a["time_us"] for a in rows)
        assert hit.parts["agents_end_us"] == max(a["time_us"] for a in rows)
    assert hits


def test_a_text_is_ranked_among_what_the_filter_lets_through(index, clips):
    where = "agent.category = 'truck' and agent.x_m > 10"
    vector = np.arange(WIDTH, dtype=float)
    hits = search(index, "x", where=where, top=100, encode_text=lambda texts: vector[None])
    assert {c for h in hits for c in h.clip_ids} == found_by(index, where)
    scores = {c["clip_id"]: float(np.dot(c["embedding"], vector)) for c in clips}
    assert hits[0].best_clip_id in {
        c for c in found_by(index, where) if scores[c] == max(scores[f] for f in found_by(index, where))
    }


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("agent.colour = 'red'", "unknown agent.colour"),
        ("agent.category = 'unicorn'", "unknown category 'unicorn'"),
        ("agent.category = 'pedestrain'", r"did you mean pedestrian\?"),
        ("agent.speed > 1", r"did you mean agent.speed_mps\?"),
        ('agent.category = "pedestrian"', "a text in single quotes, 'pedestrian'"),
        ("near(car, 3)", "single quotes, 'car'; found car"),
        ("near('car', 0)", "metres above 0"),
        ("near(agent.x_m)", "expected near\\('category'"),
        ("near('car', 5, 6)", "1 to 2 arguments, found 3"),
        ("lasting(agent.risk > 0.5, 'x')", "number of seconds"),
        ("lasting(agent.risk > 0.5)", "with 2 arguments"),
        ("turning('up')", "turning\\('left'\\)"),
        ("agent.risk", "comparison such as agent.risk > 1"),
        ("agent.risk > ego_speed_mps", "joined by and, or, not"),
        ("agent.risk > pg_sleep(5)", "expected a number"),
        ("exec('x') and agent.risk > 1", "function 'exec'"),
        ("none(ego_speed_mps > 3)", "unknown|expected"),
        ("agent.category > 'car'", "expected a number"),
        ("agent.risk > (select 1)", "expected"),
        ("agent.risk in (select 1)", "expected"),
        ("lasting(none(agent.risk > 1), 1)", "joined by and, or, not"),
        (" and ".join(["(agent.risk > 1 or risk > 1)"] * 7), "at most 64 ways"),
    ],
)
def test_what_is_not_allowed_is_named(where, said):
    with pytest.raises(QueryError, match=said):
        parse_plan(where)
