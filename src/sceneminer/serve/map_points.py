"""The index as a map: its embeddings in two dimensions, and what lies inside a lasso."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from sceneminer.index.errors import IndexFault, QueryError
from sceneminer.index.facets import clip_columns, clip_values
from sceneminer.index.head_files import read_entries
from sceneminer.index.hits import Hit
from sceneminer.index.search import Index, hits_of
from sceneminer.index.snapshot import Snapshot
from sceneminer.index.vectors import matrix
from sceneminer.labels.prompts import TAGS

MAX_POINTS = 1_000_000
"""More clips are thinned out evenly."""
COLUMNS = ("risk", "hardness", "ego_speed_mps", *(f"tag.{tag}" for tag in TAGS))
_SAMPLE = 200_000


@dataclass(frozen=True, eq=False)
class Points:
    """Clips in two dimensions, by the two principal components of their embeddings."""

    snapshot: Snapshot
    positions: Int[ndarray, "n"]
    xy: Float[ndarray, "n 2"]
    """In [-1, 1], the wider side filled."""
    plane: "Plane"


@dataclass(frozen=True, eq=False)
class Plane:
    """From embeddings to the map."""

    mean: Float[ndarray, "e"]
    axes: Float[ndarray, "e 2"]
    explained: float
    """Share of the embeddings' variance that two dimensions hold."""
    middle: Float[ndarray, "2"]
    scale: float
    clips: int
    """That it was made for."""


class IndexMap:
    """Made when it is first asked for, and again when the index has changed.

    Its plane stays until the index has become twice as large or half as small, so that a lasso that was drawn before
    clips were mined, or a head was added, holds the same clips after it.
    """

    def __init__(self, index: Index):
        self.index = index
        self._points: Points | None = None
        self._version: int | None = None
        self._lock = threading.Lock()

    @property
    def version(self) -> int:
        return self.index.store.version("clips")

    def points(self) -> Points:
        with self._lock:
            if self._points is None or self._version != self.version:
                version = self.version
                self._points = _project(self.index, None if self._points is None else self._points.plane)
                self._version = version
            return self._points

    def values(self, column: str) -> UInt8[ndarray, "n"]:
        """A column at each point, in 0 to 254 over [0, 1] (speed: over 25 m/s); 255 where null."""
        heads = [name for entry in read_entries(self.index.store).values() for name in entry.columns]
        if column not in (*COLUMNS, *heads):
            raise QueryError(f"expected a column among {', '.join((*COLUMNS, *heads))}; found {column!r}")
        points = self.points()
        rows = points.snapshot.take(points.positions, list(clip_columns(column)))
        value = clip_values(rows, column)
        value = value / 25.0 if column == "ego_speed_mps" else value
        return np.where(np.isnan(value), 255, np.round(254 * np.clip(np.nan_to_num(value), 0, 1))).astype(np.uint8)

    def lasso(self, polygon: Float[ndarray, "k 2"], *, top: int, merge: bool = True) -> tuple[tuple[Hit, ...], int]:
        """The hardest intervals inside a polygon, all of its clips among them, and how many clips it holds."""
        points = self.points()
        inside = points.positions[_inside(polygon, points.xy)]
        return hits_of(self.index, points.snapshot, inside, top=top, merge=merge, nulls_too=True), len(inside)


def _inside(polygon: Float[ndarray, "k 2"], xy: Float[ndarray, "n 2"]) -> Bool[ndarray, "n"]:
    shape = shapely.make_valid(shapely.Polygon(polygon))
    shapely.prepare(shape)
    return np.asarray(shapely.contains_xy(shape, xy[:, 0], xy[:, 1]))


def _project(index: Index, plane: Plane | None) -> Points:
    snapshot = index.store.snapshot("clips")
    positions = snapshot.matching("stream_fingerprint IS NOT NULL")
    if not len(positions):
        raise IndexFault("expected clips with images to draw a map of, found none in this index")
    positions = positions[:: -(-len(positions) // MAX_POINTS)]
    if plane is not None and 0.5 <= len(positions) / plane.clips <= 2:
        xy = _onto(snapshot, positions, plane.mean, plane.axes)
    else:
        mean, axes, explained = _axes(snapshot, positions)
        xy = _onto(snapshot, positions, mean, axes)
        low, high = np.percentile(xy, [0.1, 99.9], axis=0)
        scale = max(float((high - low).max()) / 2, 1e-9)
        plane = Plane(mean, axes, explained, (low + high) / 2, scale, len(positions))
    return Points(snapshot, positions, ((xy - plane.middle) / plane.scale).astype(np.float32), plane)


def _onto(
    snapshot: Snapshot, positions: Int[ndarray, "n"], mean: Float[ndarray, "e"], axes: Float[ndarray, "e 2"]
) -> Float[ndarray, "n 2"]:
    return np.concatenate([(part - mean) @ axes for part in _embeddings(snapshot, positions)])


def _axes(snapshot: Snapshot, positions: Int[ndarray, "n"]) -> tuple[ndarray, ndarray, float]:
    """Mean, and the two directions of greatest variance, signs fixed so that the same index gives the same map."""
    some = positions[:: -(-len(positions) // _SAMPLE)]
    count, total, square = 0, 0.0, 0.0
    for part in _embeddings(snapshot, some):
        count, total, square = count + len(part), total + part.sum(0), square + part.T @ part
    mean = total / count
    values, vectors = np.linalg.eigh(square / count - np.outer(mean, mean))
    axes = vectors[:, ::-1][:, :2]
    if axes.shape[1] < 2:
        axes = np.concatenate([axes, np.zeros((len(axes), 2 - axes.shape[1]))], 1)
    axes = axes * np.sign(axes[np.argmax(np.abs(axes), axis=0), [0, 1]] + 1e-12)
    return np.asarray(mean), axes, float(np.clip(values[::-1][:2].sum() / max(values.sum(), 1e-12), 0, 1))


def _embeddings(snapshot: Snapshot, positions: Int[ndarray, "n"]) -> Any:
    for start in range(0, len(positions), 16_384):
        yield matrix(snapshot.take(positions[start : start + 16_384], ["embedding"])["embedding"]).astype(np.float64)
