"""Risk over a whole log, with a clip's span in it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from sceneminer.export.card import ClipCard
from sceneminer.export.panel import LIGHT, Palette, Panel
from sceneminer.index.search import Index
from sceneminer.index.where import quote

_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 52, 20, 24


@dataclass(frozen=True, eq=False)
class Timeline:
    """Risk and speed of one log in seconds since its start; NaN where unknown."""

    seconds: Float[ndarray, "n"]
    risk: Float[ndarray, "n"]
    speed_mps: Float[ndarray, "n"]
    source: str | None
    """``tracks``, ``camera``, or None where risk is unknown throughout."""


def read_timeline(index: Index, card: ClipCard) -> Timeline:
    """Ten times a second where the log has tracks; else the model's risk of each clip; else risk is NaN."""
    condition = f"log_id = {quote(card.log_id)}"
    frames = index.store.read("frames", columns=["time_us", "risk_tracks", "speed_mps"], where=condition)
    frames = frames.sort_by("time_us")
    risk, speed = (_numbers(frames[name].to_pylist()) for name in ("risk_tracks", "speed_mps"))
    seconds = (frames["time_us"].to_numpy() - card.log_start_us) / 1e6
    if np.isfinite(risk).any():
        return Timeline(seconds, risk, speed, "tracks")
    clips = index.store.read("clips", columns=["start_us", "end_us", "risk_camera"], where=condition)
    clips = clips.sort_by("start_us")
    camera = _numbers(clips["risk_camera"].to_pylist())
    if not np.isfinite(camera).any():
        return Timeline(seconds, risk, speed, None)
    middle = (0.5 * (clips["start_us"].to_numpy() + clips["end_us"].to_numpy()) - card.log_start_us) / 1e6
    pace = np.interp(middle, seconds, speed) if len(seconds) else np.full(len(middle), np.nan)
    return Timeline(middle, camera, pace, "camera")


def draw_timeline(
    line: Timeline, card: ClipCard, instant_us: int, size: tuple[int, int], *, palette: Palette = LIGHT
) -> Image.Image:
    """Risk filled, ego speed as a thin line, the clip's span shaded and the instant marked."""
    panel = Panel(*size, background=palette.page)
    width, height = size
    end_s = max((card.log_end_us - card.log_start_us) / 1e6, 0.1)
    x0, x1, y0, y1 = _LEFT, width - _RIGHT, _TOP, height - _BOTTOM

    def across(seconds: ndarray | float) -> ndarray:
        return np.asarray(x0 + np.asarray(seconds) / end_s * (x1 - x0))

    panel.rectangle((x0, y0, x1, y1), palette.ground)
    span = [float(across(card.offset_s(t))) for t in (card.start_us, card.end_us)]
    panel.rectangle((span[0], y0, span[1], y1), (*palette.vehicle[:3], 48))
    for level in (0.0, 0.5, 1.0):
        y = y1 - level * (y1 - y0)
        panel.line([(x0, y), (x1, y)], palette.tile, width=0.5)
        panel.text((x0 - 6, y), f"{level:g}", palette.faint, size_px=11, anchor="rm")
    _draw_speed(panel, line, across, (y0, y1), palette)
    for run in _runs(line.risk):
        x, y = across(line.seconds[run]), y1 - line.risk[run] * (y1 - y0)
        under = np.concatenate([[[x[0], y1]], np.stack([x, y], -1), [[x[-1], y1]]])
        panel.polygon(under, (*palette.highlight[:3], 70))
        panel.line(np.stack([x, y], -1), palette.highlight, width=1.5)
    now = float(across(card.offset_s(instant_us)))
    panel.line([(now, y0 - 4), (now, y1)], palette.ink, width=1.25)
    panel.polygon(np.array([[now - 5, y0 - 8], [now + 5, y0 - 8], [now, y0 - 1]]), palette.ink)
    for tick in _ticks(end_s):
        x = float(across(tick))
        panel.line([(x, y1), (x, y1 + 4)], palette.faint, width=0.75)
        panel.text((x, y1 + 6), f"{tick:g} s", palette.faint, size_px=11, anchor="ma")
    said = f"risk from {line.source}" if line.source else "risk unknown: no tracks with ego poses"
    panel.text((x0, 3), said, palette.highlight if line.source else palette.faint, size_px=12)
    return panel.done()


def _draw_speed(panel: Panel, line: Timeline, across, span_px: tuple[int, int], palette: Palette) -> None:
    y0, y1 = span_px
    right = panel.width - _RIGHT
    if not np.isfinite(line.speed_mps).any():
        return
    top = max(5.0, 5.0 * np.ceil(float(np.nanmax(line.speed_mps)) / 5.0))
    for run in _runs(line.speed_mps):
        y = y1 - np.clip(line.speed_mps[run] / top, 0.0, 1.0) * (y1 - y0)
        panel.line(np.stack([across(line.seconds[run]), y], -1), palette.faint, width=1.0)
    panel.text((right + 6, y0), f"{top:g} m/s", palette.faint, size_px=11, anchor="lm")
    panel.text((right + 6, y1), "0", palette.faint, size_px=11, anchor="lm")
    panel.text((right, 3), "ego speed", palette.faint, size_px=12, anchor="ra")


def _runs(values: ndarray) -> list[ndarray]:
    """Index runs without a NaN in them."""
    known = np.isfinite(values)
    parts = np.split(np.arange(len(values)), np.flatnonzero(np.diff(known)) + 1) if len(values) else []
    return [part for part in parts if len(part) > 1 and known[part[0]]]


def _ticks(end_s: float) -> list[float]:
    step = next((s for s in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if end_s / s <= 14), 1800)
    return [float(t) for t in np.arange(0, end_s + 1e-6, step)]


def _numbers(values: list[float | None]) -> ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)
