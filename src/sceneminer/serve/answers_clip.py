"""What is answered of one clip: what the index knows of it, and the scene from above."""

from typing import Literal

from sceneminer.serve.answers import Answer


class Camera(Answer):
    name: str
    times_us: list[int]
    calibrated: bool


class Risk(Answer):
    value: float
    agent: str | None
    category: str | None
    time_us: int | None
    measure: str | None
    measure_value: float | None
    words: str | None


class RiskTold(Risk):
    source: Literal["tracks", "camera"]


class RiskOfCamera(Risk):
    x_m: float | None
    y_m: float | None


class RiskCurve(Answer):
    times_us: list[int]
    tracks: list[float | None]
    speed_mps: list[float | None]


class ClipOfTimeline(Answer):
    clip_id: str
    start_us: int
    end_us: int
    risk_camera: float | None
    risk_tracks: float | None
    tags: dict[str, float | None]


class Timeline(Answer):
    start_us: int
    end_us: int
    risk: RiskCurve
    clips: list[ClipOfTimeline]


class ClipTold(Answer):
    clip_id: str
    log_id: str
    log_name: str
    dataset: str
    location: str | None
    licence: str | None
    description: str
    start_us: int
    end_us: int
    log_start_us: int
    log_end_us: int
    cameras: list[Camera]
    tags: dict[str, float | None]
    label_tags: dict[str, bool | None]
    heads: dict[str, float | None]
    risk: RiskTold | None
    risk_tracks: float | None
    risk_camera: RiskOfCamera | None
    ego_speed_mps: float | None
    local_hour: float | None
    hardness: float | None
    parts: dict[str, float | None]
    """Percentiles of risk, ambiguity and rarity behind hardness."""
    weights: dict[str, float]
    timeline: Timeline
    neighbours: list[str]
    missing: str | None
    """Why the recording cannot be opened; then there are no cameras."""


class Ego(Answer):
    length_m: float
    width_m: float
    ahead_m: float
    poses: list[list[float] | None]
    """x, y, yaw at each time."""


class AgentTold(Answer):
    track_id: str
    category: str
    length_m: float
    width_m: float
    states: list[list[float] | None]
    risk: list[float | None]


class MapTold(Answer):
    areas: dict[str, list[list[list[list[float]]]]]
    """Polygons by layer, as rings, the outline first."""
    lines: dict[str, list[list[list[float]]]]


class Future(Answer):
    odds: float
    path: list[list[float]]


class Foreseen(Answer):
    x: float
    y: float
    vx: float
    vy: float
    category: str
    existence: float
    futures: list[Future]


class Forecast(Answer):
    at_us: int
    agents: list[Foreseen]


class Focus(Answer):
    time_us: int
    measure: str | None
    value: float | None
    source: str
    words: str | None
    track_id: str | None
    x: float | None
    y: float | None


class Scene(Answer):
    """In world coordinates, metres and radians."""

    times_us: list[int]
    ego: Ego | None
    agents: list[AgentTold]
    map: MapTold | None
    forecast: Forecast | None
    focus: Focus | None
