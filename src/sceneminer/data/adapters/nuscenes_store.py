"""The lazy side of a nuScenes Log: images, points, tracks, map and base map, read when asked for."""
# pyarrow.compute makes its functions on import:
# pyright: reportAttributeAccessIssue=false

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, UInt8
from numpy import ndarray

from sceneminer.data.adapters.nuscenes_basemap import read_basemap_window
from sceneminer.data.adapters.nuscenes_cache import open_tables
from sceneminer.data.adapters.nuscenes_map import read_expansion
from sceneminer.data.adapters.nuscenes_media import is_usable, read_points
from sceneminer.data.errors import DataError
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Points, Series
from sceneminer.data.media import MediaRoot
from sceneminer.data.track import Category, Track

MAP_MARGIN_M = 150.0
"""How far around the drive the map is read."""

# nuScenes' 23 classes (and the ego car of lidarseg is never annotated). The longest matching beginning counts.
_CATEGORIES: dict[str, Category] = {
    "vehicle.car": "car",
    "vehicle.truck": "truck",
    "vehicle.bus": "bus",
    "vehicle.trailer": "trailer",
    "vehicle.construction": "construction_vehicle",
    "vehicle.emergency": "emergency_vehicle",
    "vehicle.motorcycle": "motorcycle",
    "vehicle.bicycle": "bicycle",
    "human.pedestrian": "pedestrian",
    "human.pedestrian.personal_mobility": "personal_mobility",
    "animal": "animal",
    "movable_object.trafficcone": "cone",
    "movable_object.barrier": "barrier",
    "movable_object.debris": "debris",
    "movable_object.pushable_pullable": "debris",
    "static_object.bicycle_rack": "bicycle_rack",
}


def category_of(name: str) -> Category:
    """Our category for nuScenes' name of one."""
    fits = [known for known in _CATEGORIES if name == known or name.startswith(known + ".")]
    return _CATEGORIES[max(fits, key=len)] if fits else "other"


def expansion_name(location: str | None) -> str | None:
    """Where the map expansion keeps the map of a location, relative to the media root."""
    return None if not location else f"maps/expansion/{location}.json"


@dataclass(frozen=True)
class NuscenesStore:
    """What a Log needs to find its media and its rows of the cached tables again; holds no open file."""

    media: MediaRoot
    tables: Path
    scene_token: str
    location: str | None
    basemap: str | None

    def read_image(self, series: Series, i: int, *, size: tuple[int, int] | None = None) -> UInt8[ndarray, "h w 3"]:
        return self.media.read_image(series.files[i], size=size)

    def read_points(self, series: Series, i: int) -> Points:
        name = series.files[i]
        return read_points(self.media, name, self._labels_name(name))

    def read_tracks(self) -> tuple[Track, ...]:
        boxes = self._rows("boxes")
        agent = boxes["agent"].to_numpy()
        if len(agent) == 0:
            return ()
        bounds = np.concatenate([[0], np.flatnonzero(np.diff(agent)) + 1, [len(agent)]])
        columns = _Boxes(
            boxes["timestamp"].to_numpy(),
            pc.list_flatten(boxes["pose"]).to_numpy().reshape(-1, 4, 4),
            pc.list_flatten(boxes["size"]).to_numpy().reshape(-1, 3),
            [frozenset(name for name in names if name) for names in boxes["attributes"].to_pylist()],
            boxes["lidar_points"].to_numpy(),
        )
        ids = boxes["instance"].take(pa.array(bounds[:-1])).to_pylist()
        names = boxes["category"].take(pa.array(bounds[:-1])).to_pylist()
        parts = [slice(int(a), int(b)) for a, b in pairwise(bounds)]
        return tuple(_track(columns, *each) for each in zip(parts, ids, names, strict=True))

    def read_map(self) -> HdMap | None:
        name = expansion_name(self.location)
        if name is None or not is_usable(self.media, name):
            return None
        whole = read_expansion(self.media.path(name), name)
        poses = pc.list_flatten(self._rows("poses")["pose"]).to_numpy().reshape(-1, 4, 4)
        if len(poses) == 0:
            return whole
        low, high = poses[:, :2, 3].min(0), poses[:, :2, 3].max(0)
        x, y = (low + high) / 2
        return whole.near(float(x), float(y), float((high - low).max()) / 2 + MAP_MARGIN_M)

    def read_basemap(
        self, world_from_ego: Float[ndarray, "4 4"], *, half_extent_m: float = 50.0
    ) -> UInt8[ndarray, "y x"] | None:
        """The base map's road mask around a pose, north up, 10 cells a metre, 0 or 255; None where there is none."""
        if self.basemap is None or not is_usable(self.media, self.basemap):
            return None
        x, y = (float(v) for v in world_from_ego[:2, 3])
        return read_basemap_window(self.media.path(self.basemap), self.basemap, (x, y), half_extent_m=half_extent_m)

    def _rows(self, table: str) -> pa.Table:
        tables = open_tables(self.tables)
        row = pc.index(tables["scenes"]["token"], self.scene_token).as_py()
        if row < 0:
            raise DataError(f"expected scene {self.scene_token} in {self.tables.name}, found the tables changed")
        start, stop = (tables["scenes"][f"{table}_{end}"][row].as_py() for end in ("start", "stop"))
        return tables[table].slice(start, stop - start)

    def _labels_name(self, name: str) -> str | None:
        rows = self._rows("measurements")
        row = pc.index(rows["filename"], name).as_py()
        labels = None if row < 0 else rows["lidarseg"][row].as_py()
        return labels if is_usable(self.media, labels) else None


@dataclass(frozen=True)
class _Boxes:
    """All boxes of one scene, by agent and time."""

    times_us: ndarray
    poses: ndarray
    sizes_m: ndarray
    attributes: list[frozenset[str]]
    lidar_points: ndarray


def _track(boxes: _Boxes, part: slice, track_id: str, name: str | None) -> Track:
    return Track(
        track_id=track_id,
        category=category_of(name or ""),
        source_category=name or "",
        times_us=boxes.times_us[part],
        world_from_box=boxes.poses[part],
        size_lwh_m=boxes.sizes_m[part],
        attributes=tuple(boxes.attributes[part]),
        lidar_points=boxes.lidar_points[part],
    )
