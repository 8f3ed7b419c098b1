"""The mining recipe in the small: what its two stages learn from, that they resume, and that stage 2 moves nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sceneminer.data.errors import DataError
from sceneminer.model.fingerprint import head_fingerprint, stream_fingerprint
from sceneminer.model.scene_model import SceneModel
from sceneminer.recipes.mining import (
    debug,
    load_heads,
    load_stream,
    open_model,
    ship,
    train_forecast,
    train_stream,
    windows_of,
)
from sceneminer.recipes.mining_features import tower_key
from sceneminer.recipes.mining_forecast import Physics, cell_truth, ego_truth, physics_of, risk_of_belief
from sceneminer.recipes.mining_set import agents_of, clips_of_windows, lift_batch, read_batch, town_views
from sceneminer.recipes.mining_streams import window_streams

SIZE_HW = (32, 56)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, make_windows) -> Path:
    """Two windows of one drive each."""
    folder = tmp_path_factory.mktemp("mining")
    make_windows(debug(folder), folder)
    return folder


@pytest.fixture(scope="module")
def windows(town: Path):
    return windows_of(debug(town), town, "train", tower_key(open_model(debug(town)).tower))


def test_windows_hold_what_is_true_of_them(windows):
    window = windows[0]
    assert window.clips == 7
    states, poses = window.tensors["agents"], window.tensors["world_from_ego"]
    agents = agents_of(windows, clips_of_windows(windows)[:1])
    row = int(agents.row[0, 0])
    x, y = (states[row, 15, :2] - poses[3, :2, 3]) @ poses[3, :2, :2]
    assert np.allclose([x, y], agents.state[0, 0, :2].numpy(), atol=1e-3)
    later = (states[row, 55, :2] - poses[3, :2, 3]) @ poses[3, :2, :2]
    assert np.allclose(later, agents.future[0, 0, -1].numpy(), atol=1e-3, equal_nan=True)
    distance = agents.state[0, :, :2].norm(dim=-1)[agents.there[0]]
    assert (distance <= 52).all()


def test_missing_features_are_named(town: Path):
    with pytest.raises(DataError, match="features of tower 0123"):
        windows_of(debug(town), town, "train", "0123")


def test_frames_in_step_are_lifted_together_as_one_by_one(town: Path, windows):
    model = open_model(debug(town))
    (points,) = town_views(model.config, SIZE_HW).points
    patches = read_batch(windows, clips_of_windows(windows)[:1], model.config).patches[0].float()
    alone = model.lift_frames(patches, torch.ones(4, 6, dtype=torch.bool), [points] * 4)
    assert torch.allclose(lift_batch(model.lift, patches, points), alone, atol=1e-5)


def test_both_stages_run_resume_and_move_nothing_that_is_frozen(town: Path, windows, tmp_path: Path):
    recipe = debug(town)
    whole, halves = open_model(recipe), open_model(recipe)
    train_stream(recipe, whole, windows, tmp_path / "whole")
    train_stream(recipe, halves, windows, tmp_path / "halves", stop_at=1)
    train_stream(recipe, halves, windows, tmp_path / "halves")
    assert stream_fingerprint(whole) == stream_fingerprint(halves) != stream_fingerprint(open_model(recipe))
    loaded = open_model(recipe)
    load_stream(recipe, loaded, tmp_path / "whole")
    assert stream_fingerprint(loaded) == stream_fingerprint(whole)

    before = {name: head_fingerprint(head) for name, head in whole.heads.items()} | {"s": stream_fingerprint(whole)}
    train_forecast(recipe, whole, windows, tmp_path / "whole")
    after = {name: head_fingerprint(head) for name, head in whole.heads.items()} | {"s": stream_fingerprint(whole)}
    assert set(after) - set(before) == {"forecast"}
    assert before == {name: after[name] for name in before}
    load_heads(recipe, loaded, tmp_path / "whole")
    assert head_fingerprint(loaded.heads["forecast"]) == after["forecast"]

    ship(recipe, whole, tmp_path / "checkpoint")
    shipped = SceneModel.from_pretrained(tmp_path / "checkpoint")
    assert list(shipped.heads) == ["embedding", "tags", "forecast"]
    names = load_file(tmp_path / "checkpoint" / "model.safetensors")
    assert not any("dense" in name for name in names), "auxiliaries are discarded"


def test_a_stop_in_the_middle_of_stage_two_goes_on_with_the_same_bits(town: Path, windows, tmp_path: Path):
    recipe = debug(town)
    whole, halves = open_model(recipe), open_model(recipe)
    train_forecast(recipe, whole, windows, tmp_path / "whole")
    train_forecast(replace(recipe), halves, windows, tmp_path / "halves", stop_at=1)
    train_forecast(recipe, halves, windows, tmp_path / "halves")
    assert head_fingerprint(whole.heads["forecast"]) == head_fingerprint(halves.heads["forecast"])


def test_streams_of_a_window_are_fp16_and_one_a_clip(town: Path, windows):
    stream = window_streams(open_model(debug(town)), windows[0])
    assert stream.tokens.dtype == torch.float16
    assert stream.tokens.shape[0] == windows[0].clips


def test_an_agent_is_told_by_the_cell_it_stands_in(windows):
    clips = clips_of_windows(windows)
    agents = agents_of(windows, clips)
    truth = cell_truth(agents, ego_truth(windows, clips))
    told = truth.agent >= 0
    assert told.any()
    c, n = told.nonzero()[0].tolist()
    assert torch.equal(truth.state[c, n], agents.state[c, truth.agent[c, n]])
    assert torch.isfinite(truth.state[told][:, :2]).all()


def test_risk_follows_from_belief_in_the_futures_that_physics_found_dangerous():
    risk = torch.zeros(1, 2, 6, 21)
    risk[0, 1, 2] = 0.8
    physics = Physics(torch.tensor([[5, 9]]), risk)
    belief = torch.full((1, 12, 7), -30.0)
    belief[..., 0] = 30.0
    assert float(risk_of_belief(belief, physics)[0]) == pytest.approx(0.0, abs=1e-6)
    belief[0, 9, 0], belief[0, 9, 3] = -30.0, 30.0
    assert float(risk_of_belief(belief, physics)[0]) == pytest.approx(0.8, abs=1e-6)


def test_physics_of_an_untrained_head_is_finite(town: Path, windows):
    recipe = debug(town)
    model = open_model(recipe)
    from sceneminer.model.forecast import ForecastHead

    head = ForecastHead(token_width=model.config.token_width)
    physics = physics_of(head, window_streams(model, windows[0])[:2], agents=4)
    assert physics.risk.shape == (2, 4, 6, 21)
    assert torch.isfinite(physics.risk).all()
