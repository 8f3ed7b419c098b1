"""The cameras of a clip in the places where they look, with the agents' boxes drawn into the images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from sceneminer.data.errors import MediaError
from sceneminer.data.frame import Measurement, frame_at
from sceneminer.data.log import Log, Sensor
from sceneminer.export.panel import LIGHT, Colour, Palette, Panel, colour_of, shortened
from sceneminer.export.subject import Subject, boxes_at
from sceneminer.geometry.box import box_corners
from sceneminer.geometry.camera import project
from sceneminer.geometry.pose import invert, transform

REACH_M = 60.0
GAP_PX = 6
TOLERANCE_US = 600_000
"""An image further from the instant is not shown; how far each one is, is said on it."""
# Pairs of corners of ``box_corners``: bottom, top, uprights, and the heading along the floor's front.
_EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
_STEPS = 17


@dataclass(frozen=True)
class Tile:
    """Where a camera's image lies in its panel."""

    x: int
    y: int
    width: int
    height: int


def camera_tiles(log: Log, size: tuple[int, int]) -> dict[str, Tile]:
    """A place for each camera within ``size`` (width, height), all of one shape.

    Calibrated rigs with cameras to both sides of the car: those that look ahead above, from left to right, those
    that look back below, left ones on the left as in a mirror. Any other rig: rows in the log's own order.
    """
    rows = _rows(log)
    columns = max(len(row) for row in rows)
    aspect = _aspect(log)
    width = min(
        (size[0] - GAP_PX * (columns - 1)) // columns, int(((size[1] - GAP_PX * (len(rows) - 1)) / len(rows)) * aspect)
    )
    height = round(width / aspect)
    tiles = {}
    for r, row in enumerate(rows):
        inset = (columns * width + GAP_PX * (columns - 1) - len(row) * width - GAP_PX * (len(row) - 1)) // 2
        for c, name in enumerate(row):
            tiles[name] = Tile(inset + c * (width + GAP_PX), r * (height + GAP_PX), width, height)
    return tiles


def draw_cameras(subject: Subject, tiles: Mapping[str, Tile], *, palette: Palette = LIGHT) -> Image.Image:
    """All cameras at the subject's instant; one without a usable image is a grey tile that says why."""
    width = max(tile.x + tile.width for tile in tiles.values())
    height = max(tile.y + tile.height for tile in tiles.values())
    sheet = Image.new("RGB", (width, height), palette.page[:3])
    frame = frame_at(subject.log, subject.instant_us, sensors=tuple(tiles), tolerance_us=TOLERANCE_US)
    for name, tile in tiles.items():
        sheet.paste(_draw_camera(subject, name, frame.measurements[name], tile, palette), (tile.x, tile.y))
    return sheet


def draw_best_camera(subject: Subject, size: tuple[int, int], *, palette: Palette = LIGHT) -> Image.Image | None:
    """The camera that shows the riskiest agent largest, or else one that looks ahead; None where no image is near."""
    frame = frame_at(subject.log, subject.instant_us, sensors=subject.log.cameras(), tolerance_us=TOLERANCE_US)
    seen = {name: m for name, m in frame.measurements.items() if m.valid}
    if not seen:
        return None
    best = max(seen, key=lambda name: (_shown_share(subject, seen[name]), "FRONT" in name.upper(), -len(name)))
    aspect = _aspect(subject.log)
    width = min(size[0], round(size[1] * aspect))
    return _draw_camera(subject, best, seen[best], Tile(0, 0, width, round(width / aspect)), palette)


def _shown_share(subject: Subject, seen: Measurement) -> float:
    """The share of an image that the riskiest agent's box covers."""
    track = next((t for t in subject.tracks if t.track_id == subject.focus), None)
    box = None if track is None else boxes_at(track, seen.time_us)
    if box is None or seen.sensor is None or seen.world_from_ego is None or seen.sensor.camera is None:
        return 0.0
    lines = box_lines(seen.sensor, seen.world_from_ego, *box)
    if not lines:
        return 0.0
    size = np.array([seen.sensor.camera.width_px, seen.sensor.camera.height_px])
    points = np.clip(np.concatenate(lines), 0, size)
    return float(np.prod((points.max(0) - points.min(0)) / size))


def box_lines(
    sensor: Sensor,
    world_from_ego: Float[ndarray, "4 4"],
    world_from_box: Float[ndarray, "4 4"],
    size_lwh_m: Float[ndarray, "3"],
) -> tuple[Float[ndarray, "k 2"], ...]:
    """The visible parts of a box's edges as lines in pixels of the sensor's image; empty where it is not seen."""
    if sensor.camera is None:
        return ()
    camera_from_world = invert(world_from_ego @ sensor.ego_from_sensor)
    corners = transform(camera_from_world, box_corners(world_from_box, size_lwh_m))
    if np.all(corners[:, 2] < 0.1):
        return ()
    share = np.linspace(0.0, 1.0, _STEPS)[:, None]
    edges = np.stack([corners[a] + share * (corners[b] - corners[a]) for a, b in _EDGES])
    # Points just behind the lens come out far off: only what is clearly in front is drawn.
    uv, seen = project(sensor.camera, edges, margin_px=float(sensor.camera.width_px))
    seen &= edges[..., 2] > 0.1
    lines = []
    for points, there in zip(uv, seen, strict=True):
        for run in np.split(np.arange(_STEPS), np.flatnonzero(np.diff(there)) + 1):
            if there[run[0]] and len(run) > 1:
                lines.append(points[run])
    return tuple(lines) if np.any(_inside(uv[seen], sensor)) else ()


def _inside(uv: ndarray, sensor: Sensor) -> ndarray:
    assert sensor.camera is not None
    return (uv >= 0).all(-1) & (uv[:, 0] < sensor.camera.width_px) & (uv[:, 1] < sensor.camera.height_px)


def _rows(log: Log) -> list[list[str]]:
    names = list(log.cameras())
    ahead, back = [], []
    for name in names:
        sensor = log.rig.sensors.get(name)
        if sensor is None or sensor.camera is None or len(names) < 4:
            ahead, back = [], []
            break
        axis = sensor.ego_from_sensor[:3, 2]
        yaw = float(np.arctan2(axis[1], axis[0]))
        if abs(yaw) <= np.pi / 2 + 0.05:
            ahead.append((-yaw, name))
        else:
            back.append((yaw % (2 * np.pi), name))
    if ahead and back:
        return [[name for _, name in sorted(row)] for row in (ahead, back)]
    columns = next(c for c in range(1, len(names) + 1) if c * c >= len(names) or (c >= 3 and c * 2 >= len(names)))
    return [names[first : first + columns] for first in range(0, len(names), columns)]


def _aspect(log: Log) -> float:
    """Width over height of the first camera whose size is known; images of another shape get borders."""
    shapes = [s.camera.width_px / s.camera.height_px for s in log.rig.sensors.values() if s.camera is not None]
    if shapes:
        return float(np.clip(np.median(shapes), 0.6, 2.2))
    for name in log.cameras():
        if len(log.series[name]):
            try:
                pixels = log.store.read_image(log.series[name], 0)
            except MediaError:
                continue  # the tile itself will say what is wrong with it
            return float(np.clip(pixels.shape[1] / pixels.shape[0], 0.6, 2.2))
    return 16 / 9


def _draw_camera(subject: Subject, name: str, seen: Measurement, tile: Tile, palette: Palette) -> Image.Image:
    panel = Panel(tile.width, tile.height, palette.tile)
    series = subject.log.series[name]
    if not seen.valid:
        return _missing(panel, name, _nearest_words(series.times_us, subject.instant_us), palette)
    try:
        pixels = subject.log.store.read_image(series, seen.index)
    except MediaError as error:
        return _missing(panel, name, f"{error.issue.kind.replace('_', ' ')}: {series.files[seen.index]}", palette)
    scale = min(tile.width / pixels.shape[1], tile.height / pixels.shape[0])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    left, top = (tile.width - size[0]) // 2, (tile.height - size[1]) // 2
    panel.image(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS), (left, top))
    _draw_boxes(panel, subject, seen, np.array([left, top]), (size[0] / pixels.shape[1], size[1] / pixels.shape[0]))
    off_ms = (seen.time_us - subject.instant_us) / 1000
    said = name if abs(off_ms) < 0.5 else f"{name}  {off_ms:+.0f} ms"
    panel.text((9, 8), said, (255, 255, 255), size_px=13, behind=(0, 0, 0, 150))
    return panel.done()


def _nearest_words(times_us: ndarray, instant_us: int) -> str:
    if len(times_us) == 0:
        return "the log has none of this camera"
    return f"the nearest is {np.min(np.abs(times_us - instant_us)) / 1e6:.1f} s away"


def _draw_boxes(panel: Panel, subject: Subject, seen: Measurement, corner: ndarray, scale: tuple[float, float]) -> None:
    """Boxes at the image's own time, from ego's pose then; the riskiest agent's last and thick."""
    if seen.sensor is None or seen.world_from_ego is None or seen.sensor.camera is None:
        return
    dark = LIGHT
    for track in sorted(subject.tracks, key=lambda t: t.track_id == subject.focus):
        box = boxes_at(track, seen.time_us)
        if box is None or np.hypot(*(box[0][:2, 3] - seen.world_from_ego[:2, 3])) > REACH_M:
            continue
        focus = track.track_id == subject.focus
        lines = box_lines(seen.sensor, seen.world_from_ego, *box)
        for line in lines:
            points = (line + 0.5) * np.array(scale) + corner
            if focus:
                panel.line(points, (255, 255, 255, 200), width=4.5)
        for line in lines:
            points = (line + 0.5) * np.array(scale) + corner
            colour: Colour = dark.highlight if focus else (*_bright(colour_of(track.category, dark)), 235)
            panel.line(points, colour, width=2.5 if focus else 1.0)


def _bright(colour: Colour) -> tuple[int, int, int]:
    """Towards white, so that a thin line shows on asphalt."""
    r, g, b = (round(c + 0.4 * (255 - c)) for c in colour[:3])
    return r, g, b


def _missing(panel: Panel, name: str, why: str, palette: Palette) -> Image.Image:
    middle = panel.width / 2, panel.height / 2
    panel.text((9, 8), name, palette.ink, size_px=13)
    panel.text((middle[0], middle[1] - 4), "no image", palette.faint, size_px=15, anchor="mb")
    panel.text((middle[0], middle[1] + 4), shortened(why, 11, panel.width - 20), palette.faint, size_px=11, anchor="ma")
    return panel.done()
