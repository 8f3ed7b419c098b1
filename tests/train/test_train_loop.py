"""The training loop: it learns, stops and goes on as if it had not been stopped."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from sceneminer.model.errors import CheckpointError
from sceneminer.train.loop import METRICS_FILE, Loop, run_loop, share_at
from sceneminer.train.state import STATE_FILE

LOOP = Loop(steps=40, warmup_steps=4, decay_steps=10, rate=0.05, save_every=7, log_every=10)


def make_model(width: int = 8) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        layers = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        inner = nn.ModuleDict({"layers": layers})
        return nn.ModuleDict({"first": nn.Linear(3, width), "inner": inner, "last": nn.Linear(width, 1)})


def guess(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return model["last"](model["inner"]["layers"](torch.tanh(model["first"](x))))[:, 0]


def loss_of(model: nn.Module):
    def loss_at(step: int):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(16, 3, generator=generator)
        loss = (guess(model, x) - x[:, 0] * x[:, 1]).square().mean()
        return loss, {"step_seen": float(step)}

    return loss_at


def run(folder, *, stop_at=None, loop=LOOP):
    model = make_model()
    steps = run_loop(model, loss_of(model), loop, folder, describe={}, stop_at=stop_at, say=lambda text: None)
    return model, steps


@pytest.mark.parametrize("muon_rate", [0.0, 0.02])
def test_a_stopped_run_ends_with_the_same_bits(tmp_path, muon_rate):
    loop = replace(LOOP, muon_rate=muon_rate)
    whole, _ = run(tmp_path / "whole", loop=loop)
    for stop in (1, 13, 30, None):
        parted, steps = run(tmp_path / "parted", stop_at=stop, loop=loop)
    assert steps == 40
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parted.state_dict()[name]), name


@pytest.mark.parametrize("muon_rate", [0.0, 0.02])
def test_it_learns(tmp_path, muon_rate):
    model = make_model()
    first = float(loss_of(model)(10_000)[0].detach())
    trained, _ = run(tmp_path, loop=Loop(steps=300, warmup_steps=4, decay_steps=100, rate=0.02, muon_rate=muon_rate))
    assert float(loss_of(trained)(10_000)[0].detach()) < 0.5 * first


def test_figures_and_circumstances_are_written_down(tmp_path):
    run(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30, 40]
    assert all(row["loss"] > 0 and "step_seen" in row for row in rows)
    assert json.loads((tmp_path / "run.json").read_text())["loop"]["steps"] == 40


def test_a_finished_run_may_be_prolonged(tmp_path):
    run(tmp_path)
    longer = Loop(steps=50, warmup_steps=4, decay_steps=10, rate=0.05, save_every=7)
    _, steps = run(tmp_path, loop=longer)
    assert steps == 50
    assert share_at(45, longer) > share_at(49, longer) > 0


def test_the_rate_rises_stays_and_falls():
    rates = [share_at(step, LOOP) for step in range(40)]
    assert rates[0] == pytest.approx(0.25)
    assert rates[4:30] == [1.0] * 26
    assert all(a > b for a, b in zip(rates[30:], rates[31:], strict=False))
    assert rates[-1] < 0.05


def test_a_state_of_another_model_is_refused(tmp_path):
    run(tmp_path, stop_at=1)
    other = make_model(width=9)
    with pytest.raises(CheckpointError, match="of this model"):
        run_loop(other, loss_of(other), LOOP, tmp_path, describe={}, say=lambda text: None)


@pytest.mark.parametrize("keep", [0, 100])
def test_a_broken_state_is_refused(tmp_path, keep):
    run(tmp_path, stop_at=1)
    path = tmp_path / STATE_FILE
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="training state"):
        run(tmp_path)
