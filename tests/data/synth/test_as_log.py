"""A Drive in memory says what the written folder would: who is where, when, on which map."""

import json

import numpy as np
import pytest
from small_street import NIGHT, make_actor, make_drive, make_town

from sceneminer.data.adapters.nuscenes_map import read_expansion
from sceneminer.data.clip import clips_of
from sceneminer.data.errors import MediaError
from sceneminer.data.hdmap import AREA_LAYERS, LINE_LAYERS
from sceneminer.data.log import LogStore, Series
from sceneminer.data.synth.as_log import hdmap_of, log_of
from sceneminer.data.synth.layout import build_town
from sceneminer.data.synth.map_expansion import map_expansion, map_offset
from sceneminer.data.synth.scene import ego_at
from sceneminer.data.track import states_at

NOWHERE = Series("CAM_FRONT", "camera", np.zeros(0, np.int64), (), np.zeros(0, bool), (), np.zeros(0, np.int16))


def test_poses_and_boxes_are_where_the_drive_has_them():
    drive = make_drive(make_town())
    log = log_of(drive)
    times = np.array([log.start_us, 1_234_000, log.end_us])
    poses = log.poses_at(times)[0]
    for pose, time in zip(poses, times, strict=True):
        assert pose[:2, 3] == pytest.approx(ego_at(drive, time / 1e6)[:2], abs=1e-6)
    tracks = {track.track_id: track for track in log.store.read_tracks()}
    assert set(tracks) == {"11", "12", "13"}
    assert [tracks[k].category for k in ("11", "12", "13")] == ["car", "truck", "pedestrian"]
    assert tracks["12"].attributes[0] == {"vehicle.moving"} and tracks["11"].attributes[0] == {"vehicle.stopped"}
    truck = states_at((tracks["12"],), np.array([2_050_000]))
    assert truck.x_m[0, 0] == pytest.approx(6.0 - 8.0 * 2.05, abs=1e-6)
    assert truck.vx_mps[0, 0] == pytest.approx(-8.0, abs=1e-6)
    assert len(clips_of(log)) == 3 and isinstance(log.store, LogStore)


def test_whoever_is_behind_a_house_or_far_away_is_not_annotated():
    hidden = make_actor(21, "vehicle.car", (28.0, 16.0, 0.0, 0.0))
    beside = make_actor(22, "vehicle.car", (-20.0, 12.0, 0.0, 0.0))
    far = make_actor(23, "vehicle.car", (150.0, 0.0, 0.0, 0.0))
    log = log_of(make_drive(make_town(), actors=(hidden, beside, far)))
    tracks = {track.track_id: track for track in log.store.read_tracks()}
    assert set(tracks) == {"21", "22"}
    assert len(tracks["21"].times_us) < len(tracks["22"].times_us)  # seen past the house's corner at times


def test_the_map_is_the_map_expansions(tmp_path):
    town = build_town("train", 1)
    path = tmp_path / "town.json"
    path.write_text(json.dumps(map_expansion(town)))
    written, ours = read_expansion(path, "town.json"), hdmap_of(town)
    assert set(ours.areas) == set(AREA_LAYERS) == set(written.areas)
    assert set(ours.lines) == set(LINE_LAYERS) == set(written.lines)
    for layer in AREA_LAYERS:
        assert sum(a.area for a in ours.areas[layer]) == pytest.approx(sum(a.area for a in written.areas[layer]), 1e-3)
    for layer in LINE_LAYERS:
        mine, theirs = (sum(line.length for line in each.lines[layer]) for each in (ours, written))
        assert mine == pytest.approx(theirs, 1e-3)
    assert len(ours.lanes) == len(written.lanes)
    shift = np.array(map_offset(town))
    mine = np.array([lane.centerline[0] + shift for lane in ours.lanes])
    theirs = np.array([lane.centerline[0] for lane in written.lanes])
    assert np.max([np.min(np.hypot(*(theirs - at).T)) for at in mine]) < 0.02


def test_there_is_nothing_to_look_at_and_the_same_drive_is_told_the_same_way():
    log, again = (log_of(make_drive(make_town(), NIGHT)) for _ in range(2))
    assert log.description == again.description and log.cameras() == ()
    with pytest.raises(MediaError, match="expected a written log"):
        log.store.read_image(NOWHERE, 0)
