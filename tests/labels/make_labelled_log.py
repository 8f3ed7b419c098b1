"""A Log in memory with tracks, poses and a small straight road with one junction, for tests of labels."""

from dataclasses import dataclass

import numpy as np
from shapely import LineString, Polygon, box

from sceneminer.data.clip import Clip
from sceneminer.data.hdmap import HdMap, MapLane
from sceneminer.data.log import Log, Rig
from sceneminer.data.track import Track
from sceneminer.geometry.pose import pose_from_yaw

ROAD = HdMap(
    location="test",
    areas={
        "drivable": (box(-100, -7, 200, 7), box(100, -60, 115, 60)),
        "intersection": (box(100, -7, 115, 7),),
        "crossing": (box(92, -7, 96, 7),),
        "walkway": (box(-100, 7, 100, 10), box(-100, -10, 100, -7)),
        "parking": (box(-40, -40, -10, -15),),
    },
    lines={
        "lane_divider": (LineString([(-100, -3.5), (100, -3.5)]), LineString([(-100, 3.5), (100, 3.5)])),
        "road_divider": (LineString([(-100, 0), (100, 0)]),),
    },
    lanes=tuple(
        MapLane(f"lane{y:+.2f}", np.array(ends), Polygon(box(-100, y - 1.75, 100, y + 1.75)), is_connector=False)
        for y, ends in (
            (-5.25, [[-100, -5.25], [100, -5.25]]),
            (-1.75, [[-100, -1.75], [100, -1.75]]),
            (1.75, [[100, 1.75], [-100, 1.75]]),
            (5.25, [[100, 5.25], [-100, 5.25]]),
        )
    ),
)
"""Two lanes each way along x, right-hand traffic; a side street crosses at x = 100 to 115."""


@dataclass(frozen=True)
class MemoryStore:
    tracks: tuple[Track, ...]
    hdmap: HdMap | None

    def read_image(self, series, i, *, size=None):
        raise AssertionError("labels open no image")

    def read_points(self, series, i):
        raise AssertionError("labels open no points")

    def read_tracks(self) -> tuple[Track, ...]:
        return self.tracks

    def read_map(self) -> HdMap | None:
        return self.hdmap


def make_track(
    name: str,
    category: str,
    xy,
    *,
    yaw: float = 0.0,
    size=(4.5, 1.8, 1.5),
    duration_s: float = 4.0,
    source_category: str | None = None,
    attribute: str | None = None,
) -> Track:
    """An agent whose place is a function of time in seconds, annotated at 2 Hz."""
    seconds = np.arange(0.0, duration_s + 1e-6, 0.5)
    places = np.array([xy(t) for t in seconds], float)
    return Track(
        track_id=name,
        category=category,
        source_category=source_category or category,
        times_us=np.round(seconds * 1e6).astype(np.int64),
        world_from_box=pose_from_yaw(places[:, 0], places[:, 1], yaw, z_m=size[2] / 2),
        size_lwh_m=np.tile(np.array(size, float), (len(seconds), 1)),
        attributes=() if attribute is None else (frozenset({attribute}),) * len(seconds),
    )


def make_log(
    tracks: tuple[Track, ...] | None = (),
    ego=None,
    *,
    hdmap: HdMap | None = ROAD,
    description: str = "",
    dataset: str = "nuscenes",
    duration_s: float = 4.0,
) -> Log:
    """A Log in memory; ``ego`` is (x, y, yaw) as a function of time. None for ``ego`` or ``tracks``: has none."""
    seconds = np.arange(0.0, duration_s + 1e-6, 0.05)
    poses = np.zeros((0, 4, 4))
    if ego is not None:
        states = np.array([ego(t) for t in seconds], float)
        poses = pose_from_yaw(states[:, 0], states[:, 1], states[:, 2])
    return Log(
        log_id="test-00000000",
        name="test",
        dataset=dataset,
        split=None,
        location="test",
        description=description,
        licence=None,
        start_us=0,
        end_us=round(duration_s * 1e6),
        rig=Rig({}),
        series={},
        reference_times_us=np.array([0], np.int64),
        pose_times_us=np.round(seconds * 1e6).astype(np.int64) if ego is not None else np.zeros(0, np.int64),
        world_from_ego=poses,
        store=MemoryStore(tracks or (), hdmap),
        has_tracks=tracks is not None,
        has_map=hdmap is not None,
    )


def whole(log: Log) -> Clip:
    return Clip(f"{log.log_id}+0000000", log.log_id, log.start_us, log.end_us)
