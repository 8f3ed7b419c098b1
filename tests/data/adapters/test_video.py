"""The video adapter: every frame is found by its own time, and hostile files are refused by name."""

import pickle
import shutil
import socket
import struct
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
import pytest
from video_tree import grey, make_video_tree, two_tone, write_video

from sceneminer.data.adapters import video, video_decoder
from sceneminer.data.errors import DataError, MediaError
from sceneminer.data.log import Log
from sceneminer.data.open import open_log, open_logs
from sceneminer.data.options import OpenOptions

COUNT = 40
FORMATS = {
    "mp4 with B-frames": ("a.mp4", "libx264", 2),
    "mkv with B-frames": ("a.mkv", "libx264", 2),
    "avi with B-frames": ("a.avi", "libx264", 2),
    "avi": ("a.avi", "mpeg4", 0),
    "mov of JPEGs": ("a.mov", "mjpeg", 0),
    "webm": ("a.webm", "libvpx", 0),
}


def write_counting(path: Path, codec: str = "libx264", b_frames: int = 2, **more) -> Path:
    write_video(path, [grey(k, 64, 48) for k in range(COUNT)], codec=codec, b_frames=b_frames, **more)
    return path


def number_of(pixels: np.ndarray) -> float:
    return float(pixels.mean()) / 6


def readable(log: Log, camera: str = "camera") -> dict[int, float]:
    """Frame number by index, of the frames that can be read."""
    found = {}
    for i in range(len(log.series[camera])):
        try:
            found[i] = number_of(log.store.read_image(log.series[camera], i))
        except MediaError as error:
            assert error.issue.kind == "broken_file" and error.issue.subject == log.series[camera].files[i]
    return found


def refusal(path: Path) -> str:
    found = open_logs(path, adapter="video")
    assert not found.logs
    return f"{found.refused[0][1].kind} {found.refused[0][1].subject}: {found.refused[0][1].reason}"


@pytest.mark.parametrize(("name", "codec", "b_frames"), FORMATS.values(), ids=FORMATS.keys())
def test_frames_are_the_same_in_any_order_of_asking(tmp_path, name, codec, b_frames):
    log = open_log(write_counting(tmp_path / name, codec, b_frames))
    series = log.series["camera"]
    assert len(series) == COUNT and not log.issues
    np.testing.assert_allclose(series.times_us, np.arange(COUNT) * 1e6 / 30, atol=700)
    assert series.video_index is not None and series.video_index.tolist() == list(range(COUNT))
    in_order = [log.store.read_image(series, i) for i in range(COUNT)]
    assert [round(number_of(pixels)) for pixels in in_order] == list(range(COUNT))
    for i in [*np.random.default_rng(2).permutation(COUNT), 5, 5, 4, 39, 0]:
        np.testing.assert_array_equal(log.store.read_image(series, int(i)), in_order[i])


def test_reading_in_order_seeks_once(tmp_path, monkeypatch):
    log = open_log(write_counting(tmp_path / "a.mp4"))
    seeks = []
    original = video_decoder.Decoder._seek
    monkeypatch.setattr(video_decoder.Decoder, "_seek", lambda self, *a: (seeks.append(a), original(self, *a))[1])
    for i in range(0, COUNT, 2):
        log.store.read_image(log.series["camera"], i)
    assert len(seeks) == 1


def test_variable_frame_times_are_kept(tmp_path):
    ticks = np.cumsum(np.random.default_rng(0).integers(1, 9, COUNT))
    log = open_log(write_counting(tmp_path / "a.mp4", ticks=ticks.tolist()))
    np.testing.assert_allclose(log.series["camera"].times_us, (ticks - ticks[0]) * 1e6 / 30, atol=1)
    assert {i: round(k) for i, k in readable(log).items()} == {i: i for i in range(COUNT)}


def test_part_of_a_drive_reads_its_own_frames(tmp_path):
    log = open_log(write_counting(tmp_path / "a.mp4")).between(500_000, 700_000)
    series = log.series["camera"]
    assert [round(number_of(log.store.read_image(series, i))) for i in range(len(series))] == list(range(15, 21))


def test_layouts(tmp_path):
    root = make_video_tree(tmp_path)
    assert video.detect(root) and video.detect(root / "tour") and video.detect(root / "dawn.mp4")
    logs = {log.name: log for log in open_logs(root).logs}
    assert {name: log.cameras() for name, log in logs.items()} == {
        "dawn": ("camera",),
        "dusk": ("camera",),
        "tour": ("front", "rear"),
    }
    assert open_log(root / "dawn.mp4").log_id == logs["dawn"].log_id
    assert [log.name for log in open_logs(root / "tour").logs] == ["front", "rear"]
    assert open_log(root, "dusk").name == "dusk"


def test_a_file_and_a_folder_of_one_name_are_two_logs(tmp_path):
    write_counting(tmp_path / "drive.mp4")
    write_counting(tmp_path / "drive" / "front.mp4")
    assert sorted((log.name, log.cameras()) for log in open_logs(tmp_path).logs) == [
        ("drive", ("front",)),
        ("drive.mp4", ("camera",)),
    ]


def test_videos_that_share_a_stem_are_all_there(tmp_path):
    for folder in (tmp_path, tmp_path / "tour"):
        write_counting(folder / "front.mov", "mjpeg")
        write_counting(folder / "front.avi", "mjpeg")
    write_counting(tmp_path / "tour" / "rear.mov", "mjpeg")
    found = open_logs(tmp_path)
    assert {log.name: log.cameras() for log in found.logs} == {
        "front.avi": ("camera",),
        "front.mov": ("camera",),
        "tour": ("front.avi", "front.mov", "rear"),
    }


def test_names_and_links_that_are_no_videos_are_named(tmp_path):
    write_counting(tmp_path / "good.mov", "mjpeg")
    shutil.copy(tmp_path / "good.mov", bytes(tmp_path) + b"/\xff.mov")
    for name, to in (("gone.mov", "nowhere.mov"), ("loop.mov", "loop.mov"), ("folder", "folder")):
        (tmp_path / name).symlink_to(to)
    found = open_logs(tmp_path)
    assert [log.name for log in found.logs] == ["good"]
    assert [(issue.kind, issue.subject) for issue in found.issues] == [
        ("missing_file", "gone.mov"),
        ("missing_file", "loop.mov"),
        ("unsupported", r"'\udcff.mov'"),
    ]


def test_a_video_of_years_is_refused(tmp_path):
    write_video(tmp_path / "long.mkv", [two_tone(64, 36)] * 3, codec="mjpeg", ticks=[0, 1, 2**40])
    assert "within 24 hours" in refusal(tmp_path / "long.mkv")


def test_creation_time_starts_the_clock(tmp_path):
    noon_us = 1_714_564_800_000_000
    write_counting(tmp_path / "log" / "front.mp4", created="2024-05-01T12:00:00Z")
    write_counting(tmp_path / "log" / "rear.mp4", created="2024-05-01T12:00:01Z")
    log = open_log(tmp_path)
    assert log.start_us == noon_us and log.series["rear"].times_us[0] == noon_us, "one second is the resolution"
    write_counting(tmp_path / "log" / "rear.mp4", created="2024-05-01T12:00:05Z")
    assert open_log(tmp_path).series["rear"].times_us[0] == noon_us + 5_000_000
    write_counting(tmp_path / "log" / "rear.mp4")
    assert open_log(tmp_path).start_us == 0, "one camera without a clock: all from 0"
    write_counting(tmp_path / "log" / "rear.mp4", created="1970-01-01T00:00:00Z")
    assert open_log(tmp_path).start_us == 0
    assert {i: round(k) for i, k in readable(open_log(tmp_path), "rear").items()} == {i: i for i in range(COUNT)}


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_rotation_in_the_file_is_applied(tmp_path, matrix, turns):
    """The track header's matrix, as phones write it."""
    path = tmp_path / "a.mp4"
    write_video(path, [two_tone(64, 36)] * 4)
    upright = open_log(path).store.read_image(open_log(path).series["camera"], 1)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (v * 65536 for v in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    log = open_log(path)
    turned = log.store.read_image(log.series["camera"], 1)
    np.testing.assert_array_equal(turned, np.rot90(upright, turns))
    assert log.store.read_image(log.series["camera"], 1, size=(20, 30)).shape == (30, 20, 3)


def packets_of(path: Path) -> list[tuple[int, int]]:
    with av.open(str(path)) as container:
        return [(p.pos, p.size) for p in container.demux(container.streams.video[0]) if p.size]


@pytest.mark.parametrize(
    ("name", "codec", "b_frames"), [FORMATS[k] for k in FORMATS if "mkv" not in k and "webm" not in k]
)
def test_a_corrupt_packet_costs_its_own_group_at_most(tmp_path, name, codec, b_frames):
    path = write_counting(tmp_path / name, codec, b_frames)
    position, size = packets_of(path)[20]
    data = bytearray(path.read_bytes())
    data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    log = open_log(path)
    found = readable(log)
    missing = set(range(COUNT)) - set(found)
    assert 1 <= len(missing) <= 8 and missing <= set(range(17, 28))
    wrong = [i for i, k in found.items() if abs(k - i) > 0.6]
    assert not set(wrong) - set(range(17, 28)), "frames of other groups are themselves"


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
def test_a_short_file_says_so_and_keeps_its_first_frames(tmp_path, name):
    path = write_counting(tmp_path / name, "mpeg4", 0)
    path.write_bytes(path.read_bytes()[: packets_of(path)[20][0]])
    log = open_log(path)
    assert 5 < len(log.series["camera"]) < COUNT - 5
    assert [(issue.kind, issue.subject) for issue in log.issues] == [("broken_file", name)]
    assert "as the file declares" in log.issues[0].reason
    assert len(readable(log)) >= len(log.series["camera"]) - 1


def test_one_broken_camera_leaves_the_others(tmp_path):
    root = make_video_tree(tmp_path)
    (root / "tour" / "rear.mov").write_bytes(b"\0\0\0\x18ftypqt  " + bytes(5000))
    log = open_log(root, "tour")
    assert log.cameras() == ("front",)
    assert [(issue.kind, issue.subject) for issue in log.issues] == [("broken_file", "tour/rear.mov")]


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("empty.mp4", b"", "broken_file empty.mp4"),
        ("cut.mp4", b"\0\0\0\x18ftypisom" + bytes(9000), "broken_file cut.mp4"),
        ("cut.mkv", b"\x1a\x45\xdf\xa3" + bytes(900), "broken_file cut.mkv"),
        ("cut.avi", b"RIFF\xff\xff\xff\xffAVI " + b"A" * 1000, "broken_file cut.avi"),
        ("concat.mp4", b"ffconcat version 1.0\nfile /etc/hostname\n", "unsupported concat.mp4"),
        ("text.avi", b"<html><body>moved</body></html>", "unsupported text.avi"),
        ("image.mp4", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(100), "unsupported image.mp4"),
    ],
)
def test_files_that_are_no_video_are_refused_by_name(tmp_path, name, body, expected):
    (tmp_path / name).write_bytes(body)
    assert refusal(tmp_path / name).startswith(expected)


@pytest.fixture
def server():
    """A local port that counts who knocks."""
    knocks: list[object] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            knocks.append(address)
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], knocks
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_playlists_and_addresses_are_not_followed(tmp_path, server):
    port, knocks = server
    url = f"http://127.0.0.1:{port}/x.ts"
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n")
    (tmp_path / "dash.mkv").write_text(f'<?xml version="1.0"?><MPD><BaseURL>{url}</BaseURL></MPD>')
    assert {issue.kind for _, issue in open_logs(tmp_path, adapter="video").refused} == {"unsupported"}
    for wrong in (url, f"concat:{url}|{url}", "/dev/video0"):
        with pytest.raises(DataError, match="expected video: ROOT"):
            video.open_logs(Path(wrong), OpenOptions())
    assert not knocks


def alias(path: Path) -> bytes:
    """A data reference box to another file: QuickTime's alias record with an absolute path (tag 2)."""
    text = str(path).encode() + b"\0" * (len(str(path)) % 2)
    name = path.name.encode()
    record = bytes(10) + b"\x01v" + bytes(26) + bytes(12) + bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16)
    record += struct.pack(">hh", 1, 1) + bytes(16) + struct.pack(">hH", 2, len(text)) + text + struct.pack(">hH", -1, 0)
    return struct.pack(">I", 12 + len(record)) + b"alis" + bytes(4) + record


def link_samples(data: bytes, to: Path) -> bytes:
    """A QuickTime file whose samples are said to lie in another; the index is at its end."""
    out = bytearray(data)
    at = data.index(b"url ", data.index(b"dref")) - 4
    box = alias(to)
    out[at : at + 12] = box
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        parent = data.index(kind, data.index(b"moov")) - 4
        (size,) = struct.unpack(">I", data[parent : parent + 4])
        out[parent : parent + 4] = struct.pack(">I", size + len(box) - 12)
    return bytes(out)


def test_links_inside_a_container_are_not_followed(tmp_path):
    """QuickTime may say that its samples lie in another file: it gives no frames then."""
    own = write_counting(tmp_path / "log" / "a.mov", "mjpeg", 0)
    secret = tmp_path / "secret.mov"
    write_video(secret, [grey(39, 64, 48)] * COUNT, codec="mjpeg")
    own.write_bytes(link_samples(own.read_bytes(), secret))
    with av.open(str(own), options={"enable_drefs": "1", "use_absolute_path": "1"}) as container:
        followed = [number_of(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert followed[1:] != pytest.approx(list(range(1, COUNT)), abs=0.6), "the link works where one asks for it"
    assert refusal(own) == "broken_file a.mov: expected video frames, found none"


def test_too_many_pixels_are_refused_on_opening_and_on_reading(tmp_path, monkeypatch):
    log = open_log(write_counting(tmp_path / "a.mp4"))
    monkeypatch.setattr(video_decoder, "MAX_IMAGE_PIXELS", 64 * 48 - 1)
    with pytest.raises(MediaError, match="expected at most 3071 pixels, found 64×48") as caught:
        log.store.read_image(log.series["camera"], 0)
    assert caught.value.issue.kind == "too_large"
    assert refusal(tmp_path / "a.mp4").startswith("too_large a.mp4: ")


def test_a_codec_that_is_not_on_the_list_is_refused(tmp_path):
    write_video(tmp_path / "a.avi", [two_tone(64, 48)] * 3, codec="flv")
    assert "unsupported a.avi: expected codec av1" in refusal(tmp_path / "a.avi")


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert "broken_file a.mp4: expected a video stream, found none" in refusal(tmp_path / "a.mp4")


def test_a_file_that_changed_is_read_anew(tmp_path):
    path = write_counting(tmp_path / "a.mp4")
    log = open_log(path)
    assert round(number_of(log.store.read_image(log.series["camera"], 9))) == 9
    write_video(path, [two_tone(64, 36)] * 20)
    assert log.store.read_image(log.series["camera"], 9).shape == (36, 64, 3)


def test_ids_depend_on_content_and_not_on_place(tmp_path):
    path = write_counting(tmp_path / "a" / "clip.mp4")
    (tmp_path / "b").mkdir()
    shutil.copy(path, tmp_path / "b" / "clip.mp4")
    write_video(tmp_path / "c" / "clip.mp4", [grey(k, 64, 96) for k in range(COUNT)])
    ids = [open_log(tmp_path / folder / "clip.mp4").log_id for folder in "abc"]
    assert ids[0] == ids[1] != ids[2] and ids[0].startswith("clip-")


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    write_counting(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DataError, match=r"sceneminer\[video\]"):
        open_logs(tmp_path)


def test_threads_may_share_a_log(tmp_path):
    log = open_log(write_counting(tmp_path / "a.mp4"))
    order = np.sort(np.random.default_rng(4).integers(0, COUNT, 400)).tolist()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: number_of(log.store.read_image(log.series["camera"], i)), order))
    assert [round(k) for k in found] == order


def read_in_child(task: tuple[bytes, int]) -> float:
    log = pickle.loads(task[0])  # noqa: S301
    return number_of(log.store.read_image(log.series["camera"], task[1]))


@pytest.mark.slow
def test_processes_have_decoders_of_their_own(tmp_path):
    log = open_log(write_counting(tmp_path / "a.mp4"))
    handle = pickle.dumps(log)
    assert round(number_of(log.store.read_image(log.series["camera"], 3))) == 3
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        found = list(pool.map(read_in_child, [(handle, i) for i in range(0, COUNT, 5)]))
    assert [round(k) for k in found] == list(range(0, COUNT, 5))
    assert round(number_of(log.store.read_image(log.series["camera"], 4))) == 4
