"""People on foot: routes along pavements and over crossings, walking, waiting, and keeping out of each other's way."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.catalog import Look
from sceneminer.data.synth.scene import Town
from sceneminer.data.synth.traffic_kernel import step_walkers
from sceneminer.data.synth.traffic_rules import CrossingUse
from sceneminer.data.synth.vehicles import Bodies

WALK_STEP_M = 0.25
_JOIN_M = 0.5
ANYWHERE = -2


@dataclass(frozen=True)
class Edge:
    line: Float[ndarray, "n 2"]
    crossing: int
    """-1 for a pavement path."""


@dataclass(frozen=True)
class WalkNet:
    """Pavement paths and crossings joined at their ends."""

    edges: tuple[Edge, ...]
    next: tuple[tuple[tuple[int, bool], ...], ...]
    """For edge end 2k (its start) and 2k + 1 (its end): the edges that go on there, and whether forwards."""


@dataclass(frozen=True)
class Walk:
    """One person's way: points every WALK_STEP_M, and per point the crossing it lies on (-1: pavement)."""

    xy: Float[ndarray, "n 2"]
    crossing: ndarray
    entries: tuple[tuple[float, float, int], ...]
    """Crossings on the way: start, end, crossing (ANYWHERE: over the road where there is none)."""


@dataclass(frozen=True)
class WalkStart:
    category: str
    look: Look
    walk: Walk
    s_m: float
    speed_mps: float
    aside_m: float
    pauses: tuple[tuple[float, float], ...] = ()
    heed: float = 1.0
    """1 waits for a safe gap and the light; lower accepts shorter gaps and reds."""
    role: str = "pavement"
    standing: bool = True
    rider: bool = False
    """A cyclist who rides where a script says."""
    cued: bool = False
    """Stands until a script sets it going."""


@dataclass
class Walkers:
    """State of everyone on foot."""

    town: Town
    starts: list[WalkStart]
    xy: Float[ndarray, "n p 2"]
    counts: ndarray
    s: Float[ndarray, "n"]
    v: Float[ndarray, "n"]
    aside: Float[ndarray, "n"]
    home: Float[ndarray, "n"]
    """Where to the side of the path one would rather be."""
    size: Float[ndarray, "n 3"]
    wish: Float[ndarray, "n"]
    held: ndarray
    """Waiting at a kerb."""
    on_road: ndarray
    seen_by: ndarray
    still: Float[ndarray, "m 5"]
    """Boxes of things on the pavements, to walk round: x, y, yaw, length, width."""
    pose: Float[ndarray, "n 3"] = field(default_factory=lambda: np.zeros((0, 3)))


def build_walk_net(town: Town) -> WalkNet:
    """Join the pavement paths and crossings of a town at their ends."""
    edges = [Edge(np.asarray(path, float), -1) for path in town.walk_paths]
    edges += [Edge(np.asarray(crossing.axis, float), k) for k, crossing in enumerate(town.crossings)]
    ends = np.array([point for edge in edges for point in (edge.line[0], edge.line[-1])]).reshape(-1, 2)
    onward = []
    for k, end in enumerate(ends):
        near = np.flatnonzero(np.hypot(*(ends - end).T) < _JOIN_M)
        onward.append(tuple((int(j) // 2, int(j) % 2 == 0) for j in near if j // 2 != k // 2))
    return WalkNet(tuple(edges), tuple(onward))


def draw_walk(
    net: WalkNet, edge: int, *, forward: bool, length_m: float, cross: float, rng: np.random.Generator
) -> Walk:
    """A way from the start of an edge on; ``cross`` weighs crossings against going on along the pavement."""
    parts, crossings, total = [], [], 0.0
    last = -2
    while total < length_m:
        line = net.edges[edge].line if forward else net.edges[edge].line[::-1]
        parts.append(line)
        crossings.append(net.edges[edge].crossing)
        total += float(np.hypot(*np.diff(line, axis=0).T).sum())
        options = [o for o in net.next[2 * edge + int(forward)] if net.edges[o[0]].crossing != last or last < 0]
        if not options or len(parts) > 40:
            break
        weight = np.array([_pull(net, o, cross) for o in options])
        last = net.edges[edge].crossing if net.edges[edge].crossing >= 0 else last
        edge, forward = options[int(rng.choice(len(options), p=weight / weight.sum()))]
    return lay_walk(parts, crossings)


def _pull(net: WalkNet, option: tuple[int, bool], cross: float) -> float:
    edge, forward = option
    if net.edges[edge].crossing >= 0:
        return cross
    leads_over = any(net.edges[k].crossing >= 0 for k, _ in net.next[2 * edge + int(forward)])
    spur = float(np.hypot(*(net.edges[edge].line[-1] - net.edges[edge].line[0]))) < 4.0
    return (cross if spur else 1.0) if leads_over else 1.0


def lay_walk(parts: list[Float[ndarray, "_n 2"]], crossings: list[int]) -> Walk:
    """Join lines into one way and note where it runs over crossings."""
    points = np.concatenate(parts)
    owner = np.concatenate([np.full(len(p), c) for p, c in zip(parts, crossings, strict=True)])
    keep = np.concatenate(
        [np.hypot(*np.diff(points, axis=0).T) > 1e-6, [True]]
    )  # of twins the later: it owns the segment
    points, owner = points[keep], owner[keep]
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    even = np.arange(0.0, max(along[-1], 12 * WALK_STEP_M), WALK_STEP_M)
    xy = np.stack([np.interp(even, along, points[:, k]) for k in range(2)], -1)
    low = np.clip(np.searchsorted(along, even, side="right") - 1, 0, len(owner) - 1)
    crossing = owner[low]
    for _ in range(3):  # nobody walks round a corner on the spot
        xy[4:-4] = np.stack([np.convolve(xy[:, k], np.full(9, 1 / 9), "valid") for k in range(2)], -1)
    return Walk(xy, crossing.astype(np.int64), tuple(_entries(crossing)))


def _entries(crossing: ndarray) -> list[tuple[float, float, int]]:
    cuts = np.flatnonzero(np.diff(np.concatenate([[-1], crossing, [-1]])))
    found = []
    for a, b in pairwise(cuts.tolist()):
        if crossing[a] != -1:
            found.append((a * WALK_STEP_M, (b - 1) * WALK_STEP_M, int(crossing[a])))
    return found


def make_walkers(town: Town, starts: list[WalkStart], still: Float[ndarray, "m 5"]) -> Walkers:
    """People at their starting places."""
    n = len(starts)
    longest = max((len(start.walk.xy) for start in starts), default=2)
    xy = np.zeros((n, longest, 2))
    for k, start in enumerate(starts):
        xy[k, : len(start.walk.xy)] = start.walk.xy
    people = Walkers(
        town=town,
        starts=starts,
        xy=xy,
        counts=np.array([len(x.walk.xy) for x in starts], np.int64),
        s=np.array([x.s_m for x in starts], float),
        v=np.array([0.0 if x.cued else x.speed_mps for x in starts], float),
        aside=np.array([x.aside_m for x in starts], float),
        home=np.array([x.aside_m for x in starts], float),
        size=np.array([x.look.size_lwh_m for x in starts], float).reshape(n, 3),
        wish=np.array([0.0 if x.cued else x.speed_mps for x in starts], float),
        held=np.zeros(n, bool),
        on_road=np.zeros(n, bool),
        seen_by=np.full(n, -1, np.int64),
        still=still,
        pose=np.zeros((n, 3)),
    )
    move_walkers(people, time_s=-1e6)
    return people


def move_walkers(people: Walkers, time_s: float, *, dt_s: float = 0.0) -> None:
    """Advance everyone by one tick (or only work out poses where ``dt_s`` is 0)."""
    if not len(people.s):
        return
    wish = np.where(people.held, 0.0, people.wish)
    for k, start in enumerate(people.starts):
        if any(a <= time_s < b for a, b in start.pauses):
            wish[k] = 0.0
    people.pose = step_walkers(
        people.xy,
        people.counts,
        people.s,
        people.v,
        people.aside,
        people.home,
        people.size,
        wish,
        people.still,
        dt_s,
        WALK_STEP_M,
    )


def decide_crossings(
    people: Walkers, arrivals: dict[int, float], time_s: float, red: dict[int, bool], traffic: Bodies
) -> None:
    """Hold people at kerbs until traffic lets them go.

    ``arrivals`` is the time in seconds until a vehicle reaches a crossing, ``red`` says for signalled crossings whether
    its traffic stands at red and will do so long enough.
    """
    for k, start in enumerate(people.starts):
        s, held, on_road = float(people.s[k]), False, False
        for begin, end, crossing in start.walk.entries:
            if begin - 0.1 <= s < end:
                on_road = True
            elif begin - 0.9 <= s < begin - 0.1 and start.role in ("pavement", "jaywalk_safe"):
                need = (end - begin) / max(people.wish[k], 0.5) * start.heed + 0.5
                if crossing == ANYWHERE:
                    held = _soonest(traffic, start.walk, begin, end) < need + 1.0
                else:
                    walk = red.get(crossing, True) or start.heed < 0.5
                    held = not (walk and arrivals.get(crossing, 1e9) > need)
        people.held[k], people.on_road[k] = held, on_road


def _soonest(traffic: Bodies, walk: Walk, begin_m: float, end_m: float) -> float:
    """Seconds until the next vehicle comes by where somebody wants to cross the road between crossings."""
    middle = walk.xy[int((begin_m + end_m) / 2 / WALK_STEP_M)]
    delta, speed = middle - traffic.box[:, :2], np.hypot(*traffic.velocity.T)
    heading = np.stack([np.cos(traffic.box[:, 2]), np.sin(traffic.box[:, 2])], -1)
    ahead = np.sum(delta * heading, -1)
    aside = np.abs(delta[:, 1] * heading[:, 0] - delta[:, 0] * heading[:, 1])
    comes = (aside < 9.0) & (ahead > -traffic.box[:, 3] / 2 - 1.0) & (ahead < 80.0) & ((speed > 0.3) | (ahead < 8.0))
    return float(np.min(np.maximum(ahead[comes] - 3.0, 0.0) / np.maximum(speed[comes], 1.0), initial=1e9))


def crossing_uses(people: Walkers, *, signalled: frozenset[int]) -> list[CrossingUse]:
    """Who is on which crossing, or waits at one without lights."""
    uses = []
    for k, start in enumerate(people.starts):
        s = float(people.s[k])
        for begin, end, crossing in start.walk.entries:
            if crossing >= 0 and begin - 1.0 <= s < end:
                axis = people.town.crossings[crossing].axis
                unit = (axis[1] - axis[0]) / max(float(np.linalg.norm(axis[1] - axis[0])), 1e-6)
                i = min(int(s / WALK_STEP_M), len(start.walk.xy) - 2)
                way = float((start.walk.xy[i + 1] - start.walk.xy[i]) @ unit) / WALK_STEP_M
                along = float((people.pose[k, :2] - axis[0]) @ unit)
                on_road = bool(people.on_road[k]) or s > begin
                if on_road or crossing not in signalled:
                    uses.append(CrossingUse(crossing, along, max(people.wish[k], 0.5) * way, on_road))
    return uses


def walker_bodies(people: Walkers) -> Bodies:
    """Boxes of people; whoever is on the road reaches ahead to where he or she will be in 0.9 s."""
    pose = people.pose
    ahead = np.where(people.on_road, 0.9 * people.v, 0.0)
    heading = np.stack([np.cos(pose[:, 2]), np.sin(pose[:, 2])], -1)
    middle = pose[:, :2] + 0.5 * ahead[:, None] * heading
    box = np.column_stack([middle, pose[:, 2], people.size[:, 0] + ahead, people.size[:, 1]])
    return Bodies(box, people.v[:, None] * heading, np.full(len(pose), -1, np.int64), people.seen_by)
