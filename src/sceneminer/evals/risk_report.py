"""What the risk label says of real logs, as markdown tables: ``python -m sceneminer.evals.risk_report ROOT...``.

Tables: how risk is spread over frames and clips, the riskiest instants, what each choice in the label does, and how far
noise of annotations moves it. ``docs/results/risk_real.md`` is made from this.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy import ndarray

from sceneminer.data.clip import clips_of
from sceneminer.data.log import Log
from sceneminer.data.open import open_logs
from sceneminer.data.track import Track, states_at
from sceneminer.geometry.pose import pose_from_yaw
from sceneminer.labels.ego import ego_states
from sceneminer.labels.measures import MEASURES
from sceneminer.labels.risk import RiskFrames, clip_risk, log_risk, measure
from sceneminer.labels.score import DEFAULT_RISK, MEASURE_OF_PART, PARTS, RiskConfig

VARIANTS: Mapping[str, RiskConfig] = {
    "the label": DEFAULT_RISK,
    "velocities as given": replace(DEFAULT_RISK, smooth_s=0.0),
    "turn rates believed": replace(DEFAULT_RISK, confirm=False),
    "a graze is a touch": replace(DEFAULT_RISK, graze_m=1e-6),
    "braking under way ignored": replace(DEFAULT_RISK, relief=0.0),
}
_UNITS = {entry.name: entry.unit for entry in MEASURES}
_APART_US = 2_000_000


@dataclass(frozen=True, eq=False)
class Judged:
    """A Log and its risk; ``clips`` are the risks of its known clips."""

    log: Log
    frames: RiskFrames
    clips: ndarray
    seconds: float


def judge(log: Log, config: RiskConfig = DEFAULT_RISK) -> Judged:
    """The risk of a Log and of its clips, and how long that took."""
    start = time.perf_counter()
    frames = log_risk(log, config=config)
    seconds = time.perf_counter() - start
    risks = [clip_risk(frames, clip.start_us, clip.end_us).risk for clip in clips_of(log)]
    return Judged(log, frames, np.array([risk for risk in risks if risk is not None]), seconds)


def risk_report(roots: Sequence[Path | str], *, top: int = 10) -> str:
    """The whole report over all logs with tracks and poses under some roots; names those without."""
    return report_of([log for root in roots for log in open_logs(root).logs], top=top)


def report_of(logs: Sequence[Log], *, top: int = 10) -> str:
    """The same of logs that are open."""
    judged = [judge(log) for log in logs]
    known = [item for item in judged if not item.frames.null_reason]
    unknown = [f"- {item.log.log_id}: {item.frames.null_reason}" for item in judged if item.frames.null_reason]
    if not known:
        return "## Logs without risk\n\n" + "\n".join(unknown)
    sections = [
        ("Spread", _spread(known)),
        (f"The {top} riskiest instants, at least 2 s apart", _riskiest(known, top)),
        ("What each choice does", _variants([item.log for item in known])),
        ("Noise of annotations", _noise([item.log for item in known])),
    ]
    if unknown:
        sections.append(("Logs without risk", "\n".join(unknown)))
    return "\n\n".join(f"## {title}\n\n{body}" for title, body in sections)


def spearman_ceiling(zero_share: float) -> float:
    """The largest Spearman correlation that a ranking without ties can reach against one where a share is tied.

    Midranks of a tied share z have 1 - z³ of the variance of n distinct ranks, and all of their covariance with them.
    """
    return float(np.sqrt(1.0 - zero_share**3))


def _spread(known: list[Judged]) -> str:
    head = "log|agents|frames|s|frames at 0|below 0.01|q50|q90|q99|max"
    head += "|clips|clips at 0|above 0.3|above 0.6|Spearman at most"
    rows = [_spread_row(item.log.log_id, [item]) for item in known]
    return _table(head, [*rows, _spread_row("all", known)])


def _spread_row(name: str, items: list[Judged]) -> list[str]:
    frames = np.concatenate([item.frames.frame_risk for item in items])
    frames = frames[np.isfinite(frames)]
    clips = np.concatenate([item.clips for item in items])
    agents, seconds = sum(len(item.frames.track_ids) for item in items), sum(item.seconds for item in items)
    quantiles = [f"{q:.2f}" for q in np.quantile(frames, [0.5, 0.9, 0.99, 1.0])]
    zero = float(np.mean(clips == 0))
    shares = [_percent(clips == 0), _percent(clips > 0.3), _percent(clips > 0.6), f"{spearman_ceiling(zero):.2f}"]
    low = [_percent(frames == 0), _percent(frames < 0.01)]
    return [name, str(agents), str(len(frames)), f"{seconds:.2f}", *low, *quantiles, str(len(clips)), *shares]


def _riskiest(known: list[Judged], top: int) -> str:
    instants = sorted(
        ((float(item.frames.frame_risk[i]), item, int(i)) for item in known for i in _peaks(item.frames)),
        key=lambda found: -found[0],
    )
    rows = []
    for risk, item, i in instants[:top]:
        frames = item.frames
        agent = int(frames.riskiest[i])
        part = max(PARTS, key=lambda name: frames.parts[name][agent, i])
        name = MEASURE_OF_PART[part]
        value = f"{name} {frames.measures[name][agent, i]:.2f} {_UNITS[name]}"
        seconds = (int(frames.times_us[i]) - item.log.start_us) / 1e6
        rows.append([item.log.log_id, f"{seconds:.1f}", frames.categories[agent], f"{risk:.2f}", part, value])
    return _table("log|s|agent|risk|part|measure", rows)


def _peaks(frames: RiskFrames) -> Iterator[int]:
    """Frames of falling risk, none within 2 s of one before."""
    taken: list[int] = []
    for i in np.argsort(-np.nan_to_num(frames.frame_risk)):
        if not frames.frame_risk[i] > 0:
            return
        if all(abs(int(frames.times_us[i]) - t) >= _APART_US for t in taken):
            taken.append(int(frames.times_us[i]))
            yield int(i)


def _variants(logs: list[Log]) -> str:
    rows = []
    for name, config in VARIANTS.items():
        judged = [judge(log, config) for log in logs]
        rows.append([name, *_levels(judged)])
    return _table("variant|frames at 0|q90|q99|max|clips above 0.3|clips above 0.6", rows)


def _levels(judged: list[Judged]) -> list[str]:
    frames = np.concatenate([item.frames.frame_risk for item in judged])
    frames = frames[np.isfinite(frames)]
    clips = np.concatenate([item.clips for item in judged])
    quantiles = [f"{q:.2f}" for q in np.quantile(frames, [0.9, 0.99, 1.0])]
    return [_percent(frames == 0), *quantiles, _percent(clips > 0.3), _percent(clips > 0.6)]


def _noise(logs: list[Log]) -> str:
    """Risk of the same logs after their boxes were shifted at random, or thinned out to 2 Hz."""
    rng = np.random.default_rng(0)
    rows = []
    changes = {
        "boxes at 2 Hz": thinned,
        "boxes off by 0.1 m": lambda track: shaken(track, 0.1, rng),
        "boxes off by 0.2 m": lambda track: shaken(track, 0.2, rng),
    }
    for name, change in changes.items():
        for kind, config in (("the label", DEFAULT_RISK), ("velocities as given", VARIANTS["velocities as given"])):
            before, after = [], []
            for log in logs:
                frames = log_risk(log, config=config)
                tracks = tuple(change(track) for track in log.store.read_tracks())
                ego = ego_states(log, frames.times_us)
                before.append(frames.frame_risk)
                after.append(measure(states_at(tracks, frames.times_us), ego, config=config).frame_risk)
            a, b = np.concatenate(before), np.concatenate(after)
            moved = np.abs(a - b)
            cells = [
                f"{np.mean(moved):.3f}",
                f"{np.quantile(moved, 0.99):.2f}",
                f"{np.max(b - a):.2f}",
                f"{b.max():.2f}",
            ]
            rows.append([name, kind, *cells])
    return _table("change|variant|mean shift|q99 of shift|largest rise|max after", rows)


def thinned(track: Track, *, every_us: int = 500_000) -> Track:
    """The track with at most one box each ``every_us`` and its last one."""
    times = track.times_us
    keep = np.concatenate([[True], np.diff(times // every_us) > 0])
    keep[-1] = True
    return _picked(track, keep)


def shaken(track: Track, sigma_m: float, rng: np.random.Generator) -> Track:
    """The track annotated anew at 2 Hz by somebody who is off by ``sigma_m`` in x and y and a tenth of that in yaw."""
    track = thinned(track)
    n = len(track.times_us)
    x, y = rng.normal(0.0, sigma_m, (2, n))
    off = pose_from_yaw(x, y, rng.normal(0.0, 0.1 * sigma_m, n))
    return replace(track, world_from_box=track.world_from_box @ off)


def _picked(track: Track, keep: ndarray) -> Track:
    return replace(
        track,
        times_us=track.times_us[keep],
        world_from_box=track.world_from_box[keep],
        size_lwh_m=track.size_lwh_m[keep],
        attributes=tuple(a for a, k in zip(track.attributes, keep, strict=True) if k) if track.attributes else (),
        lidar_points=None if track.lidar_points is None else track.lidar_points[keep],
    )


def _percent(which: ndarray) -> str:
    return f"{100 * float(np.mean(which)):.0f} %"


def _table(head: str, rows: list[list[str]]) -> str:
    columns = head.split("|")
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Prints the report of the roots named on the command line."""
    parser = argparse.ArgumentParser(description="What the risk label says of logs, as markdown tables.")
    parser.add_argument("roots", nargs="+", type=Path, metavar="ROOT", help="a folder that sceneminer can open")
    print(risk_report(parser.parse_args().roots))


if __name__ == "__main__":
    main()
