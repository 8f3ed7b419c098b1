"""Killed at any instant and started again, the index ends as if nothing had happened, row for row and bit for bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from make_mined_log import content, make_log, make_model, quarantine_text, times_us, write_rig
from nuscenes_tree import make_nuscenes_tree

from sceneminer.index.store import Store
from sceneminer.mine import run
from sceneminer.mine.run import mine


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> tuple[Path, Path]:
    """Folder logs, one with a broken image and one with nothing else, and a nuScenes tree with tracks and damage."""
    folder = tmp_path_factory.mktemp("killed")
    drives = folder / "drives"
    make_log(drives, "a", {"front": times_us(4, 2), "rear": times_us(4, 2)})
    damaged = make_log(drives, "damaged", {"front": times_us(3, 2)})
    sorted((damaged / "front").iterdir())[3].write_bytes(b"")
    for path in (make_log(drives, "hopeless", {"front": times_us(2.5, 2)}) / "front").iterdir():
        path.write_text("not an image")
    write_rig(drives, ["front", "rear"])
    nuscenes = make_nuscenes_tree(folder)
    sorted((nuscenes / "samples" / "CAM_FRONT").iterdir())[2].unlink()
    return drives, nuscenes


@pytest.mark.slow
def test_killed_at_any_write_and_continued_it_equals_an_uninterrupted_run(tmp_path, tower_folder, roots):
    script = Path(__file__).parent / "killed_run.py"
    every = os.environ.get("SCENEMINER_KILL_EVERY", "7")
    subprocess.run([sys.executable, script, tower_folder, *roots, tmp_path, every], check=True, timeout=900)
    whole, lines = content(tmp_path / "whole"), quarantine_text(tmp_path / "whole")
    writes = (tmp_path / "writes.txt").read_text().split()
    assert {"append", "upsert", "merge_columns", "set_manifest", "compact", "_write", "create_table"} <= set(writes)
    assert whole["agents"] and whole["empty_units"] and len(whole["clips"]) > 4 and lines.count("\n") > 5
    runs = [path for path in tmp_path.iterdir() if path.is_dir() and path.name != "whole"]
    assert len(runs) == 4 + -(-len(writes) // int(every))
    for index in runs:
        assert content(index) == whole, index.name
        assert quarantine_text(index) == lines, index.name


@pytest.mark.parametrize("commit_clips", [1, 1000])
def test_interrupted_it_keeps_what_is_done_and_continues(tmp_path, model, roots, monkeypatch, commit_clips):
    monkeypatch.setattr(run, "COMMIT_CLIPS", commit_clips)
    mine(roots[0], tmp_path / "whole", model=model)

    def interrupt(where):
        if where.log == "damaged":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine(roots[0], tmp_path / "index", model=model, on_progress=interrupt)
    assert len(Store.open(tmp_path / "index").committed_units()) == 1
    report = mine(roots[0], tmp_path / "index", model=model)
    assert report.units_already == 1 and report.exit_code == 3
    assert content(tmp_path / "index") == content(tmp_path / "whole")


@pytest.mark.parametrize("table", ["tokens", "frames", "empty_units", "clips"])
def test_an_interrupt_within_a_commit_writes_no_row_twice(tmp_path, model, roots, monkeypatch, table):
    """The signal arrives when a table has been written but the call has not returned."""
    mine(roots[0], tmp_path / "whole", model=model)
    append = Store.append

    def interrupted(self, name, rows):
        append(self, name, rows)
        if name == table:
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "append", interrupted)
    monkeypatch.setattr(run, "COMMIT_CLIPS", 1)
    with pytest.raises(KeyboardInterrupt):
        mine(roots[0], tmp_path / "index", model=model)
    monkeypatch.undo()
    rows = content(tmp_path / "index")
    assert len({r["clip_id"] for r in rows["clips"]}) == len(rows["clips"])
    mine(roots[0], tmp_path / "index", model=model)
    assert content(tmp_path / "index") == content(tmp_path / "whole")


def test_killed_while_retrying_it_loses_nothing(tmp_path, model, roots, monkeypatch):
    index = tmp_path / "index"
    mine(roots[0], index, model=model)
    whole, lines = content(index), quarantine_text(index)
    monkeypatch.setattr(Store, "drop_uncommitted", lambda self, units: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        mine(roots[0], index, model=model, retry_quarantined=True)
    monkeypatch.undo()
    assert len(content(index)["clips"]) < len(whole["clips"])
    mine(roots[0], index, model=model)
    assert content(index) == whole and quarantine_text(index) == lines


@pytest.fixture
def heard_interrupts():
    """A shell's background jobs ignore ctrl-c, and so would what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard_interrupts")
def test_ctrl_c_ends_with_130_and_the_same_command_continues(tmp_path, tower_folder):
    root, index = tmp_path / "root", tmp_path / "index"
    for name in "abcdefgh":
        make_log(root, name * 3, {"front": times_us(10, 4)}, poses=False)
    command = [sys.executable, "-m", "sceneminer", "mine", root, "--out", index, "--model", tower_folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while not (index / "logs.lance" / "_transactions").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.splitlines(keepends=True)[-1:] == ["interrupted; run the same command again to continue\n"], said
    assert subprocess.run(command, capture_output=True, env=environment).returncode == 0
    clips = content(index)["clips"]
    assert len(clips) == 8 * 9 == len({row["clip_id"] for row in clips})


def test_progress_moves_clip_by_clip(tmp_path, tower_folder):
    root = tmp_path / "root"
    make_log(root, "a", {"front": times_us(4, 2)})
    make_log(root, "b", {"front": times_us(3, 2)})
    seen = []
    mine(root, tmp_path / "index", model=make_model(tower_folder), on_progress=seen.append)
    assert [p.clips_done for p in seen] == [1, 2, 3, 3, 4, 5, 5]
    assert {p.clips_total for p in seen} == {5} and [p.log for p in seen] == ["a"] * 4 + ["b"] * 3
