"""``mining`` on the real nuScenes: CLIP ViT-B/16, six cameras, the official training and validation scenes.

Nothing here has been trained by us: the set is not ours to use. What can be had without it is the dry run:
``python -m sceneminer.recipes.mining_nuscenes --dry-run`` builds everything, prints shapes, parameters and memory, and
runs one batch through both stages, forward and back, on a town in nuScenes' format that it makes (or on ``--root``).
The real thing: ``python -m sceneminer.recipes.mining_nuscenes --root NUSCENES --out RUN``.
"""

import argparse
import resource
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sceneminer.data.open import open_logs
from sceneminer.data.synth.write import write_dataset
from sceneminer.model.example import make_clip_shape
from sceneminer.model.forecast import ForecastHead
from sceneminer.model.identity import isolated
from sceneminer.model.scene_model import SceneModel
from sceneminer.recipes.mining import MiningRecipe, base, open_model, ship, train_forecast, train_stream
from sceneminer.recipes.mining_data import CAMERAS
from sceneminer.recipes.mining_features import Window, encode_windows, read_window, tower_key
from sceneminer.recipes.mining_forecast import cell_truth, ego_truth, forecast_loss
from sceneminer.recipes.mining_logs import NUSCENES_VAL, LogPlan, write_log_windows
from sceneminer.recipes.mining_set import Batch, agents_of, clips_of_windows, read_batch
from sceneminer.recipes.mining_stream import StreamTraining, stream_loss
from sceneminer.recipes.mining_streams import window_streams
from sceneminer.recipes.mining_text import make_bank

TOWER = "openai/clip-vit-base-patch16"


def nuscenes() -> MiningRecipe:
    """As ``base()``, with a tower, a trunk and a budget for 700 scenes of 20 s and an accelerator."""
    recipe = base()
    trunk = replace(recipe.trunk_loop, steps=4000, warmup_steps=200, decay_steps=2000)
    tokens = replace(recipe.tokens_loop, steps=12000, warmup_steps=200, decay_steps=6000)
    paths = replace(recipe.paths_loop, steps=6000, warmup_steps=100, decay_steps=3000)
    return replace(
        recipe,
        tower=TOWER,
        stream=replace(recipe.stream, clips=16, other_texts=256),
        trunk_loop=trunk,
        tokens=replace(recipe.tokens, clips=64, memory=2048),
        tokens_loop=tokens,
        paths_loop=paths,
        captions=1,
    )


def log_windows(root: Path, out: Path, model: SceneModel, *, validation: bool) -> list[Window]:
    """Windows of the official training or validation scenes under a root, made where they are missing."""
    names = [log.name for log in open_logs(root).logs]
    kept = tuple(name for name in names if (name in NUSCENES_VAL) == validation)
    folder = out / "data" / ("val" if validation else "train")
    paths = write_log_windows(root, folder, LogPlan(logs=kept), model.tower, say=_say)
    for _ in encode_windows(paths, model.tower):
        pass
    return [read_window(path, tower_key(model.tower)) for path in paths]


def make_vit_b16(folder: Path) -> Path:
    """A CLIP whose image side has the shape of ViT-B/16 at 224 px, with random weights; its text side is small."""
    return make_clip_shape(folder, width=768, layers=12, heads=12, image_size_px=224, patch_px=16, embed_dim=512)


def dry_run(root: Path | None, folder: Path, *, clips: int = 2) -> None:
    """Build ``nuscenes()`` with random weights of the tower's shape and take one batch through both stages."""
    recipe = replace(nuscenes(), tower=str(make_vit_b16(folder / "vit-b16")))
    recipe = replace(recipe, stream=replace(recipe.stream, clips=clips, other_texts=4, memory=4))
    model = open_model(recipe)
    windows = _one_window(root or _make_town(folder / "town"), folder / "windows", model)
    refs = clips_of_windows(windows)[:clips]
    training = StreamTraining(model, recipe.stream, seed=0)
    head = ForecastHead(token_width=model.config.token_width)
    _say_shapes(model, training, head, read_batch(windows, refs, model.config))
    bank = make_bank(windows, refs, model.tower, each=1, grammar="train", seed=0)
    loss, figures = stream_loss(training, windows, refs, list(range(clips)), bank, rng=np.random.default_rng(0))
    loss.backward()
    _say("stage 1, one batch there and back: " + "  ".join(f"{k} {v:.3f}" for k, v in figures.items()))
    model.requires_grad_(False).eval()
    model.add_head(head)
    with isolated(model, [head]):
        stream = window_streams(model, windows[0])[:clips]
        truth = cell_truth(agents_of(windows, refs), ego_truth(windows, refs))
        loss, figures = forecast_loss(head, stream, truth, recipe.forecast)
        loss.backward()
    _say("stage 2, one batch there and back: " + "  ".join(f"{k} {v:.3f}" for k, v in figures.items()))
    _say(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def _make_town(folder: Path) -> Path:
    _say("writing a log of a town in nuScenes' format")
    return write_dataset(folder, logs=1, split="train", seed=5, duration_s=10.0, sensors=CAMERAS, workers=1)


def _one_window(root: Path, folder: Path, model: SceneModel) -> list[Window]:
    """The first window of the first log under a root."""
    plan = LogPlan(logs=(open_logs(root).logs[0].name,), stride_us=600_000_000)
    paths = write_log_windows(root, folder, plan, model.tower, say=_say)
    for _ in encode_windows(paths, model.tower):
        pass
    return [read_window(path, tower_key(model.tower)) for path in paths]


def _say_shapes(model: SceneModel, training: StreamTraining, head: ForecastHead, batch: Batch) -> None:
    c, clips = model.config, len(batch.embeddings)
    tower = {"tower, images": model.tower.model.vision_model}  # type: ignore[union-attr]
    trunk = {"lift": model.lift, "temporal BEV": model.temporal, "scene tokens": model.scene_tokens}
    heads = {f"head {name}": model.heads[name] for name in ("embedding", "tags")} | {"head forecast": head}
    for title, part in (tower | trunk | heads | {"dense auxiliaries (discarded)": training.dense}).items():
        _say(f"{title:32} {sum(p.numel() for p in part.parameters()):>12,} parameters")
    _say(f"patches {list(batch.patches.shape)}  embeddings {list(batch.embeddings.shape)}")
    _say(f"BEV {[clips, c.bev_width + 1, *c.grid.shape]}  tokens {[clips, c.token_count, c.token_width]}")


def main() -> None:
    """Train on the real set, or show what that would be."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--root", type=Path, help="a nuScenes folder; for --dry-run by default a town that is made")
    parser.add_argument("--out", type=Path, help="where windows, features, states and metrics are kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dry-run", action="store_true", help="build it, print it, and take one batch through it")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.dry_run:
        with tempfile.TemporaryDirectory() as folder:
            dry_run(args.root, Path(folder))
        return
    if args.root is None or args.out is None:
        parser.error("expected --root and --out, or --dry-run")
    recipe = replace(nuscenes(), seed=args.seed)
    model = open_model(recipe)
    windows, run = log_windows(args.root, args.out, model, validation=False), args.out / f"seed-{args.seed}"
    train_stream(recipe, model, windows, run / "stream")
    train_forecast(recipe, model, windows, run)
    ship(recipe, model, run / "checkpoint")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
