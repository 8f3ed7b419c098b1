"""One step's pictures and texts, and which text is true of which picture, which clip and which object.

Texts are compared by what they state (``facts``), so that a caption written for one picture counts as true of every
other picture in the batch that shows the same: there are no false negatives to learn from.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from PIL import Image, ImageFilter
from torch import Tensor

from sceneminer.data.synth.captions import Caption, caption, object_captions
from sceneminer.data.synth.facts import Fact, SceneFacts, Sight, wider
from sceneminer.data.synth.grammar import Grammar
from sceneminer.recipes.tiny_data import Moment
from sceneminer.recipes.tiny_facts import fact_table, implied, local_facts
from sceneminer.recipes.tiny_union import carries_over, clip_truth, union_scene


@dataclass(frozen=True)
class BatchPlan:
    """How much of everything a step sees."""

    moments: int = 5
    views_told: int = 2
    """Of each moment, so many of its six images get a caption of their own."""
    clip_texts: int = 3
    """Captions of each moment from all its images together; the last one from ego's two seconds around it."""
    objects: int = 20
    least_box_px: int = 12
    """Objects with smaller boxes have no patch to speak of."""


@dataclass(frozen=True, eq=False)
class Batch:
    images: UInt8[Tensor, "m v 3 h w"]
    texts: list[str]
    """Captions of views, clips and single objects; then of ego's seconds around; then phrases of single objects."""
    true_of_view: Bool[Tensor, "t_view n"]
    """Of the first texts, those that images can be asked about; n: images of all moments."""
    said_of_clip: Int[Tensor, "t_clip"]
    """Texts that clips can be asked about: no phrases, and none that tells sides, which a clip of six views has not."""
    true_of_clip: Bool[Tensor, "t_clip m"]
    object_view: Int[Tensor, "o"]
    """Which image each object is in."""
    object_box: Float[Tensor, "o 4"]
    """u0 v0 u1 v1 in shares of width and height."""
    true_of_object: Bool[Tensor, "t o"]
    unknown_of_object: Bool[Tensor, "t o"]
    """Pairs of which it is not known whether they match: left out of the loss."""
    facts: Mapping[str, Bool[Tensor, "_n f"]]
    """Which of the given facts hold of each view, clip and object, and of each text up to the phrases; and which of
    the local ones of each sight."""
    sight_view: Int[Tensor, "s"]
    """Every object that is seen, however small: which image it is in."""
    sight_box: Float[Tensor, "s 4"]
    true_of_memory: Bool[Tensor, "t_clip q"]
    """As ``true_of_clip``, of the clips of earlier steps."""


@dataclass(frozen=True, eq=False)
class MomentTruth:
    """All that may be said of a moment: of its images together, and of ego's two seconds around it."""

    clip: frozenset[Fact]
    around: frozenset[Fact]


def truth_of(moment: Moment, union: SceneFacts) -> MomentTruth:
    """Of a moment and ``union_scene`` of its views."""
    return MomentTruth(clip_truth(moment.views, union), moment.around.facts)


def make_batch(
    moments: Sequence[Moment],
    plan: BatchPlan,
    rng: np.random.Generator,
    *,
    grammar: Grammar,
    facts: Sequence[Fact] = (),
    memory: Sequence[MomentTruth] = (),
) -> Batch:
    """Pictures, freshly written texts and their truth; the same generator state gives the same batch.

    ``memory`` are moments of earlier steps.
    """
    views = [view for moment in moments for view in moment.views]
    unions = [union_scene(moment.views) for moment in moments]
    n_views = len(moments[0].views)
    told: list[Caption] = []
    for k in range(len(moments)):
        chosen = rng.choice(n_views, size=plan.views_told, replace=False)
        told += [caption(views[k * n_views + int(v)], rng, grammar=grammar) for v in chosen]
        told += [caption(unions[k], rng, grammar=grammar) for _ in range(plan.clip_texts - 1)]
    around = [caption(moment.around, rng, grammar=grammar) for moment in moments]
    sights = [(n, sight) for n, view in enumerate(views) for sight in view.sights]
    objects = _draw_objects(sights, plan, rng)
    alone = [caption(_alone(sight), rng, grammar=grammar) for _, sight in objects]
    phrases = [object_captions(_alone(sight), rng, grammar=grammar)[0][0] for _, sight in objects]
    known = [*told, *alone]
    view_facts = [view.facts for view in views]
    own = [truth_of(moment, union) for moment, union in zip(moments, unions, strict=True)]
    truths = [truth.clip for truth in own]
    of_view = _subsets(known, view_facts)
    said_of_clip = [k for k, c in enumerate(known) if all(carries_over(fact) for fact in c.facts)]
    pictured = [known[k] for k in said_of_clip]
    said_of_clip += range(len(known), len(known) + len(around))
    object_facts = [_alone(sight).facts for _, sight in objects]
    same, unknown = _phrase_truth([sight for _, sight in objects])
    nothing = np.zeros((len(around), len(objects)), bool)
    of_object = np.concatenate([_subsets(known, object_facts), nothing, same])
    # A caption of a whole picture says more than an object shows: only phrases of single objects are judged by objects.
    silent = np.concatenate([np.ones((len(told), len(objects)), bool), np.zeros((len(alone), len(objects)), bool)])
    return Batch(
        images=torch.from_numpy(np.stack([m.images for m in moments])).permute(0, 1, 4, 2, 3).contiguous(),
        texts=[*(c.text for c in known), *(c.text for c in around), *phrases],
        true_of_view=torch.from_numpy(of_view),
        said_of_clip=torch.tensor(said_of_clip, dtype=torch.int64),
        true_of_clip=_clip_truth(pictured, around, own),
        true_of_memory=_clip_truth(pictured, around, memory),
        object_view=torch.tensor([view for view, _ in objects], dtype=torch.int64),
        object_box=torch.tensor([_box_share(s, moments[0].images.shape[1:3]) for _, s in objects]).reshape(-1, 4),
        true_of_object=torch.from_numpy(of_object & ~np.concatenate([silent, nothing, np.zeros_like(same)])),
        unknown_of_object=torch.from_numpy(np.concatenate([silent, ~nothing, unknown])),
        facts={
            "view": torch.from_numpy(fact_table(view_facts, facts)),
            "clip": torch.from_numpy(fact_table(truths, facts)),
            "object": torch.from_numpy(fact_table(object_facts, facts)),
            "text": torch.from_numpy(fact_table([implied(c.facts) for c in (*known, *around)], facts)),
            "sight": torch.from_numpy(
                fact_table([_alone(s).facts for _, s in sights], [facts[k] for k in local_facts(facts)])
            ),
        },
        sight_view=torch.tensor([view for view, _ in sights], dtype=torch.int64),
        sight_box=torch.tensor([_box_share(s, moments[0].images.shape[1:3]) for _, s in sights]).reshape(-1, 4),
    )


def _alone(sight: Sight) -> SceneFacts:
    return SceneFacts(sights=(sight,), counts=(), sky=(), places=())


def _draw_objects(
    sights: Sequence[tuple[int, Sight]], plan: BatchPlan, rng: np.random.Generator
) -> list[tuple[int, Sight]]:
    """Objects large enough to have patches, rare kinds more often than they come."""
    found = []
    for view, sight in sights:
        u0, v0, u1, v1 = sight.box
        if min(u1 - u0, v1 - v0) >= plan.least_box_px // 2 and max(u1 - u0, v1 - v0) >= plan.least_box_px:
            found.append((view, sight))
    if len(found) <= plan.objects:
        return found
    _, index, counts = np.unique([s.kind for _, s in found], return_inverse=True, return_counts=True)
    weight = 1.0 / np.sqrt(counts[index])
    chosen = rng.choice(len(found), size=plan.objects, replace=False, p=weight / weight.sum())
    return [found[int(k)] for k in np.sort(chosen)]


def _phrase_truth(sights: Sequence[Sight]) -> tuple[ndarray, ndarray]:
    """A phrase is true of its own object, unknown of those whose kind could be called the same, else false."""
    names = [{sight.kind, *wider(sight.kind)} for sight in sights]
    alike = np.array([[bool(a & b) for b in names] for a in names]).reshape(len(sights), len(sights))
    same = np.eye(len(sights), dtype=bool)
    return same, alike & ~same


def _box_share(sight: Sight, size_hw: tuple[int, ...]) -> list[float]:
    height, width = size_hw
    u0, v0, u1, v1 = sight.box
    return [u0 / width, v0 / height, u1 / width, v1 / height]


def _clip_truth(
    pictured: Sequence[Caption], around: Sequence[Caption], truths: Sequence[MomentTruth]
) -> Bool[Tensor, "t n"]:
    """Which captions are true of which moments."""
    shown, driven = _subsets(pictured, [t.clip for t in truths]), _subsets(around, [t.around for t in truths])
    return torch.from_numpy(np.concatenate([shown, driven]))


def _subsets(captions: Sequence[Caption], truths: Sequence[frozenset[Fact]]) -> ndarray:
    """Which caption is true of which scene."""
    return np.array([[c.facts <= truth for truth in truths] for c in captions], bool).reshape(
        len(captions), len(truths)
    )


def augment(images: UInt8[ndarray, "n h w 3"], rng: np.random.Generator) -> UInt8[ndarray, "n h w 3"]:
    """Exposure, contrast, tint, blur, noise and JPEG, so that no towns' cameras can be told by their pixels."""
    return np.stack([_augment(image, rng) for image in images])


def _augment(image: UInt8[ndarray, "h w 3"], rng: np.random.Generator) -> UInt8[ndarray, "h w 3"]:
    x = image.astype(np.float32)
    gain = np.float32(np.exp(rng.normal(0.0, 0.18))) * np.exp(rng.normal(0.0, 0.035, 3)).astype(np.float32)
    mean = x.mean()
    x = (x - mean) * np.float32(np.exp(rng.normal(0.0, 0.12))) + mean
    x *= gain
    saturation = np.float32(np.exp(rng.normal(0.0, 0.2)))
    grey = x.mean(-1, keepdims=True)
    x = grey + (x - grey) * saturation
    if rng.random() < 0.4:
        x += rng.normal(0.0, rng.uniform(1.0, 7.0), x.shape).astype(np.float32)
    picture = Image.fromarray(np.clip(x, 0, 255).astype(np.uint8))
    if rng.random() < 0.35:
        picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.9))))
    if rng.random() < 0.5:
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=int(rng.integers(55, 96)))
        picture = Image.open(data)
    return np.asarray(picture.convert("RGB"))
