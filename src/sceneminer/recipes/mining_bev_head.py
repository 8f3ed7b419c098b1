"""What the forecast head would gain by reading the fused BEV beside the scene tokens: an experiment, not a head.

Such a head could not be back-filled from an index, which keeps tokens and no BEV. Both heads have as many parameters
as the budget allows, the same data, steps and seed; judged by the losses of the first phase on val windows.
Command: ``python -m sceneminer.recipes.mining_bev_head --out runs/mining``. Result: docs/results/mining.md.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sceneminer.model.forecast import CELLS, FORECAST_BUDGET, ForecastHead
from sceneminer.model.initial import initialise_head
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.stream import Stream
from sceneminer.recipes.mining import MiningRecipe, base, load_stream, open_model, windows_of
from sceneminer.recipes.mining_features import Window, tower_key
from sceneminer.recipes.mining_forecast import CellTruth, cell_truth, ego_truth, forecast_loss
from sceneminer.recipes.mining_set import agents_of, clips_of_windows
from sceneminer.recipes.mining_stream import StreamTraining, TrunkCache, left_out
from sceneminer.recipes.mining_streams import read_streams
from sceneminer.train.loop import run_loop

_INNER = {False: 98, True: 50}
"""Of the head's perceptron, so that both stay within the budget."""


Clips = tuple[Stream, Tensor, CellTruth]
"""Of a split: streams, BEV at the cells, what they are to say."""


class WithBev(nn.Module):
    """The forecast head, each of whose cells also sees the BEV where it stands, if asked to."""

    def __init__(self, *, token_width: int, bev_width: int, seed: int, bev: bool):
        super().__init__()
        self.head = ForecastHead(token_width=token_width, inner=_INNER[bev])
        initialise_head(self.head, seed=seed)
        self.bev_in = nn.Linear(bev_width, self.head.width) if bev else None
        if self.bev_in is not None:
            nn.init.zeros_(self.bev_in.weight)
            nn.init.zeros_(self.bev_in.bias)
        count = sum(p.numel() for p in self.parameters())
        assert count <= FORECAST_BUDGET, f"{count} parameters"

    def loss(self, stream: Stream, bev: Float[Tensor, "c n ch"], truth: CellTruth, recipe: MiningRecipe):
        beside = None if self.bev_in is None else self.bev_in(bev.float())
        return forecast_loss(self.head, stream, truth, recipe.forecast, beside=beside)


def cells_of_bev(fused: Float[Tensor, "c ch y x"], model: SceneModel) -> Float[Tensor, "c n ch"]:
    """The BEV averaged onto the head's cells, row by row; its observed mask is left out."""
    grid = model.config.grid
    cell = round(CELLS.cell_m / grid.cell_m)
    row, column = (
        (low - start) / grid.cell_m for low, start in ((CELLS.y_min_m, grid.y_min_m), (CELLS.x_min_m, grid.x_min_m))
    )
    rows, columns = (cell * n for n in CELLS.shape)
    part = fused[:, :-1, round(row) : round(row) + rows, round(column) : round(column) + columns]
    return nn.functional.avg_pool2d(part.float(), cell).flatten(2).transpose(1, 2).half()


def compare(recipe: MiningRecipe, out: Path) -> dict[str, dict[str, float]]:
    """Losses on val of a head that reads tokens alone and of one that reads the BEV, too."""
    model = open_model(recipe)
    run = out / f"seed-{recipe.seed}"
    load_stream(recipe, model, run / "stream")
    key = tower_key(model.tower)
    sets = {
        split: _read(recipe, model, windows_of(recipe, out, split, key), run / f"streams-{split}.safetensors")
        for split in ("train", "val")
    }
    return {
        name: _train(recipe, model, sets, run, bev=bev) for name, bev in (("tokens", False), ("tokens and BEV", True))
    }


def _read(recipe: MiningRecipe, model: SceneModel, windows: Sequence[Window], path: Path) -> Clips:
    stream = read_streams(model, windows, path)
    training = StreamTraining(model, recipe.tokens, seed=recipe.seed)
    fused = TrunkCache(training, windows, say=lambda text: None).fused
    model.requires_grad_(False).eval()
    clips = clips_of_windows(windows)
    truth = cell_truth(agents_of(windows, clips), ego_truth(windows, clips))
    return stream, torch.cat([cells_of_bev(part, model) for part in fused]), truth


def _train(
    recipe: MiningRecipe, model: SceneModel, sets: Mapping[str, Clips], run: Path, *, bev: bool
) -> dict[str, float]:
    c, plan = model.config, recipe.forecast
    net = WithBev(token_width=c.token_width, bev_width=c.bev_width, seed=recipe.seed, bev=bev)
    (stream, cells, truth), (val_stream, val_cells, val_truth) = sets["train"], sets["val"]

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng([recipe.seed, step, 3])
        rows = torch.from_numpy(rng.choice(len(stream), size=min(plan.clips, len(stream)), replace=False))
        generator = torch.Generator().manual_seed(1_000_003 * recipe.seed + step)
        seen = Stream(left_out(stream.tokens[rows], plan.drop, generator), stream.embedding[rows])
        return net.loss(seen, left_out(cells[rows], plan.drop, generator), truth[rows], recipe)

    folder = run / ("with-bev" if bev else "without-bev")
    run_loop(net, loss_at, recipe.paths_loop, folder, describe={"bev": bev}, say=lambda text: None)
    with torch.no_grad():
        loss, parts = net.loss(val_stream, val_cells, val_truth, recipe)
    return {"loss": float(loss), **parts}


def main() -> None:
    """Print the losses of both as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the mining recipe, with a trained stream")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(compare(replace(base(), seed=args.seed), args.out), indent=1))


if __name__ == "__main__":
    main()
