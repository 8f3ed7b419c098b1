"""Rerun recordings, read back with Rerun's own reader: images, boxes, poses, map and risk are those of the log."""

import json
import subprocess
import sys
from pathlib import Path
from string import ascii_letters

import numpy as np
import pytest
from make_selection import make_selection

from sceneminer.export.reopen import open_indexed_log
from sceneminer.export.rerun import export_rerun
from sceneminer.index.errors import IndexFault
from sceneminer.index.selection import Selected, write_selection

pytest.importorskip("rerun", reason="the extra rerun is not installed")


def read_rrd(path: Path) -> dict[str, list[dict]]:
    """Rows by entity path, each with what was logged at one time."""
    from rerun.chunk import RrdReader

    found: dict[str, list[dict]] = {}
    for chunk in RrdReader(path).stream().to_chunks():
        found.setdefault(chunk.entity_path, []).extend(chunk.to_record_batch().to_pylist())
    return found


def us_of(row: dict) -> int:
    return round(np.datetime64(row["time"], "us").astype(np.int64))


@pytest.fixture(scope="module")
def exported(town_index, tmp_path_factory):
    selection = make_selection(town_index)
    report = export_rerun(town_index, selection, tmp_path_factory.mktemp("rerun") / "out")
    assert report.left_out == ()
    return selection, report


def test_a_recording_an_interval_with_a_layout(exported):
    from rerun.chunk import RrdReader

    selection, report = exported
    files = sorted(report.path.glob("*.rrd"))
    assert [path.name for path in files] == ["0000-scene-0001+0000000.rrd", "0001-scene-0002+0000000.rrd"]
    assert report.items == 2 and report.files == 4 == len(list(report.path.iterdir()))
    assert all(len(RrdReader(path).recordings()) == len(RrdReader(path).blueprints()) == 1 for path in files)
    origin = json.loads((report.path / "origin.json").read_text())
    assert origin["selection"] == selection.content and len(origin["logs"]) == 2


def test_images_are_the_files_and_boxes_and_poses_the_logs(exported, town_index):
    selection, report = exported
    item = selection.items[0]
    rows = read_rrd(report.path / "0000-scene-0001+0000000.rrd")
    log = open_indexed_log(town_index, item.log_id)
    for camera in log.cameras():
        series = log.series[camera].between(item.start_us, item.end_us + 1)
        images = [row for row in rows[f"/world/ego/{camera}"] if "EncodedImage:blob" in row]
        assert [us_of(row) for row in images] == series.times_us.tolist()
        for row, name in zip(images, series.files, strict=True):
            assert bytes(row["EncodedImage:blob"][0]) == (log.store.media.folder / name).read_bytes()
    lens = next(row for row in rows["/world/ego/CAM_FRONT"] if "Pinhole:image_from_camera" in row)
    camera = log.rig.sensors["CAM_FRONT"].camera
    assert np.reshape(lens["Pinhole:image_from_camera"][0], (3, 3))[2] == pytest.approx(
        [camera.cx + 0.5, camera.cy + 0.5, 1.0]
    )
    for row in rows["/world/ego"]:
        pose = log.poses_at(np.array([us_of(row)]))[0][0]
        assert row["Transform3D:translation"][0] == pytest.approx(pose[:3, 3], abs=1e-4)
    tracks = {track.track_id: track for track in log.store.read_tracks()}
    assert sum(len(row["track_id"]) for row in rows["/world/agents"]) == sum(len(t.times_us) for t in tracks.values())
    for row in rows["/world/agents"]:
        for k, track_id in enumerate(row["track_id"]):
            track = tracks[track_id]
            at = int(np.flatnonzero(track.times_us == us_of(row))[0])
            assert row["Boxes3D:centers"][k] == pytest.approx(track.world_from_box[at, :3, 3], abs=1e-4)
            assert row["Boxes3D:half_sizes"][k] == pytest.approx(track.size_lwh_m[at] / 2, abs=1e-5)
            assert row["category"][k] == track.category
    clouds = [row["Points3D:positions"] for row in rows["/world/ego/LIDAR_TOP"] if "Points3D:positions" in row]
    points = log.store.read_points(log.series["LIDAR_TOP"], 0)
    assert len(clouds) == len(log.series["LIDAR_TOP"].between(item.start_us, item.end_us + 1))
    assert np.array(clouds[0]) == pytest.approx(points.xyz_m, abs=1e-5)
    assert "/world/map/lane" in rows


def test_the_risk_curve_is_the_index_s(exported, town_index):
    selection, report = exported
    item = selection.items[0]
    rows = read_rrd(report.path / "0000-scene-0001+0000000.rrd")
    frames = town_index.store.read("frames", where=f"log_id = '{item.log_id}'").to_pylist()
    known = {f["time_us"]: f["risk_tracks"] for f in frames if item.start_us <= f["time_us"] <= item.end_us}
    curve = {us_of(row): row["Scalars:scalars"][0] for row in rows["/risk/tracks"]}
    assert curve == pytest.approx(known) and max(curve.values()) > 0.05
    said = rows["/about"][0]["TextDocument:text"][0]
    assert "risk 0.12 from tracks: pedestrian" in said and "licence not stated" in said
    assert rows["/why"][0]["TextLog:text"][0].startswith("score 0.75")


def test_names_of_others_are_neither_paths_nor_markup(hostile_index, tmp_path):
    gone = Selected("x", "../../x", "../../x", 0, 1, None)
    report = export_rerun(hostile_index, make_selection(hostile_index, extra=(gone,)), tmp_path / "deep" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert all(set(path.name) <= {*ascii_letters, *"0123456789+-._"} for path in report.path.iterdir())
    said = [what for what, _ in report.left_out]
    assert "x" in said and sum(".jpg" in what for what in said) == 1
    about = [read_rrd(path)["/about"][0] for path in report.path.glob("*.rrd")]
    assert {row["TextDocument:media_type"][0] for row in about} == {"text/plain"}


def test_bare_frames_and_blind_logs_export_what_they_have(bare_index, blind_index, tmp_path):
    report = export_rerun(bare_index, make_selection(bare_index, items=1), tmp_path / "bare")
    rows = read_rrd(next(report.path.glob("*.rrd")))
    assert "/world/ego" not in rows and len(rows["/world/ego/camera"]) > 0
    blind = export_rerun(blind_index, make_selection(blind_index, items=2), tmp_path / "blind")
    assert blind.items == 2


def test_a_fisheye_has_images_without_a_lens_and_is_named(fisheye_index, tmp_path):
    report = export_rerun(fisheye_index, make_selection(fisheye_index), tmp_path / "out")
    rows = read_rrd(next(report.path.glob("*.rrd")))
    odd = next(path for path in rows if path.startswith("/world/ego/fr"))
    assert odd.count("/") == 3 and any("Pinhole:image_from_camera" in row for row in rows[odd])
    assert [what.split()[-1] for what, why in report.left_out if "fisheye" in why] == ["rear"]
    assert not any("Pinhole:image_from_camera" in row for row in rows["/world/ego/rear"])
    assert any("EncodedImage:blob" in row for row in rows["/world/ego/rear"])


def test_nothing_is_overwritten(town_index, tmp_path):
    with pytest.raises(IndexFault, match="already"):
        export_rerun(town_index, make_selection(town_index), tmp_path)


def test_a_disk_that_is_full_is_said_and_leaves_nothing(town_index, tmp_path):
    """In a process of its own, whose files may not grow; Rerun writes in a thread, which only logs what fails."""
    code = """
import resource, sys
from pathlib import Path
from sceneminer.export.rerun import export_rerun
from sceneminer.index.errors import IndexFault
from sceneminer.index.search import open_index
from sceneminer.index.selection import read_selection
index, selection = open_index(Path(sys.argv[1])), read_selection(Path(sys.argv[2]))
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
try:
    export_rerun(index, selection, Path(sys.argv[3]))
except IndexFault as error:
    print("refused", error)
"""
    write_selection(make_selection(town_index), tmp_path / "s.json")
    told = [str(path) for path in (town_index.folder, tmp_path / "s.json", tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *told], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "refused expected to write to" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]
