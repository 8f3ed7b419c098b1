"""A Drive as a Log in memory, without pictures: tracks, map, poses and description as the written folder has them.

It serves whatever needs labels of the town but no sensor: statistics of the town, tests, training on tracks. Against a
written log it differs in that keyframes are exactly 0.5 s apart, the world frame is the town's, and what annotators see
is told by the line of sight past buildings instead of by pixels and LiDAR points.
"""

from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from shapely import LineString, Polygon

from sceneminer.data.adapters.nuscenes_store import category_of
from sceneminer.data.errors import MediaError
from sceneminer.data.hdmap import HdMap, MapLane
from sceneminer.data.log import Log, Points, Rig, Series
from sceneminer.data.media import media_error
from sceneminer.data.synth.annotate import RANGE_M, attribute_of
from sceneminer.data.synth.describe import describe_drive
from sceneminer.data.synth.map_expansion import drivable_polygons
from sceneminer.data.synth.map_lanes import lane_polygon
from sceneminer.data.synth.rig import SWEEP_US
from sceneminer.data.synth.scene import EGO_LEAD_S, TICK_S, Actor, Drive, Town
from sceneminer.data.track import Track
from sceneminer.geometry.box import footprint
from sceneminer.geometry.pose import pose_from_yaw

KEYFRAME_US = 500_000
TICK_US = round(TICK_S * 1e6)
MAP_MARGIN_M = 150.0
"""How far around the drive the map reaches, as the adapter of written folders has it."""


@dataclass(frozen=True, eq=False)
class DriveStore:
    """The lazy side of a Drive's Log."""

    drive: Drive
    hdmap: HdMap
    """Of the whole town."""

    def read_image(self, series: Series, i: int, *, size: tuple[int, int] | None = None) -> UInt8[ndarray, "h w 3"]:
        raise self._unseen(series.name)

    def read_points(self, series: Series, i: int) -> Points:
        raise self._unseen(series.name)

    def read_tracks(self) -> tuple[Track, ...]:
        return tracks_of(self.drive)

    def read_map(self) -> HdMap | None:
        low, high = self.drive.ego[:, :2].min(0), self.drive.ego[:, :2].max(0)
        x, y = (low + high) / 2
        return self.hdmap.near(float(x), float(y), float((high - low).max()) / 2 + MAP_MARGIN_M)

    def _unseen(self, sensor: str) -> MediaError:
        return media_error("missing_file", sensor, "expected a written log, found a drive that no sensor recorded")


def log_of(drive: Drive, *, hdmap: HdMap | None = None, split: str | None = None) -> Log:
    """The Log of a Drive; ``hdmap`` saves making the town's map anew for each of its Drives.

    Times count from the Drive's second 0. The description is drawn from the Drive's own seeds.
    """
    times = _times_us(drive, TICK_US)
    ticks = round(EGO_LEAD_S / TICK_S) + times // TICK_US
    x, y, z, yaw, _ = drive.ego[ticks].T
    rng = np.random.default_rng(np.random.SeedSequence([drive.town.seed, drive.seed, 1]))
    return Log(
        log_id=f"{drive.name}-{drive.town.seed % 2**16:04x}{drive.seed % 2**16:04x}",
        name=drive.name,
        dataset="nuscenes",
        split=drive.town.split if split is None else split,
        location=drive.town.name,
        description=describe_drive(drive, rng),
        licence=None,
        start_us=int(times[0]),
        end_us=int(times[-1]),
        rig=Rig({}, source="none"),
        series={},
        reference_times_us=_times_us(drive, KEYFRAME_US),
        pose_times_us=times,
        world_from_ego=pose_from_yaw(x, y, yaw, z_m=z),
        store=DriveStore(drive, hdmap_of(drive.town) if hdmap is None else hdmap),
        has_tracks=True,
        has_map=True,
    )


def _times_us(drive: Drive, step_us: int) -> Int[ndarray, "t"]:
    """From the end of the first LiDAR sweep on, as sensors of written logs have it."""
    return np.arange(SWEEP_US, round(drive.duration_s * 1e6) + 1, step_us, dtype=np.int64)


def tracks_of(drive: Drive) -> tuple[Track, ...]:
    """Boxes at 2 Hz of every actor within 80 m of ego that no building hides."""
    times = _times_us(drive, KEYFRAME_US)
    rows = times // TICK_US
    eye = drive.ego[round(EGO_LEAD_S / TICK_S) + rows, :2]
    hidden_by = _buildings(drive.town)
    found = []
    for actor in drive.actors:
        n = len(actor.states)
        states = np.broadcast_to(actor.states[np.minimum(rows, n - 1)], (len(rows), 5))
        seen = np.broadcast_to(actor.present[np.minimum(rows, n - 1)], len(rows))
        seen = seen & (np.hypot(*(states[:, :2] - eye).T) <= RANGE_M)
        seen[seen] = ~_hidden(hidden_by, eye[seen], states[seen, :2])
        if seen.any():
            found.append(_track(actor, times[seen], states[seen]))
    return tuple(found)


def _track(actor: Actor, times_us: Int[ndarray, "t"], states: Float[ndarray, "t 5"]) -> Track:
    x, y, z, yaw, _ = states.T
    names = [attribute_of(actor, float(t) / 1e6) for t in times_us]
    return Track(
        track_id=str(actor.actor_id),
        category=category_of(actor.category),
        source_category=actor.category,
        times_us=times_us,
        world_from_box=pose_from_yaw(x, y, yaw, z_m=z + actor.size_lwh_m[2] / 2),
        size_lwh_m=np.tile(np.array(actor.size_lwh_m), (len(times_us), 1)),
        attributes=tuple(frozenset() if name is None else frozenset({name}) for name in names),
    )


def _buildings(town: Town) -> shapely.STRtree:
    rows = [prop for prop in town.props if prop.kind == "building"]
    pose = np.array([prop.pose for prop in rows]).reshape(-1, 4)
    size = np.array([prop.size_lwh_m for prop in rows]).reshape(-1, 3)
    return shapely.STRtree([Polygon(box) for box in footprint(pose[:, :2], pose[:, 3], size[:, :2])])


def _hidden(buildings: shapely.STRtree, eye: Float[ndarray, "t 2"], at: Float[ndarray, "t 2"]) -> Bool[ndarray, "t"]:
    sight = shapely.linestrings(np.stack([eye, at], 1))
    hit = np.zeros(len(eye), bool)
    hit[buildings.query(sight, predicate="intersects")[0]] = True
    return hit


def hdmap_of(town: Town) -> HdMap:
    """The map of a whole town, in its own frame, with the layers that its map expansion has."""
    drivable = drivable_polygons(town)
    areas = {
        "intersection": town.intersections,
        "crossing": [crossing.polygon for crossing in town.crossings],
        "walkway": town.walkways,
        "parking": town.parking_lots,
        "stop_line": [line.polygon for line in town.stop_lines],
    }
    rings = [ring for piece in drivable for ring in (piece.exterior, *piece.interiors)]
    return HdMap(
        location=town.name,
        areas={"drivable": drivable, **{name: tuple(map(Polygon, shapes)) for name, shapes in areas.items()}},
        lines={
            "lane_divider": tuple(LineString(d.line) for d in town.dividers if d.kind == "lane"),
            "road_divider": tuple(LineString(d.line) for d in town.dividers if d.kind == "road"),
            "boundary": tuple(LineString(ring) for ring in rings),
        },
        lanes=tuple(
            MapLane(
                str(lane.lane_id),
                lane.centerline[:, :2],
                lane_polygon(lane),
                lane.intersection is not None,
                tuple(map(str, lane.successors)),
            )
            for lane in town.lanes
        ),
    )
