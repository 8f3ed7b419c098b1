"""How risk from the cameras alone follows risk from tracks on mined logs.

Command: ``python -m sceneminer.evals.camera_risk_report INDEX``.

For every log that has both: the two curves clip by clip with who and why, and how well they agree.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.evals.mining_metrics import each_once, spearman, spearman_ceiling
from sceneminer.export.words import measure_words
from sceneminer.index.errors import IndexFault
from sceneminer.index.search import open_index

_COLUMNS = ["log_name", "start_us", "ego_speed_mps"]
_COLUMNS += [
    f"risk_{source}{part}" for source in ("tracks", "camera") for part in ("", "_category", "_measure", "_value")
]


def report(folder: Path) -> str:
    """The page as markdown; IndexFault where no clip has both risks."""
    rows = open_index(folder).store.read(
        "clips", columns=_COLUMNS, where="risk_tracks IS NOT NULL AND risk_camera IS NOT NULL"
    )
    by_log: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows.to_pylist(), key=lambda row: (row["log_name"], row["start_us"])):
        by_log.setdefault(row["log_name"], []).append(row)
    if not by_log:
        raise IndexFault(f"expected clips with risk from tracks and from cameras in {folder}, found none")
    lines = []
    for name, clips in by_log.items():
        lines += [f"## {name}", "", *_curve(clips), "", *_agreement(clips), ""]
    if len(by_log) > 1:
        lines += ["## All", "", *_agreement([row for clips in by_log.values() for row in clips]), ""]
    return "\n".join(lines)


def _curve(clips: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["| s | ego m/s | risk from tracks | why | from cameras | why |", "|---|---|---|---|---|---|"]
    for row in clips:
        start_s = (row["start_us"] - clips[0]["start_us"]) / 1e6
        speed = "" if row["ego_speed_mps"] is None else f"{row['ego_speed_mps']:.1f}"
        said = [f"{row['risk_tracks']:.2f}", _why(row, "tracks"), f"{row['risk_camera']:.2f}", _why(row, "camera")]
        lines.append(f"| {start_s:.0f} | {speed} | {' | '.join(said)} |")
    return lines


def _why(row: dict[str, Any], source: str) -> str:
    if row[f"risk_{source}_measure"] is None or row[f"risk_{source}"] < 0.005:
        return ""
    measure = measure_words(row[f"risk_{source}_measure"], row[f"risk_{source}_value"])
    return f"{row[f'risk_{source}_category']}, {measure}"


def _agreement(clips: Sequence[dict[str, Any]]) -> list[str]:
    tracks, camera = (_column(clips, f"risk_{source}") for source in ("tracks", "camera"))
    speed = np.nan_to_num(_column(clips, "ego_speed_mps"))
    once = each_once(len(tracks))

    def rank(score: Float[ndarray, "n"]) -> str:
        value = float(spearman(score, tracks, once)[0])
        return "undefined" if np.isnan(value) else f"{value:.2f}"

    return [
        f"{len(clips)} clips; risk from tracks is zero in {np.mean(tracks == 0):.0%}, mean {tracks.mean():.2f}; from "
        f"cameras mean {camera.mean():.2f}; mean absolute difference {np.abs(tracks - camera).mean():.2f}.",
        f"Spearman of the cameras' {rank(camera)}, of ego speed {rank(speed)}; ceiling {spearman_ceiling(tracks):.2f}.",
    ]


def _column(clips: Sequence[dict[str, Any]], name: str) -> Float[ndarray, "n"]:
    return np.array([np.nan if row[name] is None else row[name] for row in clips], np.float64)


def main() -> None:
    """Print the report of an index."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("index", type=Path)
    print(report(parser.parse_args().index))


if __name__ == "__main__":
    main()
