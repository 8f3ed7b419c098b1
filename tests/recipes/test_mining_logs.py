"""Windows of logs in nuScenes' own format: what the recipe for the real set learns from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nuscenes_tree import make_nuscenes_tree

from sceneminer.data.errors import DataError
from sceneminer.data.options import OpenOptions
from sceneminer.data.synth.write import write_dataset
from sceneminer.index.search import open_index
from sceneminer.mine.run import mine
from sceneminer.model.fingerprint import stream_fingerprint
from sceneminer.recipes.mining import debug, open_model, train_stream
from sceneminer.recipes.mining_data import CAMERAS
from sceneminer.recipes.mining_features import encode_windows, read_window, tower_key
from sceneminer.recipes.mining_logs import NUSCENES_VAL, LogPlan, write_log_windows
from sceneminer.recipes.mining_set import clips_of_windows, window_views
from sceneminer.recipes.mining_streams import window_streams
from sceneminer.recipes.mining_text import clip_facts_of


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One log of 9.5 s, whose cameras fire at their own times."""
    folder = tmp_path_factory.mktemp("logs") / "town"
    return write_dataset(
        folder, logs=1, split="train", seed=5, duration_s=9.5, size_hw=(64, 112), sensors=CAMERAS, workers=1
    )


@pytest.fixture(scope="module")
def made(root: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("windows")
    recipe = debug(folder)
    # An index keeps 32 tokens of width 256 and no others.
    recipe = replace(recipe, tower_mode="fp32", config=replace(recipe.config, token_count=32, token_width=256))
    model = open_model(recipe)
    paths = write_log_windows(root, folder / "train", LogPlan(), model.tower, say=lambda line: None)
    list(encode_windows(paths, model.tower))
    return recipe, model, [read_window(path, tower_key(model.tower)) for path in paths]


@pytest.mark.slow
def test_every_image_has_its_own_calibration_and_words_are_the_logs(made):
    _, model, windows = made
    views = window_views(windows[0], model.config)
    assert len(views.points) == 10
    assert not np.array_equal(views.points[0].uv, views.points[1].uv), "cameras fire at their own times"
    facts = clip_facts_of(windows, clips_of_windows(windows))
    assert len(set(facts)) == 1, "clips of one log are described alike"


@pytest.mark.slow
def test_a_windows_stream_is_what_mining_makes_of_the_clip(made, root: Path, tmp_path: Path):
    _, model, windows = made
    mine(root, tmp_path / "index", model=model, options=OpenOptions())
    rows = open_index(tmp_path / "index").store.read("tokens").to_pylist()
    first = min(rows, key=lambda row: row["clip_id"])
    mined = torch.tensor(np.array(first["tokens"], np.float16).reshape(-1, model.config.token_width)).float()
    stream = window_streams(model, windows[0])
    assert torch.allclose(stream.tokens[0].float(), mined, atol=0.05)
    assert not torch.allclose(stream.tokens[3].float(), mined, atol=0.05)


@pytest.mark.slow
def test_stage_one_learns_from_them(made, tmp_path: Path):
    recipe, _, windows = made
    model = open_model(recipe)
    before = stream_fingerprint(model)
    train_stream(recipe, model, windows, tmp_path)
    assert stream_fingerprint(model) != before


def test_logs_that_cannot_be_used_are_named(tmp_path: Path):
    recipe = debug(tmp_path)
    model, said = open_model(recipe), []
    with pytest.raises(DataError, match="expected a log to learn from"):
        write_log_windows(make_nuscenes_tree(tmp_path), tmp_path / "w", LogPlan(), model.tower, say=said.append)
    assert len(said) == 2
    assert all("scene-000" in line for line in said)


def test_the_official_validation_scenes():
    """Some that are in it and some that are not (nuscenes-devkit 1.2.0)."""
    assert len(NUSCENES_VAL) == 150
    assert {"scene-0003", "scene-0103", "scene-0916", "scene-1073"} <= NUSCENES_VAL
    assert not {"scene-0061", "scene-0001", "scene-0655", "scene-0757"} & NUSCENES_VAL
