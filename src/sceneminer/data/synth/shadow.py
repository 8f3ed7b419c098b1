"""Shadow maps: depth seen from the sun, of a drive's surroundings once, and of what moves for each picture."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from sceneminer.data.synth.raster import rasterise
from sceneminer.data.synth.scene import Drive
from sceneminer.data.synth.stage import Scenery

REACH_M = 75.0
"""Beyond ego's path on every side."""
TEXEL_M = 0.16
MAX_TEXELS = 2600
MOVING_TEXELS = 896
LOWEST_RAD = np.deg2rad(-1.0)


@dataclass(frozen=True)
class SunMaps:
    depth: Float32[ndarray, "h w"]
    view: Float[ndarray, "3 4"]
    """Map coordinates (texels) and depth (m) from the town."""
    axes: Float[ndarray, "3 3"]


def make_sun_maps(scenery: Scenery, drive: Drive) -> SunMaps | None:
    """The static shadow map around a drive; None when the sun is down."""
    sky = drive.environment
    high = max(sky.sun_elevation_rad, np.deg2rad(1.5))
    if sky.sun_elevation_rad < LOWEST_RAD:
        return None
    azimuth = sky.sun_azimuth_rad
    sun = np.array([np.cos(high) * np.cos(azimuth), np.cos(high) * np.sin(azimuth), np.sin(high)])
    right = np.cross([0.0, 0.0, 1.0], sun)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(right, -sun), -sun])
    low, high_xy = drive.ego[:, :2].min(0) - REACH_M, drive.ego[:, :2].max(0) + REACH_M
    ground = np.array([[x, y, 0.0] for x in (low[0], high_xy[0]) for y in (low[1], high_xy[1])])
    # Ground plus what stands 12 m above it: enough for receivers; casters may lie outside along the sun's way.
    points = np.concatenate([ground, ground + np.array([0, 0, 12.0])]) @ axes.T
    span = points[:, :2].max(0) - points[:, :2].min(0)
    texel = max(TEXEL_M, float(span.max()) / MAX_TEXELS)
    shape = tuple(int(np.ceil(s / texel)) + 1 for s in span)[::-1]
    view = np.zeros((3, 4))
    view[:2, :3], view[2, :3] = axes[:2] / texel, axes[2]
    view[:2, 3] = -points[:, :2].min(0) / texel
    depth, ids = np.full(shape, -1e9, np.float32), np.empty(shape, np.int32)
    rasterise(scenery.soup.xyz, _casters(scenery, view, shape), view, np.array([1.0, 1, 0, 0]), False, depth, ids)
    return SunMaps(depth, view, axes)


def _casters(scenery: Scenery, view: ndarray, shape: tuple[int, ...]) -> ndarray:
    """Spans that fall on the map; the apron is left out."""
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    box = np.where(corners[None] > 0, scenery.high[:, None], scenery.low[:, None])
    uv = box @ view[:2, :3].T + view[:2, 3]
    near, far = uv.min(1), uv.max(1)
    hits = np.all((far >= 0) & (near <= np.array(shape[::-1])), -1)
    small = np.max(scenery.high - scenery.low, -1) < 600.0
    return np.ascontiguousarray(scenery.spans[hits & small])


def moving_shadow(
    xyz: ndarray, spans: list[tuple[int, int]], sun: SunMaps, centre: Float[ndarray, "3"], reach_m: float
) -> tuple[Float32[ndarray, "h w"], Float[ndarray, "3 4"]]:
    """Depth of the actors seen from the sun, around a point."""
    texel = 2 * reach_m / MOVING_TEXELS
    view = np.zeros((3, 4))
    view[:2, :3], view[2, :3] = sun.axes[:2] / texel, sun.axes[2]
    view[:2, 3] = MOVING_TEXELS / 2 - view[:2, :3] @ np.array([centre[0], centre[1], 0.0])
    depth = np.full((MOVING_TEXELS, MOVING_TEXELS), -1e9, np.float32)
    ids = np.empty((MOVING_TEXELS, MOVING_TEXELS), np.int32)
    rasterise(xyz, np.array(spans, np.int32).reshape(-1, 2), view, np.array([1.0, 1, 0, 0]), False, depth, ids)
    return depth, view
