"""What lies on the ground as a mip-mapped texture: white and yellow paint, grass, and how worn or dirty it is."""

from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw
from shapely import LineString

from sceneminer.data.synth.props import rectangle
from sceneminer.data.synth.scene import Crossing, Divider, Lane, Town
from sceneminer.data.synth.texture import paint_convex

TEXEL_M = 0.08
WHITE, YELLOW, GREEN, TONE = range(4)
LINE_M = 0.13
DASH_M, GAP_M = 3.0, 5.0


@dataclass(frozen=True)
class GroundTexture:
    """All mip levels in one table of texels."""

    texels: UInt8[ndarray, "n 4"]
    """Coverage of white paint, yellow paint and grass; tone (128 neutral, darker below)."""
    levels: Int64[ndarray, "l 3"]
    """First texel, rows, columns of each level."""
    origin: tuple[float, float]
    """Town x and y of the corner of texel (0, 0)."""


class _Canvas:
    """The planes under the brush."""

    def __init__(self, town: Town):
        x0, y0, x1, y1 = town.bounds
        self.origin = (x0, y0)
        self.shape = (int((y1 - y0) / TEXEL_M) // 64 * 64 + 64, int((x1 - x0) / TEXEL_M) // 64 * 64 + 64)
        self.planes = [np.zeros(self.shape, np.uint8) for _ in range(3)] + [np.full(self.shape, 128, np.uint8)]
        self.wear = town.style.paint_wear
        self.seed = town.seed * 7919 % 100003

    def lay(self, channel: int, polygon: Float[ndarray, "n 2"], *, value: float = 255.0, wear: float = -1.0) -> None:
        corners = (np.asarray(polygon, np.float64) - self.origin) / TEXEL_M
        nxt = np.roll(corners, -1, 0)
        if np.sum(corners[:, 0] * nxt[:, 1] - corners[:, 1] * nxt[:, 0]) < 0:
            corners = corners[::-1]
        worn = self.wear if wear < 0 else wear
        paint_convex(self.planes[channel], np.ascontiguousarray(corners), value, worn, self.seed + channel)

    def line(self, channel: int, path: Float[ndarray, "n 2"], *, width: float = LINE_M, value: float = 255.0) -> None:
        step = np.diff(path, axis=0)
        length = np.hypot(*step.T)
        for a, b, d, n in zip(path[:-1], path[1:], step, length, strict=True):
            if n > 1e-6:
                side = np.array([-d[1], d[0]]) / n * width / 2
                over = d / n * 0.02
                corners = np.stack([a - side - over, b - side + over, b + side + over, a + side - over])
                self.lay(channel, corners, value=value, wear=0.0 if value < 0 else -1.0)


def build_texture(town: Town) -> GroundTexture:
    """Paint the ground of a town; worn by ``style.paint_wear``."""
    canvas = _Canvas(town)
    rng = np.random.default_rng(town.seed + 11)
    _plant(canvas, town)
    for lane in town.lanes:
        _wear(canvas, lane, rng)
    for divider in town.dividers:
        _divide(canvas, divider)
    for stop in town.stop_lines:
        _stop(canvas, stop.polygon, dashed=stop.cue == "YIELD")
    for crossing in town.crossings:
        _zebra(canvas, crossing)
    for lane in town.lanes:
        if (
            lane.intersection is None
            and (lane.stop_line is not None)
            and (lane.left is not None or lane.right is not None)
        ):
            _arrow(canvas, lane, {town.lanes[i].turn for i in lane.successors} if lane.successors else set())
    for spot in town.spots:
        _bay(canvas, spot.x_m, spot.y_m, spot.yaw_rad, (spot.length_m, spot.width_m), spot.kind)
    return _pyramid(canvas)


def _plant(canvas: _Canvas, town: Town) -> None:
    image = Image.new("L", (canvas.shape[1], canvas.shape[0]), 255)
    draw = ImageDraw.Draw(image)

    def fill(ring: ndarray, value: int) -> None:
        draw.polygon([(x, y) for x, y in (ring - canvas.origin) / TEXEL_M], fill=value)

    for ring in (*town.walkways, *town.road_segments, *town.intersections, *town.parking_lots):
        fill(ring, 0)
    for prop in town.props:
        length, width, _ = prop.size_lwh_m
        if prop.kind == "building":
            apron = rectangle(prop.pose[:2], float(prop.pose[3]), length + 3.0, width + 2.4)
            fill(np.asarray(apron.exterior.coords), 0)
    for prop in town.props:
        if prop.kind == "tree" and prop.pose[2] > 0.0:
            pit = rectangle(prop.pose[:2], float(prop.pose[3] * 0.0), 0.9, 0.9)
            fill(np.asarray(pit.exterior.coords), 150)
    canvas.planes[GREEN][:] = np.asarray(image)


def _wear(canvas: _Canvas, lane: Lane, rng: np.random.Generator) -> None:
    """Wheel tracks, patches, manholes, cracks and drips of oil along a lane."""
    path, yaw = lane.centerline[:, :2], lane.centerline[:, 2]
    side = np.stack([-np.sin(yaw), np.cos(yaw)], -1)
    for offset in (-0.82, 0.82):
        for width, value in ((0.75, -5.0), (0.4, -6.0)):
            canvas.line(TONE, path[::4] + offset * side[::4], width=width, value=value)
    canvas.line(TONE, path[::4], width=0.35, value=-7.0)
    if lane.intersection is not None:
        return
    for _ in range(rng.poisson(lane.length_m / 35.0)):
        k = int(rng.integers(len(path)))
        at = path[k] + side[k] * rng.uniform(-0.9, 0.9)
        patch = rectangle(at, float(yaw[k]), float(rng.uniform(1.0, 7.0)), float(rng.uniform(0.7, 1.8)))
        canvas.lay(TONE, np.asarray(patch.exterior.coords)[:-1], value=float(-rng.uniform(8, 34)), wear=0.0)
    for _ in range(rng.poisson(lane.length_m / 60.0)):
        k = int(rng.integers(len(path)))
        at = path[k] + side[k] * rng.uniform(-0.6, 0.6)
        angle = np.arange(12) * np.pi / 6
        canvas.lay(TONE, at + 0.33 * np.stack([np.cos(angle), np.sin(angle)], -1), value=-46.0, wear=0.0)
        canvas.lay(TONE, at + 0.27 * np.stack([np.cos(angle), np.sin(angle)], -1), value=-14.0, wear=0.4)
    for _ in range(rng.poisson(lane.length_m / 18.0)):
        k = int(rng.integers(len(path)))
        heading = yaw[k] + (np.pi / 2 if rng.random() < 0.5 else 0.0) + rng.normal(0, 0.3)
        turns = heading + np.cumsum(rng.normal(0, 0.35, int(rng.integers(5, 16))))
        walk = np.cumsum(0.28 * np.stack([np.cos(turns), np.sin(turns)], -1), 0)
        canvas.line(
            TONE, path[k] + side[k] * rng.uniform(-1.2, 1.2) + walk, width=0.045, value=float(-rng.uniform(30, 70))
        )


def _dashes(path: Float[ndarray, "n 2"], dash_m: float, gap_m: float) -> list[Float[ndarray, "_ 2"]]:
    line = LineString(path)
    out, at = [], 0.0
    while at < line.length:
        ends = np.linspace(at, min(at + dash_m, line.length), 4)
        out.append(np.array([line.interpolate(float(s)).coords[0] for s in ends]))
        at += dash_m + gap_m
    return out


def _divide(canvas: _Canvas, divider: Divider) -> None:
    path = divider.line
    match divider.paint:
        case "none":
            return
        case "dashed_white":
            for dash in _dashes(path, DASH_M, GAP_M):
                canvas.line(WHITE, dash)
        case "solid_white":
            canvas.line(WHITE, path)
        case "solid_yellow":
            canvas.line(YELLOW, path)
        case "double_yellow":
            for side in (-0.13, 0.13):
                # Where a street bends sharply, the line beside it comes in several parts.
                for part in shapely.get_parts(LineString(path).offset_curve(side)):
                    canvas.line(YELLOW, shapely.get_coordinates(part), width=0.11)


def _stop(canvas: _Canvas, polygon: Float[ndarray, "4 2"], *, dashed: bool) -> None:
    if not dashed:
        canvas.lay(WHITE, polygon)
        return
    # A row of short bars across the lane: give way.
    a, b, c, d = polygon
    count = max(1, int(np.hypot(*(c - b)) / 0.9))
    for k in range(count):
        f0, f1 = (k + 0.15) / count, (k + 0.75) / count
        canvas.lay(WHITE, np.stack([a + f0 * (d - a), b + f0 * (c - b), b + f1 * (c - b), a + f1 * (d - a)]))


def _zebra(canvas: _Canvas, crossing: Crossing) -> None:
    """Stripes along the traffic, one metre apart, as long as the crossing is wide."""
    start, end = crossing.axis
    way = (end - start) / np.hypot(*(end - start))
    side = np.array([-way[1], way[0]])
    reach = (crossing.polygon - start) @ side
    low, high = np.percentile(reach, 15), np.percentile(reach, 85)
    count = max(1, int(np.hypot(*(end - start)) / 1.0))
    for k in range(count):
        p = start + way * (k + 0.25) * np.hypot(*(end - start)) / count
        q = p + way * 0.5
        canvas.lay(WHITE, np.stack([p + low * side, q + low * side, q + high * side, p + high * side]))


def _arrow(canvas: _Canvas, lane: Lane, turns: set[str]) -> None:
    back = max(0, len(lane.centerline) - 1 - int(11.0 / max(lane.length_m / len(lane.centerline), 0.1)))
    for at in (back, max(0, back - 26)):
        x, y, yaw = lane.centerline[at]
        turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
        shapes = [[[-2.2, -0.09], [1.0, -0.09], [1.0, 0.09], [-2.2, 0.09]]]
        if "straight" in turns or not turns:
            shapes.append([[0.9, -0.42], [2.2, 0.0], [0.9, 0.42]])
        for name, s in (("left", 1), ("right", -1)):
            if name in turns:
                shapes.append([[0.15, 0.0], [0.95, s * 0.42], [0.8, s * 0.55], [-0.05, s * 0.12]])
                shapes.append([[0.25, s * 0.62], [1.15, s * 0.18], [1.35, s * 1.05]])
        for shape in shapes:
            canvas.lay(WHITE, np.array(shape) @ turn + [x, y])


def _bay(canvas: _Canvas, x: float, y: float, yaw: float, size: tuple[float, float], kind: str) -> None:
    l, w = size
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    channel = YELLOW if kind == "bus_stop" else WHITE
    for s in (1, -1):
        if kind == "kerb":
            # Corner marks only.
            for e in (1, -1):
                mark = np.array([[e * l / 2, s * w / 2], [e * (l / 2 - 0.5), s * w / 2]]) @ turn + [x, y]
                canvas.line(channel, mark, width=0.1, value=200.0)
            continue
        edge = np.array([[-l / 2, s * w / 2], [l / 2, s * w / 2]]) @ turn + [x, y]
        canvas.line(channel, edge, width=0.1)
    if kind == "lot":
        stain = np.array([[0.9, -0.4], [1.6, -0.35], [1.7, 0.3], [1.0, 0.4]]) @ turn + [x, y]
        canvas.lay(TONE, stain, value=-22.0, wear=0.5)


def _pyramid(canvas: _Canvas) -> GroundTexture:
    level = np.stack(canvas.planes, -1)
    found, levels, offset = [], [], 0
    while min(level.shape[:2]) >= 16:
        found.append(level.reshape(-1, 4))
        levels.append((offset, level.shape[0], level.shape[1]))
        offset += level.shape[0] * level.shape[1]
        h, w = level.shape[0] // 2 * 2, level.shape[1] // 2 * 2
        total = level[0:h:2, 0:w:2].astype(np.uint16)
        total += level[1:h:2, 0:w:2]
        total += level[0:h:2, 1:w:2]
        total += level[1:h:2, 1:w:2]
        level = ((total + 2) // 4).astype(np.uint8)
    return GroundTexture(np.concatenate(found), np.array(levels, np.int64), canvas.origin)
