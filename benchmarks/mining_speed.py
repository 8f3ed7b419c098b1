"""How fast mining is, end to end, beside the bare tower on the same images.

Usage: python benchmarks/mining_speed.py [--logs 2] [--seconds 20] [--repeats 5] [--workers 2] [--size 1600x900].
Fabricates folder logs of six calibrated cameras at 2 Hz and random towers of two shapes, then alternates between
(a) the tower alone over the decoded images in batches of 8 and (b) ``mine`` into a new index: decoding, tower, lift,
scene tokens, heads, thumbnails, tables, hardness. Only the ratio of the two, taken side by side, means anything on a
machine that does other things as well. Prints Markdown.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sceneminer.data.open import open_logs
from sceneminer.mine.decode import iter_images
from sceneminer.mine.run import mine
from sceneminer.mine.stage import IMAGE_BATCH
from sceneminer.model.example import make_clip_shape
from sceneminer.model.scene_model import SceneModel

START_US = 1_700_000_000_000_000
CAMERAS = 6
VIT_B32 = {"width": 768, "layers": 12, "heads": 12, "image_size_px": 224, "patch_px": 32, "embed_dim": 512}
TINY = {"width": 192, "layers": 6, "heads": 3, "image_size_px": 128, "patch_px": 16, "embed_dim": 256}


def main() -> None:
    parser = argparse.ArgumentParser(description="mining speed beside the bare tower's")
    parser.add_argument("--logs", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", default="1600x900", help="WIDTHxHEIGHT of the JPEGs")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    args = parser.parse_args()
    width, height = (int(part) for part in args.size.split("x"))
    print("| tower | bare tower, images/s | mining, images/s | mining, clips/s | mining : bare tower |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        for log in range(args.logs):
            make_log(root / f"log{log}", seconds=args.seconds, size=(width, height), seed=log)
        (root / "rig.json").write_text(json.dumps(rig(width, height)))
        for name, shape in (("ViT-B/32 shape", VIT_B32), ("tiny shape", TINY)):
            tower = make_clip_shape(Path(folder) / name.replace("/", "-"), **shape)
            model = SceneModel.from_pretrained(tower, numeric_mode=args.precision)
            print(f"| {name} | {row(measure(root, model, Path(folder), args.repeats, args.workers))} |", flush=True)
    print(f"\nMedian (min to max) of {args.repeats} alternating repetitions, {torch.get_num_threads()} threads.")


def measure(root: Path, model: SceneModel, folder: Path, repeats: int, workers: int) -> list[dict[str, float]]:
    batches = tower_batches(root, model, workers)
    images = sum(len(batch) for batch in batches)
    model.encode(batches[0])
    found = []
    for k in range(repeats):
        started = time.perf_counter()
        for batch in batches:
            model.encode(batch)
        bare_s = time.perf_counter() - started
        with tempfile.TemporaryDirectory(dir=folder, prefix=f"index{k}") as index:
            started = time.perf_counter()
            report = mine(root, index, model=model, workers=workers)
            mined_s = time.perf_counter() - started
        bare, mined = images / bare_s, report.images / mined_s
        found.append({"bare": bare, "mined": mined, "clips": report.clips / mined_s, "ratio": mined / bare})
    return found


def row(found: list[dict[str, float]]) -> str:
    cells = []
    for name, digits in (("bare", 1), ("mined", 1), ("clips", 2), ("ratio", 2)):
        values = [f[name] for f in found]
        middle, low, high = statistics.median(values), min(values), max(values)
        cells.append(f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")
    return " | ".join(cells)


def tower_batches(root: Path, model: SceneModel, workers: int) -> list[torch.Tensor]:
    """All images at the tower's input size, in full batches."""
    pixels = []
    for log in open_logs(root).logs:
        keys = [(name, i) for name in log.cameras() for i in range(len(log.series[name]))]
        pixels += [image for _, image in iter_images(log, keys, model.tower, workers=workers)]
    full = len(pixels) // IMAGE_BATCH * IMAGE_BATCH
    stacked = torch.from_numpy(np.stack(pixels[:full])).permute(0, 3, 1, 2).contiguous()
    return list(stacked.split(IMAGE_BATCH))


def make_log(folder: Path, *, seconds: int, size: tuple[int, int], seed: int) -> None:
    """Images with coarse and fine structure, so that a JPEG is about as large as one of a street."""
    rng = np.random.default_rng(seed)
    for camera in range(CAMERAS):
        (folder / f"cam{camera}").mkdir(parents=True)
        for k in range(2 * seconds + 1):
            coarse = Image.fromarray(rng.integers(0, 256, (9, 16, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
            fine = rng.integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
            both = Image.blend(coarse, Image.fromarray(fine).resize(size, Image.Resampling.BICUBIC), 0.3)
            both.save(folder / f"cam{camera}" / f"{START_US + 500_000 * k}.jpg", quality=85)
    rows = [f"{START_US + 500_000 * k},{4.0 * k},0,0,1,0,0,0" for k in range(2 * seconds + 1)]
    (folder / "poses.csv").write_text("\n".join(["time_us,x,y,z,qw,qx,qy,qz", *rows]) + "\n")


def rig(width: int, height: int) -> dict:
    sensors = {}
    for camera in range(CAMERAS):
        yaw = 2 * np.pi * camera / CAMERAS
        ahead, left = np.array([np.cos(yaw), np.sin(yaw), 0.0]), np.array([-np.sin(yaw), np.cos(yaw), 0.0])
        pose = np.eye(4)
        pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[2, 3] = -left, [0, 0, -1], ahead, 1.6
        lens = {"fx": 0.8 * width, "fy": 0.8 * width, "cx": width / 2 - 0.5, "cy": height / 2 - 0.5}
        sensors[f"cam{camera}"] = {"width": width, "height": height, **lens, "ego_from_sensor": pose.tolist()}
    return {"sensors": sensors}


if __name__ == "__main__":
    main()
