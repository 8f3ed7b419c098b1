"""What is known from tracks alone, where boxes do not lie on the 10 Hz clock on which relations are told."""

from nuscenes_tree import make_nuscenes_tree, nuscenes_tables, write_tables

from sceneminer.data.open import open_log
from sceneminer.mine.tracks import track_signals
from sceneminer.mine.units import MiningPlan, units_of


def test_relations_are_told_from_an_agents_first_box_to_its_last(tmp_path):
    root, tables = make_nuscenes_tree(tmp_path), nuscenes_tables()
    for k, sample in enumerate(tables["sample"]):
        sample["timestamp"] += (25_000, -31_000)[k % 2]
    write_tables(root, tables)
    log = open_log(root, "scene-0001")
    (unit,) = units_of(log, MiningPlan(), stream_fingerprint="")
    agents = track_signals(unit).agents
    off = (log.reference_times_us - log.start_us) % 100_000
    assert off.all(), "boxes lie beside the clock"
    assert agents.num_rows == sum(len(track.times_us) for track in log.store.read_tracks())
    for name in ("leading", "crossing_in_front", "acceleration_mps2", "turn_rad"):
        assert agents[name].null_count == 0, name
