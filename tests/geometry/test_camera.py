"""Cameras: there and back through every lens model, and what a camera does not see."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sceneminer.geometry.camera import Camera, project, unproject

LENSES = {
    "pinhole": ("pinhole", ()),
    "pinhole 4": ("pinhole", (-0.28, 0.07, 1e-3, -5e-4)),
    "pinhole 5": ("pinhole", (-0.35, 0.15, 2e-4, 8e-4, -0.03)),
    "pinhole 8": ("pinhole", (1.2, 0.35, 5e-4, -2e-4, 0.02, 1.5, 0.55, 0.06)),
    "fisheye ideal": ("fisheye", ()),
    "fisheye 4": ("fisheye", (0.05, -0.01, 0.004, -0.0008)),
}


def camera(name: str) -> Camera:
    model, distortion = LENSES[name]
    return Camera(1600, 900, 1000.0, 1010.0, 810.0, 440.0, model=model, distortion=distortion)


@pytest.mark.parametrize("name", LENSES)
@given(u=st.floats(0, 1599), v=st.floats(0, 899), depth=st.floats(0.1, 200))
def test_pixels_come_back(name, u, v, depth):
    ray = unproject(camera(name), np.array([u, v]))
    assert np.linalg.norm(ray) == pytest.approx(1)
    uv, seen = project(camera(name), ray * depth)
    assert seen
    np.testing.assert_allclose(uv, [u, v], atol=1e-6)


@pytest.mark.parametrize("name", LENSES)
@given(x=st.floats(-0.6, 0.6), y=st.floats(-0.35, 0.35), z=st.floats(0.5, 100))
def test_points_come_back(name, x, y, z):
    point = np.array([x * z, y * z, z])
    uv, _ = project(camera(name), point)
    np.testing.assert_allclose(unproject(camera(name), uv), point / np.linalg.norm(point), atol=1e-8)


def test_a_pinhole_by_hand():
    uv, seen = project(
        Camera(640, 480, 500.0, 400.0, 320.0, 240.0), np.array([[1.0, -0.5, 2.0], [0, 0, 5], [0, 0, -5], [9, 0, 1]])
    )
    np.testing.assert_allclose(uv[:2], [[570, 140], [320, 240]])
    assert seen.tolist() == [True, True, False, False]


def test_distortion_by_hand():
    # x = 0.5, y = 0: r² = 0.25, radial = 1 − 0.2·0.25 + 0.1·0.0625; tangential 2·p1·0 + p2·(0.25 + 0.5).
    lens = Camera(640, 480, 100.0, 100.0, 0.0, 0.0, distortion=(-0.2, 0.1, 0.01, 0.02))
    uv, _ = project(lens, np.array([1.0, 0.0, 2.0]))
    radial = 1 - 0.05 + 0.00625
    np.testing.assert_allclose(uv, [100 * (0.5 * radial + 0.02 * 0.75), 100 * (0.01 * 0.25)], atol=1e-9)


def test_an_ideal_fisheye_measures_angles():
    lens = Camera(1000, 1000, 200.0, 200.0, 500.0, 500.0, model="fisheye")
    angle = np.radians(100.0)
    uv, seen = project(lens, np.array([np.sin(angle), 0.0, np.cos(angle)]))
    np.testing.assert_allclose(uv, [500 + 200 * angle, 500])
    assert seen, "a fisheye sees beside and behind itself"


@pytest.mark.parametrize("name", ["pinhole 4", "pinhole 5", "fisheye 4"])
def test_points_are_not_folded_back_into_the_image(name):
    """Far off the axis, a polynomial turns back: such points must not appear."""
    angle = np.linspace(0, np.pi, 2000)
    points = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], -1)
    uv, seen = project(camera(name), points)
    assert np.all(np.isfinite(uv))
    first_unseen = int(np.argmin(seen))
    assert seen[0] and not seen[first_unseen:].any()
    assert np.all(np.diff(uv[:first_unseen, 0]) > 0)


@pytest.mark.parametrize("distortion", [(0.9, -0.3, 5e-4, -2e-4, 0.02, 1.2, 0.1, 0.01), (-0.5, 0.0, 0.0, 0.0)])
def test_pixels_that_no_ray_reaches_have_none(distortion):
    """A lens whose image circle ends before the corners: a wrong ray there would be a silent error."""
    lens = Camera(1600, 900, 800.0, 800.0, 800.0, 450.0, distortion=distortion)
    u, v = np.meshgrid(np.linspace(0, 1599, 40), np.linspace(0, 899, 30))
    pixels = np.stack([u, v], -1)
    rays = unproject(lens, pixels)
    reached = np.isfinite(rays).all(-1)
    assert reached[15, 20] and not reached[0, 0]
    uv, seen = project(lens, rays[reached])
    assert seen.all()
    np.testing.assert_allclose(uv, pixels[reached], atol=1e-3)


def test_a_fisheye_has_no_ray_beyond_behind():
    lens = Camera(1000, 1000, 100.0, 100.0, 500.0, 500.0, model="fisheye")
    rays = unproject(lens, np.array([[500 + 313.0, 500.0], [500 + 316.0, 500.0], [990.0, 500.0]]))
    assert np.isfinite(rays).all(-1).tolist() == [True, False, False]


def test_points_that_are_not_numbers_are_not_seen():
    for name in LENSES:
        _, seen = project(camera(name), np.array([[np.nan, 0, 1], [0, 0, np.nan], [0, 0, 0]]))
        assert not seen.any(), name


@pytest.mark.parametrize("name", LENSES)
@given(x=st.floats(-0.5, 0.5), y=st.floats(-0.3, 0.3), width=st.integers(10, 3000), height=st.integers(10, 3000))
def test_resizing_moves_pixel_centres_with_the_image(name, x, y, width, height):
    full, point = camera(name), np.array([x, y, 1.0]) * 10
    small = full.resized(width, height)
    uv, seen = project(full, point)
    uv_small, seen_small = project(small, point)
    np.testing.assert_allclose((uv_small + 0.5) / [width, height], (uv + 0.5) / [1600, 900], atol=1e-9)
    on_the_edge = np.min(np.abs([*(uv + 0.5), *([1600, 900] - uv - 0.5)])) < 1e-6
    assert seen == seen_small or on_the_edge


def test_the_image_reaches_half_a_pixel_beyond_pixel_centres():
    lens = Camera(10, 10, 10.0, 10.0, 0.0, 0.0)
    edge = np.array([[-0.49, 0, 10], [-0.51, 0, 10], [9.49, 0, 10], [9.51, 0, 10]]) * [1, 1, 1]
    assert project(lens, edge)[1].tolist() == [True, False, True, False]
    assert project(lens, edge, margin_px=1.0)[1].all()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"fx": 0.0}, "positive focal"),
        ({"fy": -3.0}, "positive focal"),
        ({"cx": float("nan")}, "finite"),
        ({"width_px": 0}, "positive image size"),
        ({"distortion": (1.0,)}, "4 or 5 or 8"),
        ({"distortion": (float("inf"), 0.0, 0.0, 0.0)}, "finite"),
    ],
)
def test_impossible_cameras_are_refused(values, word):
    good = {"width_px": 10, "height_px": 10, "fx": 1.0, "fy": 1.0, "cx": 5.0, "cy": 5.0}
    with pytest.raises(ValueError, match=word):
        Camera(**(good | values))
