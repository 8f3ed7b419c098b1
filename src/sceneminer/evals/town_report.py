"""What a synthetic data set holds: prevalence of each tag and the distribution of risk, over 2 s clips.

``python -m sceneminer.evals.town_report ROOT...`` prints the tables of ``docs/results/town.md``. Labels come the way
anybody's would: written folders, opened by the adapter, tags and risk by the rules of ``labels``.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.clip import clips_of
from sceneminer.data.log import Log
from sceneminer.data.open import open_logs
from sceneminer.labels.prompts import TAGS
from sceneminer.labels.risk import clip_risk, log_risk
from sceneminer.labels.tags import label_tags

QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99)


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


def town_figures(logs: Iterable[Log]) -> TownFigures:
    """Tags and risk of every clip of some Logs."""
    count = clips_seen = 0
    held = dict.fromkeys(TAGS, 0)
    known = dict.fromkeys(TAGS, 0)
    logs_with = dict.fromkeys(TAGS, 0)
    risk: list[float] = []
    agents: list[int] = []
    for log in logs:
        count += 1
        clips = clips_of(log)
        clips_seen += len(clips)
        frames = log_risk(log)
        tracks = log.store.read_tracks()
        tags = label_tags(log, clips)
        for tag in TAGS:
            values = [row[tag] for row in tags if row[tag] is not None]
            held[tag] += sum(values)
            known[tag] += len(values)
            logs_with[tag] += any(values)
        for clip in clips:
            found = clip_risk(frames, clip.start_us, clip.end_us).risk
            if found is not None:
                risk.append(found)
                agents.append(sum(t.times_us[0] <= clip.end_us and t.times_us[-1] >= clip.start_us for t in tracks))
    share = {tag: held[tag] / known[tag] if known[tag] else float("nan") for tag in TAGS}
    unknown = {tag: clips_seen - known[tag] for tag in TAGS}
    return TownFigures(count, clips_seen, share, logs_with, unknown, np.array(risk), np.array(agents, np.float64))


def as_markdown(figures: TownFigures) -> str:
    """Two tables."""
    lines = [f"{figures.logs} logs, {figures.clips} clips of 2 s", "", "| tag | share of clips | logs with it |"]
    lines.append("|---|---|---|")
    for tag in TAGS:
        unknown = f" ({figures.unknown[tag]} unknown)" if figures.unknown[tag] else ""
        lines.append(f"| {tag} | {figures.share[tag]:.1%}{unknown} | {figures.logs_with[tag]} |")
    lines.append(f"| mean | {np.nanmean(list(figures.share.values())):.1%} | |")
    risk = figures.risk
    lines += ["", "| clip risk | |", "|---|---|", f"| exactly 0 | {np.mean(risk == 0):.1%} |"]
    lines += [f"| below 0.01 | {np.mean(risk < 0.01):.1%} |", f"| above 0.6 | {np.mean(risk > 0.6):.1%} |"]
    lines += [f"| quantile {q:g} | {np.quantile(risk, q):.3f} |" for q in QUANTILES]
    lines.append(f"| rank correlation with the number of agents | {_spearman(risk, figures.agents):.2f} |")
    return "\n".join(lines)


def _spearman(a: ndarray, b: ndarray) -> float:
    """Correlation of mid-ranks."""
    ranks = [np.searchsorted(np.sort(v), v, "left") + np.searchsorted(np.sort(v), v, "right") for v in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else float("nan")


def main(roots: list[str]) -> None:
    """Print one report over all roots."""
    logs = (log for root in roots for log in open_logs(Path(root)).logs)
    print(as_markdown(town_figures(logs)))


if __name__ == "__main__":
    main(sys.argv[1:])
