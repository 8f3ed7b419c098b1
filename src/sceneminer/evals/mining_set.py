"""What is true of the clips of one split, and what needs no model to say of them: arrays over clips 1 s apart.

Calm-looking is what no one would pick by a glance at the numbers, by truth: fewer vehicles and vulnerable road users
within 30 m of ego's middle at the last Frame than in the median clip of the set, ego slower on average than in the
median clip, and ego nowhere in the clip braking by 1 m/s² or more (mean over half a second).
Ahead is an agent (no prop) whose centre lies in front of ego's middle and within 3 m of ego's long axis at the last
Frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer.data.errors import DataError
from sceneminer.labels.bodies import Bodies, box_gap
from sceneminer.labels.ego import EGO_SIZE
from sceneminer.model.stream import mean_embedding, round_stream
from sceneminer.recipes.mining_data import CLIP_US, FRAME_US, STATE_US, agent_states, own_states
from sceneminer.recipes.mining_features import Window
from sceneminer.recipes.mining_set import FRAMES, NOW, Agents, ClipRef, agents_of, class_of, motion_of, planar

STRIDE = 2
"""Half seconds between clips, as mining cuts them."""
INSTANTS = CLIP_US // STATE_US + 1
EVENTS: Mapping[str, tuple[str, ...]] = {
    "near misses": ("near_miss",),
    "jaywalkers": ("jaywalk", "step_out"),
    "cut-ins": ("cut_in",),
}
"""Kinds of scripted events by the names in the tables."""
_STEPS = FRAME_US // STATE_US
_NEAR_M, _FAR_M, _AHEAD_M, _BRAKE_MPS2 = 30.0, 50.0, 3.0, 1.0
_NOBODY_M = 100.0
"""Stands for the gap to the nearest agent where there is none."""


@dataclass(frozen=True)
class Staged:
    """A scripted event that overlaps a clip, in seconds of its log."""

    kind: str
    start_s: float
    end_s: float


@dataclass(frozen=True, eq=False)
class Features:
    """What a baseline may read of each clip: the frozen tower's unit image embeddings, pooled, and ego's motion."""

    mean: Float[ndarray, "n e"]
    """As the stream keeps it."""
    largest: Float[ndarray, "n e"]
    """Of each dimension, over the clip's images."""
    spread: Float[ndarray, "n e"]
    """Standard deviation."""
    motion: Float[ndarray, "n k"]
    """x, y (m) and yaw (rad) of each earlier Frame in the last one, oldest first: what cameras' poses tell."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where and when an agent is dangerous. Positions are in the ego frame of the clip's last Frame, at its time."""

    xy_m: Float[ndarray, "n i 2"]
    """Of the riskiest agent at each of the clip's instants, 0.1 s apart; NaN where there is none, or it is absent."""
    instant_s: Float[ndarray, "n"]
    """Of its greatest risk, from the clip's start; NaN where nobody is risky."""
    measure: tuple[str, ...]
    """Behind the risk; empty where nobody is risky."""
    ahead_xy_m: Float[ndarray, "n i 2"]
    """Of the nearest agent ahead of ego; NaN where there is none."""


@dataclass(frozen=True, eq=False)
class EvalSet:
    """One split's clips; ``agents`` at their last Frames."""

    names: tuple[str, ...]
    log: Int[ndarray, "n"]
    tags: Int[ndarray, "n t"]
    """1, 0 or -1 (unknown)."""
    features: Features
    risk: Float[ndarray, "n"]
    explanation: Explanation
    trivial: Mapping[str, Float[ndarray, "n"]]
    """Scores of risk from truth: mean speed of ego, agents within 50 m at the last Frame, smallest gap (negated)."""
    staged: tuple[tuple[Staged, ...], ...]
    calm: Bool[ndarray, "n"]
    agents: Agents

    def __len__(self) -> int:
        return len(self.names)

    @property
    def logs(self) -> int:
        return len(np.unique(self.log))

    def has_event(self, kinds: Sequence[str] = ()) -> Bool[ndarray, "n"]:
        """Clips that a scripted event of these kinds overlaps, of any kind by default."""
        return np.array([any(not kinds or e.kind in kinds for e in events) for events in self.staged], bool)


def make_set(windows: Sequence[Window]) -> EvalSet:
    """DataError where a clip's risk is unknown or there is no window."""
    clips = eval_clips(windows)
    if not clips:
        raise DataError("expected windows with clips, found none")
    told = [windows[c.window].truth for c in clips]
    risks = [truth["risk"][c.first] for truth, c in zip(told, clips, strict=True)]
    names = tuple(f"{truth['log']}@{truth['clip_starts_us'][c.first]}" for truth, c in zip(told, clips, strict=True))
    if any(risk["risk"] is None for risk in risks):
        raise DataError(
            f"expected a known risk of every clip, found none for {names[[r['risk'] for r in risks].index(None)]}"
        )
    around = [_around(windows[c.window], c.first) for c in clips]
    column = {name: np.array([a[name] for a in around]) for name in ("speed", "count", "near", "gap", "brake")}
    calm = (column["near"] < np.median(column["near"])) & (column["speed"] < np.median(column["speed"]))
    _, log = np.unique([truth["log"] for truth in told], return_inverse=True)
    return EvalSet(
        names=names,
        log=log,
        tags=np.stack([windows[c.window].tensors["tags"][c.first] for c in clips]).astype(np.int64),
        features=features_of(windows, clips),
        risk=np.array([risk["risk"] for risk in risks], np.float64),
        explanation=_explanation(windows, clips),
        trivial={"ego speed": column["speed"], "agent count": column["count"], "nearest distance": -column["gap"]},
        staged=tuple(_staged(truth, c.first) for truth, c in zip(told, clips, strict=True)),
        calm=calm & (column["brake"] < _BRAKE_MPS2),
        agents=agents_of(windows, clips),
    )


def eval_clips(windows: Sequence[Window]) -> list[ClipRef]:
    """The clips that are judged: as mining cuts them."""
    return [ClipRef(w, k) for w, window in enumerate(windows) for k in range(0, window.clips, STRIDE)]


def features_of(windows: Sequence[Window], clips: Sequence[ClipRef]) -> Features:
    """Without opening patch tokens."""
    images = torch.stack([windows[c.window].embeddings[c.first : c.first + FRAMES] for c in clips]).float()
    valid = torch.ones(images.shape[:3], dtype=torch.bool)
    mean = round_stream(torch.zeros(len(clips), 1, 1), mean_embedding(images, valid)).embedding.float()
    flat = images.flatten(1, 2)
    poses = np.stack([motion_of(windows[c.window], c.first).numpy() for c in clips])[:, :NOW]
    yaw = np.arctan2(poses[..., 1, 0], poses[..., 0, 0])
    motion = np.concatenate([poses[..., :2, 3], yaw[..., None]], -1).reshape(len(clips), -1)
    return Features(mean.numpy(), flat.amax(1).numpy(), flat.std(1).numpy(), motion)


def _around(window: Window, first: int) -> dict[str, float]:
    """Numbers of one clip: speed m/s, agents within 50 and 30 m, smallest gap m, hardest braking m/s²."""
    times, span = _times(window), _span(first)
    ego = own_states(window.tensors["ego"][span], times[span])
    mover = _movers(window)
    agents = agent_states(
        window.tensors["agents"][mover][:, span],
        _of(window, "track_ids", mover),
        _of(window, "categories", mover),
        times[span],
    )
    bodies = Bodies(*(getattr(agents, name) for name in Bodies.__dataclass_fields__))
    body = ego.body()
    own = body[np.tile(np.arange(len(body.x_m)), (len(agents.track_ids), 1))]
    now = NOW * _STEPS
    distance = np.hypot(bodies.x_m - own.x_m, bodies.y_m - own.y_m)[:, now]
    gap = np.where(agents.present, box_gap(own, bodies), np.inf).min(initial=_NOBODY_M)
    brake = (ego.speed_mps[:-_STEPS] - ego.speed_mps[_STEPS:]) / (FRAME_US / 1e6)
    return {
        "speed": float(ego.speed_mps.mean()),
        "count": float((distance <= _FAR_M).sum()),
        "near": float((distance <= _NEAR_M).sum()),
        "gap": float(gap),
        "brake": float(brake.max()),
    }


def _explanation(windows: Sequence[Window], clips: Sequence[ClipRef]) -> Explanation:
    paths = [_paths(windows[c.window], c.first) for c in clips]
    risks = [windows[c.window].truth["risk"][c.first] for c in clips]
    starts = [windows[c.window].truth["clip_starts_us"][c.first] for c in clips]
    nowhere = np.full((INSTANTS, 2), np.nan)
    riskiest, ahead, instants = [], [], []
    for c, path, risk, start in zip(clips, paths, risks, starts, strict=True):
        window = windows[c.window]
        known = risk["track_id"] is not None
        riskiest.append(path[window.truth["track_ids"].index(risk["track_id"])] if known else nowhere)
        instants.append((risk["time_us"] - start) / 1e6 if known else np.nan)
        row = _nearest_ahead(path[:, NOW * _STEPS], _movers(window))
        ahead.append(nowhere if row is None else path[row])
    measures = tuple(risk["measure"] or "" for risk in risks)
    return Explanation(np.stack(riskiest), np.array(instants, np.float64), measures, np.stack(ahead))


def _paths(window: Window, first: int) -> Float[ndarray, "a i 2"]:
    pose = window.tensors["world_from_ego"][first + NOW]
    return planar(pose, window.tensors["agents"][:, _span(first), :2].astype(np.float64))


def _nearest_ahead(xy_m: Float[ndarray, "a 2"], mover: Bool[ndarray, "a"]) -> int | None:
    x, y = xy_m[:, 0] - EGO_SIZE.rear_axle_to_center_m, xy_m[:, 1]
    found = np.flatnonzero(mover & (x > 0) & (np.abs(y) < _AHEAD_M))
    return int(found[np.argmin(np.hypot(x, y)[found])]) if len(found) else None


def _staged(truth: Mapping, first: int) -> tuple[Staged, ...]:
    start_s = truth["clip_starts_us"][first] / 1e6
    end_s = start_s + CLIP_US / 1e6
    events = (e for e in truth["events"] if e["scripted"] and e["start_s"] <= end_s and e["end_s"] >= start_s)
    return tuple(Staged(e["kind"], float(e["start_s"]), float(e["end_s"])) for e in events)


def _span(first: int) -> slice:
    return slice(first * _STEPS, first * _STEPS + INSTANTS)


def _times(window: Window) -> Int[ndarray, "t"]:
    return window.truth["start_us"] + np.arange(len(window.tensors["ego"]), dtype=np.int64) * STATE_US


def _movers(window: Window) -> Bool[ndarray, "a"]:
    """Vehicles and vulnerable road users, moving or not."""
    return np.array([class_of(category) < 2 for category in window.truth["categories"]], bool)


def _of(window: Window, name: str, kept: Bool[ndarray, "a"]) -> list[str]:
    return [value for value, keep in zip(window.truth[name], kept, strict=True) if keep]
