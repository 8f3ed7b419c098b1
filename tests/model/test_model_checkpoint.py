"""Checkpoints: what comes back, what is refused, and what a fingerprint notices."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from sceneminer.geometry.grid import BevGrid
from sceneminer.model.config import ModelConfig
from sceneminer.model.embedder import EmbedderTower
from sceneminer.model.errors import CheckpointError
from sceneminer.model.example import make_clip_folder
from sceneminer.model.fingerprint import fingerprint_of, head_fingerprint, stream_fingerprint
from sceneminer.model.scene_model import Provenance, SceneModel
from sceneminer.model.stream import round_stream
from sceneminer.model.tower import load_tower

SMALL = ModelConfig(grid=BevGrid(-20.0, 20.0, -20.0, 20.0, 2.0), bev_width=16, token_width=64, bev_token_grid=(10, 10))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoint")
    tower = load_tower(make_clip_folder(root / "clip"))
    model = SceneModel(tower, SMALL, provenance=Provenance(("synthetic towns",), ("Apache-2.0",)))
    with torch.no_grad():  # a trained residual
        model.heads["tags"].residual.up.weight.add_(0.01)
    model.save_pretrained(root / "model")
    shutil.rmtree(root / "clip")
    return model, root / "model"


def make_stream():
    generator = torch.Generator().manual_seed(0)
    return round_stream(torch.randn(2, 32, 64, generator=generator), torch.randn(2, 24, generator=generator))


def test_a_saved_model_comes_back_whole_without_the_folder_it_was_made_from(saved):
    model, folder = saved
    again = SceneModel.from_pretrained(folder)
    assert again.config == model.config and again.provenance == model.provenance
    assert stream_fingerprint(again) == stream_fingerprint(model)
    ours, theirs = model.signals(make_stream()), again.signals(make_stream())
    assert list(ours) == list(theirs) == ["embedding", "tags"]
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    images = torch.randint(0, 256, (2, 3, 32, 56), dtype=torch.uint8)
    assert torch.equal(again.encode(images).patches, model.encode(images).patches)
    assert not any(p.requires_grad for p in again.parameters())


def test_a_saved_model_says_what_it_is(saved):
    model, folder = saved
    document = json.loads((folder / "config.json").read_text())
    assert document["training_data"] == ["synthetic towns"] and document["licences"] == ["Apache-2.0"]
    assert document["stream_fingerprint"] == stream_fingerprint(model)
    assert document["head_fingerprints"]["tags"] == head_fingerprint(model.heads["tags"])
    assert document["space"] == model.tower.space
    assert str(folder.parent) not in (folder / "config.json").read_text()
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert kinds == {".json", ".safetensors"}


def test_saving_over_itself_and_again_is_the_same(saved, tmp_path):
    _, folder = saved
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    SceneModel.from_pretrained(copy).save_pretrained(copy)
    assert (copy / "config.json").read_text() == (folder / "config.json").read_text()
    assert SceneModel.from_pretrained(copy).config.tower == "clip"


def test_another_numeric_mode_is_another_stream(saved):
    model, folder = saved
    half = SceneModel.from_pretrained(folder, numeric_mode="bf16")
    assert half.config.numeric_mode == "bf16"
    assert stream_fingerprint(half) != stream_fingerprint(model)
    assert head_fingerprint(half.heads["tags"]) == head_fingerprint(model.heads["tags"])


def edit(folder, change):
    path = folder / "config.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def reweigh(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def cut(folder, name, keep):
    path = folder / name
    path.write_bytes(path.read_bytes()[:keep])


def poison(weights, value=torch.nan):
    weights["lift.reduce.weight"][0, 0] = value


REFUSALS = {
    "no config": (lambda f: (f / "config.json").unlink(), "expected config.json"),
    "config cut short": (lambda f: cut(f, "config.json", 100), "to hold JSON"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "JSON object, found list"),
    "other format": (lambda f: edit(f, lambda d: d.update(format="lance")), "format 'sceneminer-model'.*'lance'"),
    "later version": (lambda f: edit(f, lambda d: d.update(version=2)), "expected version 1 .*found 2"),
    "no heads": (lambda f: edit(f, lambda d: d.pop("heads")), "expected heads as list .*found nothing"),
    "heads of another type": (lambda f: edit(f, lambda d: d.update(heads={})), "expected heads as list .*found dict"),
    "unknown head": (
        lambda f: edit(f, lambda d: d["heads"][0].update(kind="mind")),
        "embed, tags, forecast or added, found 'mind'",
    ),
    "no prompts": (lambda f: edit(f, lambda d: d["heads"][1].pop("prompts")), "list prompts for each tag"),
    "field missing": (lambda f: edit(f, lambda d: d["model"].pop("seed")), "unknown or missing: seed"),
    "field unknown": (lambda f: edit(f, lambda d: d["model"].update(depth=1)), "unknown or missing: depth"),
    "field of another type": (
        lambda f: edit(f, lambda d: d["model"].update(bev_width="96")),
        "model.bev_width of type int",
    ),
    "odd grid": (lambda f: edit(f, lambda d: d["model"]["grid"].update(cell_m=-1.0)), "positive extents"),
    "odd size": (lambda f: edit(f, lambda d: d["model"].update(token_count=0)), "positive sizes"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "expected model.safetensors"),
    "weights cut short": (lambda f: cut(f, "model.safetensors", -100), "whole safetensors file"),
    "header cut short": (lambda f: cut(f, "model.safetensors", 20), "whole safetensors file"),
    "missing key": (lambda f: reweigh(f, lambda w: w.pop("lift.reduce.bias")), "lift.reduce.bias missing"),
    "extra key": (lambda f: reweigh(f, lambda w: w.update(x=torch.zeros(1))), "found .*: x that the config does not"),
    "wrong shape": (
        lambda f: reweigh(f, lambda w: w.update({"lift.reduce.bias": torch.zeros(3)})),
        r"lift.reduce.bias .* as float32 \[48\], found float32 \[3\]",
    ),
    "wrong type": (
        lambda f: reweigh(f, lambda w: w.update({"lift.reduce.bias": torch.zeros(48).half()})),
        r"as float32 \[48\], found float16 \[48\]",
    ),
    "NaN": (lambda f: reweigh(f, poison), "NaN or infinity in lift.reduce.weight"),
    "infinity": (lambda f: reweigh(f, lambda w: poison(w, torch.inf)), "NaN or infinity in lift.reduce.weight"),
    "altered weights": (lambda f: reweigh(f, lambda w: poison(w, 0.5)), "fingerprint .* for stream"),
    "altered head": (
        lambda f: reweigh(f, lambda w: w["heads.tags.residual.up.bias"].add_(1)),
        "fingerprint .* for tags",
    ),
    "another tower": (lambda f: make_clip_folder(f / "tower", seed=9), "fingerprint .* for stream"),
    "another size of tower": (lambda f: make_clip_folder(f / "tower", width=40), "found float32"),
    "no tower": (lambda f: shutil.rmtree(f / "tower"), "no such folder"),
    "tower elsewhere": (lambda f: edit(f, lambda d: d.update(tower={"path": "../../x"})), "path 'tower' or a name"),
    "pickled tower": (
        lambda f: (f / "tower/model.safetensors").rename(f / "tower/pytorch_model.bin"),
        "pickled weights are never opened",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_broken_checkpoint_gets_one_clear_error(saved, tmp_path, name):
    change, says = REFUSALS[name]
    folder = tmp_path / "broken"
    shutil.copytree(saved[1], folder)
    change(folder)
    with pytest.raises(CheckpointError, match=says):
        SceneModel.from_pretrained(folder)


def test_the_stream_fingerprint_notices_all_that_feeds_the_stream(saved):
    model, folder = saved
    again = SceneModel.from_pretrained(folder)
    before, heads = stream_fingerprint(again), {n: head_fingerprint(h) for n, h in again.heads.items()}
    assert before == stream_fingerprint(model)
    with torch.no_grad():
        for name, parameter in again.named_parameters():
            feeds = not name.startswith(("heads.", "tower.model.text_", "tower.model.logit_"))
            old = parameter.clone()
            parameter.view(-1)[0] += 1.0
            assert (stream_fingerprint(again) != before) == feeds, name
            parameter.copy_(old)
    assert stream_fingerprint(again) == before
    assert heads == {n: head_fingerprint(h) for n, h in again.heads.items()}
    again.config = replace(again.config, frame_period_us=100_000)
    assert stream_fingerprint(again) != before
    again.config = replace(model.config, tower="another name")
    assert stream_fingerprint(again) == before
    again.tower.preprocessing = replace(again.tower.preprocessing, mean=(0.5, 0.5, 0.5))
    assert stream_fingerprint(again) != before


def test_a_fingerprint_is_of_names_types_shapes_and_bytes():
    one = torch.arange(6.0)
    base = fingerprint_of({"a": one, "b": 1})
    assert base == fingerprint_of({"b": 1, "a": one.clone()}) and len(base) == 64
    different = [
        {"a": one.reshape(2, 3), "b": 1},
        {"a": one.double(), "b": 1},
        {"c": one, "b": 1},
        {"a": one, "b": "1"},
    ]
    assert base not in {fingerprint_of(state) for state in different}
    assert fingerprint_of({"a": torch.tensor([0.0])}) != fingerprint_of({"a": torch.tensor([-0.0])})
    assert fingerprint_of({"a": one.bfloat16()}) != base


class Sum:
    def embed_images(self, images):
        return images.float().mean((2, 3))

    def embed_texts(self, texts):
        return torch.ones(len(texts), 3)


def test_a_model_around_ones_own_embedder_saves_and_wants_it_back(tmp_path):
    tower = EmbedderTower(Sum(), name="mine", space="mine", embed_dim=3)
    model = SceneModel(tower, SMALL)
    model.save_pretrained(tmp_path / "model")
    again = SceneModel.from_pretrained(tmp_path / "model", tower=tower)
    assert stream_fingerprint(again) == stream_fingerprint(model)
    with pytest.raises(CheckpointError, match="'mine': no such folder"):
        SceneModel.from_pretrained(tmp_path / "model")
