"""sceneminer-tiny: a small CLIP trained on captioned towns, so that a first try of the tool needs no download.

Method: CLIP (Radford et al., ICML 2021) with several right answers per text (what a caption states is compared with
what each image shows, so that a batch has no false negatives), on three levels at once: an image and its captions;
six images of one instant and captions of what they show together, whose mean is what search keeps of a clip; and an
object's patches and its phrase, so that patch tokens carry local meaning. First both sides learn facts alone, patch
by patch too, then the contrasts. Most patches are left out for most of the training (FLIP, CVPR 2023).
Deviations from CLIP: 16:9 images at 128×224, exact truth instead of pairs, no cropping.
Command: ``python -m sceneminer.recipes.tiny_clip --out runs/tiny``, again to resume. Result: docs/results/tiny_clip.md.
"""

import argparse
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sceneminer.data.errors import DataError
from sceneminer.data.synth.captions import caption, object_captions
from sceneminer.data.synth.facts import Fact
from sceneminer.labels.prompts import BACKGROUND_PROMPTS, TAG_NEGATIVES, TAG_PROMPTS
from sceneminer.model.text import TextTokenizer, load_tokenizer
from sceneminer.recipes.tiny_batch import Batch, BatchPlan, augment, make_batch
from sceneminer.recipes.tiny_data import Moment, ShardPlan, write_shards
from sceneminer.recipes.tiny_facts import GROUPS, Anchors, local_facts, open_facts
from sceneminer.recipes.tiny_library import Library, key_of
from sceneminer.recipes.tiny_loss import box_weights, contrast, contrast_with_memory, patch_truth, pooled
from sceneminer.recipes.tiny_model import Shape, TinyClip, config_of, write_processor
from sceneminer.recipes.tiny_start import start_vision
from sceneminer.recipes.tiny_text import write_tokenizer
from sceneminer.recipes.tiny_union import union_scene
from sceneminer.train.loop import Loop, make_optimisers, run_loop
from sceneminer.train.state import STATE_FILE, load_state


@dataclass(frozen=True)
class TinyRecipe:
    """Everything that decides the weights; where and on what it runs is given apart."""

    shape: Shape = field(default_factory=Shape)
    shards: ShardPlan = field(default_factory=lambda: ShardPlan("train"))
    towns: int = 168
    batch: BatchPlan = field(default_factory=BatchPlan)
    loop: Loop = field(default_factory=lambda: Loop(steps=4800, decay_steps=3500, rate=2e-3, muon_rate=0.02))
    keep: float = 0.3
    """Share of patches computed until the last ``whole_steps``."""
    whole_steps: int = 0
    contrast_from: int = 1200
    """Until then both sides learn facts alone: a patch says what is where, a text only that it is somewhere."""
    clip_weight: float = 1.0
    object_weight: float = 0.5
    fact_weight: float = 1.0
    least_fact_share: float = 0.003
    """Facts that fewer images show have no anchor."""
    memory: int = 190
    """Clips of earlier steps among which a text has to find its own, too."""
    memory_from: int = 1500
    """Before this step embeddings move too fast to be remembered."""
    look_every: int = 100
    """New shards are picked up every so many steps."""
    seed: int = 0


def base() -> TinyRecipe:
    """What sceneminer-tiny is made with."""
    return TinyRecipe()


def debug() -> TinyRecipe:
    """Two steps of a model of two layers."""
    shape = Shape(
        patch_px=16, vision_width=32, vision_layers=2, vision_heads=2, vision_mlp=64, text_width=32, text_layers=2
    )
    shape = replace(shape, text_heads=2, text_mlp=64, vocabulary=700, embed_dim=16)
    loop = Loop(steps=2, warmup_steps=1, decay_steps=1, save_every=1, log_every=1)
    batch = BatchPlan(moments=2, objects=4)
    shards = ShardPlan("train", drives=1, times_s=(0.5, 1.5), duration_s=2.0)
    return TinyRecipe(
        shape=shape,
        shards=shards,
        towns=1,
        batch=batch,
        loop=loop,
        whole_steps=1,
        contrast_from=1,
        memory=4,
        memory_from=1,
    )


def train_tiny(
    recipe: TinyRecipe, out: Path, *, device: str | None = None, stop_at: int | None = None, quiet: bool = False
) -> TinyClip:
    """Train on the shards under ``out/data``, from the state in ``out`` if there is one; returns the model.

    DataError where there are fewer moments than a step needs.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    library = Library(out / "data" / recipe.shards.split)
    if len(library.moments) < recipe.batch.moments:
        raise DataError(f"expected {recipe.batch.moments} moments in {library.folder}, found {len(library.moments)}")
    tokenizer = open_tokenizer(recipe, out, library.moments)
    facts = open_run_facts(recipe, out, library.moments)
    model = make_tiny(recipe, tokenizer, facts).to(device)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        if step % recipe.look_every == 0:
            library.look()
        rng = np.random.default_rng([recipe.seed, step])
        chosen = rng.choice(len(library.moments), size=recipe.batch.moments, replace=False)
        drawn = [library.moments[int(k)] for k in chosen]
        truths, known = library.recall(model.memory_key.tolist(), forget=step < recipe.memory_from)
        batch = make_batch(drawn, recipe.batch, rng, grammar="train", facts=tuple(facts), memory=truths)
        keep = recipe.keep if step < recipe.loop.steps - recipe.whole_steps else 1.0
        told = step >= recipe.contrast_from
        loss, figures, clips = batch_loss(
            model, batch, tokenizer, recipe, rng=rng, keep=keep, known=known, contrasts=told
        )
        model.remember(clips, torch.tensor([key_of(moment) for moment in drawn]))
        return loss, {**figures, "moments": float(len(library.moments))}

    describe = {"recipe": asdict(recipe), "device": device, "moments": len(library.moments)}
    say = (lambda text: None) if quiet else (lambda text: print(text, flush=True))
    run_loop(model, loss_at, recipe.loop, out, describe=describe, stop_at=stop_at, say=say)
    return model


def make_tiny(recipe: TinyRecipe, tokenizer: TextTokenizer, facts: Mapping[Fact, float]) -> TinyClip:
    """The model before its training."""
    from transformers import CLIPConfig, CLIPModel

    vocabulary = tokenizer.tokenizer.get_vocab_size()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        # Eager attention: on two cores its backward is several times as fast for such short sequences.
        config: dict[str, Any] = {**config_of(recipe.shape, vocabulary=vocabulary), "attn_implementation": "eager"}
        clip = CLIPModel(CLIPConfig(**config))
        start_vision(clip, torch.Generator().manual_seed(recipe.seed))
        anchors = Anchors(tuple(facts.values()), embed_dim=recipe.shape.embed_dim)
        local = tuple(local_facts(facts))
        return TinyClip(clip, anchors, local, embed_dim=recipe.shape.embed_dim, memory=recipe.memory)


def batch_loss(
    model: TinyClip,
    batch: Batch,
    tokenizer: TextTokenizer,
    recipe: TinyRecipe,
    *,
    rng: np.random.Generator,
    keep: float,
    known: Bool[Tensor, "q"],
    contrasts: bool = True,
) -> tuple[Tensor, dict[str, float], Float[Tensor, "m e"]]:
    """The loss of one batch, with its images freshly augmented, its parts, and its clips.

    ``known`` are those of the model's memory that texts may choose from. Without ``contrasts`` facts alone are learned.
    """
    device = model.clip_scale.device
    m, v, _, h, w = batch.images.shape
    pictures = augment(batch.images.flatten(0, 1).permute(0, 2, 3, 1).numpy(), rng)
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    grid = (h // recipe.shape.patch_px, w // recipe.shape.patch_px)
    with torch.autocast(device.type, torch.bfloat16):
        seen = model.see(images, keep=keep, generator=generator)
        texts = model.read(tokenizer.encode(batch.texts).to(device))
        weights = box_weights(batch.object_box.float().to(device), grid)
        objects = model.project_objects(seen, batch.object_view.to(device), weights)
        patches = model.project(seen.patches)
    clips = pooled(seen.embeddings.unflatten(0, (m, v)))
    gone = weights.gather(1, seen.kept[batch.object_view.to(device)]).sum(1) <= 0.0
    unknown = batch.unknown_of_object.to(device) | gone
    of_view, of_clip = texts[: len(batch.true_of_view)], texts[batch.said_of_clip.to(device)]
    view_loss = contrast(model.view_scale.exp() * of_view @ seen.embeddings.T, batch.true_of_view.to(device))
    clip_scale = model.clip_scale.exp()
    clip_loss = contrast_with_memory(
        clip_scale * of_clip @ clips.T,
        batch.true_of_clip.to(device),
        clip_scale * of_clip @ model.memory.clone().T,
        batch.true_of_memory.to(device),
        known.to(device),
    )
    object_loss = contrast(model.object_scale.exp() * texts @ objects.T, batch.true_of_object.to(device), unknown)
    facts = {name: true.to(device) for name, true in batch.facts.items()}
    told = texts[: len(facts["text"])]
    sides = {"view": seen.embeddings, "clip": clips, "object": objects[~gone], "text": told, "patch": patches}
    facts["object"] = facts["object"][~gone]
    local = {"patch": model.local_facts}
    covers = box_weights(batch.sight_box.float().to(device), grid)
    everywhere = patch_truth(covers, batch.sight_view, facts.pop("sight"), views=m * v)
    facts["patch"] = everywhere.gather(1, seen.kept[..., None].expand(-1, -1, everywhere.shape[-1]))
    each = [model.anchors.loss(name, sides[name], facts[name], only=local.get(name)) for name in GROUPS]
    fact_loss = torch.stack(each).mean()
    loss = recipe.fact_weight * fact_loss
    if contrasts:
        loss = loss + view_loss + recipe.clip_weight * clip_loss + recipe.object_weight * object_loss
    parts = {"view": view_loss, "clip": clip_loss, "object": object_loss, "facts": fact_loss}
    return loss, {name: float(value.detach()) for name, value in parts.items()}, clips


def open_tokenizer(recipe: TinyRecipe, out: Path, moments: Sequence[Moment]) -> TextTokenizer:
    """The run's tokenizer; learned from captions of the moments and the words of the prompts where there is none."""
    folder = out / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        rng = np.random.default_rng([recipe.seed, 7])
        write_tokenizer(
            folder, _corpus(moments[:400], rng), vocabulary=recipe.shape.vocabulary, length=recipe.shape.text_length
        )
    length, room = recipe.shape.text_length, recipe.shape.vocabulary
    return load_tokenizer(folder, model_type="clip", length=length, vocab_size=room)


def open_run_facts(recipe: TinyRecipe, out: Path, moments: Sequence[Moment]) -> dict[Fact, float]:
    """The facts that the run's model has anchors for; counted in the moments where there is no list yet."""
    scenes = (view for moment in moments for view in moment.views)
    return open_facts(out / "facts.json", scenes, least_share=recipe.least_fact_share)


def _corpus(moments: Iterable[Moment], rng: np.random.Generator) -> list[str]:
    texts = [text for group in (TAG_PROMPTS, TAG_NEGATIVES) for prompts in group.values() for text in prompts] * 4
    texts += [*BACKGROUND_PROMPTS] * 4
    for moment in moments:
        scenes = [*moment.views, moment.around, union_scene(moment.views)]
        texts += [caption(scene, rng, grammar="train").text for scene in scenes for _ in range(4)]
        for scene in moment.views:
            texts += [text for text, _ in object_captions(scene, rng, grammar="train")]
    return texts


def load_tiny(recipe: TinyRecipe, out: Path) -> TinyClip:
    """The model as it was last saved in ``out``; DataError where nothing was."""
    if not (out / STATE_FILE).exists():
        raise DataError(f"expected a training in {out}, found none")
    model = make_tiny(recipe, open_tokenizer(recipe, out, ()), open_run_facts(recipe, out, ()))
    load_state(out, model, make_optimisers(model, recipe.loop))
    return model


def ship(model: TinyClip, recipe: TinyRecipe, out: Path, folder: Path) -> None:
    """Write the model in fp16 with its tokenizer as a folder that ``load_tower`` and transformers open."""
    import copy

    folder.mkdir(parents=True, exist_ok=True)
    clip: Any = copy.deepcopy(model.clip).cpu().half()
    clip.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(out / "tokenizer" / name, folder / name)
    write_processor(folder, recipe.shape)
    parameters = sum(p.numel() for p in clip.parameters())
    run = json.loads((out / "run.json").read_text())
    facts = {"parameters": parameters, "commit": run["commit"], "seed": recipe.seed, "training_data": "synthetic towns"}
    (folder / "training.json").write_text(json.dumps(facts | {"license": "Apache-2.0"}, indent=1) + "\n")


def main() -> None:
    """Make the data, train, ship: each part goes on where it was."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where shards, state and metrics are kept")
    parser.add_argument("--towns", type=int, default=base().towns, help="training towns to render")
    parser.add_argument("--steps", type=int, default=base().loop.steps)
    parser.add_argument("--decay-steps", type=int, default=base().loop.decay_steps)
    parser.add_argument("--whole-steps", type=int, default=base().whole_steps)
    parser.add_argument("--workers", type=int, default=2, help="rendering processes")
    parser.add_argument("--threads", type=int, default=2, help="training threads")
    parser.add_argument("--device", help="cpu or cuda; by default what there is")
    parser.add_argument("--only", choices=("data", "train", "ship"), help="one part alone")
    parser.add_argument("--to", type=Path, help="folder of the shipped model; by default OUT/sceneminer-tiny")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    loop = replace(base().loop, steps=args.steps, decay_steps=args.decay_steps)
    recipe = replace(base(), towns=args.towns, loop=loop, whole_steps=args.whole_steps)
    if args.only in (None, "data"):
        for path in write_shards(args.out / "data", recipe.shards, range(recipe.towns), workers=args.workers):
            print(path, flush=True)
    if args.only in (None, "train"):
        train_tiny(recipe, args.out, device=args.device)
    if args.only in (None, "ship"):
        ship(load_tiny(recipe, args.out), recipe, args.out, args.to or args.out / "sceneminer-tiny")


if __name__ == "__main__":
    main()
