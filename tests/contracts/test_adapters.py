"""One contract for every adapter, on small raw trees and, where they are there, on real recordings."""

import pickle
import shutil
import struct
import zlib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from adapter_case import GREEN, RED, AdapterCase, write_two_tone
from argoverse2_tree import make_argoverse2_tree
from folder_tree import make_folder_tree, make_frames_tree
from mcap_tree import make_foxglove_tree, make_mcap_tree
from nuscenes_tree import make_nuscenes_tree
from PIL import ImageFile
from video_tree import make_video_tree

from sceneminer.data.errors import DataError, Issue, MediaError
from sceneminer.data.log import Log
from sceneminer.data.open import ADAPTERS, open_log, open_logs
from sceneminer.data.options import LogSet, OpenOptions

CASES = (
    AdapterCase(
        "nuscenes",
        make_nuscenes_tree,
        adapter="nuscenes",
        logs=2,
        cameras=("CAM_FRONT", "CAM_BACK"),
        image_size=(64, 36),
        has_poses=True,
        has_tracks=True,
        has_map=True,
        has_points=True,
    ),
    AdapterCase(
        "argoverse2",
        lambda folder: make_argoverse2_tree(folder) / "sensor",
        adapter="argoverse2",
        logs=1,
        cameras=("ring_front_center", "ring_front_left"),
        image_size=(36, 64),
        has_poses=True,
        has_tracks=True,
        has_map=True,
        has_points=True,
    ),
    AdapterCase(
        "folder",
        make_folder_tree,
        adapter="folder",
        logs=2,
        cameras=("front", "rear"),
        image_size=(64, 36),
        has_poses=True,
        has_tracks=False,
        has_map=False,
        has_points=False,
    ),
    AdapterCase(
        "folder_of_frames",
        make_frames_tree,
        adapter="folder",
        logs=1,
        cameras=("camera",),
        image_size=(64, 36),
        has_poses=False,
        has_tracks=False,
        has_map=False,
        has_points=False,
        options=OpenOptions(fps=10.0),
    ),
    AdapterCase(
        "video",
        make_video_tree,
        adapter="video",
        logs=3,
        cameras=("camera",),
        image_size=(64, 36),
        has_poses=False,
        has_tracks=False,
        has_map=False,
        has_points=False,
        is_video=True,
    ),
    AdapterCase(
        "mcap_ros2",
        make_mcap_tree,
        adapter="mcap",
        logs=2,
        cameras=("cam_front", "cam_rear"),
        image_size=(64, 36),
        has_poses=True,
        has_tracks=False,
        has_map=False,
        has_points=True,
        is_video=True,
    ),
    AdapterCase(
        "mcap_foxglove",
        make_foxglove_tree,
        adapter="mcap",
        logs=2,
        cameras=("CAM_BACK", "CAM_FRONT"),
        image_size=(64, 36),
        has_poses=True,
        has_tracks=True,
        has_map=False,
        has_points=True,
        is_video=True,
    ),
)
REAL_DATA = Path(__file__).parents[2].parent / "shared" / "data"
REAL = {
    "nuscenes/dataroot": "nuscenes",
    "nuscenes/onesample_scene-0061": "nuscenes",
    "av2/sensor": "argoverse2",
    "av2/scenario_mining": "argoverse2",
    "av2": "argoverse2",
    "pexels_dashcam/example_02": "folder",
    "nuscenes/drivelm/samples": "folder",
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SCENEMINER_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request) -> AdapterCase:
    return request.param


@pytest.fixture
def root(case, tmp_path) -> Path:
    return case.make(tmp_path)


@pytest.fixture
def opened(case, root) -> LogSet:
    return open_logs(root, case.options)


@pytest.fixture
def log(opened) -> Log:
    return opened.logs[0]


def media_folder(log: Log) -> Path:
    return log.store.media.folder


def file_of(log: Log, camera: str, i: int = 0) -> Path:
    return media_folder(log) / log.series[camera].files[i]


def with_file(log: Log, camera: str, name: str):
    series = log.series[camera]
    return replace(series, files=(name, *series.files[1:]))


def require_well_formed(log: Log) -> None:
    """What holds of every Log, small or real."""
    assert log.start_us <= log.end_us
    assert log.series or log.has_tracks, "a log with nothing in it should have been refused"
    for name, series in log.series.items():
        assert name == series.name
        assert len(series.files) == len(series.keyframe) == len(series.calibration_index) == len(series) > 0
        assert np.all(np.diff(series.times_us) > 0)
        assert log.start_us <= series.times_us[0] and series.times_us[-1] <= log.end_us
        for file in series.files:
            assert not Path(file).is_absolute() and ".." not in Path(file).parts
        for i in range(len(series)):
            sensor = series.sensor(i)
            assert sensor.modality == series.modality
            require_rigid(sensor.ego_from_sensor[None])
    assert set(log.cameras()) <= set(log.rig.sensors)
    assert np.all(np.diff(log.reference_times_us) > 0)
    assert np.all(np.diff(log.pose_times_us) > 0)
    assert len(log.pose_times_us) == len(log.world_from_ego)
    require_rigid(log.world_from_ego)
    require_clean_issues(log.issues)


def require_rigid(poses: np.ndarray) -> None:
    if len(poses) == 0:
        return
    assert np.all(np.isfinite(poses))
    rotation = poses[:, :3, :3]
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.broadcast_to(np.eye(3), rotation.shape), atol=1e-6
    )
    assert np.all(np.linalg.det(rotation) > 0)
    np.testing.assert_array_equal(poses[:, 3], np.broadcast_to([0.0, 0, 0, 1], (len(poses), 4)))


def require_clean_issues(issues: tuple[Issue, ...]) -> None:
    for issue in issues:
        assert issue.count > 0 and issue.reason
        assert not Path(issue.subject).is_absolute(), issue


def require_good_tracks(log: Log) -> None:
    tracks = log.store.read_tracks()
    assert bool(tracks) == log.has_tracks
    assert len({track.track_id for track in tracks}) == len(tracks)
    for track in tracks:
        assert len(track.times_us) == len(track.world_from_box) == len(track.size_lwh_m) > 0
        assert np.all(np.diff(track.times_us) > 0)
        require_rigid(track.world_from_box)
        assert np.all(track.size_lwh_m > 0) and np.all(np.isfinite(track.size_lwh_m))


def require_same(a, b, *, ignore: tuple[str, ...] = ()) -> None:
    """Two values with equal fields, arrays and all."""
    if is_dataclass(a):
        assert type(a) is type(b)
        for f in fields(a):
            if f.name not in ignore:
                require_same(getattr(a, f.name), getattr(b, f.name), ignore=ignore)
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            require_same(a[key], b[key], ignore=ignore)
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            require_same(x, y, ignore=ignore)
    else:
        assert a == b


def test_every_adapter_is_under_contract():
    assert {case.adapter for case in CASES} == {module.NAME for module in ADAPTERS}


def test_opening_gives_what_the_tree_holds(case, opened):
    assert len(opened.logs) == case.logs and not opened.refused
    log = opened.logs[0]
    assert log.dataset == case.adapter
    assert log.cameras() == case.cameras
    assert (log.has_poses, log.has_tracks, log.has_map) == (case.has_poses, case.has_tracks, case.has_map)
    assert (log.store.read_map() is not None) == case.has_map
    require_clean_issues(opened.issues)


def test_logs_are_well_formed(opened):
    for log in opened.logs:
        require_well_formed(log)
        require_good_tracks(log)
    assert len({log.log_id for log in opened.logs}) == len(opened.logs)


def test_handles_are_small_and_survive_pickling(case, log):
    data = pickle.dumps(log)
    assert len(data) < 200_000
    again = pickle.loads(data)  # noqa: S301
    require_same(again, log)
    if case.image_size:
        name = case.cameras[0]
        pixels = log.store.read_image(log.series[name], 0)
        np.testing.assert_array_equal(again.store.read_image(again.series[name], 0), pixels)


def test_opening_decodes_no_image(case, root, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("opening decoded an image")

    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    monkeypatch.setattr("sceneminer.data.media.decode_image", refuse)
    assert len(open_logs(root, case.options).logs) == case.logs


def test_opening_again_gives_the_same(case, root, opened):
    for a, b in zip(open_logs(root, case.options).logs, opened.logs, strict=True):
        require_same(a, b)


def test_ids_do_not_depend_on_where_the_folder_lies(case, root, opened, tmp_path):
    there = tmp_path / "elsewhere" / "deep"
    if root.is_dir():
        shutil.copytree(root, there / root.name)
    else:
        there.mkdir(parents=True)
        shutil.copy2(root, there / root.name)
    moved = open_logs(there / root.name, case.options)
    assert [log.log_id for log in moved.logs] == [log.log_id for log in opened.logs]
    for a, b in zip(moved.logs, opened.logs, strict=True):
        require_same(a, b, ignore=("store",))


def test_images_are_rgb_and_of_the_asked_size(case, log):
    if case.image_size is None:
        pytest.skip("this tree has no images")
    series = log.series[case.cameras[0]]
    width, height = case.image_size
    pixels = log.store.read_image(series, 0)
    assert pixels.shape == (height, width, 3) and pixels.dtype == np.uint8
    small = log.store.read_image(series, 0, size=(24, 12))
    assert small.shape == (12, 24, 3)
    for image in (pixels, small):
        w = image.shape[1]
        np.testing.assert_allclose(image[:, : w // 4].mean((0, 1)), RED, atol=12)
        np.testing.assert_allclose(image[:, -w // 4 :].mean((0, 1)), GREEN, atol=12)


def test_calibrated_cameras_have_the_size_of_their_images(case, log):
    if case.image_size is None or log.rig.source != "calibrated":
        pytest.skip("this tree has no calibrated images")
    for name in log.cameras():
        series = log.series[name]
        for i in range(len(series)):
            camera = series.sensor(i).camera
            assert camera is not None
            assert log.store.read_image(series, i).shape == (camera.height_px, camera.width_px, 3)


@pytest.mark.parametrize("name", ["../outside.jpg", "a/../../outside.jpg", "/etc/hostname", "", "a\0b.jpg"])
def test_names_that_leave_the_root_are_refused(case, log, name):
    camera = case.cameras[0]
    with pytest.raises(MediaError) as caught:
        log.store.read_image(with_file(log, camera, name), 0)
    assert caught.value.issue.kind == "escaping_path"
    require_clean_issues((caught.value.issue,))


def test_links_that_leave_the_root_are_refused(case, log, tmp_path):
    outside = tmp_path / "outside.jpg"
    write_two_tone(outside, 64, 36)
    (media_folder(log) / "link.jpg").symlink_to(outside)
    with pytest.raises(MediaError) as caught:
        log.store.read_image(with_file(log, case.cameras[0], "link.jpg"), 0)
    assert (caught.value.issue.kind, caught.value.issue.subject) == ("escaping_path", "link.jpg")


def test_a_missing_image_is_named(case, log):
    if case.image_size is None:
        pytest.skip("this tree has no images")
    camera = case.cameras[0]
    file_of(log, camera).unlink()
    with pytest.raises(MediaError, match="expected a file, found none") as caught:
        log.store.read_image(log.series[camera], 0)
    assert caught.value.issue == Issue("missing_file", log.series[camera].files[0], "expected a file, found none")


@pytest.mark.parametrize("keep", [0, 30, 0.6])
def test_a_truncated_image_is_named(case, log, keep):
    if case.image_size is None:
        pytest.skip("this tree has no images")
    camera = case.cameras[0]
    path = file_of(log, camera)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(MediaError) as caught:
        # A video may still hold its first frames.
        for i in range(len(log.series[camera]) if case.is_video else 1):
            log.store.read_image(log.series[camera], i)
    assert caught.value.issue.kind == "broken_file"
    assert caught.value.issue.subject == log.series[camera].files[0]


def test_an_image_of_too_many_pixels_is_refused(case, log):
    if case.image_size is None or case.is_video:
        pytest.skip("this tree has no image files")
    name = "huge.png"
    (media_folder(log) / name).write_bytes(huge_png(60_000, 60_000))
    with pytest.raises(MediaError) as caught:
        log.store.read_image(with_file(log, case.cameras[0], name), 0, size=(64, 36))
    assert caught.value.issue.subject == name
    assert caught.value.issue.kind == "too_large"


def huge_png(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims gigapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_points_are_read_where_there_are_some(case, log):
    lidars = [name for name, series in log.series.items() if series.modality == "lidar"]
    assert bool(lidars) == case.has_points
    for name in lidars:
        points = log.store.read_points(log.series[name], 0)
        assert len(points.xyz_m) == len(points.intensity) > 0
        assert np.all(np.isfinite(points.xyz_m))
        path = file_of(log, name)
        path.write_bytes(path.read_bytes()[:-7])
        with pytest.raises(MediaError) as caught:
            log.store.read_points(log.series[name], 0)
        assert caught.value.issue.subject == log.series[name].files[0]


def test_poses_are_there_at_any_time(case, log):
    if not case.has_poses:
        assert len(log.world_from_ego) == 0
        return
    times = np.linspace(log.start_us, log.end_us, 50).astype(np.int64)
    poses, _ = log.poses_at(times)
    require_rigid(poses)


def test_cameras_can_be_chosen(case, root):
    last = case.cameras[-1]
    log = open_logs(root, replace(case.options, cameras=(last,))).logs[0]
    assert log.cameras() == (last,)
    assert [n for n, s in log.rig.sensors.items() if s.modality == "camera"] == [last]
    with pytest.raises(DataError, match="CAM_NOWHERE"):
        open_logs(root, replace(case.options, cameras=("CAM_NOWHERE",)))


def test_logs_can_be_chosen_by_name_and_id(case, root, opened):
    for log in opened.logs:
        for name in (log.name, log.log_id):
            require_same(open_log(root, name, case.options), log)
    with pytest.raises(DataError, match="scene-9999"):
        open_logs(root, replace(case.options, logs=("scene-9999",)))


def test_a_part_of_a_drive_is_a_light_handle(log):
    middle = (log.start_us + log.end_us) // 2
    early, late = log.between(log.start_us, middle), log.between(middle, log.end_us + 1)
    assert (early.log_id, early.start_us, early.end_us) == (log.log_id, log.start_us, log.end_us)
    for name, series in log.series.items():
        assert early.series[name].files + late.series[name].files == series.files
        assert np.all(early.series[name].times_us < middle) and np.all(late.series[name].times_us >= middle)
    assert len(early.reference_times_us) + len(late.reference_times_us) == len(log.reference_times_us)


def test_a_wrong_root_says_what_was_expected(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        open_logs(tmp_path / "empty")
    for module in ADAPTERS:
        assert module.describe in str(caught.value)
    with pytest.raises(DataError, match="found nothing there"):
        open_logs(tmp_path / "nowhere")


def test_a_root_above_a_data_set_names_it(tmp_path):
    root = make_nuscenes_tree(tmp_path / "downloads")
    with pytest.raises(DataError, match="frame rate") as caught:
        open_logs(tmp_path / "downloads")
    assert f"open a data set in it by itself: {root}" in str(caught.value)


def test_each_adapter_refuses_a_root_that_is_none_of_its(case, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        open_logs(tmp_path / "empty", OpenOptions(), adapter=case.adapter)


def test_an_unknown_adapter_is_refused(tmp_path):
    with pytest.raises(DataError, match="nuscenes"):
        open_logs(tmp_path, adapter="carla")


def test_opening_writes_nothing_into_the_data(case, root):
    def listing():
        return sorted((str(p), p.stat().st_mtime_ns) for p in (root.rglob("*") if root.is_dir() else [root]))

    before = listing()
    for log in open_logs(root, case.options).logs:
        log.store.read_tracks()
        log.store.read_map()
    assert listing() == before


@pytest.mark.parametrize(("name", "adapter"), REAL.items(), ids=REAL.keys())
def test_real_recordings_keep_the_contract(name, adapter):
    root = REAL_DATA / name
    if not root.is_dir():
        pytest.skip(f"no real recordings at ../shared/data/{name}")
    options = OpenOptions(fps=10.0)
    opened = open_logs(root, options)
    assert opened.logs
    require_clean_issues(opened.issues)
    for log in opened.logs:
        assert log.dataset == adapter
        require_well_formed(log)
        require_good_tracks(log)
        assert len(pickle.dumps(log)) < 400_000
        read = [read_first_image(log, camera) for camera in log.cameras()]
        assert all(image is None or image.dtype == np.uint8 for image in read)


def read_first_image(log: Log, camera: str) -> np.ndarray | None:
    """The first image that is there, of the size its calibration says; None where the recording lacks them all."""
    series = log.series[camera]
    here = [i for i, file in enumerate(series.files) if (media_folder(log) / file).exists()]
    if not here:
        assert any(issue.kind == "missing_file" for issue in log.issues), "absent images are not said"
        return None
    image = log.store.read_image(series, here[0])
    known = series.sensor(here[0]).camera
    if known is not None:
        assert image.shape == (known.height_px, known.width_px, 3)
    return image
