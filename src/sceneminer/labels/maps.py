"""Bird's-eye-view rasters of a vector map, in the ego frame."""

import numpy as np
import shapely
from jaxtyping import Bool, Float
from numpy import ndarray
from shapely.geometry.base import BaseGeometry

from sceneminer.data.hdmap import AREA_LAYERS, LINE_LAYERS, HdMap
from sceneminer.geometry.grid import BevGrid
from sceneminer.geometry.pose import invert


def rasterise(
    hdmap: HdMap,
    grid: BevGrid,
    world_from_ego: Float[ndarray, "4 4"],
    layers: tuple[str, ...],
    *,
    line_width_m: float | None = None,
) -> Bool[ndarray, "layers y x"]:
    """Which cells each layer covers, rows along y and columns along x as in ``BevGrid``.

    Fill rule: a cell belongs to an area if its centre lies in one of its polygons (holes are left out, borders
    count as inside); to a line if its centre lies within half of ``line_width_m`` of it. The width is one cell
    unless given, and a line thinner than a cell may have gaps. A layer the map does not have is all False.
    Raises ValueError for a name that is no layer. The ego pose's roll and pitch are ignored.
    """
    unknown = [name for name in layers if name not in AREA_LAYERS + LINE_LAYERS]
    if unknown:
        raise ValueError(f"expected layers among {', '.join(AREA_LAYERS + LINE_LAYERS)}; found {', '.join(unknown)}")
    half_width = (grid.cell_m if line_width_m is None else line_width_m) / 2
    if half_width <= 0:
        raise ValueError(f"expected a positive line width, found {line_width_m} m")
    planar = _planar(world_from_ego)
    ego_from_world = invert(planar)
    window = _window(grid, planar, margin_m=half_width + grid.cell_m)
    nearby = hdmap.near(*window)
    out = np.zeros((len(layers), *grid.shape), bool)
    for raster, name in zip(out, layers, strict=True):
        for shape in nearby.areas.get(name, ()):
            _fill(raster, grid, _moved(shape, ego_from_world), 0.0)
        for line in nearby.lines.get(name, ()):
            _fill(raster, grid, _moved(line, ego_from_world), half_width)
    return out


def _fill(raster: ndarray, grid: BevGrid, shape: BaseGeometry, within_m: float) -> None:
    """Sets the cells whose centres lie in the shape, or within a distance of it: only cells in its bounds are asked."""
    if shape.is_empty:
        return
    x_low, y_low, x_high, y_high = shape.bounds
    rows, columns = grid.shape
    top = max(int(np.floor((y_low - within_m - grid.y_min_m) / grid.cell_m)), 0)
    bottom = min(int(np.ceil((y_high + within_m - grid.y_min_m) / grid.cell_m)), rows)
    left = max(int(np.floor((x_low - within_m - grid.x_min_m) / grid.cell_m)), 0)
    right = min(int(np.ceil((x_high + within_m - grid.x_min_m) / grid.cell_m)), columns)
    if bottom <= top or right <= left:
        return
    centers = grid.centers()[top:bottom, left:right]
    shapely.prepare(shape)
    if within_m > 0:
        raster[top:bottom, left:right] |= shapely.dwithin(shape, shapely.points(centers), within_m)
    else:
        raster[top:bottom, left:right] |= shapely.intersects_xy(shape, centers[..., 0], centers[..., 1])


def _planar(world_from_ego: ndarray) -> ndarray:
    """The pose's place and heading only: a map is flat."""
    cos, sin = world_from_ego[0, 0], world_from_ego[1, 0]
    norm = np.hypot(cos, sin)
    if norm < 1e-6:
        raise ValueError("expected an ego pose whose x axis is not vertical, found one that is")
    pose = np.eye(4)
    pose[:2, :2] = np.array([[cos, -sin], [sin, cos]]) / norm
    pose[:2, 3] = world_from_ego[:2, 3]
    return pose


def _window(grid: BevGrid, world_from_ego: ndarray, *, margin_m: float) -> tuple[float, float, float]:
    """Middle of the grid in the world and the half-width of a square that holds it."""
    middle = np.array([(grid.x_min_m + grid.x_max_m) / 2, (grid.y_min_m + grid.y_max_m) / 2])
    x, y = world_from_ego[:2, :2] @ middle + world_from_ego[:2, 3]
    reach = 0.5 * np.hypot(grid.x_max_m - grid.x_min_m, grid.y_max_m - grid.y_min_m)
    return float(x), float(y), float(reach + margin_m)


def _moved(shape: BaseGeometry, ego_from_world: ndarray) -> BaseGeometry:
    rotation, shift = ego_from_world[:2, :2], ego_from_world[:2, 3]
    return shapely.transform(shape, lambda xy: xy @ rotation.T + shift)
