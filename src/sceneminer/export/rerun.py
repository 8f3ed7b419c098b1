"""Intervals as Rerun recordings: cameras, ego, boxes, map, LiDAR and the risk curve, with a layout to look at them.

A folder with one .rrd an interval: each opens at once and alone, ``rerun FOLDER/*.rrd`` shows them all in one viewer,
and Rerun's own server takes the folder as a dataset of as many segments.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy import ndarray

from sceneminer.data.errors import DataError, MediaError
from sceneminer.data.log import Sensor, Series
from sceneminer.export.formats import ExportReport, Say
from sceneminer.export.images import encoded_image
from sceneminer.export.interval import Interval, about_lines, boxes_over, iter_intervals
from sceneminer.export.origin import Origin, clean, read_origin
from sceneminer.export.panel import LIGHT, Colour, colour_of
from sceneminer.export.sources import write_sources
from sceneminer.export.whole import new_folder
from sceneminer.geometry.pose import rotation_to_quat
from sceneminer.index.search import Index
from sceneminer.index.selection import Selection

if TYPE_CHECKING:
    import rerun as rr

APPLICATION = "sceneminer"
FAR_M = 10_000.0
"""Beyond this far from the origin of the world, its float32 is too coarse for Rerun: whole kilometres are taken off."""
_CAMERAS_IN_LAYOUT = 12
_ABOVE_M, _BEHIND_M = (0.0, 0.0, 60.0), (-25.0, 0.0, 14.0)
"""Where the eyes of the bird's-eye view and of the scene are, in ego's frame."""


def export_rerun(index: Index, selection: Selection, out: Path, *, say: Say | None = None) -> ExportReport:
    """A new folder with a recording an interval, and its sources. DataError without the extra ``rerun``.

    Timelines: ``time`` (the log's own, UTC) and ``in_log`` (since the log's start). Images are the files' own bytes.
    One interval at a time is held in memory, as a viewer will.
    """
    rr = _rerun()
    left_out: list[tuple[str, str]] = []
    origin = read_origin(index, selection)
    items = 0
    with new_folder(out) as folder:
        for interval in iter_intervals(index, selection, origin, left_out):
            name = f"{selection.content[:16]}-{interval.name}"
            recording = rr.RecordingStream(APPLICATION, recording_id=name)
            # Rerun's own writer of files is a thread that only logs what fails: a full disk would go unnoticed.
            stream = recording.binary_stream()
            recording.send_blueprint(_layout(rr, interval), make_active=False, make_default=True)
            _Writer(rr, recording, interval, left_out).write(origin)
            (folder / f"{interval.name}.rrd").write_bytes(stream.read() or b"")
            recording.disconnect()
            items += 1
            if say:
                say(f"{interval.rank + 1} of {len(selection.items)} items")
        files = items + write_sources(folder, origin, selection)
    return ExportReport(out, items, files, tuple(left_out))


def _rerun() -> Any:
    try:
        import rerun
    except ImportError as error:
        raise DataError("expected rerun-sdk, found none: pip install 'sceneminer[rerun]'") from error
    return rerun


class _Writer:
    """One interval into one recording."""

    def __init__(self, rr: Any, recording: "rr.RecordingStream", interval: Interval, left_out: list[tuple[str, str]]):
        self.rr, self.to, self.interval, self.left_out = rr, recording, interval, left_out
        self.shift_m = _shift_m(interval)
        recording.set_log_time_enabled(False)
        recording.set_log_tick_enabled(False)

    def write(self, origin: Origin) -> None:
        rr, interval = self.rr, self.interval
        self.to.send_recording_name(interval.name)
        self._about(origin)
        self.to.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        self._map()
        self._ego()
        for name, series in interval.log.series.items():
            match series.modality:
                case "camera":
                    self._camera(name, series)
                case "lidar":
                    self._lidar(name, series)
        self._boxes()
        self._risk()

    def _at(self, time_us: int) -> None:
        self.to.set_time("time", timestamp=np.datetime64(time_us, "us"))
        self.to.set_time("in_log", duration=np.timedelta64(time_us - self.interval.log.start_us, "us"))

    def _about(self, origin: Origin) -> None:
        rr, item = self.rr, self.interval.item
        lines = about_lines(self.interval, origin)
        if np.any(self.shift_m):
            lines.append(f"world shifted by {-self.shift_m[0]:.0f}, {-self.shift_m[1]:.0f} m, too far out for float32")
        # Plain text: as Markdown, names of others would be markup.
        self.to.log("about", rr.TextDocument("\n".join(lines), media_type=rr.MediaType.TEXT), static=True)
        facts = {
            "clip_id": clean(item.clip_id),
            "log_id": clean(item.log_id),
            "rank": self.interval.rank,
            "start_us": item.start_us,
            "end_us": item.end_us,
            "score": item.score,
            "dataset": self.interval.origin.dataset,
            "licence": self.interval.origin.licence or "not stated",
            "selection": origin.selection,
            "index_version": origin.index_version,
            "shift_m": self.shift_m,
        }
        self.to.send_property("sceneminer", rr.AnyValues(**{k: v for k, v in facts.items() if v is not None}))
        self._at(self.interval.instant_us)
        self.to.log("why", rr.TextLog("; ".join(lines[1:3]), level=rr.TextLogLevel.INFO))

    def _ego(self) -> None:
        log = self.interval.log
        times = self.interval.pose_times_us()
        if not len(times):
            return
        poses = log.poses_at(times)[0]
        for time, pose in zip(times.tolist(), poses, strict=True):
            self._at(time)
            at = pose[:3, 3] - self.shift_m
            self.to.log("world/ego", self.rr.Transform3D(translation=at, mat3x3=pose[:3, :3]))
        way = self.rr.LineStrips3D([poses[:, :3, 3] - self.shift_m], colors=[LIGHT.ego], radii=[0.08])
        self.to.log("world/way", way, static=True)

    def _camera(self, name: str, series: Series) -> None:
        """Pinholes change with the calibration; one with a lens that Rerun does not know is named."""
        path = _camera_path(self.rr, name)
        logged = -1
        for i, time in enumerate(series.times_us.tolist()):
            try:
                image = encoded_image(self.interval.log, series, i)
            except MediaError as error:
                self.left_out.append((f"{self.interval.name} {clean(series.files[i])}", error.issue.reason))
                continue
            self._at(time)
            if series.calibration_index[i] != logged:
                logged = int(series.calibration_index[i])
                self._pinhole(path, series.sensor(i))
            self.to.log(path, self.rr.EncodedImage(contents=image.data, media_type=f"image/{image.kind}"))

    def _pinhole(self, path: str, sensor: Sensor) -> None:
        camera = sensor.camera
        if camera is None:
            return
        self._place(path, sensor)
        if camera.model != "pinhole":
            self.left_out.append((f"{self.interval.name} {sensor.name}", "calibration: Rerun has no fisheye lenses"))
            return
        if any(camera.distortion):
            self.left_out.append((f"{self.interval.name} {sensor.name}", "distortion: Rerun has pinholes only"))
        # Rerun counts pixels from the corner of the image, we from the centre of its first pixel.
        pinhole = self.rr.Pinhole(
            focal_length=[camera.fx, camera.fy],
            principal_point=[camera.cx + 0.5, camera.cy + 0.5],
            resolution=[camera.width_px, camera.height_px],
            camera_xyz=self.rr.ViewCoordinates.RDF,
            image_plane_distance=2.0,
        )
        self.to.log(path, pinhole)

    def _place(self, path: str, sensor: Sensor) -> None:
        pose = sensor.ego_from_sensor
        self.to.log(path, self.rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))

    def _lidar(self, name: str, series: Series) -> None:
        path = f"world/ego/{self.rr.escape_entity_path_part(clean(name))}"
        for i, time in enumerate(series.times_us.tolist()):
            try:
                points = self.interval.log.store.read_points(series, i)
            except MediaError as error:
                self.left_out.append((f"{self.interval.name} {clean(series.files[i])}", error.issue.reason))
                continue
            self._at(time)
            self._place(path, series.sensor(i))
            self.to.log(path, self.rr.Points3D(points.xyz_m))

    def _boxes(self) -> None:
        """All agents at each time at which any is annotated; the riskiest in its own colour."""
        times = self.interval.box_times_us()
        over = [(track, *boxes_over(track, times)) for track in self.interval.tracks]
        for k, time in enumerate(times.tolist()):
            there = [(track, poses[k], sizes[k]) for track, poses, sizes, present in over if present[k]]
            self._at(time)
            if not there:
                self.to.log("world/agents", self.rr.Clear(recursive=False))
                continue
            boxes = self.rr.Boxes3D(
                centers=np.stack([pose[:3, 3] for _, pose, _ in there]) - self.shift_m,
                sizes=np.stack([size for *_, size in there]),
                quaternions=[_quat_xyzw(pose) for _, pose, _ in there],
                colors=[self._colour(track.track_id, track.category) for track, *_ in there],
                labels=[f"{track.category} {clean(track.track_id)}" for track, *_ in there],
                show_labels=False,
            )
            names = {"track_id": [clean(t.track_id) for t, *_ in there], "category": [t.category for t, *_ in there]}
            self.to.log("world/agents", boxes, self.rr.AnyValues(**names))

    def _colour(self, track_id: str, category: str) -> Colour:
        return LIGHT.highlight if track_id == self.interval.focus else colour_of(category, LIGHT)

    def _map(self) -> None:
        hdmap = self.interval.hdmap
        if hdmap is None:
            return
        ground_m = self.interval.ground_m()
        layers: dict[str, list[ndarray]] = {name: [_xy(line) for line in lines] for name, lines in hdmap.lines.items()}
        layers |= {
            name: [_xy(ring) for area in areas for ring in (area.exterior, *area.interiors)]
            for name, areas in hdmap.areas.items()
        }
        layers["lane"] = [lane.centerline for lane in hdmap.lanes]
        for name, lines in layers.items():
            strips = [np.column_stack([xy, np.full(len(xy), ground_m)]) - self.shift_m for xy in lines]
            if strips:
                colour = getattr(LIGHT, _MAP_COLOURS.get(name, "lane"))
                self.to.log(f"world/map/{name}", self.rr.LineStrips3D(strips, colors=[colour]), static=True)

    def _risk(self) -> None:
        for row in self.interval.frames.to_pylist():
            self._at(row["time_us"])
            for path, value in (("risk/tracks", row["risk_tracks"]), ("ego/speed_mps", row["speed_mps"])):
                if value is not None:
                    self.to.log(path, self.rr.Scalars(value))


_MAP_COLOURS = {
    "drivable": "ring",
    "walkway": "walkway",
    "crossing": "crossing",
    "parking": "parking",
    "road_divider": "road_divider",
    "lane_divider": "divider",
}


def _layout(rr: Any, interval: Interval) -> Any:
    """Cameras above, the scene in 3-D beside what is known of it, risk below."""
    import rerun.blueprint as rrb

    cameras = [
        rrb.Spatial2DView(origin=_camera_path(rr, name), name=clean(name), contents=["$origin/**", "/world/agents"])
        for name in interval.log.cameras()[:_CAMERAS_IN_LAYOUT]
    ]
    scene = [
        rrb.Spatial3DView(origin="/world", name="scene", eye_controls=_eye(interval, _BEHIND_M)),
        rrb.Spatial3DView(origin="/world", name="bird's eye", eye_controls=_eye(interval, _ABOVE_M)),
        rrb.TextDocumentView(origin="/about", name="about"),
    ]
    rows = [rrb.Horizontal(*scene, column_shares=[3, 2, 1]), rrb.TimeSeriesView(origin="/risk", name="risk")]
    if cameras:
        rows.insert(0, rrb.Grid(*cameras))
    return rrb.Blueprint(rrb.Vertical(*rows, row_shares=[3, 3, 1][-len(rows) :]), collapse_panels=True)


def _eye(interval: Interval, at_ego_m: tuple[float, float, float]) -> Any:
    """An eye at a place in ego's frame at the riskiest instant that looks at ego, heading up; None without a pose."""
    import rerun.blueprint as rrb

    at = np.array([interval.instant_us])
    if not interval.log.pose_known(at)[0]:
        return None
    pose = interval.log.poses_at(at)[0][0]
    ego = pose[:3, 3] - _shift_m(interval)
    up = pose[:3, 0] if at_ego_m[0] == 0 else pose[:3, 2]
    return rrb.EyeControls3D(position=ego + pose[:3, :3] @ np.array(at_ego_m), look_target=ego, eye_up=up)


def _camera_path(rr: Any, name: str) -> str:
    return f"world/ego/{rr.escape_entity_path_part(clean(name))}"


def _shift_m(interval: Interval) -> ndarray:
    times = interval.pose_times_us()
    if not len(times):
        return np.zeros(3)
    at = interval.log.poses_at(times[:1])[0][0, :3, 3].copy()
    at[2] = 0.0
    return np.round(at, -3) if np.max(np.abs(at)) > FAR_M else np.zeros(3)


def _quat_xyzw(pose: ndarray) -> ndarray:
    return rotation_to_quat(pose[:3, :3])[[1, 2, 3, 0]]


def _xy(line: Any) -> ndarray:
    return shapely.get_coordinates(line)
