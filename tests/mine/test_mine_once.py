"""However clips overlap, each image goes through the tower once, and no neighbour changes a row."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from make_mined_log import START_US, content, make_log, times_us, write_noise, write_rig

from sceneminer.data.open import open_log
from sceneminer.data.options import OpenOptions
from sceneminer.index.errors import IndexFault
from sceneminer.mine import stage
from sceneminer.mine.run import mine
from sceneminer.mine.units import MiningPlan, units_of


class Counted:
    """A tower's calls, and how many images with anything in them went in."""

    def __init__(self, model):
        self.images, self.calls, self.inner = 0, 0, model.tower.encode_images
        model.tower.encode_images = self

    def __call__(self, images):
        self.calls += 1
        self.images += int((images.flatten(1) != 0).any(1).sum())
        return self.inner(images)


@pytest.mark.parametrize(
    ("stride_s", "length_s", "rates_hz"),
    [
        (1.0, 2.0, (2, 2)),
        (0.7, 2.0, (12, 12)),
        (0.5, 2.0, (12, 2)),
        (1.3, 1.7, (10, 3)),
        (2.0, 2.0, (2, 20)),
        (0.1, 0.4, (30, 7)),
    ],
)
def test_each_image_is_encoded_once(tmp_path, model, stride_s, length_s, rates_hz):
    root = tmp_path / "root"
    make_log(root, "a", {f"cam{i}": times_us(6.3, rate, first_us=7_000 * i) for i, rate in enumerate(rates_hz)})
    counted = Counted(model)
    plan = MiningPlan(round(stride_s * 1e6), round(length_s * 1e6))
    report = mine(root, tmp_path / "index", model=model, plan=plan)
    rows = content(tmp_path / "index")["clips"]
    assert len(rows) == report.clips == int((6.3 - length_s) / stride_s + 1e-9) + 1
    assert counted.images == report.images > 0
    # Clips share images unless they do not overlap at all, so a naive run would encode more.
    assert sum(row["images"] for row in rows) >= counted.images


def test_every_image_of_a_slow_camera_is_used(tmp_path, model):
    root = tmp_path / "root"
    make_log(root, "a", {"front": times_us(10, 2)})
    counted = Counted(model)
    mine(root, tmp_path / "index", model=model)
    assert counted.images == 20  # the 21st lies at the very end, where the last clip's last frame is half a second off


def test_only_the_overlap_is_encoded_again_at_a_unit_boundary(tmp_path, model):
    root = tmp_path / "root"
    make_log(root, "a", {"front": times_us(612, 0.5)}, poses=False)
    counted = Counted(model)
    report = mine(root, tmp_path / "index", model=model, plan=MiningPlan(4_000_000, 8_000_000))
    assert report.units == 2
    used = sum((r["images"] for r in content(tmp_path / "index")["clips"]), 0) // 2
    assert used < counted.images <= 306 + 2  # clips of the first unit reach 4 s, two images, into the second
    rows = content(tmp_path / "index")
    assert len(rows["clips"]) == 152
    assert [r["time_us"] for r in rows["frames"]] == list(range(START_US, START_US + 612_000_001, 100_000))


def test_memory_does_not_grow_with_the_length_of_a_log(tmp_path, model, monkeypatch):
    peaks = {}
    for seconds in (30, 150):
        root = tmp_path / f"root{seconds}"
        make_log(root, "a", {"front": times_us(seconds, 2), "rear": times_us(seconds, 2)}, size=(16, 8), poses=False)
        largest = {"features": 0, "issues": 0, "frames": 0, "patches": 0}
        forget = stage._forget

        def watched(window, largest=largest, forget=forget, **kwargs):
            sizes = {name: len(getattr(window, name)) for name in ("features", "issues", "frames")}
            sizes["patches"] = sum(f.patches is not None for f in window.features.values())
            for name, size in sizes.items():
                largest[name] = max(largest[name], size)
            forget(window, **kwargs)

        monkeypatch.setattr(stage, "_forget", watched)
        mine(root, tmp_path / f"index{seconds}", model=model)
        monkeypatch.undo()
        peaks[seconds] = largest
    assert peaks[150] == peaks[30]
    assert peaks[150]["features"] <= 2 * (stage.GROUP_FRAMES + 8)


def test_units_tile_a_log_and_their_ids_are_a_function_of_what_is_mined(tmp_path):
    for place in ("here", "there"):
        make_log(tmp_path / place, "a", {"front": times_us(1810, 0.5)}, size=(8, 8), poses=False)
    first, second = (units_of(open_log(tmp_path / p), MiningPlan(), stream_fingerprint="s") for p in ("here", "there"))
    assert [u.unit_id for u in first] == [u.unit_id for u in second]
    assert len({u.unit_id for u in first}) == len(first) == 4
    assert sum((u.clips for u in first), ()) == tuple(
        sorted({c for u in first for c in u.clips}, key=lambda c: c.start_us)
    )
    assert all(a.end_us == b.start_us for a, b in pairwise(first))
    assert all(u.clips[-1].start_us - u.clips[0].start_us < 600_000_000 for u in first)


def test_a_log_that_grew_is_said_and_replaced_on_request_never_doubled_or_left_short(tmp_path, model):
    root, index = tmp_path / "root", tmp_path / "index"
    log = make_log(root, "a", {"front": times_us(4, 2)}, poses=False)
    mine(root, index, model=model)
    before = [row["clip_id"] for row in content(index)["clips"]]
    for time in times_us(8, 2)[9:]:
        write_noise(log / "front" / f"{time}.jpg", seed=time % 1000)
    with pytest.raises(IndexFault, match="--retry-quarantined"):
        mine(root, index, model=model)
    assert [row["clip_id"] for row in content(index)["clips"]] == before
    assert mine(root, index, model=model, retry_quarantined=True).exit_code == 0
    after = [row["clip_id"] for row in content(index)["clips"]]
    assert len(before) == 3 and len(after) == 7 and after[:3] == before
    mine(root, tmp_path / "afresh", model=model)
    assert content(index) == content(tmp_path / "afresh")


def test_neighbours_do_not_change_a_row(tmp_path, model):
    """Alone, together, and into one index in either order, with cameras of several shapes: the same bits."""
    root = tmp_path / "root"
    make_log(root, "a", {"front": times_us(5, 12), "rear": times_us(5, 2)})
    make_log(root, "bb", {"front": times_us(3.3, 5)}, size=(24, 40))
    make_log(root, "ccc", {"front": times_us(2.6, 2), "rear": times_us(4, 3)}, size=(60, 24))
    write_rig(root, ["front", "rear"])
    together = tmp_path / "together"
    mine(root, together, model=model)
    for order in (("a", "bb", "ccc"), ("ccc", "a", "bb")):
        out = tmp_path / "-".join(order)
        for name in order:
            mine(root, out, model=model, options=OpenOptions(logs=(name,)), workers=1 + len(name))
        assert content(out) == content(together)


def test_a_camera_that_ends_early_and_a_gap_leave_the_rest_alone(tmp_path, model):
    root = tmp_path / "root"
    late = [START_US + 9_000_000, START_US + 9_400_000, START_US + 12_000_000]
    make_log(root, "a", {"front": times_us(4, 2) + late, "rear": times_us(1.5, 2)}, poses=False)
    report = mine(root, tmp_path / "index", model=model)
    rows = {row["start_us"] - START_US: row for row in content(tmp_path / "index")["clips"]}
    assert rows[0]["cameras"] == 2 and rows[3_000_000]["cameras"] == 1
    assert 5_000_000 not in rows and report.clips_quarantined == 11 - len(rows) > 0
    assert report.exit_code == 3


@pytest.mark.parametrize(
    ("at", "clips"),
    [([0], 1), ([0, 700_000], 1), ([0, 3, 900_000, 3_100_000], 2), ([0, 500_000, 1_000_000, 1_500_000, 2_000_000], 1)],
)
def test_short_and_irregular_logs(tmp_path, model, at, clips):
    root = tmp_path / "root"
    make_log(root, "a", {"front": [START_US + t for t in at]})
    write_rig(root, ["front"])
    assert mine(root, tmp_path / "index", model=model).clips == clips
    rows = content(tmp_path / "index")["clips"]
    assert all(START_US <= r["start_us"] <= r["end_us"] <= START_US + at[-1] for r in rows)
    assert all(np.isfinite([float.fromhex(r["tag_rain"])]).all() for r in rows)


def test_a_log_over_days_is_refused_by_name(tmp_path, model):
    root = tmp_path / "root"
    make_log(root, "a", {"front": times_us(3, 2)})
    make_log(root, "bad", {"front": [START_US, START_US + 10**15]}, poses=False)
    report = mine(root, tmp_path / "index", model=model)
    assert report.exit_code == 3 and report.clips == 2
    assert [(name, issue.kind) for name, issue in report.logs_refused] == [("bad", "odd_time")]


@pytest.mark.slow
def test_bits_do_not_depend_on_threads_or_workers(tmp_path, model):
    root = tmp_path / "root"
    make_log(root, "a", {"front": times_us(3, 12), "rear": times_us(3, 2)})
    threads = torch.get_num_threads()
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            mine(root, tmp_path / f"index{n}", model=model, workers=3 * n)
    finally:
        torch.set_num_threads(threads)
    assert content(tmp_path / "index1") == content(tmp_path / "index2")
