"""``sceneminer verify`` as a user meets it: new heads change nothing, and whatever moves is named."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sceneminer.geometry.grid import BevGrid
from sceneminer.model.added import AddedHead
from sceneminer.model.config import ModelConfig
from sceneminer.model.errors import CheckpointError
from sceneminer.model.example import make_clip_folder
from sceneminer.model.fingerprint import head_fingerprint, stream_fingerprint
from sceneminer.model.forecast import ForecastHead
from sceneminer.model.heads import TagsHead
from sceneminer.model.identity import check_optimiser, isolated, named, prove
from sceneminer.model.initial import initialise_head
from sceneminer.model.probe import probe_stream, stream_of
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.tower import load_tower
from sceneminer.model.verify import verify, verify_models

SMALL = ModelConfig(grid=BevGrid(-20.0, 20.0, -20.0, 20.0, 2.0), bev_width=16, token_width=64, bev_token_grid=(10, 10))
NEW = ("forecast", "signs", "head_fog", "head_wait", "head_like")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model with trained residuals, saved; the folder it was made from is gone."""
    root = tmp_path_factory.mktemp("verify")
    model = SceneModel(load_tower(make_clip_folder(root / "clip")), SMALL)
    with torch.no_grad():
        for head in model.heads.values():
            head.residual.up.weight.add_(0.01)
    model.save_pretrained(root / "old")
    shutil.rmtree(root / "clip")
    return root / "old"


def sceneminer(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sceneminer", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def make_head(model: SceneModel, name: str) -> nn.Module:
    """The product's own later heads: risk and forecast, one of each task that users add, and other tags."""
    shape = {"embed_dim": model.tower.embed_dim, "token_width": model.config.token_width}
    if name == "forecast":
        return ForecastHead(token_width=model.config.token_width)
    if name == "signs":
        texts, others = {name: (f"a picture of {name}",)}, {name: ("something else",)}
        head = TagsHead(prompts=texts, contrasts=others, logit_scale=10.0, name=name, **shape)
        return head.embed_prompts(model.tower)
    task, outputs = {"fog": ("labels", ("thick", "thin")), "wait": ("value", ()), "like": ("relevance", ())}[name[5:]]
    fingerprint = stream_fingerprint(model)
    return AddedHead(name[5:], task=task, outputs=outputs, stream_fingerprint=fingerprint, reader="tokens", **shape)


def train_head(model: SceneModel, name: str) -> None:
    """Add a head and train it a little, as anybody would with ``identity``."""
    head = make_head(model, name)
    initialise_head(head, seed=len(name))
    model.add_head(head)
    before = head_fingerprint(head)
    stream = stream_of(probe_stream(model, seed=1))
    others = [other for other in model.heads if other != name]
    with isolated(model, [head]) as private:
        optimiser = torch.optim.AdamW(private, lr=1e-2)
        check_optimiser(optimiser, private)
        prove(lambda: model.signals(stream, names=others), named(private, head), within=model)
        for _ in range(3):
            optimiser.zero_grad()
            signal = head(stream)
            parts = signal.values() if isinstance(signal, dict) else [signal]
            torch.stack([(part[0] - part[1]).square().mean() - part.mean() for part in parts]).sum().backward()
            optimiser.step()
    assert head_fingerprint(head) != before


def test_five_heads_in_a_row_move_nothing_in_a_new_process(saved, tmp_path):
    before = json.loads((saved / "config.json").read_text())
    folder = saved
    for name in NEW:
        model = SceneModel.from_pretrained(folder)
        train_head(model, name)
        folder = tmp_path / name
        model.save_pretrained(folder)
    done = sceneminer("verify", folder, "--against", saved)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "identical: nothing moved, max |difference| = 0" in done.stdout and "MOVED" not in done.stdout
    assert f"added: {', '.join(NEW)}" in done.stdout
    after = json.loads((folder / "config.json").read_text())
    assert after["stream_fingerprint"] == before["stream_fingerprint"]
    assert {name: after["head_fingerprints"][name] for name in ("embedding", "tags")} == before["head_fingerprints"]
    report = verify(folder, saved)
    assert report.identical and all(check.max_abs == 0 for check in report.checks) and report.added == NEW
    outputs = [check.item for check in report.checks if check.kind == "output"]
    assert outputs == ["stream", "head embedding", "head tags"]
    # The other way round heads are gone.
    done = sceneminer("verify", saved, "--against", folder)
    assert done.returncode == 1 and "moved: head forecast (hash): is gone" in done.stdout


def reweigh(folder, name, change):
    weights = load_file(folder / "model.safetensors")
    change(weights[name].view(-1))
    save_file(weights, folder / "model.safetensors")


def retower(folder, name, change):
    weights = load_file(folder / "tower/model.safetensors")
    change(weights[name].view(-1))
    save_file(weights, folder / "tower/model.safetensors", {"format": "pt"})


def edit(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def flip(flat):
    """The last bit of one number."""
    flat[:1].view(torch.int32).bitwise_xor_(1)


def nudge(flat):
    flat[0] += 0.5


VISION = "vision_model.encoder.layers.0.mlp.fc1.weight"
MUTATIONS = {
    "one bit of an upstream weight": (
        lambda f: reweigh(f, "scene_tokens.key_value.weight", flip),
        r"stream \(hash\): scene_tokens\.key_value\.weight moved by up to .*first at \[0, 0\]",
    ),
    "the lift": (lambda f: reweigh(f, "lift.reduce.bias", nudge), r"lift\.reduce\.bias moved by up to 0\.5"),
    "one bit of the tower": (lambda f: retower(f, VISION, flip), rf"tower\.{VISION} moved by up to"),
    "the text side": (
        lambda f: retower(f, "text_model.final_layer_norm.weight", nudge),
        r"text space \(hash\): text encoder was clip:\w+, is clip:\w+",
    ),
    "a sibling's weight": (
        lambda f: reweigh(f, "heads.embedding.residual.up.bias", flip),
        r"head embedding \(hash\): residual\.up\.bias moved",
    ),
    "a buffer of prompts": (lambda f: reweigh(f, "heads.tags.text", flip), r"head tags \(hash\): text moved by"),
    "a shared scale": (lambda f: reweigh(f, "heads.tags.logit_scale", nudge), r"logit_scale moved by up to 0\.5"),
    "a mean of the preprocessing": (
        lambda f: edit(f / "tower/preprocessor_config.json", lambda d: d["image_mean"].__setitem__(1, 0.46)),
        r"tower\.mean was \(0\.48145466, 0\.4578275, .*\), is \(0\.48145466, 0\.46,",
    ),
    "how images are resized": (
        lambda f: edit(f / "tower/preprocessor_config.json", lambda d: d.update(resample=2)),
        r"tower\.resample was bicubic, is bilinear",
    ),
    "the time between frames": (
        lambda f: edit(f / "config.json", lambda d: d["model"].update(frame_period_us=400_000)),
        r"config\.frame_period_us was 500000, is 400000",
    ),
    "the numeric mode": (
        lambda f: edit(f / "config.json", lambda d: d["model"].update(numeric_mode="bf16")),
        r"stream \(hash\): tower\..* was float32 .*, is bfloat16",
    ),
    "words of a prompt": (
        lambda f: edit(f / "config.json", lambda d: d["heads"][1]["prompts"]["night"].__setitem__(0, "dark it is")),
        r"head tags \(hash\): head\.document was .*, is .*dark it is",
    ),
}


@pytest.mark.parametrize("resaved", [False, True], ids=["edited on disk", "saved again"])
@pytest.mark.parametrize("name", MUTATIONS)
def test_whatever_moves_is_named(saved, tmp_path, name, resaved):
    """Whether or not the checkpoint's own fingerprints go along with the change."""
    change, says = MUTATIONS[name]
    folder = tmp_path / "new"
    shutil.copytree(saved, folder)
    change(folder)
    if resaved:
        SceneModel.from_pretrained(folder, check=False).save_pretrained(folder)
        assert SceneModel.from_pretrained(folder)  # consistent again
    report = verify(folder, saved)
    first = report.first
    assert first is not None and not report.identical
    said = f"{first.item} ({first.kind}): {first.moved}"
    assert re.search(says, said), said
    records = [check for check in report.checks if check.kind == "record" and check.moved]
    # A text encoder has no fingerprint of its own; all else that was edited on disk contradicts config.json.
    assert bool(records) == (not resaved and name not in ("the text side",))


def test_the_command_exits_1_and_names_the_first_thing_that_moved(saved, tmp_path):
    folder = tmp_path / "new"
    shutil.copytree(saved, folder)
    reweigh(folder, "temporal.mix.weight", nudge)
    done = sceneminer("verify", folder, "--against", saved)
    assert done.returncode == 1 and done.stderr == ""
    assert "moved: stream (hash): temporal.mix.weight moved by up to 0.5, first at [0, 0]" in done.stdout
    assert "MOVED" in done.stdout


def test_a_fingerprint_that_was_edited_alone_is_seen(saved, tmp_path):
    folder = tmp_path / "new"
    shutil.copytree(saved, folder)
    edit(folder / "config.json", lambda d: d.update(stream_fingerprint="0" * 64))
    report = verify(folder, saved)
    assert report.first is not None and report.first.kind == "record"
    assert "config.json names 000000000000 for stream" in report.first.moved


def test_a_computed_buffer_in_memory_is_seen(saved):
    old, new = SceneModel.from_pretrained(saved), SceneModel.from_pretrained(saved)
    new.scene_tokens.get_buffer("cells")[0, 0] += 1.0
    assert stream_fingerprint(new) == stream_fingerprint(old)
    report = verify_models(new, old)
    assert report.first is not None and report.first.kind == "computed buffers"
    assert "scene_tokens.cells moved by up to 1" in report.first.moved
    assert next(check.item for check in report.checks if check.kind == "output" and check.moved) == "stream"


class Many(TagsHead):
    """A head of several outputs, some of them nested."""

    def forward(self, stream):
        p = super().forward(stream)
        return {"risk": p, "agents": (p.argmax(-1), {"where_m": p * 10})}


def test_signals_of_several_outputs_are_compared_one_by_one(saved):
    models = [SceneModel.from_pretrained(saved) for _ in range(2)]
    for model in models:
        model.heads["tags"].__class__ = Many
    assert verify_models(*models).identical
    with torch.no_grad():
        models[0].heads["tags"].residual.up.bias.view(-1)[3] += 0.5
    moved = [check for check in verify_models(*models).checks if check.moved]
    assert [check.kind for check in moved] == ["hash", "output"]
    assert "tags of clip 0.risk moved" in moved[1].moved
    assert head_fingerprint(models[0].heads["tags"]) != head_fingerprint(models[1].heads["tags"])


BAD = {
    "not a model": (lambda f: (f / "config.json").write_text('{"a": 1}'), "expected a scene model in"),
    "a plain tower": (lambda f: shutil.copyfile(f / "tower/config.json", f / "config.json"), "expected a scene model"),
    "no folder": (shutil.rmtree, "no such folder"),
    "weights cut short": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-100]),
        "whole safetensors file",
    ),
    "tower cut short": (
        lambda f: (f / "tower/model.safetensors").write_bytes((f / "tower/model.safetensors").read_bytes()[:5000]),
        "to hold a clip model",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_checkpoint_that_is_none_gets_one_clear_error(saved, tmp_path, name):
    change, says = BAD[name]
    folder = tmp_path / "bad"
    shutil.copytree(saved, folder)
    change(folder)
    for pair in ((folder, saved), (saved, folder)):
        with pytest.raises(CheckpointError, match=says):
            verify(*pair)


def test_bad_input_is_exit_code_2_and_one_line(saved, tmp_path):
    folder = tmp_path / "bad"
    shutil.copytree(saved, folder)
    BAD["weights cut short"][0](folder)
    done = sceneminer("verify", folder, "--against", saved)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: expected ") and done.stderr.count("\n") == 1


def test_an_older_checkpoint_that_was_altered_can_vouch_for_nothing(saved, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(saved, folder)
    reweigh(folder, "lift.reduce.bias", nudge)
    with pytest.raises(CheckpointError, match=r"fingerprint .* for stream"):
        verify(saved, folder)
