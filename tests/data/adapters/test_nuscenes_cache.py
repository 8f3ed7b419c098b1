"""The cache of joined nuScenes tables: made once, remade when it must be, safe among processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nuscenes_tree import make_nuscenes_tree, nuscenes_tables, write_tables

from sceneminer.data.errors import DataError
from sceneminer.data.open import open_log, open_logs


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SCENEMINER_CACHE", str(folder))
    return folder


@pytest.fixture
def root(tmp_path) -> Path:
    return make_nuscenes_tree(tmp_path)


def test_tables_are_parsed_once(root, monkeypatch):
    first = open_log(root, "scene-0001")

    def refuse(*_args):
        raise AssertionError("the tables were parsed again")

    monkeypatch.setattr("sceneminer.data.adapters.nuscenes_tables.read_table", refuse)
    again = open_log(root, "scene-0001")
    assert again.series["CAM_FRONT"].files == first.series["CAM_FRONT"].files
    assert len(again.store.read_tracks()) == 2


def test_a_changed_table_is_read_again(root):
    assert open_log(root, "scene-0001").description == "Straight on, 0 cones"
    tables = nuscenes_tables()
    tables["scene"][0]["description"] = "Something else entirely"
    write_tables(root, tables)
    assert open_log(root, "scene-0001").description == "Something else entirely"


def test_a_damaged_cache_is_made_again(root, cache):
    open_logs(root)
    code = f"from sceneminer.data.open import open_logs; print(len(open_logs({str(root)!r}).logs))"
    for path in cache.rglob("*.arrow"):
        path.write_bytes(path.read_bytes()[:20])
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "2"


def test_processes_that_race_for_the_cache_all_win(root, cache):
    code = f"from sceneminer.data.open import open_logs; print([l.log_id for l in open_logs({str(root)!r}).logs])"
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {run.communicate()[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0] and len(said) == 1
    assert len(list((cache / "nuscenes").iterdir())) == 1, "half-written caches were left behind"


def test_a_cache_that_cannot_be_written_is_named(root, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCENEMINER_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="SCENEMINER_CACHE"):
        open_logs(root)


def test_a_table_that_changed_within_its_size_and_time_is_read_again(root):
    assert open_log(root, "scene-0001").description == "Straight on, 0 cones"
    path = root / "v1.0-mini" / "scene.json"
    before = path.stat()
    path.write_text(path.read_text().replace("Straight on, 0 cones", "Straight on, 7 cones"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert open_log(root, "scene-0001").description == "Straight on, 7 cones"


def test_a_damaged_road_mask_is_made_again(root, cache):
    log = open_log(root, "scene-0001")
    pose = log.world_from_ego[0]
    mask = log.store.read_basemap(pose)
    assert mask.any()
    (path,) = cache.rglob("*.npy")
    for keep in (0, 20, path.stat().st_size // 2):
        path.write_bytes(path.read_bytes()[:keep])
        assert (log.store.read_basemap(pose) == mask).all()


def test_an_entry_of_another_user_is_refused(root, cache, monkeypatch):
    open_logs(root)
    (entry,) = (cache / "nuscenes").iterdir()
    owner = entry.stat().st_uid
    monkeypatch.setattr("sceneminer.data.adapters.nuscenes_cache._user", lambda: owner)
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(DataError, match="another user"):
        open_logs(root)


def test_two_users_have_entries_of_their_own(root, cache, monkeypatch):
    open_logs(root)
    monkeypatch.setattr("sceneminer.data.adapters.nuscenes_cache._user", lambda: 12345)
    assert len(open_logs(root).logs) == 2
    assert len(list((cache / "nuscenes").iterdir())) == 2


def test_a_writer_that_is_killed_leaves_nothing_that_is_read(root, cache):
    code = (
        "import os, signal\nfrom pathlib import Path\nfrom sceneminer.data.adapters import nuscenes_cache as c\n"
        "from sceneminer.data.open import open_logs\n"
        "rename = Path.rename\n"
        "Path.rename = lambda self, to: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"open_logs({str(root)!r})"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    (left,) = (cache / "nuscenes").iterdir()
    assert len(open_logs(root).logs) == 2
    os.utime(left, (time.time() - 1e6,) * 2)
    write_tables(root, nuscenes_tables())
    open_logs(root)
    assert not left.exists(), "what a killed process left behind is swept after a day"


def test_a_full_disk_is_said(root, monkeypatch):
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        open_logs(root)
