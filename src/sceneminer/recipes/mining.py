"""SceneMiner: a stream that is trained and frozen, then heads that are added without moving it.

Paper: "SceneMiner: identity-preserving multi-task fine-tuning", arXiv 2606.11507, of which only the abstract is known
to us; what it fixes and what we infer is in the design notes. Here:
* stage 1 trains lift, temporal BEV and 32 scene tokens over cached features of a frozen tower, with the embedding head
  (contrast against captions that overlap the clip, everything true counted as right), the tags head, and dense
  auxiliaries that are discarded (``mining_stream``, ``mining_aux``);
* stage 2 freezes all of it and adds the risk and forecast head by identity-preserving fine-tuning (``mining_forecast``).
Deviations: the abstract's data set, backbone and risk formula are unknown; base() is sceneminer-tiny on the town.
Command: ``python -m sceneminer.recipes.mining --out runs/mining``. Result: docs/results/mining.md.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sceneminer.data.errors import DataError
from sceneminer.model.config import ModelConfig
from sceneminer.model.scene_model import Provenance, SceneModel
from sceneminer.model.tower import NumericMode
from sceneminer.model.zoo import TINY, resolve_model
from sceneminer.recipes.mining_data import WindowPlan, write_towns
from sceneminer.recipes.mining_features import Window, encode_windows, read_windows, tower_key
from sceneminer.recipes.mining_set import clips_of_windows
from sceneminer.recipes.mining_stream import StreamPlan, StreamTraining, stream_loss
from sceneminer.recipes.mining_text import make_bank
from sceneminer.train.loop import Loop, make_optimisers, run_loop
from sceneminer.train.state import load_state


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
        "train": Towns(WindowPlan("train", drives=8, by_chance=0.5), 500, 50),
        "val": Towns(WindowPlan("val", drives=4), 100, 12),
        "test": Towns(WindowPlan("test", drives=4), 100, 45),
        "far": Towns(WindowPlan("far", drives=4), 100, 40),
    }


@dataclass(frozen=True)
class MiningRecipe:
    """Everything that decides a result, but the machine."""

    tower: str = TINY
    tower_mode: NumericMode = "bf16"
    """Of the features on disk."""
    config: ModelConfig = field(default_factory=ModelConfig)
    data: dict[str, Towns] = field(default_factory=_data)
    stream: StreamPlan = field(default_factory=StreamPlan)
    stream_loop: Loop = field(
        default_factory=lambda: Loop(steps=700, warmup_steps=40, decay_steps=350, rate=1e-3, weight_decay=0.05)
    )
    captions: int = 6
    """Of each training clip."""
    seed: int = 0


def base() -> MiningRecipe:
    """What the heads of sceneminer-tiny are made with."""
    return MiningRecipe()


def make_data(recipe: MiningRecipe, out: Path, *, workers: int, splits: Sequence[str] = ()) -> None:
    """Render the windows and run the tower over them; what is there already stays."""
    tower = SceneModel.from_pretrained(resolve_model(recipe.tower), numeric_mode=recipe.tower_mode).tower
    for split in splits or tuple(recipe.data):
        towns = recipe.data[split]
        for paths in write_towns(out / "data", towns.plan, towns.seeds, workers=workers):
            for path in encode_windows(paths, tower):
                print(path, flush=True)


def open_model(recipe: MiningRecipe) -> SceneModel:
    """The frozen tower with an untrained trunk of the recipe's seed around it."""
    config = replace(recipe.config, seed=recipe.seed, numeric_mode=recipe.tower_mode)
    licences = ("Apache-2.0",)
    model = SceneModel.from_pretrained(resolve_model(recipe.tower), numeric_mode=recipe.tower_mode, config=config)
    model.provenance = Provenance(("synthetic towns",), licences)
    return model


def train_stream(
    recipe: MiningRecipe, model: SceneModel, windows: Sequence[Window], out: Path, *, stop_at: int | None = None
) -> int:
    """Stage 1, from the state in ``out`` if there is one; the model is left trained and frozen. Returns steps done."""
    clips = clips_of_windows(windows)
    if len(clips) < recipe.stream.clips:
        raise DataError(f"expected at least {recipe.stream.clips} clips, found {len(clips)}")
    bank = make_bank(windows, clips, model.tower, each=recipe.captions, grammar="train", seed=recipe.seed)
    training = StreamTraining(model, recipe.stream, size_hw=recipe.data["train"].plan.size_hw, seed=recipe.seed)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng([recipe.seed, step, 1])
        # One clip of a window at most: neighbours tell the contrast nothing.
        drawn = rng.choice(len(windows), size=recipe.stream.clips, replace=len(windows) < recipe.stream.clips)
        first = np.searchsorted([c.window for c in clips], np.arange(len(windows) + 1))
        chosen = [int(rng.integers(first[w], first[w + 1])) for w in drawn]
        return stream_loss(training, windows, clips, chosen, bank, rng=rng)

    describe = {"recipe": asdict(recipe), "windows": len(windows), "clips": len(clips), "stage": "stream"}
    done = run_loop(
        training, loss_at, recipe.stream_loop, out, describe=describe, stop_at=stop_at, say=lambda t: print(t, flush=True)
    )
    model.requires_grad_(False).eval()
    return done


def load_stream(recipe: MiningRecipe, model: SceneModel, out: Path) -> int:
    """Fill the model with what stage 1 has saved in ``out``; returns the steps done, 0 where nothing was."""
    training = StreamTraining(model, recipe.stream, size_hw=recipe.data["train"].plan.size_hw, seed=recipe.seed)
    done = load_state(out, training, make_optimisers(training, recipe.stream_loop))
    model.requires_grad_(False).eval()
    return done


def main() -> None:
    """Make the data, train both stages, ship: each part goes on where it was."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where windows, features, states and metrics are kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=base().stream_loop.steps, help="of stage 1")
    parser.add_argument("--no-dense", action="store_true", help="leave the dense auxiliaries out")
    parser.add_argument("--name", default="", help="of the run's folder; by default its seed")
    parser.add_argument("--workers", type=int, default=2, help="rendering processes")
    parser.add_argument("--threads", type=int, default=2, help="training threads")
    parser.add_argument("--only", choices=("data", "stream"), help="one part alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recipe = replace(base(), seed=args.seed, stream_loop=replace(base().stream_loop, steps=args.steps))
    if args.no_dense:
        recipe = replace(recipe, stream=replace(recipe.stream, dense_weight=0.0))
    run = args.out / (args.name or f"seed-{args.seed}")
    if args.only in (None, "data"):
        make_data(recipe, args.out, workers=args.workers)
    if args.only in (None, "stream"):
        model = open_model(recipe)
        windows = read_windows(args.out / "data" / "train", tower_key(model.tower))
        train_stream(recipe, model, windows, run / "stream")


if __name__ == "__main__":
    main()
