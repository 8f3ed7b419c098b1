"""Map rasters: against hand-made shapes, and against point-in-polygon of every cell."""

import numpy as np
import pytest
import shapely
from shapely import LineString, Polygon, box

from sceneminer.data.hdmap import HdMap
from sceneminer.geometry.grid import BevGrid
from sceneminer.geometry.pose import pose_from_yaw, transform
from sceneminer.labels.maps import rasterise

GRID = BevGrid(-10.0, 10.0, -5.0, 5.0, 0.5)


def make_map(**layers) -> HdMap:
    areas = {k: v for k, v in layers.items() if not isinstance(v[0], LineString)}
    return HdMap("test", areas, {k: v for k, v in layers.items() if isinstance(v[0], LineString)})


def test_an_area_fills_the_cells_whose_centres_it_holds():
    raster = rasterise(make_map(drivable=(box(0, 0, 3, 1),)), GRID, np.eye(4), ("drivable", "walkway"))
    assert raster.shape == (2, 20, 40)
    assert raster[0].sum() == 6 * 2 and np.all(raster[0, 10:12, 20:26])
    assert not raster[1].any()


def test_rows_are_y_and_columns_x_in_the_ego_frame():
    """Ego faces north at (100, 50): something 4 m north of it lies ahead, something 3 m west lies to the left."""
    ahead, left = box(99.5, 53.5, 100.5, 54.5), box(96.5, 49.5, 97.5, 50.5)
    hdmap = make_map(drivable=(ahead,), crossing=(left,))
    raster = rasterise(hdmap, GRID, pose_from_yaw(100.0, 50.0, np.pi / 2), ("drivable", "crossing"))
    centers = GRID.centers()
    np.testing.assert_allclose(centers[raster[0]].mean(0), [4, 0], atol=1e-9)
    np.testing.assert_allclose(centers[raster[1]].mean(0), [0, 3], atol=1e-9)


def test_agrees_with_point_in_polygon_of_every_cell():
    rng = np.random.default_rng(1)
    for _ in range(10):
        pose = pose_from_yaw(*rng.uniform(-20, 20, 2), rng.uniform(-4, 4), z_m=3.0)
        center = pose[:2, 3] + rng.uniform(-6, 6, 2)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        ring = center + rng.uniform(1, 9, 9)[:, None] * np.stack([np.cos(angles), np.sin(angles)], -1)
        hole = shapely.Point(center).buffer(0.8)
        shape = shapely.make_valid(Polygon(ring)).difference(hole)
        shapes = tuple(p for p in getattr(shape, "geoms", [shape]) if p.geom_type == "Polygon")
        raster = rasterise(make_map(drivable=shapes), GRID, pose, ("drivable",))[0]
        points = np.concatenate([GRID.centers(), np.zeros((*GRID.shape, 1))], -1).reshape(-1, 3)
        world = transform(pose, points)
        slow = [any(p.covers(shapely.Point(x, y)) for p in shapes) for x, y, _ in world]
        np.testing.assert_array_equal(raster, np.reshape(slow, GRID.shape))


def test_lines_have_a_width():
    hdmap = make_map(lane_divider=(LineString([(-50, 0.25), (50, 0.25)]),))
    thin = rasterise(hdmap, GRID, np.eye(4), ("lane_divider",))[0]
    assert np.array_equal(np.flatnonzero(thin.any(1)), [10]) and thin[10].all()
    wide = rasterise(hdmap, GRID, np.eye(4), ("lane_divider",), line_width_m=2.0)[0]
    assert np.array_equal(np.flatnonzero(wide.all(1)), [8, 9, 10, 11, 12])


def test_what_is_far_or_unknown():
    hdmap = make_map(drivable=(box(500, 500, 600, 600),))
    assert not rasterise(hdmap, GRID, np.eye(4), ("drivable",)).any()
    with pytest.raises(ValueError, match="found sea"):
        rasterise(hdmap, GRID, np.eye(4), ("drivable", "sea"))
    with pytest.raises(ValueError, match="positive line width"):
        rasterise(hdmap, GRID, np.eye(4), ("drivable",), line_width_m=0.0)


def test_a_tilted_ego_sees_the_same_map():
    pitch = np.deg2rad(10)
    tilt = np.eye(4)
    tilt[[0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(pitch), np.sin(pitch), -np.sin(pitch), np.cos(pitch)
    hdmap = make_map(drivable=(box(0, 0, 3, 1),))
    flat = rasterise(hdmap, GRID, np.eye(4), ("drivable",))
    np.testing.assert_array_equal(rasterise(hdmap, GRID, tilt, ("drivable",)), flat)
