"""SceneMiner: a stream that is trained and frozen, then heads that are added without moving it.

Paper: "SceneMiner: identity-preserving multi-task fine-tuning", arXiv 2606.11507, of which only the abstract is known
to us; what it fixes and what we infer is in the design notes. Here:
* stage 1 trains lift, temporal BEV and 32 scene tokens over cached features of a frozen tower, with the embedding head
  (contrast against captions that overlap the clip, everything true counted as right), the tags head, and dense
  auxiliaries that are discarded (``mining_stream``, ``mining_aux``);
* stage 2 freezes all of it and adds the risk and forecast head by identity-preserving fine-tuning
  (``mining_forecast``).
Deviations: the abstract's data set, backbone and risk formula are unknown; base() is sceneminer-tiny on the town.
Command: ``python -m sceneminer.recipes.mining --out runs/mining``. Result: docs/results/mining.md.
"""

import argparse
import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sceneminer.data.errors import DataError
from sceneminer.model.config import ModelConfig
from sceneminer.model.example import make_clip_folder
from sceneminer.model.forecast import AGENTS, ForecastHead
from sceneminer.model.identity import isolate
from sceneminer.model.initial import initialise_head
from sceneminer.model.scene_model import TRUNK, Provenance, SceneModel
from sceneminer.model.stream import Stream
from sceneminer.model.tower import NumericMode
from sceneminer.model.zoo import TINY, load_model_tower
from sceneminer.recipes.mining_data import WindowPlan, window_path, write_towns
from sceneminer.recipes.mining_features import Window, encode_windows, read_window, tower_key
from sceneminer.recipes.mining_forecast import (
    ForecastPlan,
    Physics,
    belief_loss,
    cell_truth,
    ego_truth,
    forecast_loss,
    physics_of,
    risk_truth,
)
from sceneminer.recipes.mining_set import agents_of, clips_of_windows
from sceneminer.recipes.mining_stream import StreamPlan, StreamTraining, TrunkCache, left_out, stream_loss
from sceneminer.recipes.mining_streams import read_streams
from sceneminer.recipes.mining_text import make_bank
from sceneminer.train.loop import Loop, make_optimisers, run_loop
from sceneminer.train.state import load_part, load_state, steps_done


@dataclass(frozen=True)
class Towns:
    """Towns of one split: seeds from ``first`` on."""

    plan: WindowPlan
    first: int
    count: int

    @property
    def seeds(self) -> range:
        return range(self.first, self.first + self.count)


def _data() -> dict[str, Towns]:
    return {
        "train": Towns(WindowPlan("train", drives=8, by_chance=0.5), 500, 120),
        "val": Towns(WindowPlan("val", drives=4), 100, 12),
        "test": Towns(WindowPlan("test", drives=4), 100, 40),
        "far": Towns(WindowPlan("far", drives=4), 100, 38),
    }


@dataclass(frozen=True)
class MiningRecipe:
    """Everything that decides a result, but the machine."""

    tower: str = TINY
    tower_mode: NumericMode = "bf16"
    """Of the features on disk."""
    config: ModelConfig = field(default_factory=ModelConfig)
    data: dict[str, Towns] = field(default_factory=_data)
    stream: StreamPlan = field(default_factory=lambda: StreamPlan(clips=8, other_texts=64))
    trunk_loop: Loop = field(
        default_factory=lambda: Loop(steps=600, warmup_steps=30, decay_steps=300, rate=3e-3, muon_rate=0.01)
    )
    """Lift, temporal BEV and all that reads them."""
    tokens: StreamPlan = field(default_factory=lambda: StreamPlan(clips=24))
    tokens_loop: Loop = field(
        default_factory=lambda: Loop(
            steps=800, warmup_steps=30, decay_steps=500, rate=1e-3, muon_rate=0.01, weight_decay=0.2
        )
    )
    """Scene tokens and heads, over BEVs that are held: a step costs a quarter."""
    forecast: ForecastPlan = field(default_factory=ForecastPlan)
    paths_loop: Loop = field(
        default_factory=lambda: Loop(steps=1200, warmup_steps=20, decay_steps=700, rate=2e-3, weight_decay=0.1)
    )
    belief_loop: Loop = field(
        default_factory=lambda: Loop(steps=200, warmup_steps=20, decay_steps=150, rate=1e-3, weight_decay=0.02)
    )
    captions: int = 6
    """Of each training clip."""
    seed: int = 0


def base() -> MiningRecipe:
    """What the heads of sceneminer-tiny are made with."""
    return MiningRecipe()


def debug(folder: Path) -> MiningRecipe:
    """Two steps a stage of a small trunk around a random CLIP of two layers, which is written to ``folder/clip``."""
    if not (folder / "clip" / "config.json").exists():
        make_clip_folder(folder / "clip")
    config = ModelConfig(bev_width=8, distance_bins=4, token_width=32, token_count=4, image_token_grid=(2, 3))
    loop = Loop(steps=2, warmup_steps=1, decay_steps=1, save_every=1, log_every=1, muon_rate=0.01)
    plan = WindowPlan("train", drives=2, duration_s=13.0, size_hw=(32, 56))
    stream = StreamPlan(clips=2, other_texts=4, memory=4)
    return MiningRecipe(
        tower=str(folder / "clip"),
        config=config,
        data={"train": Towns(plan, 500, 1)},
        stream=stream,
        trunk_loop=loop,
        tokens=stream,
        tokens_loop=loop,
        forecast=ForecastPlan(clips=4, physics_clips=3),
        paths_loop=loop,
        belief_loop=loop,
        captions=2,
    )


def make_data(recipe: MiningRecipe, out: Path, *, workers: int, splits: Sequence[str] = ()) -> None:
    """Render the windows and run the tower over them; what is there already stays."""
    tower = load_model_tower(recipe.tower, dtype=recipe.tower_mode)
    for split in splits or tuple(recipe.data):
        towns = recipe.data[split]
        for paths in write_towns(out / "data", towns.plan, towns.seeds, workers=workers):
            for path in encode_windows(paths, tower):
                print(path, flush=True)


def windows_of(recipe: MiningRecipe, out: Path, split: str, key: str) -> list[Window]:
    """The windows of a split, in order; DataError where one has not been made."""
    towns = recipe.data[split]
    pairs = ((seed, drive) for seed in towns.seeds for drive in range(towns.plan.drives))
    return [read_window(window_path(out / "data", towns.plan, *pair), key) for pair in pairs]


def open_model(recipe: MiningRecipe) -> SceneModel:
    """The frozen tower with an untrained trunk of the recipe's seed around it."""
    config = replace(recipe.config, seed=recipe.seed, numeric_mode=recipe.tower_mode)
    tower = load_model_tower(recipe.tower, dtype=recipe.tower_mode)
    return SceneModel(tower, config, provenance=Provenance(("synthetic towns",), ("Apache-2.0",)))


def train_stream(
    recipe: MiningRecipe, model: SceneModel, windows: Sequence[Window], out: Path, *, stop_at: int | None = None
) -> None:
    """Stage 1, from the states in ``out`` if there are any; the model is left trained and frozen."""
    clips = clips_of_windows(windows)
    if len(clips) < recipe.stream.clips:
        raise DataError(f"expected at least {recipe.stream.clips} clips, found {len(clips)}")
    bank = make_bank(windows, clips, model.tower, each=recipe.captions, grammar="train", seed=recipe.seed)
    first = np.searchsorted([c.window for c in clips], np.arange(len(windows) + 1))

    def run(plan: StreamPlan, loop: Loop, folder: Path, *, held: bool) -> bool:
        training = StreamTraining(model, plan, seed=recipe.seed)
        if held:
            training.hold_trunk()
            training.dense.load_state_dict(load_part(out / "trunk", "dense."))
        cache = TrunkCache(training, windows) if held and steps_done(folder) < loop.steps else None

        def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
            rng = np.random.default_rng([recipe.seed, step, 1 + held])
            # One clip of a window at most: neighbours tell the contrast nothing.
            drawn = rng.choice(len(windows), size=plan.clips, replace=len(windows) < plan.clips)
            chosen = [int(rng.integers(first[w], first[w + 1])) for w in drawn]
            return stream_loss(training, windows, clips, chosen, bank, rng=rng, cache=cache)

        describe = {"recipe": asdict(recipe), "windows": len(windows), "clips": len(clips), "stage": folder.name}
        return run_loop(training, loss_at, loop, folder, describe=describe, stop_at=stop_at, say=_say) == loop.steps

    if run(recipe.stream, recipe.trunk_loop, out / "trunk", held=False):
        run(recipe.tokens, recipe.tokens_loop, out / "tokens", held=True)
    model.requires_grad_(False).eval()


def load_stream(recipe: MiningRecipe, model: SceneModel, out: Path) -> None:
    """Fill the model with what stage 1 has saved in ``out``; DataError where it has not begun its second part."""
    training = StreamTraining(model, recipe.tokens, seed=recipe.seed)
    training.hold_trunk()
    if not load_state(out / "tokens", training, make_optimisers(training, recipe.tokens_loop)):
        raise DataError(f"expected a trained stream in {out}, found none")
    model.requires_grad_(False).eval()


def train_forecast(
    recipe: MiningRecipe, model: SceneModel, windows: Sequence[Window], out: Path, *, stop_at: int | None = None
) -> None:
    """Stage 2: add the risk and forecast head to a frozen model, by its private parameters alone."""
    clips = clips_of_windows(windows)
    stream = read_streams(model, windows, out / "streams-train.safetensors", say=_say)
    head = ForecastHead(token_width=model.config.token_width)
    initialise_head(head, seed=recipe.seed)
    model.add_head(head)
    private = isolate(model, [head])
    truth = cell_truth(agents_of(windows, clips), ego_truth(windows, clips))
    plan, describe = recipe.forecast, {"recipe": asdict(recipe), "clips": len(clips), "parameters": len(private)}

    def rows_at(step: int, phase: int, pool: int) -> Tensor:
        rng = np.random.default_rng([recipe.seed, step, phase])
        return torch.from_numpy(rng.choice(pool, size=min(plan.clips, pool), replace=False))

    def paths_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rows = rows_at(step, 3, len(clips))
        generator = torch.Generator().manual_seed(1_000_003 * recipe.seed + step)
        some = stream[rows]
        seen = Stream(left_out(some.tokens, plan.drop, generator), some.embedding)
        return forecast_loss(head, seen, truth[rows], plan)

    done = run_loop(head, paths_at, recipe.paths_loop, out / "paths", describe=describe, stop_at=stop_at, say=_say)
    if done < recipe.paths_loop.steps:
        return
    rng = np.random.default_rng([recipe.seed, 5])
    some = torch.from_numpy(np.sort(rng.permutation(len(clips))[: plan.physics_clips]))
    risk, held = risk_truth(windows, clips)[some], stream[some]
    isolate(model, [head.weigh, head.believe])
    if steps_done(out / "belief") == recipe.belief_loop.steps:
        load_state(out / "belief", head, make_optimisers(head, recipe.belief_loop))
        model.requires_grad_(False).eval()
        return
    physics = physics_of(head, held, agents=2 * AGENTS, say=_say)

    def belief_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rows = rows_at(step, 4, len(some))
        chosen = Physics(physics.cells[rows], physics.risk[rows])
        return belief_loss(head, held[rows], truth[some[rows]], risk[rows], chosen, plan)

    run_loop(head, belief_at, recipe.belief_loop, out / "belief", describe=describe, stop_at=stop_at, say=_say)
    model.requires_grad_(False).eval()


def load_heads(recipe: MiningRecipe, model: SceneModel, out: Path) -> None:
    """Fill the model with what stage 2 has saved in ``out``; DataError where it is not through."""
    head = ForecastHead(token_width=model.config.token_width)
    model.add_head(head)
    isolate(model, [head.weigh, head.believe])
    if not load_state(out / "belief", head, make_optimisers(head, recipe.belief_loop)):
        raise DataError(f"expected a trained forecast head in {out}, found none")
    model.requires_grad_(False).eval()


def ship(recipe: MiningRecipe, model: SceneModel, folder: Path) -> None:
    """Write the model, with its tower in fp32, as a checkpoint that mining opens by its folder."""
    config = replace(model.config, numeric_mode="fp32")
    heads = [copy.deepcopy(head) for head in model.heads.values()]
    shipped = SceneModel(load_model_tower(recipe.tower), config, heads=heads, provenance=model.provenance)
    for part in TRUNK:
        shipped.get_submodule(part).load_state_dict(model.get_submodule(part).state_dict())
    shipped.save_pretrained(folder)


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    """Make the data, train both stages, ship: each part goes on where it was."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where windows, features, states and metrics are kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trunk-steps", type=int, default=base().trunk_loop.steps, help="of lift and BEV")
    parser.add_argument("--tokens-steps", type=int, default=base().tokens_loop.steps, help="of the scene tokens")
    parser.add_argument("--no-dense", action="store_true", help="leave the dense auxiliaries out")
    parser.add_argument("--name", default="", help="of the run's folder; by default its seed")
    parser.add_argument("--workers", type=int, default=2, help="rendering processes")
    parser.add_argument("--threads", type=int, default=2, help="training threads")
    parser.add_argument("--only", choices=("data", "stream", "forecast", "ship"), help="one part alone")
    parser.add_argument("--to", type=Path, help="folder of the shipped model; by default RUN/checkpoint")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    loops = {"trunk_loop": args.trunk_steps, "tokens_loop": args.tokens_steps}
    changed = {name: replace(getattr(base(), name), steps=steps) for name, steps in loops.items()}
    recipe = replace(base(), seed=args.seed, **changed)
    if args.no_dense:
        plans = {name: replace(getattr(recipe, name), dense_weight=0.0) for name in ("stream", "tokens")}
        recipe = replace(recipe, **plans)
    run = args.out / (args.name or f"seed-{args.seed}")
    if args.only in (None, "data"):
        make_data(recipe, args.out, workers=args.workers)
    if args.only == "data":
        return
    model = open_model(recipe)
    windows = windows_of(recipe, args.out, "train", tower_key(model.tower))
    if args.only in (None, "stream"):
        train_stream(recipe, model, windows, run / "stream")
    else:
        load_stream(recipe, model, run / "stream")
    if args.only in (None, "forecast"):
        train_forecast(recipe, model, windows, run)
    if args.only in (None, "ship"):
        if args.only:
            load_heads(recipe, model, run)
        ship(recipe, model, args.to or run / "checkpoint")


if __name__ == "__main__":
    main()
