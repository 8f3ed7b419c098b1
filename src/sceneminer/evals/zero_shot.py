"""How well text finds clips with no head trained: the towns' test sets.

A test set is 200 clips of 100 logs of towns never trained on. A clip is 4 instants at 2 Hz × 6 cameras, and its
embedding the rounded mean of its images' unit embeddings, as mining stores it; images are rendered at the tower's
input size, pass JPEG at the writer's quality, and go through ``load_tower`` in mining's batches. Descriptions state
what the pixels of those 24 images show. Right is every clip of which a description is true, not only the one it was
written for; chance is that of a random order. Nothing is chosen on the test sets.
Command: ``python -m sceneminer.evals.zero_shot MODEL --data runs/tiny/data``. Result: docs/results/tiny_clip.md.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from sceneminer.data.clip import Clip
from sceneminer.data.errors import DataError
from sceneminer.data.synth.as_log import hdmap_of, log_of
from sceneminer.data.synth.captions import Caption, caption
from sceneminer.data.synth.drive import record_drive
from sceneminer.data.synth.facts import Fact, SceneFacts
from sceneminer.data.synth.grammar import Grammar
from sceneminer.data.synth.layout import build_town
from sceneminer.data.synth.scene import Split
from sceneminer.labels.prompts import TAGS
from sceneminer.labels.tags import label_tags
from sceneminer.model.heads import TagsHead
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.stream import Stream, mean_embedding, round_stream
from sceneminer.model.tower import Tower
from sceneminer.model.zoo import load_model_tower
from sceneminer.recipes.mining_features import through_jpeg
from sceneminer.recipes.tiny_data import Moment, ShardPlan, read_shard, write_shards
from sceneminer.recipes.tiny_union import clip_truth, union_scene

CLIP_FRAMES = 4
CLIP_US = 2_000_000
TEST_TIMES_S = (0.5, 1.0, 1.5, 2.0, 5.5, 6.0, 6.5, 7.0)
"""Two clips of each log, 3.5 s apart."""
TEST_TOWNS = {"val": 12, "test": 25, "far": 25}
MOST_TRUE = 5
"""A description that is true of more clips than this says too little to look for."""
_DRAWS = 200
_BATCH = 8

SHOWN_TAGS = (
    "night",
    "rain",
    "intersection",
    "dense_traffic",
    "many_pedestrians",
    "pedestrian_crossing",
    "cyclist",
    "two_wheeler",
    "bus",
    "large_truck",
    "construction_zone",
    "parked_obstruction",
    "parking_lot",
)
"""Tags that a single image can show; the others are of ego's motion, or of where people have walked."""


@dataclass(frozen=True, eq=False)
class TestClip:
    """Four instants of six cameras, and what they show."""

    __test__ = False

    log: str
    name: str
    images: UInt8[ndarray, "n h w 3"]
    scene: SceneFacts
    truth: frozenset[Fact]


def read_clips(folder: Path, split: Split) -> list[TestClip]:
    """All clips of the shards of a split; DataError where there are none or a log is not whole clips."""
    clips = []
    for path in sorted((folder / split).glob("*.safetensors")):
        moments = read_shard(path)
        if len(moments) % CLIP_FRAMES:
            raise DataError(f"{path.name}: expected clips of {CLIP_FRAMES} frames, found {len(moments)} frames")
        clips += [_clip(moments[k : k + CLIP_FRAMES]) for k in range(0, len(moments), CLIP_FRAMES)]
    if not clips:
        raise DataError(f"expected shards in {folder / split}, found none")
    return clips


def _clip(moments: Sequence[Moment]) -> TestClip:
    if len({moment.drive for moment in moments}) != 1:
        raise DataError(f"expected the frames of a clip in one log, found {sorted({m.drive for m in moments})}")
    views = [view for moment in moments for view in moment.views]
    scene = union_scene(views)
    first = moments[0]
    images = np.concatenate([moment.images for moment in moments])
    return TestClip(first.drive, f"{first.drive}@{first.time_s:g}", images, scene, clip_truth(views, scene))


def clip_embedding(tower: Tower, clip: TestClip) -> Float16[Tensor, "1 e"]:
    """What mining would keep of a clip's images: the mean of their unit embeddings, rounded."""
    images = torch.from_numpy(np.stack([through_jpeg(image) for image in clip.images])).permute(0, 3, 1, 2)
    parts = [tower.encode_images(part.contiguous()).embeddings for part in images.split(_BATCH)]
    embeddings = torch.cat(parts)[None, None]
    valid = torch.ones(embeddings.shape[:3], dtype=torch.bool)
    return round_stream(torch.zeros(1, 1, 1), mean_embedding(embeddings, valid)).embedding


def describe_clips(
    clips: Sequence[TestClip], grammar: Grammar, rng: np.random.Generator, *, most_true: int = MOST_TRUE
) -> list[Caption]:
    """A description for each clip that no other clip has; true of at most ``most_true`` clips wherever one is found."""
    told: set[str] = set()
    found = []
    for clip in clips:
        best: tuple[int, Caption] | None = None
        for _ in range(_DRAWS):
            drawn = caption(clip.scene, rng, grammar=grammar)
            if drawn.text.lower() in told:
                continue
            count = sum(drawn.facts <= other.truth for other in clips)
            if best is None or count < best[0]:
                best = (count, drawn)
            if count <= most_true:
                break
        if best is None:
            raise DataError(f"expected a description of {clip.log} that no other clip has, found none")
        told.add(best[1].text.lower())
        found.append(best[1])
    return found


def truth_table(captions: Sequence[Caption], clips: Sequence[TestClip]) -> Bool[ndarray, "q c"]:
    """Which description is true of which clip."""
    return np.array([[c.facts <= clip.truth for clip in clips] for c in captions])


def recall_at(scores: Float[ndarray, "q c"], true: Bool[ndarray, "q c"], k: int) -> float:
    """Share of queries with a right clip among the first k."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(true, first, 1).any(1).mean())


def chance_at(true: Bool[ndarray, "q c"], k: int) -> float:
    """``recall_at`` of a random order, in expectation."""
    n = true.shape[1]
    return float(np.mean([1.0 - comb(n - int(right), k) / comb(n, k) for right in true.sum(1)]))


def average_precision(scores: Float[ndarray, "c"], true: Bool[ndarray, "c"]) -> float:
    """Mean of the precision at each right one, in the order of the scores (ties in the order given)."""
    right = true[np.argsort(-scores, kind="stable")]
    return float(np.mean((np.cumsum(right) / np.arange(1, len(right) + 1))[right]))


def retrieval_report(
    tower: Tower, clips: Sequence[TestClip], embeddings: Float[Tensor, "c e"], grammar: Grammar, *, seed: int
) -> dict[str, float]:
    """R@k of descriptions that any right clip answers, and of the very clip each was written for."""
    captions = describe_clips(clips, grammar, np.random.default_rng(seed))
    scores = (tower.encode_texts([c.text for c in captions]) @ embeddings.T).numpy()
    true = truth_table(captions, clips)
    own = np.eye(len(clips), dtype=bool)
    report = {f"R@{k}": recall_at(scores, true, k) for k in (1, 5, 10)}
    report |= {f"chance R@{k}": chance_at(true, k) for k in (1, 5, 10)}
    report |= {"own clip R@10": recall_at(scores, own, 10), "chance own R@10": chance_at(own, 10)}
    return report | {"right clips": float(true.sum(1).mean()), "most right clips": float(true.sum(1).max())}


def label_towns(split: Split, towns: int) -> dict[str, dict[str, bool | None]]:
    """The labels of every clip of a test set by the rules of ``labels.tags``, by ``TestClip.name``.

    Drives are simulated again, not rendered; night and rain are told by the sky, since descriptions may leave them out.
    """
    found = {}
    plan = ShardPlan(split, times_s=TEST_TIMES_S)
    for town_seed in range(towns):
        town = build_town(split, town_seed)
        hdmap = hdmap_of(town)
        for seed in range(plan.drives):
            drive = record_drive(town, seed, duration_s=plan.duration_s)
            log = log_of(drive, hdmap=hdmap)
            starts = [round(t * 1e6) for t in TEST_TIMES_S[::CLIP_FRAMES]]
            clips = tuple(Clip(f"{drive.name}@{at / 1e6:g}", log.log_id, at, at + CLIP_US) for at in starts)
            sky = {"night": drive.environment.is_night, "rain": drive.environment.rain_mm_h > 0.5}
            for clip, labels in zip(clips, label_tags(log, clips), strict=True):
                found[clip.clip_id] = labels | sky
    return found


def tag_report(
    model: SceneModel,
    embedding: Float[Tensor, "c e"],
    clips: Sequence[TestClip],
    labels: Mapping[str, Mapping[str, bool | None]],
) -> dict[str, tuple[float, float]]:
    """Average precision and prevalence of each tag that a single image can show, of those that some clips have."""
    head = model.heads["tags"]
    assert isinstance(head, TagsHead)
    tokens = torch.zeros(len(clips), model.config.token_count, model.config.token_width, dtype=torch.float16)
    probability = head(Stream(tokens, embedding)).numpy()
    found = {}
    for tag in SHOWN_TAGS:
        true = np.array([bool(labels[clip.name][tag]) for clip in clips])
        if true.any() and not true.all():
            found[tag] = (average_precision(probability[:, TAGS.index(tag)], true), float(true.mean()))
    return found


def evaluate(model: SceneModel, folder: Path, split: Split, *, seed: int = 0) -> dict[str, object]:
    """Retrieval on both grammars and tags, of one split."""
    clips = read_clips(folder, split)
    embedding = torch.cat([clip_embedding(model.tower, clip) for clip in clips])
    unit = functional.normalize(embedding.float(), dim=-1)
    tags = tag_report(model, embedding, clips, label_towns(split, TEST_TOWNS[split]))
    values = np.array(list(tags.values()))
    return {
        "clips": len(clips),
        "logs": len({clip.log for clip in clips}),
        "train grammar": retrieval_report(model.tower, clips, unit, "train", seed=seed),
        "held-out grammar": retrieval_report(model.tower, clips, unit, "held_out", seed=seed),
        "tags": {tag: {"AP": ap, "prevalence": share} for tag, (ap, share) in tags.items()},
        "mAP": float(values[:, 0].mean()),
        "mean prevalence": float(values[:, 1].mean()),
        "mAP / mean prevalence": float(values[:, 0].mean() / values[:, 1].mean()),
    }


def main() -> None:
    """Render the test sets where they are missing, and print the report of each split as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="where the shards of the splits are kept")
    parser.add_argument("--split", choices=tuple(TEST_TOWNS), action="append", help="by default test and far")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    # An untrained trunk around the tower, whatever trained one the folder may hold: that is what zero-shot means.
    model = SceneModel(load_model_tower(args.model))
    for split in args.split or ("test", "far"):
        plan = ShardPlan(split, times_s=TEST_TIMES_S)
        for path in write_shards(args.data, plan, range(TEST_TOWNS[split]), workers=args.workers):
            print(path, flush=True)
        print(json.dumps({split: evaluate(model, args.data, split)}, indent=1), flush=True)


if __name__ == "__main__":
    main()
