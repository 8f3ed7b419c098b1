"""Indices mined once from small trees with a random tower."""

import json
from pathlib import Path

import pytest
from argoverse2_tree import make_argoverse2_tree
from folder_tree import RIG, make_folder_tree, make_frames_tree
from hostile_words import HOSTILE_NAME, HOSTILE_WORDS
from nuscenes_tree import make_nuscenes_tree, nuscenes_tables, write_tables

from sceneminer.data.options import OpenOptions
from sceneminer.index.search import Index, open_index
from sceneminer.mine.run import mine
from sceneminer.model.example import make_clip_folder


@pytest.fixture(scope="session")
def tower(tmp_path_factory) -> Path:
    return make_clip_folder(tmp_path_factory.mktemp("tower") / "clip")


@pytest.fixture(scope="session")
def town_index(tmp_path_factory, tower) -> Index:
    """Two nuScenes scenes: the first with a car ahead, a walker and a map; the second without agents."""
    folder = tmp_path_factory.mktemp("town")
    mine(make_nuscenes_tree(folder), folder / "index", model=tower)
    return open_index(folder / "index")


@pytest.fixture(scope="session")
def hostile_index(tmp_path_factory, tower) -> Index:
    """The same with names and descriptions that try to be markup, and one broken image."""
    folder = tmp_path_factory.mktemp("hostile")
    root = make_nuscenes_tree(folder)
    tables = nuscenes_tables()
    tables["scene"][0] |= {"name": HOSTILE_NAME, "description": HOSTILE_WORDS}
    write_tables(root, tables)
    sorted(root.rglob("CAM_FRONT/*.jpg"))[0].write_bytes(b"no image")
    mine(root, folder / "index", model=tower)
    return open_index(folder / "index")


@pytest.fixture(scope="session")
def bare_index(tmp_path_factory, tower) -> Index:
    """Frames of one camera without calibration, poses, tracks or map."""
    folder = tmp_path_factory.mktemp("bare")
    mine(make_frames_tree(folder), folder / "index", model=tower, options=OpenOptions(fps=4.0))
    return open_index(folder / "index")


@pytest.fixture(scope="session")
def fisheye_index(tmp_path_factory, tower) -> Index:
    """A log with poses, a pinhole whose name is no path part, and a fisheye."""
    folder = tmp_path_factory.mktemp("fisheye")
    root = make_folder_tree(folder)
    odd = "fr ont:<b>"
    (root / "monday" / "front").rename(root / "monday" / odd)
    (root / "rig.json").write_text(json.dumps({"sensors": RIG["sensors"] | {odd: RIG["sensors"]["front"]}}))
    mine(root, folder / "index", model=tower, options=OpenOptions(logs=("monday",)))
    return open_index(folder / "index")


@pytest.fixture(scope="session")
def blind_index(tmp_path_factory, tower) -> Index:
    """Argoverse 2 logs, of which one has tracks, poses and a map, but no camera."""
    folder = tmp_path_factory.mktemp("blind")
    mine(make_argoverse2_tree(folder), folder / "index", model=tower)
    return open_index(folder / "index")
