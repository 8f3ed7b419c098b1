"""Clips of held-out towns for the interference benchmark, as a checkpoint's own scene tokens read them.

``python -m sceneminer.evals.identity_windows CHECKPOINT --data runs/mining --to runs/bench`` writes what
``sceneminer bench identity --model CHECKPOINT --data runs/bench`` reads.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from sceneminer.evals.identity_data import BenchClips, BenchData, save_bench_data
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.stream import mean_embedding
from sceneminer.recipes.mining import base, windows_of
from sceneminer.recipes.mining_features import Window, tower_key
from sceneminer.recipes.mining_forecast import risk_truth
from sceneminer.recipes.mining_set import ClipRef, clips_of_windows
from sceneminer.recipes.mining_stream import StreamPlan, StreamTraining, TrunkCache, tag_truth
from sceneminer.recipes.mining_text import make_bank


def bench_clips(
    model: SceneModel, windows: Sequence[Window], clips: Sequence[ClipRef], *, seed: int
) -> tuple[BenchClips, torch.Tensor]:
    """Inputs, labels and one caption of each clip, and which caption is true of which clip."""
    training = StreamTraining(model, StreamPlan(), seed=seed)
    cache = TrunkCache(training, windows, say=lambda text: None)
    model.requires_grad_(False)
    batch, fused = cache.read(windows, clips)
    shape = batch.embeddings.shape[:3]
    rays = batch.views.rays.expand(*shape, *batch.views.rays.shape[-3:])
    bank = make_bank(windows, clips, model.tower, each=1, grammar="train", seed=seed)
    inputs = {
        "embeddings": batch.embeddings.half(),
        "patches": batch.patches.half(),
        "valid": torch.ones(shape, dtype=torch.bool),
        "rays": rays,
        "bev": fused.half(),
        "last_from_frame": batch.last_from_frame,
    }
    mean = mean_embedding(batch.embeddings, inputs["valid"]).half()
    tags, risk = tag_truth(windows, clips), risk_truth(windows, clips)
    truth = bank.truth([(k, 0) for k in range(len(clips))], range(len(clips)))
    return BenchClips(inputs, mean, tags.to(torch.int8), risk, bank.embeddings[:, 0]), truth


def write_bench(checkpoint: Path, out: Path, to: Path, *, train: int, seed: int = 0) -> None:
    """Clips of ``train`` training windows and of all val windows, one clip each."""
    model = SceneModel.from_pretrained(checkpoint, numeric_mode=base().tower_mode)
    key = tower_key(model.tower)
    data = []
    for split, count in (("train", train), ("val", None)):
        windows = windows_of(base(), out, split, key)[:count]
        rng = np.random.default_rng([seed, len(windows)])
        clips = clips_of_windows(windows, stride=2)
        kept = np.sort(rng.permutation(len(clips))[: 2 * len(windows)])
        data.append(bench_clips(model, windows, [clips[k] for k in kept], seed=seed))
    (train_clips, _), (val_clips, truth) = data
    age_s = torch.arange(model.config.frames_per_clip - 1, -1, -1) * (model.config.frame_period_us / 1e6)
    prompts = torch.zeros(0, model.tower.embed_dim)
    save_bench_data(to, BenchData(train_clips, val_clips, truth, age_s, prompts))


def main() -> None:
    """Write the benchmark's clips."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of the mining recipe, with its windows")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--train", type=int, default=160, help="training windows")
    args = parser.parse_args()
    torch.set_num_threads(1)
    write_bench(args.checkpoint, args.data, args.to, train=args.train)


if __name__ == "__main__":
    main()
