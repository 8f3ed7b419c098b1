"""The interference benchmark: ours reads exactly 0, leaks do not, and the mechanism says which is which."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr

from sceneminer.data.errors import DataError
from sceneminer.evals.identity_arms import ARMS
from sceneminer.evals.identity_bench import run_benchmark, spearman
from sceneminer.evals.identity_console import run_and_write, write_results
from sceneminer.evals.identity_data import BenchClips, BenchData, make_toy_data, read_bench_data, save_bench_data
from sceneminer.evals.identity_page import summarise
from sceneminer.evals.identity_system import Plan
from sceneminer.geometry.grid import BevGrid
from sceneminer.model.config import ModelConfig
from sceneminer.model.example import make_clip_folder
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.tower import load_tower

pytestmark = pytest.mark.slow
GRID = BevGrid(-20.0, 20.0, -20.0, 20.0, 2.0)
PLAN = Plan(base_steps=3, steps=4, batch=6)
ABOUT = {"base": "A base.", "command": "`sceneminer bench identity`"}
MOVES = {"c1", "neither", "all", "shared_norm", "memory", "scale", "statistics", "dropout", "decay", "momentum"}


def make_data(seed: int):
    return make_toy_data(seed, train=40, val=24)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Bits of training may depend on it, and other tests of this process set it as they need."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def results(one_thread):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run_benchmark(make_data, plan=PLAN, seeds=(0,), say=lambda line: None)
    finally:
        torch.set_num_threads(threads)


def test_ours_reads_exactly_zero_and_every_known_leak_does_not(results):
    by = {result.arm: result for result in results}
    assert list(by) == [arm.key for arm in ARMS]
    for key in ("ours", "c2"):
        assert by[key].bits_equal and by[key].caught_by == () and set(by[key].after.values()) == {0.0}
        same = [getattr(q, name) for q in (by[key].before, by[key].now) for name in ("tag_map", "retrieval_map")]
        assert same[:2] == same[2:]
    assert by["ours"].now.risk_loss != by["ours"].before.risk_loss  # it learned
    moved = {key for key, result in by.items() if not result.bits_equal}
    assert moved >= MOVES and moved <= MOVES | {"average", "batch", "autocast"}
    assert max(by["scale"].after.values()) > 0 and by["scale"].after["embedding"] == 0


def test_the_two_conditions_do_what_they_say(results):
    by = {result.arm: result for result in results}
    assert by["ours"].upgrade_at_0 == by["c1"].upgrade_at_0 == 0.0
    assert by["c2"].upgrade_at_0 > 0 and by["neither"].upgrade_at_0 > 0
    assert max(by["c1"].at_0.values()) == 0.0 < max(by["neither"].at_0.values())
    assert by["ours"].trained == by["c1"].trained <= 102_000


def test_each_leak_is_caught_where_it_can_be(results):
    first = {result.arm: result.caught_by[0] for result in results if result.caught_by}
    assert {first[key] for key in ("c1", "neither", "shared_norm", "memory", "statistics", "dropout")} == {"proof"}
    assert {first[key] for key in ("all", "decay", "momentum")} == {"optimiser"}
    assert first["scale"] == "leaving" and "tags.logit_scale" in next(r.said for r in results if r.arm == "scale")
    assert all("comparison" in result.caught_by for result in results if not result.bits_equal)


def test_a_run_can_be_repeated_to_the_bit(results):
    arms = [arm for arm in ARMS if arm.key in ("c1", "momentum")]
    again = run_benchmark(make_data, plan=PLAN, seeds=(0,), arms=arms, say=lambda line: None)
    for result in again:
        assert result.after == next(r for r in results if r.arm == result.arm).after


def test_the_page_says_what_was_found(results, tmp_path):
    write_results(tmp_path, results, PLAN, ABOUT)
    text = (tmp_path / "results/identity.md").read_text()
    assert "Ours moves **nothing**" in text and "![" in text and "(../images/identity.png)" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(any(f" {arm.title} " in row or f"**{arm.title}**" in row for row in rows) for arm in ARMS)
    document = json.loads((tmp_path / "results/identity.json").read_text())
    assert len(document["results"]) == len(ARMS) and document["plan"]["steps"] == 4
    assert Image.open(tmp_path / "images/identity.png").width > 1000


def test_the_page_does_not_hide_a_failure(results, tmp_path):
    broken = [replace(r, bits_equal=False, after={"embedding": 0.25, "tags": 0.0}) for r in results if r.arm == "ours"]
    write_results(tmp_path, [*broken, *(r for r in results if r.arm != "ours")], PLAN, ABOUT)
    text = (tmp_path / "results/identity.md").read_text()
    assert "**Ours failed**: siblings moved by up to 0.25" in text and "moves **nothing**" not in text
    assert not summarise(broken)[0].exact


def test_data_go_to_a_folder_and_back(tmp_path):
    data = make_data(3)
    save_bench_data(tmp_path, data)
    again = read_bench_data(tmp_path)
    for ours, theirs in ((data.train, again.train), (data.val, again.val)):
        assert ours.inputs.keys() == theirs.inputs.keys()
        assert all(torch.equal(ours.inputs[k], theirs.inputs[k]) for k in ours.inputs)
        assert torch.equal(ours.tags, theirs.tags) and torch.equal(ours.captions, theirs.captions)
    assert torch.equal(data.truth, again.truth) and torch.equal(data.prompts, again.prompts)
    assert 0 < float(data.truth.float().mean()) < 0.5 and bool(data.truth.diagonal().all())
    path = tmp_path / "val.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"expected .*val\.safetensors to be a whole safetensors file"):
        read_bench_data(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"expected val\.safetensors in"):
        read_bench_data(tmp_path)


def test_a_checkpoint_needs_its_features_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="expected both --model and --data, or neither"):
        run_and_write(tmp_path / "out", model="sceneminer-tiny")
    assert not (tmp_path / "out").exists()


def make_cached(model: SceneModel, count: int) -> BenchClips:
    """Clips as a checkpoint's trunk reads them, of noise."""
    rng, c, v = torch.Generator().manual_seed(0), model.config, 2
    shape = (count, c.frames_per_clip, v)
    inputs = {
        "embeddings": torch.randn(*shape, model.tower.embed_dim, generator=rng).half(),
        "patches": torch.randn(*shape, *c.image_token_grid, model.tower.patch_dim, generator=rng).half(),
        "valid": torch.ones(shape, dtype=torch.bool),
        "rays": torch.full((*shape, *c.image_token_grid, 3), torch.nan),
        "bev": torch.zeros(count, c.bev_width + 1, *c.grid.shape).half(),
        "last_from_frame": torch.eye(4).expand(*shape[:2], 4, 4),
    }
    captions = torch.nn.functional.normalize(torch.randn(count, model.tower.embed_dim, generator=rng), dim=-1)
    tags = torch.randint(-1, 2, (count, 20), generator=rng).to(torch.int8)
    return BenchClips(inputs, captions.half(), tags, torch.rand(count, generator=rng), captions)


def test_a_checkpoints_own_trunk_and_heads_can_be_the_base(tmp_path):
    tower = load_tower(make_clip_folder(tmp_path / "clip"))
    model = SceneModel(tower, ModelConfig(grid=GRID, bev_width=16, token_width=64, bev_token_grid=(10, 10)))
    model.save_pretrained(tmp_path / "model")
    clips = make_cached(model, 12)
    age_s = torch.arange(model.config.frames_per_clip - 1, -1, -1) * 0.5
    save_bench_data(
        tmp_path / "data", BenchData(clips, clips, torch.eye(12, dtype=torch.bool), age_s, torch.zeros(0, 24))
    )
    run_and_write(tmp_path / "out", model=str(tmp_path / "model"), data=tmp_path / "data", seeds=1, steps=2)
    document = json.loads((tmp_path / "out/results/identity.json").read_text())
    ours = document["results"][0]
    assert ours["arm"] == "ours" and ours["bits_equal"] and ours["after"] == {"embedding": 0.0, "tags": 0.0}
    assert "Trunk and heads are those of model" in (tmp_path / "out/results/identity.md").read_text()


def test_rank_correlation_agrees_with_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 80).astype(float), rng.random(80)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert spearman(np.ones(5), np.arange(5.0)) == 0.0


def test_the_command_is_there():
    command = [sys.executable, "-m", "sceneminer", "bench", "identity", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "120"}, timeout=60)
    assert done.returncode == 0 and "--seeds" in done.stdout and "--out" in done.stdout
