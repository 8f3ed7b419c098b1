"""What the synthetic town holds: prevalence of each tag and the distribution of risk, over 2 s clips.

``python -m sceneminer.evals.town_report --drives 60 --split train --seed 1`` prints the tables of
``docs/results/town.md`` from the drives that a written data set of this split and seed has, without rendering them;
``python -m sceneminer.evals.town_report ROOT...`` prints them from written folders, without the rows on scripts.
Labels come the way anybody's would: tags and risk by the rules of ``labels``.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from sceneminer.data.clip import Clip, clips_of
from sceneminer.data.log import Log
from sceneminer.data.open import open_logs
from sceneminer.data.synth.as_log import DriveStore, hdmap_of, log_of
from sceneminer.data.synth.drive import record_drive
from sceneminer.data.synth.scene import Event, Split
from sceneminer.data.synth.write_log import seed_of, town_of
from sceneminer.labels.prompts import TAGS
from sceneminer.labels.risk import clip_risk, log_risk
from sceneminer.labels.tags import label_tags

QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99)
RISKY = 0.6
TOP_SHARE = 0.05
LOGS_PER_TOWN = 3
"""As ``write_dataset`` has it."""


@dataclass(frozen=True, eq=False)
class TownFigures:
    """Counts over all clips of some logs; unknown labels are left out of their tag's share and counted apart."""

    logs: int
    clips: int
    share: dict[str, float]
    """Of clips, by tag."""
    logs_with: dict[str, int]
    unknown: dict[str, int]
    risk: Float[ndarray, "n"]
    agents: Float[ndarray, "n"]
    """Agents annotated during each clip: what risk must not simply follow."""
    scripted: Bool[ndarray, "n"] | None
    """Whether a staged event falls into each clip; None where the logs do not tell."""
    worst: dict[str, list[float]]
    """By kind of staged event: the largest risk of its clips, one an event."""


def iter_drive_logs(split: Split, seed: int, drives: int) -> Iterator[Log]:
    """The drives of a written data set of this split and seed, as Logs in memory."""
    town = hdmap = None
    for i in range(drives):
        if i % LOGS_PER_TOWN == 0:
            town = town_of(split, seed, i // LOGS_PER_TOWN)
            hdmap = hdmap_of(town)
        assert town is not None
        yield log_of(record_drive(town, seed_of("drive", f"{split}/{seed}/{i}")), hdmap=hdmap)


def town_figures(logs: Iterable[Log]) -> TownFigures:
    """Tags and risk of every clip of some Logs."""
    count = clips_seen = 0
    held = dict.fromkeys(TAGS, 0)
    known = dict.fromkeys(TAGS, 0)
    logs_with = dict.fromkeys(TAGS, 0)
    rows: list[tuple[float, int, bool]] = []
    worst: dict[str, list[float]] = {}
    told = True
    for log in logs:
        count += 1
        clips = clips_of(log)
        clips_seen += len(clips)
        tags = label_tags(log, clips)
        for tag in TAGS:
            values = [bool(row[tag]) for row in tags if row[tag] is not None]
            held[tag] += sum(values)
            known[tag] += len(values)
            logs_with[tag] += any(values)
        events = _staged(log)
        told = told and events is not None
        rows += _risk_rows(log, clips, events or (), worst)
    share = {tag: held[tag] / known[tag] if known[tag] else float("nan") for tag in TAGS}
    unknown = {tag: clips_seen - known[tag] for tag in TAGS}
    risk, agents, scripted = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 3
    return TownFigures(
        logs=count,
        clips=clips_seen,
        share=share,
        logs_with=logs_with,
        unknown=unknown,
        risk=risk,
        agents=agents.astype(np.float64),
        scripted=scripted.astype(bool) if told else None,
        worst=worst,
    )


def _staged(log: Log) -> tuple[Event, ...] | None:
    """A Drive's staged events, their times in seconds of the Log; None where the Log is not of a Drive in memory."""
    if not isinstance(log.store, DriveStore):
        return None
    return tuple(event for event in log.store.drive.events if event.scripted)


def _risk_rows(
    log: Log, clips: tuple[Clip, ...], events: tuple[Event, ...], worst: dict[str, list[float]]
) -> list[tuple[float, int, bool]]:
    """Risk, number of agents and whether anything is staged, of each clip whose risk is known."""
    frames, tracks = log_risk(log), log.store.read_tracks()
    rows, largest = [], [0.0] * len(events)
    for clip in clips:
        risk = clip_risk(frames, clip.start_us, clip.end_us).risk
        if risk is None:
            continue
        inside = [e.start_s * 1e6 <= clip.end_us and e.end_s * 1e6 >= clip.start_us for e in events]
        largest = [max(a, risk) if here else a for a, here in zip(largest, inside, strict=True)]
        agents = sum(t.times_us[0] <= clip.end_us and t.times_us[-1] >= clip.start_us for t in tracks)
        rows.append((risk, agents, any(inside)))
    for event, value in zip(events, largest, strict=True):
        worst.setdefault(event.kind, []).append(value)
    return rows


def as_markdown(figures: TownFigures) -> str:
    """Two tables, and a third on staged events where they are known."""
    lines = [f"{figures.logs} logs, {figures.clips} clips of 2 s", "", "| tag | share of clips | logs with it |"]
    lines.append("|---|---|---|")
    for tag in TAGS:
        unknown = f" ({figures.unknown[tag]} unknown)" if figures.unknown[tag] else ""
        lines.append(f"| {tag} | {figures.share[tag]:.1%}{unknown} | {figures.logs_with[tag]} |")
    lines.append(f"| mean | {np.nanmean(list(figures.share.values())):.1%} | |")
    risk = figures.risk
    lines += ["", "| clip risk | |", "|---|---|", f"| exactly 0 | {np.mean(risk == 0):.1%} |"]
    lines += [f"| below 0.01 | {np.mean(risk < 0.01):.1%} |", f"| above {RISKY} | {np.mean(risk > RISKY):.1%} |"]
    lines += [f"| quantile {q:g} | {np.quantile(risk, q):.3f} |" for q in QUANTILES]
    lines.append(f"| rank correlation with the number of agents | {_spearman(risk, figures.agents):.2f} |")
    return "\n".join([*lines, *_script_lines(figures)])


def _script_lines(figures: TownFigures) -> list[str]:
    if figures.scripted is None:
        return []
    risk, scripted = figures.risk, figures.scripted
    top = np.argsort(-risk, kind="stable")[: max(1, round(TOP_SHARE * len(risk)))]
    calm = np.mean(risk[scripted] < 0.1) if np.any(scripted) else np.nan
    lines = [f"| staged events among the riskiest {TOP_SHARE:.0%} | {np.mean(scripted[top]):.0%} |"]
    lines += [f"| clips with a staged event | {np.mean(scripted):.1%} |", f"| of these, below 0.1 | {calm:.0%} |"]
    lines += ["", "| staged event | number | median of its riskiest clip | above 0.6 |", "|---|---|---|---|"]
    for kind, values in sorted(figures.worst.items()):
        lines.append(f"| {kind} | {len(values)} | {np.median(values):.2f} | {np.mean(np.array(values) > RISKY):.0%} |")
    return lines


def _spearman(a: ndarray, b: ndarray) -> float:
    """Correlation of mid-ranks."""
    ranks = [np.searchsorted(np.sort(v), v, "left") + np.searchsorted(np.sort(v), v, "right") for v in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else float("nan")


def main(arguments: list[str] | None = None) -> None:
    """Print one report, of written folders or of drives that are simulated for it."""
    parser = argparse.ArgumentParser(prog="python -m sceneminer.evals.town_report", description=__doc__)
    parser.add_argument("roots", nargs="*", type=Path, metavar="ROOT", help="written folders")
    parser.add_argument("--drives", type=int, default=60, help="how many drives to simulate where no folder is named")
    parser.add_argument("--split", choices=get_args(Split), default="train")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args(arguments)
    if wanted.roots:
        logs: Iterable[Log] = (log for root in wanted.roots for log in open_logs(root).logs)
    else:
        logs = iter_drive_logs(wanted.split, wanted.seed, wanted.drives)
    print(as_markdown(town_figures(logs)))


if __name__ == "__main__":
    main()
