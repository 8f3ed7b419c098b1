"""How fast an added head's column is written from stored streams, beside mining the same clips again.

Usage: python benchmarks/backfill.py [--clips 10000] [--mined-seconds 4].
Fills an index with random streams of real size (32 tokens of 256 and a 512-d embedding, in fp16), adds a head to it (20
marked clips), and measures ``backfill``. Then mines a short log of six 1600×900 cameras at 2 Hz with a tower of CLIP
ViT-B/16's shape and random weights, and extrapolates. All in processor time. Prints Markdown.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from mining_speed import make_log, rig
from sceneminer.index.backfill import backfill, head_values
from sceneminer.index.head_files import load_head, read_entries
from sceneminer.index.heads import add_head
from sceneminer.index.label_set import mark
from sceneminer.index.schema import TOKEN_WIDTH, TOKENS, clips_schema, tokens_schema
from sceneminer.index.search import Index, open_index
from sceneminer.index.store import Store
from sceneminer.mine.run import mine
from sceneminer.model.example import make_clip_shape
from sceneminer.model.scene_model import SceneModel

VIT_B16 = {"width": 768, "layers": 12, "heads": 12, "image_size_px": 224, "patch_px": 16, "embed_dim": 512}
STREAM, PER_LOG = "5" * 64, 20
IMAGES_A_CLIP = 12
"""That a clip more costs: six cameras at 2 Hz, a clip every second; each image is encoded once."""


def main() -> None:
    parser = argparse.ArgumentParser(description="backfill beside mining again")
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--mined-seconds", type=int, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index = fill(Path(folder) / "index", args.clips)
        marked = mark([clip_id(37 * k % args.clips) for k in range(20)])
        add_s = clock(lambda: add_head(index, "liked", marked))
        entry = read_entries(index.store)["liked"]
        head, _ = load_head(index.folder, "liked", entry.in_force, stream_fingerprint=STREAM)
        apply_s = clock(lambda: head_values(index.store, head))
        backfill_s = clock(lambda: backfill(index, "liked"))
        images, mine_s = mined(Path(folder), args.mined_seconds)
    clip_s = IMAGES_A_CLIP * mine_s / images
    again_s = args.clips * clip_s
    print("| step | processor seconds | clips a processor second |\n|---|---|---|")
    print(f"| fit a head to 20 marked clips among {args.clips}, and write its column | {add_s:.1f} | |")
    print(f"| apply it to {args.clips} stored streams, one at a time | {apply_s:.1f} | {args.clips / apply_s:.0f} |")
    print(f"| backfill: apply and write | {backfill_s:.1f} | {args.clips / backfill_s:.0f} |")
    print(f"| mine {images} images at ViT-B/16 shapes, six cameras | {mine_s:.1f} | {1 / clip_s:.3f} |")
    print(f"| mine {args.clips} clips, extrapolated | {again_s:.0f} | {1 / clip_s:.3f} |")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"\nBackfill is {again_s / backfill_s:.0f} times as fast as mining again. Commit {commit}, {machine()}.")


def clock(run) -> float:
    """Processor time, of all threads: the machine may do other things as well."""
    started = time.process_time()
    run()
    return time.process_time() - started


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {torch.get_num_threads()} thread(s)"


def clip_id(k: int) -> str:
    return f"log{k // PER_LOG:05d}-0badf00d+{k % PER_LOG * 1000:07d}"


def fill(folder: Path, clips: int) -> Index:
    """Random streams, twenty clips a log."""
    model = {"stream_fingerprint": STREAM, "source": "random", "space": "s", "embed_dim": 512, "precision": "fp32"}
    mining = {"stride_us": 1_000_000, "length_us": 2_000_000, "min_cameras": 1}
    store = Store.create(folder, embed_dim=512, manifest={"model": model, "mining": mining})
    rng = np.random.default_rng(0)
    for first in range(0, clips, 1000):
        rows = range(first, min(first + 1000, clips))
        ids = {"clip_id": [clip_id(k) for k in rows], "log_id": [clip_id(k)[:17] for k in rows]}
        ids |= {"unit_id": [clip_id(k)[:8] for k in rows], "stream_fingerprint": [STREAM] * len(rows)}
        mean = 0.05 * rng.normal(size=(len(rows), 512))
        tokens = rng.normal(size=(len(rows), TOKENS * TOKEN_WIDTH)).astype(np.float16)
        streams = ids | {"tokens": listed(tokens), "mean_embedding": listed(mean.astype(np.float16))}
        store.append("tokens", pa.table(streams, schema=tokens_schema(512)))
        spans = {"start_us": [k % PER_LOG * 1_000_000 for k in rows]}
        spans["end_us"] = [start + 2_000_000 for start in spans["start_us"]]
        known = ids | spans | {"embedding": listed(mean.astype(np.float32))}
        missing = {f.name: pa.nulls(len(rows), f.type) for f in clips_schema(512) if f.name not in known}
        store.append("clips", pa.table(known | missing, schema=clips_schema(512)))
    return open_index(folder)


def listed(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def mined(folder: Path, seconds: int) -> tuple[int, float]:
    make_log(folder / "root" / "log0", seconds=seconds, size=(1600, 900), seed=0)
    (folder / "root" / "rig.json").write_text(json.dumps(rig(1600, 900)))
    model = SceneModel.from_pretrained(make_clip_shape(folder / "tower", **VIT_B16))
    started = time.process_time()
    report = mine(folder / "root", folder / "mined", model=model, workers=1)
    return report.images, time.process_time() - started


if __name__ == "__main__":
    main()
