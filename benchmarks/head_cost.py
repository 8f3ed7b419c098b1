"""What lift, scene tokens, all heads and the physics cost beside the tower: ``python benchmarks/head_cost.py``.

Six cameras at 2 Hz, clips of 2 s every second, so that a clip brings two new Frames: twelve images through the tower,
two lifts, one stream, one set of signals, one run of the physics on the forecast. Weights are random but for
sceneminer-tiny. Tower and trunk take turns, one thread, processor time; the median of the repeats counts.
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from sceneminer.model.forecast import ForecastHead
from sceneminer.model.forecast_risk import camera_risk
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.tower import NumericMode, load_tower
from sceneminer.model.zoo import TINY, resolve_model
from sceneminer.recipes.mining_nuscenes import make_vit_b16
from sceneminer.recipes.mining_set import town_views
from sceneminer.train.loop import git_commit

NEW_FRAMES, CAMERAS, FRAMES = 2, 6, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, one thread, torch {torch.__version__}, commit {git_commit()}")
    with tempfile.TemporaryDirectory() as folder:
        vit = make_vit_b16(Path(folder) / "vit-b16")
        cases: list[tuple[str, str | Path, NumericMode]] = [("CLIP ViT-B/16 shapes", vit, "bf16")]
        cases += [("CLIP ViT-B/16 shapes", vit, "fp32")]
        for name, source, mode in cases:
            model = SceneModel(load_tower(source, dtype=mode))
            model.add_head(ForecastHead(token_width=model.config.token_width))
            report(f"{name}, {mode}", model, (224, 400), args.repeats)
    report("sceneminer-tiny, fp32", SceneModel.from_pretrained(resolve_model(TINY)), (128, 224), args.repeats)


def report(name: str, model: SceneModel, size_hw: tuple[int, int], repeats: int) -> None:
    """One line: milliseconds of each part, and what all but the tower is of the tower."""
    height, width = size_hw
    images = torch.randint(0, 255, (NEW_FRAMES * CAMERAS, 3, height, width), dtype=torch.uint8)
    views = town_views(model.config, size_hw)
    seen = torch.ones(NEW_FRAMES, CAMERAS, dtype=torch.bool)
    features = model.encode(images)
    patches = features.patches.unflatten(0, (NEW_FRAMES, CAMERAS))
    bev = model.lift_frames(patches, seen, views.points * NEW_FRAMES)
    pooled = model.pool(features.patches).unflatten(0, (NEW_FRAMES, CAMERAS))

    def whole(part: torch.Tensor) -> torch.Tensor:
        return part.repeat(FRAMES // NEW_FRAMES, *[1] * (part.ndim - 1))[None]

    def clip() -> None:
        stream = model.make_stream(
            embeddings=whole(features.embeddings.unflatten(0, (NEW_FRAMES, CAMERAS))),
            patches=whole(pooled),
            valid=torch.ones(1, FRAMES, CAMERAS, dtype=torch.bool),
            rays=views.rays.expand(1, FRAMES, *views.rays.shape),
            bev=whole(bev),
            last_from_frame=torch.eye(4).expand(1, FRAMES, 4, 4),
        )
        forecast = model.signals(stream).get("forecast")
        if isinstance(forecast, dict):
            camera_risk({key: value[0].double().numpy() for key, value in forecast.items()})

    parts: dict[str, Callable[[], object]] = {
        "tower": lambda: model.encode(images),
        "lift and pool": lambda: (
            model.lift_frames(patches, seen, views.points * NEW_FRAMES),
            model.pool(features.patches),
        ),
        "stream, heads, physics": clip,
    }
    with torch.no_grad():
        times = {key: [] for key in parts}
        for _ in range(repeats):
            for key, run in parts.items():
                start = time.process_time()
                run()
                times[key].append(1000 * (time.process_time() - start))
    middle = {key: statistics.median(values) for key, values in times.items()}
    share = (sum(middle.values()) - middle["tower"]) / middle["tower"]
    print(
        f"{name}: "
        + ", ".join(f"{key} {value:.1f} ms" for key, value in middle.items())
        + f"; beside the tower {share:.1%}"
    )


if __name__ == "__main__":
    main()
