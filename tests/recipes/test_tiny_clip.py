"""The recipe of sceneminer-tiny: what is true of what, what the loss wants, and that it trains, resumes and ships."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sceneminer.data.errors import DataError
from sceneminer.data.synth.facts import SceneFacts, Sight
from sceneminer.model.text import load_tokenizer
from sceneminer.model.tower import load_tower
from sceneminer.recipes.tiny_batch import BatchPlan, augment, make_batch, truth_of
from sceneminer.recipes.tiny_clip import debug, load_tiny, open_tokenizer, ship, train_tiny
from sceneminer.recipes.tiny_data import Moment, ShardPlan, read_shard, save_shard, write_shards
from sceneminer.recipes.tiny_facts import count_facts, fact_table, implied
from sceneminer.recipes.tiny_loss import box_weights, contrast, contrast_with_memory, patch_truth
from sceneminer.recipes.tiny_text import write_tokenizer
from sceneminer.recipes.tiny_union import clip_truth, union_scene


def sight(kind: str, actor_id: int, *, look: str = "red", side: str = "left", share: float = 0.05) -> Sight:
    looks, states = (look,) if look else (), ("parked",) if kind == "car" else ()
    return Sight(kind, looks, states, side, share, 12.0, actor_id, box=(20, 60, 90, 110))


def scene(*sights: Sight, sky: tuple[str, ...] = ("day",), places: tuple[str, ...] = ("trees",)) -> SceneFacts:
    counts = (("person", "none"),) if not any(s.kind == "person" for s in sights) else ()
    return SceneFacts(sights=sights, counts=counts, sky=sky, places=places)


def make_moments(n: int, *, seed: int = 0) -> list[Moment]:
    """Moments in which the brightness of an image tells what it shows."""
    rng = np.random.default_rng(seed)
    kinds = ("car", "bus", "truck", "person", "cyclist")
    moments = []
    for k in range(n):
        sky = ("night",) if k % 2 else ("day", "sunny")
        views = tuple(scene(sight(kinds[(k + v) % 5], v, look="red" if v % 2 else "blue"), sky=sky) for v in range(6))
        images = rng.integers(0, 80, (6, 128, 224, 3)) + (0 if k % 2 else 150)
        moments.append(Moment(f"drive-{k // 2}", float(k % 2), images.astype(np.uint8), views, union_scene(views)))
    return moments


@pytest.fixture
def out(tmp_path):
    save_shard(tmp_path / "data" / "train" / "town-0000.safetensors", make_moments(6))
    return tmp_path


def slow_contrast(logits, true, unknown):
    """Word by word from the docstring, one row and one column at a time."""
    ways = []
    for scores, right, hidden in ((logits, true, unknown), (logits.T, true.T, unknown.T)):
        rows = []
        for s, r, h in zip(scores, right, hidden, strict=True):
            known = [k for k in range(len(s)) if not h[k]]
            good = [k for k in known if r[k]]
            if good and len(good) < len(known):
                total, told = sum(s[k].exp() for k in known), math.log(len(known) / len(good))
                rows.append((told, -sum((s[k].exp() / total).log() for k in good) / len(good)))
        ways.append(sum(w * row for w, row in rows) / sum(w for w, _ in rows) if rows else logits.sum() * 0)
    return 0.5 * (ways[0] + ways[1])


def test_the_contrast_is_what_its_docstring_says():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(7, 9, generator=generator, dtype=torch.float64, requires_grad=True)
    true = torch.rand(7, 9, generator=generator) < 0.3
    unknown = torch.rand(7, 9, generator=generator) < 0.2
    true[2], true[:, 4], unknown[5] = False, True, True
    fast, slow = contrast(logits, true, unknown), slow_contrast(logits, true, unknown)
    assert torch.allclose(fast, slow)
    ours, reference = (torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (fast, slow))
    assert torch.allclose(ours, reference)
    assert float(contrast(logits, torch.zeros_like(true)).detach()) == 0.0


def test_a_box_weighs_the_patches_that_it_covers():
    weights = box_weights(torch.tensor([[0.25, 0.0, 0.75, 0.5], [0.0, 0.9, 0.1, 1.0]]), (2, 4))
    assert weights[0].reshape(2, 4).tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]
    assert torch.allclose(weights[1].reshape(2, 4), torch.tensor([[0, 0, 0, 0], [0.08, 0, 0, 0]]), atol=1e-6)


def test_a_patch_shows_what_covers_it():
    boxes = torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.75, 0.0, 0.8, 0.2]])
    weights, facts = box_weights(boxes, (2, 4)), torch.tensor([[True, False], [False, True]])
    truth = patch_truth(weights, torch.tensor([0, 1]), facts, views=3).reshape(3, 2, 4, 2)
    assert truth[0, :, :2, 0].all()
    assert truth[0].sum() == 4
    assert truth[1].nonzero().tolist() == [[0, 3, 1]]
    assert not truth[2].any()


def test_a_clip_shows_what_any_of_its_images_shows_without_sides():
    views = (scene(sight("car", 1), places=("empty road",)), scene(sight("car", 2, look="blue", share=0.2)))
    both = union_scene(views)
    truth = clip_truth(views, both)
    assert [s.actor_id for s in both.sights] == [2, 1]
    assert {("object", "car", "red", "", ""), ("object", "vehicle", "blue", "parked", "")} <= truth
    assert ("object", "car", "", "", "left") not in truth
    assert ("place", "empty road") not in truth
    assert ("count", "person", "none") in truth
    someone = scene(sight("person", 3))
    assert ("count", "person", "none") not in clip_truth((*views, someone), union_scene((*views, someone)))


def test_the_same_actor_in_two_images_counts_once():
    car = sight("car", 1)
    again = union_scene([scene(car), scene(car), scene(sight("car", 2))])
    assert ("car", "several") not in again.counts
    assert ("car", "several") in union_scene([scene(*(sight("car", k) for k in range(3)))]).counts


def test_every_caption_is_true_of_the_moment_it_was_written_for():
    moments, plan = make_moments(5), BatchPlan(moments=5, objects=8, views_told=2, clip_texts=3)
    batch = make_batch(moments, plan, np.random.default_rng(0), grammar="train")
    told = plan.views_told + plan.clip_texts - 1
    said = batch.said_of_clip.tolist()
    for k in range(5):
        of_views = batch.true_of_view[k * told : (k + 1) * told].reshape(told, 5, 6)[:, k].any(1)
        for text in range(told):
            row = k * told + text
            assert bool(of_views[text]) or bool(batch.true_of_clip[said.index(row), k])
    around = batch.true_of_clip[-5:]
    assert bool(around.diagonal().all())
    phrases = batch.true_of_object[-8:]
    assert torch.equal(phrases, torch.eye(8, dtype=torch.bool))
    assert not bool((batch.true_of_object & batch.unknown_of_object).any())
    assert len(batch.texts) == len(batch.true_of_object) == len(batch.true_of_view) + 5 + 8
    assert len(said) == len(batch.true_of_clip) == len(batch.true_of_memory)
    assert max(said) == len(batch.true_of_view) + 4


def test_a_clip_is_asked_neither_about_sides_nor_about_phrases():
    plan = BatchPlan(moments=4, objects=8)
    batch = make_batch(make_moments(4), plan, np.random.default_rng(1), grammar="train")
    sided = [k for k, text in enumerate(batch.texts) if "left" in text]
    assert sided
    assert not set(sided) & set(batch.said_of_clip.tolist())


def test_texts_know_the_clips_of_earlier_steps():
    moments, plan = make_moments(8), BatchPlan(moments=4, objects=4)
    truths = [truth_of(moment, union_scene(moment.views)) for moment in moments]
    batch = make_batch(moments[:4], plan, np.random.default_rng(2), grammar="train", memory=truths)
    assert torch.equal(batch.true_of_memory[:, :4], batch.true_of_clip)
    assert bool(batch.true_of_memory[:, 4:].any())
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(len(batch.said_of_clip), 12, generator=generator, dtype=torch.float64)
    none, some = torch.zeros(8, dtype=torch.bool), torch.arange(8) < 6
    true, of_memory = batch.true_of_clip, batch.true_of_memory
    alone = contrast_with_memory(logits[:, :4], true, logits[:, 4:], of_memory, none)
    assert torch.allclose(alone, contrast(logits[:, :4], true))
    both = contrast_with_memory(logits[:, :4], true, logits[:, 4:], of_memory, some)
    rows = []
    for score, own, past in zip(logits, true, of_memory, strict=True):
        kept = score[:10].exp()
        right = torch.cat([own, past[:6]])
        if right.any() and not right.all():
            told = math.log(len(right) / int(right.sum()))
            rows.append((told, -(kept / kept.sum()).log()[right].mean()))
    forth = sum(told * row for told, row in rows) / sum(told for told, _ in rows)
    # Backwards nothing changes: a clip is compared with this step's texts alone.
    only_back = torch.where(true.any(0) & ~true.all(0), 1.0, 0.0)
    told = torch.log(len(true) / true.sum(0).clamp(min=1)) * only_back
    columns = -(logits[:, :4].log_softmax(0) * true).sum(0) / true.sum(0).clamp(min=1)
    assert torch.allclose(both, 0.5 * (forth + (told * columns).sum() / told.sum()))


def test_texts_vary_and_repeat_with_their_generator():
    moments, plan = make_moments(3), BatchPlan(moments=3, objects=4)
    one, same, other = (make_batch(moments, plan, np.random.default_rng(s), grammar="train").texts for s in (1, 1, 2))
    assert one == same != other


def test_a_text_implies_what_it_leaves_out():
    found = implied([("object", "car", "red", "", "left")])
    assert {("object", "vehicle", "", "", ""), ("object", "car", "red", "", "")} <= found
    facts = count_facts([scene(sight("car", 1)), scene(sight("bus", 1))], least_share=0.6)
    assert facts[("object", "vehicle", "", "", "")] == 1.0
    assert ("object", "car", "", "", "") not in facts
    assert fact_table([found], facts).sum() == len(found & set(facts))


def test_augmented_images_keep_their_shape_and_their_brightness():
    images = np.stack([np.full((128, 224, 3), level, np.uint8) for level in (40, 120, 200)])
    changed = augment(images, np.random.default_rng(0))
    assert changed.shape == images.shape
    assert not np.array_equal(changed, images)
    assert list(np.argsort(changed.mean((1, 2, 3)))) == [0, 1, 2]


def test_two_steps_are_the_same_whether_stopped_between_or_not(out, tmp_path):
    save_shard(tmp_path / "other" / "data" / "train" / "town-0000.safetensors", make_moments(6))
    whole = train_tiny(debug(), out, device="cpu", quiet=True)
    train_tiny(debug(), tmp_path / "other", device="cpu", stop_at=1, quiet=True)
    parted = train_tiny(debug(), tmp_path / "other", device="cpu", quiet=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parted.state_dict()[name]), name
    assert json.loads((out / "run.json").read_text())["recipe"]["seed"] == 0


def test_a_shipped_model_is_a_tower(out):
    recipe = replace(debug(), seed=2)
    train_tiny(recipe, out, device="cpu", quiet=True)
    model = load_tiny(recipe, out).eval()
    ship(model, recipe, out, out / "shipped")
    tower = load_tower(out / "shipped")
    assert tower.input_size(1600, 900) == (128, 224)
    images = torch.from_numpy(make_moments(1)[0].images).permute(0, 3, 1, 2).contiguous()
    texts = ["a red car", "a street at night", "ein unbekanntes Wort"]
    with torch.no_grad():
        seen = model.see(images).embeddings
        read = model.read(open_tokenizer(recipe, out, ()).encode(texts))
    assert torch.allclose(tower.encode_images(images).embeddings, seen, atol=5e-3)
    assert torch.allclose(tower.encode_texts(texts), read, atol=5e-3)


def test_left_out_patches_do_not_reach_the_embedding(out):
    recipe = debug()
    train_tiny(recipe, out, device="cpu", quiet=True)
    model = load_tiny(recipe, out).eval()
    image = torch.from_numpy(make_moments(1)[0].images[:1]).permute(0, 3, 1, 2).contiguous()
    with torch.no_grad():
        seen = model.see(image, keep=0.25, generator=torch.Generator().manual_seed(0))
        assert seen.kept.shape == (1, 28)
        changed = image.clone()
        for place in set(range(112)) - set(seen.kept[0].tolist()):
            row, column = divmod(place, 14)
            changed[:, :, row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] = 255
        again = model.see(changed, keep=0.25, generator=torch.Generator().manual_seed(0))
    assert torch.equal(seen.embeddings, again.embeddings)


def test_too_few_moments_are_refused(tmp_path):
    save_shard(tmp_path / "data" / "train" / "town-0000.safetensors", make_moments(1))
    with pytest.raises(DataError, match="expected 2 moments"):
        train_tiny(debug(), tmp_path, device="cpu", quiet=True)


@pytest.mark.slow
def test_a_town_becomes_a_shard_once(tmp_path):
    plan = ShardPlan("train", drives=1, times_s=(0.5,), duration_s=1.0, size_hw=(64, 112))
    (path,) = write_shards(tmp_path, plan, [3], workers=1)
    (moment,) = read_shard(path)
    assert moment.images.shape == (6, 64, 112, 3)
    assert moment.images.std() > 10
    assert len(moment.views) == 6
    assert all(view.sky for view in moment.views)
    before = path.stat().st_mtime_ns
    assert list(write_shards(tmp_path, plan, [3], workers=1)) == []
    assert path.stat().st_mtime_ns == before


def test_the_tokenizer_keeps_known_words_whole_and_loses_none(tmp_path):
    texts = ["A parked car on the left", "parked cars", "the street, parked"] * 3
    for name in ("one", "two"):
        write_tokenizer(tmp_path / name, texts, vocabulary=800, length=16)
    assert (tmp_path / "one/tokenizer.json").read_bytes() == (tmp_path / "two/tokenizer.json").read_bytes()
    tokenizer = load_tokenizer(tmp_path / "one", model_type="clip", length=16, vocab_size=800)
    used = {
        text: (tokenizer.encode([text])[0] != tokenizer.end).sum() - 1
        for text in ("Parked", "street", "zebra", "Zürich")
    }
    assert used["Parked"] == used["street"] == 1
    assert used["zebra"] >= 3
    ids = [tuple(row) for row in tokenizer.encode(["zebra", "zebu", "Zürich", "Zurich"]).tolist()]
    assert len(set(ids)) == 4
