"""The MCAP adapter: what recordings of ROS 2 and Foxglove say is what the Log says."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from adapter_case import GREEN, RED
from mcap.writer import CompressionType, IndexType
from mcap_tree import (
    HEIGHT,
    LATE_NS,
    OPTICAL,
    START_NS,
    STEP_NS,
    WIDTH,
    camera_info,
    cloud,
    compressed,
    drive,
    foxglove_drive,
    make_mcap_tree,
    odometry,
    raw,
    transform,
    write_foxglove,
    write_ros2,
)
from video_tree import grey, two_tone

from sceneminer.data.adapters import mcap_series
from sceneminer.data.errors import DataError, MediaError
from sceneminer.data.log import Log
from sceneminer.data.open import open_log, open_logs
from sceneminer.geometry.camera import project
from sceneminer.geometry.pose import invert
from sceneminer.geometry.pose import transform as transform_points

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
INFO, TF, ODOMETRY = "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage", "nav_msgs/msg/Odometry"


def images(topic: str, count: int, *, start: int = 0, frame: str = "front_optical") -> list:
    """Grey frames that say their number."""
    times = [START_NS + k * STEP_NS for k in range(start, start + count)]
    return [
        (topic, COMPRESSED, t + LATE_NS, compressed(t, frame, grey(k % 40, WIDTH, HEIGHT)))
        for k, t in enumerate(times, start)
    ]


def numbers(log: Log, camera: str) -> list[int]:
    series = log.series[camera]
    return [round(float(log.store.read_image(series, i).mean()) / 6) for i in range(len(series))]


def reasons(log: Log) -> str:
    return "\n".join(f"{issue.kind} {issue.subject}: {issue.reason} ({issue.count})" for issue in log.issues)


def test_a_bag_split_by_time_is_one_log(tmp_path):
    opened = open_logs(make_mcap_tree(tmp_path))
    morning, noon = opened.logs
    assert (morning.name, noon.name) == ("morning", "noon")
    assert not opened.refused and not opened.issues and not morning.issues and not noon.issues
    front = morning.series["cam_front"]
    assert front.files == ("morning/morning_0.mcap",) * 5 + ("morning/morning_1.mcap",) * 5
    np.testing.assert_array_equal(front.times_us, (START_NS + np.arange(10) * STEP_NS) // 1000)
    np.testing.assert_allclose(morning.world_from_ego[:, :3, 3], [[100 + k, 50, 0] for k in range(10)])
    np.testing.assert_array_equal(morning.pose_times_us, front.times_us)


def test_files_of_another_time_or_with_other_cameras_are_logs_of_their_own(tmp_path):
    root = tmp_path / "root"
    write_ros2(root / "a_0.mcap", images("/cam/image", 3))
    write_ros2(root / "a_1.mcap", images("/cam/image", 3, start=3))
    write_ros2(root / "a_2.mcap", images("/cam/image", 3, start=1000))
    write_ros2(root / "b_0.mcap", images("/cam/image", 3))
    write_ros2(root / "b_1.mcap", images("/other/image", 3, start=3))
    write_ros2(root / "c.mcap", images("/cam/image", 3))
    found = {log.name: len(next(iter(log.series.values()))) for log in open_logs(root).logs}
    assert found == {"a_0": 6, "a_2": 3, "b_0": 3, "b_1": 3, "c": 3}
    assert open_log(root / "a_1.mcap").name == "a_1"


def test_files_are_in_the_order_of_their_numbers(tmp_path):
    for k in range(12):
        write_ros2(tmp_path / "root" / f"run_{k}.mcap", images("/cam/image", 2, start=2 * k))
    log = open_log(tmp_path / "root")
    assert log.name == "run" and numbers(log, "cam") == list(range(24))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": CompressionType.LZ4},
        {"compression": CompressionType.NONE},
        {"chunk_size": 2**20},
        {"chunk_size": 1},
    ],
    ids=str,
)
def test_images_are_found_however_a_file_is_written(tmp_path, options):
    path = write_ros2(tmp_path / "a.mcap", images("/cam/image_raw/compressed", 12), **options)
    log = open_log(path)
    assert not [issue for issue in log.issues if issue.kind != "no_calibration"]
    assert numbers(log, "cam") == list(range(12))
    series = log.series["cam"]
    for i in (11, 3, 3, 0, 7):
        assert round(log.store.read_image(series, i).mean() / 6) == i


@pytest.mark.parametrize(
    "options",
    [
        {"use_chunking": False},
        {"index_types": IndexType.NONE},
        {"index_types": IndexType.CHUNK},
        {"repeat_channels": False},
        {"use_statistics": False, "use_summary_offsets": False, "enable_crcs": False},
    ],
    ids=str,
)
def test_files_without_an_index_are_read_too(tmp_path, options, monkeypatch):
    from mcap_ros2 import writer

    original = writer.McapWriter
    monkeypatch.setattr(writer, "McapWriter", lambda **given: original(**{**given, **options}))
    log = open_log(write_ros2(tmp_path / "a.mcap", images("/cam/image", 12)))
    assert numbers(log, "cam") == list(range(12))
    assert "broken_file" not in reasons(log)


def test_times_are_the_sensors_where_their_stamps_are_good(tmp_path):
    found = images("/cam/image", 6)
    found[2][3]["header"]["stamp"] = {"sec": 0, "nanosec": 0}
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    expected = START_NS + np.arange(6) * STEP_NS
    expected[2] += LATE_NS
    np.testing.assert_array_equal(log.series["cam"].times_us, expected // 1000)
    assert "odd_time /cam/image: expected stamps within 10 s" in reasons(log) and "for these (1)" in reasons(log)


def test_times_are_the_recorders_where_stamps_are_on_another_clock(tmp_path):
    found = images("/cam/image", 6)
    for k, (_, _, log_ns, fields) in enumerate(found):
        fields["header"]["stamp"] = {"sec": k, "nanosec": 0}
        found.append(
            ("/odom", ODOMETRY, log_ns, odometry(k * 10**9, "odom", "base_link", (k, 0, 0)))
        ) if k < 6 else None
        if k == 5:
            break
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    expected = (START_NS + LATE_NS + np.arange(6) * STEP_NS) // 1000
    np.testing.assert_array_equal(log.series["cam"].times_us, expected)
    np.testing.assert_array_equal(log.pose_times_us, expected)
    assert "log times are taken for all (6)" in reasons(log)


def test_stamps_are_sampled_where_reading_them_means_to_decompress_a_lot(tmp_path, monkeypatch):
    path = write_ros2(tmp_path / "a.mcap", images("/cam/image", 40))
    exact = open_log(path).series["cam"]
    monkeypatch.setattr(mcap_series, "MAX_SQUEEZED_BYTES", 100)
    log = open_log(path)
    np.testing.assert_array_equal(log.series["cam"].times_us, exact.times_us)
    assert "times are log times less 30 ms (40)" in reasons(log)


def test_repeated_and_far_times_are_left_out_and_counted(tmp_path):
    found = images("/cam/image", 6)
    found.insert(3, found[2])
    far = START_NS + 48 * 3600 * 10**9
    found.append(("/cam/image", COMPRESSED, far, compressed(far, "front_optical", grey(20, WIDTH, HEIGHT))))
    found[0], found[1] = found[1], found[0]
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    assert numbers(log, "cam") == list(range(6))
    assert "found repeats; the first is kept (1)" in reasons(log)
    assert "within 12 hours of the others, found others; left out (1)" in reasons(log)


def test_calibration_and_frames_put_a_point_where_it_is_seen(tmp_path):
    log = open_log(make_mcap_tree(tmp_path), "morning")
    assert log.rig.source == "calibrated"
    for camera, x_m, look in (("cam_front", 1.5, 1.0), ("cam_rear", -1.0, -1.0)):
        sensor = log.rig.sensors[camera]
        ahead = np.array([[x_m + 10 * look, 0.0, 1.4], [x_m + 10 * look, 1.0, 1.4]])
        there, seen = project(sensor.camera, transform_points(invert(sensor.ego_from_sensor), ahead))
        assert seen.all()
        np.testing.assert_allclose(there[0], [31.5, 17.5], atol=1e-6)
        # What is to the left of the car is to the left in front, and to the right behind.
        assert (there[1, 0] < 31.5) == (look > 0) and there[1, 1] == pytest.approx(17.5)
    assert log.rig.sensors["cam_front"].camera.distortion == (-0.1, 0.01, 0.0, 0.0, 0.0)
    np.testing.assert_allclose(log.rig.sensors["lidar_top"].ego_from_sensor[:3, 3], [0, 0, 2])


def calibrated(**info) -> list:
    """One camera with that camera info, on base_link itself."""
    at = START_NS
    fixed = [transform(at, "base_link", "front_optical", (0, 0, 1), OPTICAL)]
    return [
        ("/tf_static", TF, at, {"transforms": fixed}),
        ("/cam/camera_info", INFO, at, camera_info(at, "front_optical", **info)),
        *images("/cam/image", 3),
    ]


@pytest.mark.parametrize(
    ("info", "model", "distortion"),
    [
        ({"distortion_model": "plumb_bob", "d": [0.1] * 5}, "pinhole", (0.1,) * 5),
        ({"distortion_model": "rational_polynomial", "d": [0.1] * 8}, "pinhole", (0.1,) * 8),
        ({"distortion_model": "rational_polynomial", "d": [0.1] * 8 + [0.0] * 6}, "pinhole", (0.1,) * 8),
        ({"distortion_model": "equidistant", "d": [0.1] * 4}, "fisheye", (0.1,) * 4),
        ({"distortion_model": "", "d": []}, "pinhole", ()),
        ({"distortion_model": "plumb_bob", "d": [0.0] * 5}, "pinhole", ()),
    ],
)
def test_lens_models(tmp_path, info, model, distortion):
    log = open_log(write_ros2(tmp_path / "a.mcap", calibrated(**info)))
    camera = log.rig.sensors["cam"].camera
    assert (camera.model, camera.distortion) == (model, distortion) and not log.issues


@pytest.mark.parametrize(
    ("info", "said", "has_camera"),
    [
        ({"distortion_model": "scaramuzza", "d": [0.1] * 9}, "only the camera matrix is used", True),
        ({"d": [float("nan")] * 5}, "expected finite intrinsics", False),
        ({"k": [0.0] * 9}, "positive focal lengths", False),
        ({"width": 0}, "positive image size", False),
        ({"width": 2 * WIDTH, "height": 2 * HEIGHT}, "the calibration is scaled to them", True),
        ({"width": 2 * WIDTH}, "not calibrated", False),
    ],
)
def test_calibrations_that_do_not_fit_are_said(tmp_path, info, said, has_camera):
    log = open_log(write_ros2(tmp_path / "a.mcap", calibrated(**info)))
    camera = log.rig.sensors["cam"].camera
    assert (camera is not None) == has_camera and said in reasons(log)
    if camera is not None:
        assert (camera.width_px, camera.height_px) == (WIDTH, HEIGHT)


def test_rectified_images_are_described_by_p(tmp_path):
    found = [(t.replace("image", "image_rect_color"), *rest) for t, *rest in calibrated(d=[0.2] * 5)]
    camera = open_log(write_ros2(tmp_path / "a.mcap", found)).rig.sensors["cam"].camera
    assert (camera.fx, camera.distortion) == (40.0, ())


def test_a_camera_without_transforms_is_not_calibrated(tmp_path):
    found = [message for message in calibrated() if message[1] != TF]
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    assert log.rig.source == "none" and not log.has_poses
    assert "expected transforms from base_link to front_optical, found none; not calibrated" in reasons(log)


def test_a_camera_info_is_matched_by_frame_where_names_do_not_say(tmp_path):
    found = [(t.replace("/cam/camera_info", "/info/front"), *rest) for t, *rest in calibrated()]
    assert open_log(write_ros2(tmp_path / "a.mcap", found)).rig.sensors["cam"].camera is not None


def test_odometry_gives_poses_where_transforms_do_not(tmp_path):
    found = images("/cam/image", 4)
    for k in range(4):
        at = START_NS + k * STEP_NS
        found.append(("/odom", ODOMETRY, at, odometry(at, "odom", "base_footprint", (2 * k, 0, 0))))
    fixed = [transform(START_NS, "base_footprint", "base_link", (0, 0, 0.5))]
    found.append(("/tf_static", TF, START_NS, {"transforms": fixed}))
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    np.testing.assert_allclose(log.world_from_ego[:, :3, 3], [[2 * k, 0, 0.5] for k in range(4)])


def test_a_parked_car_has_poses(tmp_path):
    found = images("/cam/image", 4)
    for k in range(4):
        at = START_NS + k * STEP_NS
        found.append(("/tf", TF, at, {"transforms": [transform(at, "map", "base_link", (5, 6, 0))]}))
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    assert len(log.pose_times_us) == 4 and np.all(log.world_from_ego[:, 0, 3] == 5)


def test_broken_and_circular_transforms_are_said(tmp_path):
    found = images("/cam/image", 4)
    for k in range(4):
        at = START_NS + k * STEP_NS
        each = [
            transform(at, "map", "base_link", (k, 0, 0)),
            transform(at, "a", "b", (0, 0, 0)),
            transform(at, "b", "a", (0, 0, 0)),
            transform(at, "base_link", "c", (float("nan"), 0, 0)),
            transform(at, "base_link", "d", (0, 0, 0), (0, 0, 0, 0)),
        ]
        found.append(("/tf", TF, at, {"transforms": each}))
    found.append(("/tf", TF, START_NS, {"transforms": [transform(START_NS, "elsewhere", "base_link", (0, 0, 0))]}))
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    np.testing.assert_allclose(log.world_from_ego[:, 0, 3], range(4))
    assert "found others; left out (8)" in reasons(log)
    assert "expected one parent, found map and elsewhere" in reasons(log)


def test_cameras_are_named_by_their_topics(tmp_path):
    topics = ("/cam_front/image_raw/compressed", "/cam_front/image_raw", "/rig/left/image_rect_color", "/image")
    found = [m for topic in topics for m in images(topic, 3)] + images("/rig_left/image", 3)
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    assert log.cameras() == ("camera", "cam_front", "rig_left", "rig_left_2")
    assert "found /cam_front/image_raw too; /cam_front/image_raw/compressed is taken (1)" in reasons(log)


def test_topics_in_forms_that_are_not_read_are_said(tmp_path):
    depth = raw(START_NS, "front_optical", "32FC1", np.zeros((HEIGHT, 4 * WIDTH), np.uint8), WIDTH)
    video = {**compressed(START_NS, "front_optical", grey(0, 8, 8)), "format": "h264", "data": b"\0\0\0\1" * 8}
    found = [
        *images("/cam/image", 3),
        ("/depth/image", IMAGE, START_NS, depth),
        ("/v/image", COMPRESSED, START_NS, video),
    ]
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    assert log.cameras() == ("cam",)
    assert "unsupported /depth/image: " in reasons(log) and "'32FC1'" in reasons(log)
    assert "unsupported /v/image: expected JPEG or PNG images" in reasons(log)


def test_points_have_intensity_and_ring_and_no_gaps(tmp_path):
    points = np.arange(20.0).reshape(5, 4)
    points[2, 0] = np.nan
    found = [
        *images("/cam/image", 3),
        ("/lidar/points", "sensor_msgs/msg/PointCloud2", START_NS, cloud(START_NS, "l", points)),
    ]
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    read = log.store.read_points(log.series["lidar_points"], 0)
    np.testing.assert_array_equal(read.xyz_m, points[[0, 1, 3, 4], :3])
    np.testing.assert_array_equal(read.intensity, points[[0, 1, 3, 4], 3])
    assert read.ring is not None and read.ring.tolist() == [0, 1, 3, 4]
    with pytest.raises(MediaError, match="expected LiDAR points, found a camera"):
        log.store.read_points(log.series["cam"], 0)


@pytest.mark.parametrize("as_json", [False, True], ids=["protobuf", "json"])
def test_foxglove_recordings_say_the_same_in_both_encodings(tmp_path, as_json):
    log = open_log(write_foxglove(tmp_path / "a.mcap", foxglove_drive(5), as_json=as_json))
    assert not log.issues and log.rig.source == "calibrated"
    np.testing.assert_array_equal(log.series["CAM_BACK"].times_us, (START_NS + np.arange(5) * STEP_NS) // 1000)
    np.testing.assert_allclose(log.world_from_ego[:, :3, 3], [[k, 2, 0] for k in range(5)])
    for camera in ("CAM_FRONT", "CAM_BACK"):
        pixels = log.store.read_image(log.series[camera], 4)
        np.testing.assert_allclose(pixels[:, :16].mean((0, 1)), RED, atol=6)
        np.testing.assert_allclose(pixels[:, -16:].mean((0, 1)), GREEN, atol=6)
        np.testing.assert_allclose(log.rig.sensors[camera].ego_from_sensor[:3, 3], [1.5, 0, 1.4])
    points = log.store.read_points(log.series["LIDAR"], 0)
    np.testing.assert_allclose(points.xyz_m - [0, 0, 2], np.arange(9.0).reshape(3, 3))


def test_poses_in_frame_are_taken_as_egos(tmp_path):
    found = [m for m in foxglove_drive(4) if m[0] != "/tf"]
    for k in range(4):
        at = START_NS + k * STEP_NS
        pose = {"position": {"x": 3.0 * k}, "orientation": {"w": 1.0}}
        time = {"seconds": at // 10**9, "nanos": at % 10**9}
        found.append(("/pose", "PoseInFrame", at, {"timestamp": time, "frame_id": "map", "pose": pose}))
    log = open_log(write_foxglove(tmp_path / "a.mcap", found))
    np.testing.assert_allclose(log.world_from_ego[:, 0, 3], [0, 3, 6, 9])


def test_threads_and_processes_read_the_same(tmp_path):
    log = open_log(write_ros2(tmp_path / "a.mcap", images("/cam/image", 30)))
    series = log.series["cam"]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: round(log.store.read_image(series, i).mean() / 6), [*range(30)] * 4))
    assert found == [*range(30)] * 4
    again = pickle.loads(pickle.dumps(log))  # noqa: S301
    assert numbers(again, "cam") == list(range(30))
    assert len(pickle.dumps(log.store)) < 1000


def test_part_of_a_drive_reads_its_own_images(tmp_path):
    log = open_log(write_ros2(tmp_path / "a.mcap", images("/cam/image", 30)))
    part = log.between(int(log.series["cam"].times_us[10]), int(log.series["cam"].times_us[15]))
    assert numbers(part, "cam") == [10, 11, 12, 13, 14]


def test_a_recording_beside_pictures_is_a_recording(tmp_path):
    make_mcap_tree(tmp_path)
    (tmp_path / "bags" / "preview").mkdir()
    (tmp_path / "bags" / "preview" / "a.jpg").write_bytes(b"")
    assert {log.dataset for log in open_logs(tmp_path / "bags").logs} == {"mcap"}


def test_a_recording_of_no_images_is_refused(tmp_path):
    path = write_ros2(tmp_path / "a.mcap", [m for m in drive(0, 3) if m[1] == TF])
    opened = open_logs(path)
    assert not opened.logs and "expected topics of images or points" in opened.refused[0][1].reason


def test_another_file_under_the_same_name_is_refused(tmp_path):
    log = open_log(write_ros2(tmp_path / "a.mcap", images("/cam/image", 4)))
    write_ros2(tmp_path / "a.mcap", images("/cam/image", 9))
    with pytest.raises(MediaError, match="bytes that were there on opening"):
        log.store.read_image(log.series["cam"], 0)
    with pytest.raises(MediaError, match="expected a recording that was there on opening"):
        write_ros2(tmp_path / "b.mcap", images("/cam/image", 4))
        log.store.read_image(replace(log.series["cam"], files=("b.mcap",) * 4), 0)


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    import sys

    path = write_ros2(tmp_path / "a.mcap", images("/cam/image", 2))
    monkeypatch.setitem(sys.modules, "mcap.records", None)
    with pytest.raises(DataError, match=r"pip install 'sceneminer\[mcap\]'"):
        open_logs(path)


def test_two_tones_keep_their_sides(tmp_path):
    at = START_NS
    found = [("/cam/image", COMPRESSED, at, compressed(at, "f", two_tone(WIDTH, HEIGHT)))]
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    small = log.store.read_image(log.series["cam"], 0, size=(8, 4))
    np.testing.assert_allclose(small[:, 0].mean(0), RED, atol=12)
