"""What an index knows of a clip, without opening its log."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sceneminer.index.errors import QueryError
from sceneminer.index.hits import EXPLANATION, risk_source
from sceneminer.index.search import Index
from sceneminer.labels.prompts import TAGS

_COLUMNS = (
    "clip_id",
    "log_id",
    "log_name",
    "location",
    "start_us",
    "end_us",
    "images",
    "images_masked",
    *(f"risk_{source}{part}" for source in ("tracks", "camera") for part in ("", *(f"_{p}" for p in EXPLANATION))),
    "risk_camera_x_m",
    "risk_camera_y_m",
    "ambiguity",
    "rarity",
    "hardness",
)
NOTHING_NEAR = 0.005
"""Below this a risk is said to be nothing, and needs no explanation."""


@dataclass(frozen=True)
class Why:
    """Who, when and which measure is behind a risk; all None where nobody is."""

    agent: str | None = None
    """Track id, or which of the forecast's agents."""
    category: str | None = None
    time_us: int | None = None
    measure: str | None = None
    value: float | None = None
    place_m: tuple[float, float] | None = None
    """x, y in the ego frame of the clip's last Frame; only of forecasts, whose agents have no track."""


@dataclass(frozen=True)
class ClipCard:
    """One clip as its index has it; what is null there is None here."""

    clip_id: str
    log_id: str
    log_name: str
    location: str | None
    description: str
    start_us: int
    end_us: int
    log_start_us: int
    log_end_us: int
    images: int | None
    images_masked: int | None
    risk_camera: float | None
    risk_tracks: float | None
    why_tracks: Why
    why_camera: Why
    ambiguity: float | None
    rarity: float | None
    hardness: float | None
    tags: dict[str, float | None]
    """Probabilities of the model."""
    label_tags: dict[str, bool | None]
    """What rules say of the annotations; None where they cannot know."""

    @property
    def risk(self) -> float | None:
        return self.risk_camera if self.risk_source == "camera" else self.risk_tracks

    @property
    def risk_source(self) -> str | None:
        return risk_source({"risk_tracks": self.risk_tracks, "risk_camera": self.risk_camera})

    @property
    def why(self) -> Why:
        """What is behind ``risk``."""
        return self.why_camera if self.risk_source == "camera" else self.why_tracks

    @property
    def explained(self) -> bool:
        """Whether there is an agent, an instant and a measure worth naming."""
        return worth_naming(self.why, self.risk)

    def offset_s(self, time_us: int) -> float:
        """Seconds since the start of the log."""
        return (time_us - self.log_start_us) / 1e6


def worth_naming(why: Why, risk: float | None) -> bool:
    known = why.agent is not None and why.time_us is not None and why.measure is not None
    return known and (risk or 0.0) >= NOTHING_NEAR


def read_cards(index: Index, clip_ids: Iterable[str]) -> dict[str, ClipCard]:
    """Cards by clip id; QueryError names a clip that is not in the index."""
    wanted = list(dict.fromkeys(clip_ids))
    columns = [*_COLUMNS, *(f"{kind}_{tag}" for kind in ("tag", "label_tag") for tag in TAGS)]
    rows = index.store.rows_by_id("clips", "clip_id", wanted, columns)
    missing = [clip_id for clip_id in wanted if clip_id not in rows]
    if missing:
        raise QueryError(f"expected the id of a clip in this index, found {missing[0]!r}")
    log_columns = ["log_id", "description", "start_us", "end_us"]
    logs = index.store.rows_by_id("logs", "log_id", {row["log_id"] for row in rows.values()}, log_columns)
    return {clip_id: _card(rows[clip_id], logs[rows[clip_id]["log_id"]]) for clip_id in wanted}


def _card(row: dict[str, Any], log: dict[str, Any]) -> ClipCard:
    same = ("clip_id", "log_id", "log_name", "location", "start_us", "end_us", "images", "images_masked")
    same += ("risk_camera", "risk_tracks", "ambiguity", "rarity", "hardness")
    return ClipCard(
        **{name: row[name] for name in same},
        description=log["description"] or "",
        log_start_us=log["start_us"],
        log_end_us=log["end_us"],
        why_tracks=_why(row, "tracks", None),
        why_camera=_why(row, "camera", _place(row)),
        tags={tag: row[f"tag_{tag}"] for tag in TAGS},
        label_tags={tag: row[f"label_tag_{tag}"] for tag in TAGS},
    )


def _why(row: dict[str, Any], source: str, place_m: tuple[float, float] | None) -> Why:
    return Why(**{part: row[f"risk_{source}_{part}"] for part in EXPLANATION}, place_m=place_m)


def _place(row: dict[str, Any]) -> tuple[float, float] | None:
    x_m, y_m = row["risk_camera_x_m"], row["risk_camera_y_m"]
    return None if x_m is None or y_m is None else (float(x_m), float(y_m))
