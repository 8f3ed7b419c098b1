"""The cache of joined nuScenes tables: made once, remade when it must be, safe among processes."""

import subprocess
import sys
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
