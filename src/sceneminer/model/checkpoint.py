"""Scene models on disk: ``config.json``, ``model.safetensors`` and, where it is small, the tower beside them."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sceneminer.model.errors import CheckpointError
from sceneminer.model.preprocess import read_json

FORMAT, VERSION = "sceneminer-model", 1
WEIGHTS = "model.safetensors"
_TOWER_LIMIT_BYTES = 100_000_000
_TOWER_FILES = ("*.json", "merges.txt", "vocab.txt", "model*.safetensors", "LICENSE*", "README.md")


def is_scene_model(folder: Path) -> bool:
    """Whether ``config.json`` in the folder says that it is one of ours (any version)."""
    return "format" in read_json(folder / "config.json")


def read_document(folder: Path) -> dict[str, Any]:
    """``config.json`` of a scene model; CheckpointError for another format or version, or a part of another type."""
    document = read_json(folder / "config.json")
    if document.get("format") != FORMAT:
        raise CheckpointError(
            f"expected format {FORMAT!r} in {folder / 'config.json'}, found {document.get('format')!r}"
        )
    if document.get("version") != VERSION:
        raise CheckpointError(f"expected version {VERSION} of {FORMAT}, found {document.get('version')!r}")
    parts = {"model": dict, "heads": list, "stream_fingerprint": str, "head_fingerprints": dict}
    parts |= {"tower": dict, "training_data": list, "licences": list}
    for name, kind in parts.items():
        if not isinstance(document.get(name), kind):
            found = type(document.get(name)).__name__ if name in document else "nothing"
            raise CheckpointError(f"expected {name} as {kind.__name__} in {folder / 'config.json'}, found {found}")
    if not all(isinstance(head, dict) for head in document["heads"]):
        raise CheckpointError(f"expected heads as objects in {folder / 'config.json'}")
    return document


def write_checkpoint(folder: Path, document: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Weights first and the config last, so that a folder that was cut short has none."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").unlink(missing_ok=True)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
    text = json.dumps({"format": FORMAT, "version": VERSION, **document}, indent=1, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def read_weights(folder: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of ``model.safetensors``; CheckpointError unless finite, with the names and shapes expected."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"expected {WEIGHTS} in {folder}, found none")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"expected {path} to be a whole safetensors file, found {error}") from None
    missing, extra = sorted(set(expected) - set(weights)), sorted(set(weights) - set(expected))
    if missing or extra:
        what = f"{missing[0]} missing" if missing else f"{extra[0]} that the config does not describe"
        raise CheckpointError(f"expected {len(expected)} tensors in {path}, found {len(weights)}: {what}")
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            wanted, found = _describe(expected[name]), _describe(tensor)
            raise CheckpointError(f"expected {name} in {path} as {wanted}, found {found}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"expected finite weights in {path}, found NaN or infinity in {name}")
    return weights


def copy_tower(source: Path, folder: Path) -> bool:
    """Copy a tower folder to ``folder/tower`` if its weights are small; returns whether it did."""
    if sum(path.stat().st_size for path in source.glob("model*.safetensors")) > _TOWER_LIMIT_BYTES:
        return False
    target = folder / "tower"
    if target.exists() and target.samefile(source):
        return True
    target.mkdir(parents=True, exist_ok=True)
    for pattern in _TOWER_FILES:
        for path in source.glob(pattern):
            shutil.copyfile(path, target / path.name)
    return True


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
