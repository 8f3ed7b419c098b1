"""A triangle rasteriser with a z-buffer: perspective for cameras, orthographic for the sun's shadow map.

Samples lie half a pixel apart, one of them at each pixel's centre, so that edges can be smoothed and depth at a
centre is exact. Both projections store a key that is linear over the screen and grows towards the viewer: 1/z, or -z.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float32, Int32
from numba import njit
from numpy import ndarray

NEAR_M = 0.15


@njit(cache=True, nogil=True)
@no_type_check
def _fill(
    px: ndarray, py: ndarray, key: ndarray, a: int, b: int, c: int, triangle: int, keys: ndarray, ids: ndarray
) -> None:
    rows, columns = keys.shape
    x0, y0, x1, y1, x2, y2 = px[a], py[a], px[b], py[b], px[c], py[c]
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if abs(area) < 1e-12:
        return
    top = max(int(np.ceil(min(y0, y1, y2))), 0)
    bottom = min(int(np.floor(max(y0, y1, y2))), rows - 1)
    left = max(int(np.ceil(min(x0, x1, x2))), 0)
    right = min(int(np.floor(max(x0, x1, x2))), columns - 1)
    if top > bottom or left > right:
        return
    inverse = 1.0 / area
    k0, k1, k2 = key[a], key[b], key[c]
    # Barycentric weights of corners 1 and 2 as planes over the screen.
    w1x, w1y = (y2 - y0) * inverse, -(x2 - x0) * inverse
    w2x, w2y = -(y1 - y0) * inverse, (x1 - x0) * inverse
    for j in range(top, bottom + 1):
        r1, r2 = w1y * (j - y0) - w1x * x0, w2y * (j - y0) - w2x * x0
        # The span where all three weights are at least 0, solved instead of tested.
        low, high = float(left), float(right)
        for e in range(3):
            if e == 0:
                slope, offset = w1x, r1
            elif e == 1:
                slope, offset = w2x, r2
            else:
                slope, offset = -w1x - w2x, 1.0 - r1 - r2
            offset += 1e-9
            if slope > 1e-15:
                low = max(low, -offset / slope)
            elif slope < -1e-15:
                high = min(high, -offset / slope)
            elif offset < 0.0:
                high = low - 1.0
        if high < low:
            continue
        first, last = int(np.ceil(low)), int(np.floor(high))
        base = k0 + r1 * (k1 - k0) + r2 * (k2 - k0)
        step = w1x * (k1 - k0) + w2x * (k2 - k0)
        for i in range(first, last + 1):
            k = base + step * i
            if k > keys[j, i]:
                keys[j, i] = k
                ids[j, i] = triangle


@njit(cache=True, nogil=True)
@no_type_check
def rasterise(
    xyz: Float32[ndarray, "n 3 3"],
    spans: Int32[ndarray, "s 2"],
    view: ndarray,
    lens: ndarray,
    perspective: bool,
    keys: Float32[ndarray, "h w"],
    ids: Int32[ndarray, "h w"],
) -> None:
    """Draw the triangles of ``spans`` (first, end) into ``keys`` and ``ids``; nearer ones win.

    ``view`` is the 3×4 view_from_town; ``lens`` is (fx, fy, cx, cy) in samples, for which a sample's centre is a
    whole number. Triangles are two-sided and clipped at NEAR_M in perspective.
    """
    corner = np.empty((4, 3))
    px, py, key = np.empty(4), np.empty(4), np.empty(4)
    for s in range(len(spans)):
        for t in range(spans[s, 0], spans[s, 1]):
            behind, count = 0, 0
            for k in range(3):
                x, y, z = xyz[t, k, 0], xyz[t, k, 1], xyz[t, k, 2]
                for r in range(3):
                    corner[k, r] = view[r, 0] * x + view[r, 1] * y + view[r, 2] * z + view[r, 3]
                if perspective and corner[k, 2] < NEAR_M:
                    behind += 1
            if behind == 3:
                continue
            for k in range(3):
                x, y, z = corner[k, 0], corner[k, 1], corner[k, 2]
                if not perspective:
                    px[count], py[count], key[count] = lens[0] * x + lens[2], lens[1] * y + lens[3], -z
                    count += 1
                    continue
                if z >= NEAR_M:
                    px[count], py[count], key[count] = lens[0] * x / z + lens[2], lens[1] * y / z + lens[3], 1.0 / z
                    count += 1
                if behind > 0:
                    n = (k + 1) % 3
                    if (z >= NEAR_M) != (corner[n, 2] >= NEAR_M):
                        f = (NEAR_M - z) / (corner[n, 2] - z)
                        x, y = x + f * (corner[n, 0] - x), y + f * (corner[n, 1] - y)
                        px[count], py[count] = lens[0] * x / NEAR_M + lens[2], lens[1] * y / NEAR_M + lens[3]
                        key[count] = 1.0 / NEAR_M
                        count += 1
            _fill(px, py, key, 0, 1, 2, t, keys, ids)
            if count == 4:
                _fill(px, py, key, 0, 2, 3, t, keys, ids)


def visible_boxes(
    low: Float32[ndarray, "c 3"], high: Float32[ndarray, "c 3"], view: ndarray, lens: ndarray, size_wh: tuple[int, int]
) -> Bool[ndarray, "c"]:
    """Which axis-aligned boxes may show in a perspective view: none of its five planes has a box wholly outside."""
    fx, fy, cx, cy = lens
    w, h = size_wh
    # Outward when negative: near, left, right, top, bottom; in the view's frame.
    planes = np.array([[0, 0, 1.0], [fx, 0, cx], [-fx, 0, w - cx], [0, fy, cy], [0, -fy, h - cy]])
    offset = np.array([-NEAR_M, 0, 0, 0, 0])
    town = planes @ view[:, :3]
    d = planes @ view[:, 3] + offset
    far = np.where(town[:, None, :] > 0, high[None], low[None])
    return np.all(np.einsum("pi,pci->pc", town, far) + d[:, None] >= 0, 0)
