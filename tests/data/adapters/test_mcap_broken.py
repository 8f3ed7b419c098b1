"""Broken and hostile MCAP files: each is named, none crashes, nothing is lost in silence."""

import struct
import zlib
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard
from mcap.data_stream import RecordBuilder
from mcap.records import Chunk
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from mcap_tree import (
    HEIGHT,
    START_NS,
    STEP_NS,
    WIDTH,
    camera_info,
    cloud,
    compressed,
    drive,
    foxglove_drive,
    raw,
    transform,
    write_foxglove,
    write_ros2,
)
from video_tree import grey

from sceneminer.data.adapters import mcap_records
from sceneminer.data.adapters.mcap_records import iter_records
from sceneminer.data.errors import MediaError
from sceneminer.data.log import Log
from sceneminer.data.open import open_log, open_logs

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CHUNK, CHUNK_INDEX, MESSAGE = 0x06, 0x08, 0x05


def images(count: int) -> list:
    return [
        ("/cam/image", COMPRESSED, t, compressed(t, "front", grey(k, WIDTH, HEIGHT)))
        for k, t in enumerate(START_NS + k * STEP_NS for k in range(count))
    ]


def numbers(log: Log) -> list[int | None]:
    """The number in each image, None for those that are broken (and say so)."""
    found: list[int | None] = []
    for i in range(len(log.series["cam"])):
        try:
            found.append(round(float(log.store.read_image(log.series["cam"], i).mean()) / 6))
        except MediaError as error:
            assert error.issue.kind == "broken_file" and error.issue.subject == log.series["cam"].files[i]
            found.append(None)
    return found


def reasons(log: Log) -> str:
    return "\n".join(f"{issue.kind} {issue.subject}: {issue.reason} ({issue.count})" for issue in log.issues)


def refusal(path: Path) -> str:
    opened = open_logs(path, adapter="mcap")
    assert not opened.logs and len(opened.refused) == 1
    issue = opened.refused[0][1]
    assert not Path(issue.subject).is_absolute()
    return f"{issue.kind} {issue.subject}: {issue.reason}"


def records(data: bytes) -> list[tuple[int, int, int]]:
    """(opcode, offset, length of the body) of every record of a whole file."""
    return [(op, at + 8, len(body)) for op, at, body in iter_records(memoryview(data)[8:-8], "a.mcap")]


@pytest.mark.parametrize(
    "data", [b"", b"\x89MCAP0", b"PK\x03\x04" * 20, b"\x89MCAP0\r\n", b"\x89MCAP0\r\n" + b"\xff" * 90]
)
def test_what_is_no_recording_is_refused(tmp_path, data):
    path = tmp_path / "a.mcap"
    path.write_bytes(data)
    assert "a.mcap: expected" in refusal(path)


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.ZSTD, CompressionType.LZ4], ids=str)
@pytest.mark.parametrize("share", [0.35, 0.6, 0.9])
def test_a_recorder_that_crashed_leaves_what_it_wrote(tmp_path, share, compression):
    path = write_ros2(tmp_path / "a.mcap", images(30), compression=compression)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    log = open_log(path)
    found = numbers(log)
    assert 3 < len(found) <= 30 and found == list(range(len(found)))
    assert "broken_file a.mcap: expected a whole file with a sound index, found none" in reasons(log)
    assert share == 0.9 or "bytes at its end are lost" in reasons(log)


@pytest.mark.parametrize("cut", range(1, 400, 7))
def test_any_cut_at_the_end_is_survived(tmp_path, cut):
    path = write_ros2(tmp_path / "a.mcap", images(6))
    path.write_bytes(path.read_bytes()[:-cut])
    log = open_log(path)
    assert numbers(log) == list(range(6)) and "its records were walked over instead" in reasons(log)


def test_any_flipped_byte_is_survived_and_no_wrong_image_is_given(tmp_path):
    whole = write_ros2(tmp_path / "whole.mcap", images(6)).read_bytes()
    for at in np.random.default_rng(4).integers(8, len(whole), 150).tolist():
        path = tmp_path / f"{at}.mcap"
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        opened = open_logs(path)
        for log in opened.logs:
            if "cam" not in log.series:
                continue
            found = numbers(log)
            assert [k for k in found if k is not None] == [k for k in range(6) if k in found], at
            lost = 6 - sum(k is not None for k in found)
            assert not lost or log.issues or None in found, at
        path.unlink()


def test_a_chunk_that_does_not_fit_its_checksum_is_named(tmp_path):
    path = write_ros2(tmp_path / "a.mcap", images(12), compression=CompressionType.NONE)
    data = bytearray(path.read_bytes())
    chunks = [(at, length) for op, at, length in records(bytes(data)) if op == CHUNK]
    at, length = chunks[1]
    data[at + 9 + length - 5] ^= 0xFF
    path.write_bytes(bytes(data))
    log = open_log(path)
    found = numbers(log)
    assert len(found) == 12 and 0 < found.count(None) < 12
    with pytest.raises(MediaError, match="fits its checksum"):
        log.store.read_image(log.series["cam"], found.index(None))


def bomb(path: Path, *, declared: int, real: int, compression: str) -> Path:
    """The first chunk of a recording replaced by one of ``real`` zero bytes that declares another size."""
    data = bytes(real)
    packed = zstandard.compress(data) if compression == "zstd" else lz4.frame.compress(data)
    builder = RecordBuilder()
    Chunk(compression, packed, START_NS + 1, START_NS, 0, declared).write(builder)
    path.write_bytes(b"\x89MCAP0\r\n" + builder.end())
    return path


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_chunk_that_is_larger_than_it_says_is_not_decompressed(tmp_path, compression):
    path = bomb(tmp_path / "a.mcap", declared=1000, real=300 * 2**20, compression=compression)
    assert "expected topics of images" in refusal(path)
    with (
        path.open("rb") as handle,
        pytest.raises(MediaError, match="expected a chunk of 1000 bytes at byte 8, found more"),
    ):
        place = mcap_records.ChunkPlace(8, path.stat().st_size - 8, compression, (0, 0), ())
        mcap_records.read_chunk(handle, place, "a.mcap")


def test_a_chunk_that_says_it_is_huge_is_refused(tmp_path):
    path = bomb(tmp_path / "a.mcap", declared=2**40, real=1000, compression="zstd")
    with path.open("rb") as handle, pytest.raises(MediaError) as caught:
        place = mcap_records.ChunkPlace(8, path.stat().st_size - 8, "zstd", (0, 0), ())
        mcap_records.read_chunk(handle, place, "a.mcap")
    assert caught.value.issue.kind == "too_large"


def test_chunks_that_overlap_are_not_read_twice(tmp_path):
    path = write_ros2(tmp_path / "a.mcap", images(12))
    data = bytearray(path.read_bytes())
    indexes = [at for op, at, _ in records(bytes(data)) if op == CHUNK_INDEX]
    first = data[indexes[0] + 25 : indexes[0] + 33]
    for at in indexes[1:]:
        data[at + 25 : at + 33] = first
    data[-12:-8] = struct.pack("<I", 0)  # no checksum of the summary
    path.write_bytes(bytes(data))
    log = open_log(path)
    assert "expected chunks one behind another, found some that overlap" in reasons(log)
    assert numbers(log) == list(range(12))


def write_cdr(path: Path, messages: list[tuple[str, str, bytes]]) -> Path:
    """Messages as bytes, behind one good image a topic that has images."""
    with path.open("wb") as out:
        writer = McapWriter(out)
        writer.start()
        channels: dict[str, int] = {}
        for k, (topic, schema, data) in enumerate(messages):
            if topic not in channels:
                channels[topic] = writer.register_channel(topic, "cdr", writer.register_schema(schema, "ros2msg", b""))
            writer.add_message(channels[topic], START_NS + k * STEP_NS, data, 0)
        writer.finish()
    return path


def cdr_of(tmp_path: Path, schema: str, fields: dict) -> bytes:
    """A message as ROS 2 would write it."""
    from mcap.reader import make_reader

    path = write_ros2(tmp_path / "one.mcap", [("/t", schema, START_NS, fields)])
    with path.open("rb") as handle:
        data = next(iter(make_reader(handle).iter_messages()))[2].data
    path.unlink()
    return data


def test_messages_that_are_cut_are_named(tmp_path):
    at = START_NS
    picture, other = (cdr_of(tmp_path, COMPRESSED, compressed(t, "front", grey(1, 64, 36))) for t in (at, at + STEP_NS))
    tf = cdr_of(tmp_path, "tf2_msgs/msg/TFMessage", {"transforms": [transform(at, "map", "base_link", (0, 0, 0))]})
    info = cdr_of(tmp_path, "sensor_msgs/msg/CameraInfo", camera_info(at, "front"))
    many = tf[:4] + struct.pack("<I", 2**32 - 1) + tf[8:]
    found = [("/cam/image", COMPRESSED, picture), ("/cam/image", COMPRESSED, other[:-9])]
    found += [("/cam/camera_info", "sensor_msgs/msg/CameraInfo", info[:-60])]
    found += [("/tf", "tf2_msgs/msg/TFMessage", data) for data in (tf[:-3], many, b"", b"\0", b"\xff" * 40)]
    log = open_log(write_cdr(tmp_path / "a.mcap", found))
    assert numbers(log) == [1, None]
    assert "broken_file a.mcap: /cam/camera_info: expected" in reasons(log)
    assert [issue.count for issue in log.issues if issue.reason.startswith("/tf: expected")] == [5]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"width": 60_000, "height": 60_000}, "too_large a.mcap: expected at most"),
        ({"width": 2**32 - 1, "height": 2**32 - 1}, "too_large a.mcap: expected at most"),
        ({"step": 1}, "broken_file a.mcap: expected an image of 64×36"),
        ({"step": 2**32 - 1}, "broken_file a.mcap: expected an image of 64×36"),
        ({"height": 37}, "broken_file a.mcap: expected an image of 64×37"),
        ({"width": 0}, "broken_file a.mcap: expected an image of 0×36"),
    ],
    ids=str,
)
def test_raw_images_of_absurd_sizes_are_refused(tmp_path, more, said):
    pixels = grey(3, WIDTH, HEIGHT).reshape(HEIGHT, -1)
    fields = {**raw(START_NS, "front", "rgb8", pixels, WIDTH), **more}
    found = [("/cam/image", IMAGE, START_NS, fields)]
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    with pytest.raises(MediaError) as caught:
        log.store.read_image(log.series["cam"], 0, size=(8, 8))
    assert f"{caught.value.issue.kind} {caught.value}".startswith(said)


def test_an_encoded_image_of_too_many_pixels_is_refused(tmp_path):
    png = b"\x89PNG\r\n\x1a\n"
    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    for kind, body in ((b"IHDR", size), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        png += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    fields = {**compressed(START_NS, "front", grey(0, 8, 8)), "data": png}
    log = open_log(write_ros2(tmp_path / "a.mcap", [("/cam/image", COMPRESSED, START_NS, fields)]))
    with pytest.raises(MediaError) as caught:
        log.store.read_image(log.series["cam"], 0)
    assert caught.value.issue.kind == "too_large"


@pytest.mark.parametrize(
    "more", [{"point_step": 0}, {"point_step": 2}, {"row_step": 7}, {"width": 2**32 - 1}, {"fields": []}], ids=str
)
def test_points_that_do_not_fit_their_fields_are_named(tmp_path, more):
    good, other = (cloud(at, "front", np.ones((5, 4))) for at in (START_NS, START_NS + STEP_NS))
    points = "sensor_msgs/msg/PointCloud2"
    found = [("/lidar", points, START_NS, good), ("/lidar", points, START_NS + STEP_NS, {**other, **more})]
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    assert len(log.store.read_points(log.series["lidar"], 0).xyz_m) == 5
    with pytest.raises(MediaError) as caught:
        log.store.read_points(log.series["lidar"], 1)
    assert caught.value.issue.subject == "a.mcap"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"timestamp": {"sec": "x"}, "frame_id": 7}',
        b'{"data": "%%%"}',
        b'{"frame_id": "a", "data": 12}',
        b"\xff\xfe",
        b'{"transforms": [1, 2]}',
        b'{"translation": {"x": 1e999, "y": "NaN"}}',
        b'{"translation": {"x": ' + b"9" * 400 + b"}}",
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
def test_json_of_other_shapes_is_named(tmp_path, body):
    path = write_foxglove(tmp_path / "a.mcap", foxglove_drive(2), as_json=True)
    with path.open("wb") as out:
        writer = McapWriter(out)
        writer.start()
        for topic, schema in (("/cam/image", "CompressedImage"), ("/tf", "FrameTransforms"), ("/ft", "FrameTransform")):
            channel = writer.register_channel(
                topic, "json", writer.register_schema(f"foxglove.{schema}", "jsonschema", b"")
            )
            writer.add_message(channel, START_NS, body, 0)
        writer.finish()
    log = open_log(path)
    assert log.issues and len(log.series["cam"]) == 1
    with pytest.raises(MediaError):
        log.store.read_image(log.series["cam"], 0)


def test_protobuf_of_broken_descriptors_is_named(tmp_path):
    path = tmp_path / "a.mcap"
    with path.open("wb") as out:
        writer = McapWriter(out)
        writer.start()
        for k, descriptors in enumerate((b"", b"\xff" * 50, b"\n\x04\n\x02xx")):
            schema = writer.register_schema("foxglove.CompressedImage", "protobuf", descriptors)
            channel = writer.register_channel(f"/cam{k}/image", "protobuf", schema)
            writer.add_message(channel, START_NS, b"\x0a\x02\x08\x01", 0)
        writer.finish()
    log = open_log(path)
    assert reasons(log).count("expected descriptors of foxglove.CompressedImage") == 3
    with pytest.raises(MediaError, match="expected descriptors"):
        log.store.read_image(log.series["cam0"], 0)


def test_channels_that_share_a_topic_are_counted(tmp_path):
    picture = cdr_of(tmp_path, COMPRESSED, compressed(START_NS, "front", grey(1, WIDTH, HEIGHT)))
    with (tmp_path / "a.mcap").open("wb") as out:
        writer = McapWriter(out)
        writer.start()
        schema = writer.register_schema(COMPRESSED, "ros2msg", b"")
        for count in (1, 3):
            channel = writer.register_channel("/cam/image", "cdr", schema, {"publisher": str(count)})
            for k in range(count):
                writer.add_message(channel, START_NS + k * STEP_NS, picture, 0)
        writer.finish()
    log = open_log(tmp_path / "a.mcap")
    assert "expected one channel of /cam/image, found more; that with most messages is taken (1)" in reasons(log)


def test_log_times_of_no_year_are_left_out(tmp_path):
    found = images(4)
    found.append(("/cam/image", COMPRESSED, 2**63 + 5, compressed(START_NS, "front", grey(9, WIDTH, HEIGHT))))
    log = open_log(write_ros2(tmp_path / "a.mcap", found))
    assert numbers(log) == [0, 1, 2, 3]
    assert "expected log times before 2116, found later ones (1)" in reasons(log)


def test_links_out_of_the_root_are_refused(tmp_path):
    outside = write_ros2(tmp_path / "outside.mcap", images(3))
    write_ros2(tmp_path / "root" / "a.mcap", images(3))
    (tmp_path / "root" / "b.mcap").symlink_to(outside)
    (tmp_path / "root" / "c.mcap").symlink_to(tmp_path / "root" / "c.mcap")
    opened = open_logs(tmp_path / "root")
    assert [log.name for log in opened.logs] == ["a"]
    assert {name: issue.kind for name, issue in opened.refused} == {"b": "escaping_path", "c": "broken_file"}


def test_one_broken_file_of_a_bag_does_not_take_the_others_along(tmp_path):
    write_ros2(tmp_path / "bag" / "d_0.mcap", drive(0, 4))
    (tmp_path / "bag" / "d_1.mcap").write_bytes(b"nothing that is a recording")
    write_ros2(tmp_path / "bag" / "d_2.mcap", drive(4, 4))
    opened = open_logs(tmp_path / "bag")
    assert [len(log.series["cam_front"]) for log in opened.logs] == [8]
    assert [(name, issue.kind) for name, issue in opened.refused] == [("d_1", "broken_file")]
