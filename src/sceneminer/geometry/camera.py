"""Pinhole cameras with OpenCV's radial-tangential distortion, and Kannala-Brandt fisheyes.

Pixel (0, 0) is the centre of the top left pixel, as in OpenCV.
Sources: OpenCV's calib3d (k1 k2 p1 p2 k3 k4 k5 k6) and fisheye (k1 k2 k3 k4) models; Kannala & Brandt,
"A Generic Camera Model and Calibration Method", PAMI 2006.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

CameraModel = Literal["pinhole", "fisheye"]
_DISTORTION_LENGTHS = {"pinhole": (0, 4, 5, 8), "fisheye": (0, 4)}


@dataclass(frozen=True)
class Camera:
    """Intrinsics of one camera at one image size, in pixels."""

    width_px: int
    height_px: int
    fx: float
    fy: float
    cx: float
    cy: float
    model: CameraModel = "pinhole"
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.model not in _DISTORTION_LENGTHS:
            raise ValueError(f"expected camera model pinhole or fisheye, found {self.model!r}")
        if len(self.distortion) not in _DISTORTION_LENGTHS[self.model]:
            allowed = " or ".join(map(str, _DISTORTION_LENGTHS[self.model]))
            raise ValueError(f"expected {allowed} distortion values for {self.model}, found {len(self.distortion)}")
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not (np.all(np.isfinite(numbers)) and self.fx > 0 and self.fy > 0):
            raise ValueError(f"expected finite intrinsics with positive focal lengths, found {numbers}")
        if self.width_px <= 0 or self.height_px <= 0:
            raise ValueError(f"expected a positive image size, found {self.width_px}×{self.height_px}")

    @property
    def matrix(self) -> Float[ndarray, "3 3"]:
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def resized(self, width_px: int, height_px: int) -> "Camera":
        """The camera of the whole image resized (no crop); scales may differ by axis."""
        sx, sy = width_px / self.width_px, height_px / self.height_px
        return replace(
            self,
            width_px=width_px,
            height_px=height_px,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )


def project(
    camera: Camera, points_camera: Float[ndarray, "*b 3"], *, margin_px: float = 0.0
) -> tuple[Float[ndarray, "*b 2"], Bool[ndarray, "*b"]]:
    """Pixels of points in the camera frame, and which of them the camera sees.

    Visible: in front of the camera, inside the image widened by ``margin_px`` and, with distortion, inside
    the part of the lens where the model is one-to-one (outside it polynomials fold points back in).
    Pixels of points that are not visible mean nothing; they are finite where the points are.
    """
    shape = points_camera.shape[:-1]
    points = np.asarray(points_camera, np.float64).reshape(-1, 3)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    front = z > 1e-6
    depth = np.where(front, z, 1.0)
    a, b = x / depth, y / depth
    if camera.model == "fisheye":
        a, b, unfolded = _distort_fisheye(camera, x, y, z)
        front = unfolded
    elif camera.distortion:
        limit = _pinhole_radius_limit(camera)
        radius2 = a * a + b * b
        front &= radius2 < limit * limit
        a, b = _distort_pinhole(camera, np.where(front, a, 0.0), np.where(front, b, 0.0))
    uv = np.stack([camera.fx * a + camera.cx, camera.fy * b + camera.cy], -1)
    low, m = -0.5 - margin_px, margin_px
    inside = (uv[..., 0] >= low) & (uv[..., 0] < camera.width_px - 0.5 + m)
    inside &= (uv[..., 1] >= low) & (uv[..., 1] < camera.height_px - 0.5 + m)
    uv = np.clip(uv, -1e6, 1e6)
    return uv.reshape(*shape, 2), (front & inside).reshape(shape)


def unproject(camera: Camera, uv: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b 3"]:
    """Unit rays in the camera frame through pixels; distortion is inverted by Newton iteration to 1e-10.

    NaN for pixels that no ray reaches: where the lens model turns back before it gets there, as it may in corners,
    or where a fisheye would have to look further back than behind itself.
    """
    shape = uv.shape[:-1]
    pixels = np.asarray(uv, np.float64).reshape(-1, 2)
    a, b = (pixels[:, 0] - camera.cx) / camera.fx, (pixels[:, 1] - camera.cy) / camera.fy
    if camera.model == "fisheye":
        radius = np.hypot(a, b)
        theta = _invert_fisheye(camera, radius)
        scale = np.where(radius > 1e-12, np.sin(theta) / np.where(radius > 1e-12, radius, 1.0), 1.0)
        ray = np.stack([a * scale, b * scale, np.cos(theta)], -1)
    else:
        x, y = _invert_pinhole(camera, a, b) if camera.distortion else (a, b)
        ray = np.stack([x, y, np.ones_like(x)], -1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    if camera.distortion or camera.model == "fisheye":
        # Newton's method may settle where the model folds back, or nowhere.
        there, unfolded = project(camera, ray, margin_px=np.inf)
        reached = unfolded & (np.abs(there - pixels).max(-1, initial=0.0) < 1e-3)
        ray = np.where(reached[:, None], ray, np.nan)
    return ray.reshape(*shape, 3)


def _coefficients(camera: Camera) -> list[float]:
    return [*camera.distortion, *([0.0] * (8 - len(camera.distortion)))]


def _distort_pinhole(camera: Camera, x: ndarray, y: ndarray) -> tuple[ndarray, ndarray]:
    k1, k2, p1, p2, k3, k4, k5, k6 = _coefficients(camera)
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


def _pinhole_radius_limit(camera: Camera) -> float:
    """The first undistorted radius at which the radial model stops growing, at most 10 (84°)."""
    radius = np.linspace(0.0, 10.0, 4001)
    k1, k2, _, _, k3, k4, k5, k6 = _coefficients(camera)
    r2 = radius * radius
    bottom = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    top = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    with np.errstate(divide="ignore", invalid="ignore"):
        distorted = radius * top / bottom
    stops = np.flatnonzero((np.diff(distorted) <= 0) | ~np.isfinite(distorted[1:]) | (bottom[1:] <= 0))
    return float(radius[stops[0]]) if len(stops) else 10.0


def _invert_pinhole(camera: Camera, a: ndarray, b: ndarray) -> tuple[ndarray, ndarray]:
    x, y = a.copy(), b.copy()
    step = 1e-7
    for _ in range(30):
        u, v = _distort_pinhole(camera, x, y)
        ux, vx = _distort_pinhole(camera, x + step, y)
        uy, vy = _distort_pinhole(camera, x, y + step)
        j11, j12, j21, j22 = (ux - u) / step, (uy - u) / step, (vx - v) / step, (vy - v) / step
        det = j11 * j22 - j12 * j21
        det = np.where(np.abs(det) < 1e-12, 1e-12, det)
        du, dv = u - a, v - b
        dx, dy = (j22 * du - j12 * dv) / det, (j11 * dv - j21 * du) / det
        x, y = x - np.clip(dx, -0.5, 0.5), y - np.clip(dy, -0.5, 0.5)
        if np.max(np.abs(du) + np.abs(dv), initial=0.0) < 1e-12:
            break
    return x, y


def _fisheye_radius(camera: Camera, theta: ndarray) -> tuple[ndarray, ndarray]:
    k1, k2, k3, k4 = (*camera.distortion, *([0.0] * (4 - len(camera.distortion))))
    t2 = theta * theta
    radius = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
    slope = 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))
    return radius, slope


def _distort_fisheye(camera: Camera, x: ndarray, y: ndarray, z: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    side = np.hypot(x, y)
    theta = np.arctan2(side, z)
    grid = np.linspace(0.0, np.pi, 2001)
    falls = np.flatnonzero(_fisheye_radius(camera, grid)[1] <= 0)
    limit = grid[falls[0]] if len(falls) else np.pi
    radius, _ = _fisheye_radius(camera, theta)
    scale = np.where(side > 1e-12, radius / np.where(side > 1e-12, side, 1.0), 0.0)
    unfolded = (theta < limit) & ((side > 1e-12) | (z > 0))
    return x * scale, y * scale, unfolded


def _invert_fisheye(camera: Camera, radius: ndarray) -> ndarray:
    theta = np.minimum(radius, np.pi)
    for _ in range(50):
        value, slope = _fisheye_radius(camera, theta)
        step = (value - radius) / np.where(np.abs(slope) < 1e-9, 1e-9, slope)
        theta = np.clip(theta - np.clip(step, -0.3, 0.3), 0.0, np.pi)
        if np.max(np.abs(step), initial=0.0) < 1e-13:
            break
    return theta
