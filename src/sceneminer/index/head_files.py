"""The heads that users added to an index, on disk: weights, how they were made, and what they were fitted to.

``INDEX/heads/NAME-FINGERPRINT.safetensors``, ``.json`` and ``.csv``. Which of them are in force is said by the
manifest, under ``heads``: files that it does not name are leftovers of a run that was cut short.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sceneminer.index.errors import IndexFault
from sceneminer.index.label_set import RELEVANT, LabelSet, read_labels, read_values, write_labels
from sceneminer.index.store import Store
from sceneminer.index.streams import require_stream
from sceneminer.model.added import NAME, PREFIX, AddedHead, build_added
from sceneminer.model.checkpoint import read_document
from sceneminer.model.errors import CheckpointError
from sceneminer.model.fingerprint import head_fingerprint
from sceneminer.model.preprocess import read_json

FOLDER, FORMAT, VERSION = "heads", "sceneminer-head", 1


@dataclass(frozen=True)
class HeadEntry:
    """What the manifest says of a head."""

    name: str
    columns: tuple[str, ...]
    fingerprint: str | None
    """Of the head that made the columns; None until they have been written."""
    next: str | None = None
    """Of the head whose columns are being written: until they are whole they are not used in filters."""

    @property
    def in_force(self) -> str:
        """Of the head that new clips are to have."""
        return self.next or str(self.fingerprint)


def read_entries(store: Store) -> dict[str, HeadEntry]:
    """The heads of an index, by name; IndexFault where the manifest says what we never write."""
    entries = {}
    for name, said in store.manifest().get("heads", {}).items():
        try:
            entry = HeadEntry(name, tuple(said["columns"]), said["fingerprint"], said.get("next"))
            texts = (name, entry.in_force, *(column.removeprefix(PREFIX) for column in entry.columns))
            sound = all(text.replace("_", "a").isalnum() and text.isascii() for text in texts)
        except (TypeError, KeyError, AttributeError):
            sound, entry = False, None
        if not sound or entry is None or not NAME.fullmatch(name):
            raise IndexFault(
                f"expected heads as sceneminer writes them in the manifest of {store.folder}, found {name!r}"
            )
        entries[name] = entry
    return entries


def write_entries(store: Store, entries: Iterable[HeadEntry]) -> None:
    """Replace what the manifest says of heads and of their columns, in one transaction."""
    others = {k: v for k, v in store.manifest().get("columns", {}).items() if not k.startswith(PREFIX)}
    store.set_manifest(manifest_of(entries, columns=others))


def manifest_of(entries: Iterable[HeadEntry], *, columns: Mapping[str, str]) -> dict[str, Any]:
    """What the manifest says of heads and, beside the other ``columns``, of theirs."""
    kept = {e.name: e for e in entries}
    heads = {
        e.name: {"columns": list(e.columns), "fingerprint": e.fingerprint} | ({"next": e.next} if e.next else {})
        for e in kept.values()
    }
    theirs = {column: f"head {e.name} {_said(e)}" for e in kept.values() for column in e.columns}
    return {"heads": heads, "columns": {**columns, **theirs}}


def filter_names(store: Store) -> dict[str, str]:
    """Names that a filter may use for the columns of an index's heads: ``head_NAME``, ``NAME`` and ``NAME.LABEL``."""
    there, names = store.columns("clips"), {}
    for entry in read_entries(store).values():
        for column in entry.columns:
            if column in there and entry.next is None:
                label = column.removeprefix(f"{PREFIX}{entry.name}").removeprefix("_")
                names |= {column: column, f"{entry.name}.{label}" if label else entry.name: column}
    return names


def write_head(index: Path, head: AddedHead, *, trained: Mapping[str, Any], labels: LabelSet | None) -> str:
    """Write a head's files; returns its fingerprint. They count from when the manifest names them."""
    from safetensors.torch import save_file

    fingerprint = head_fingerprint(head)
    folder = index / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / _stem(head.user_name, fingerprint)
    weights = {name: tensor.detach().contiguous() for name, tensor in head.state_dict().items()}
    document = {"format": FORMAT, "version": VERSION, "head": head.document(), "fingerprint": fingerprint}
    document |= {"embed_dim": head.embed_dim, "token_width": head.token_width, "trained": dict(trained)}
    with _replacing(stem, ".safetensors") as path:
        save_file(weights, path.path)
    if labels is not None:
        with _replacing(stem, ".csv") as path:
            write_labels(labels, path.path)
    with _replacing(stem, ".json") as path:
        path.path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return fingerprint


def load_head(index: Path, name: str, fingerprint: str, *, stream_fingerprint: str) -> tuple[AddedHead, dict[str, Any]]:
    """A head of an index, and how it was made. CheckpointError where its files are not what the manifest says.

    IndexFault, with both fingerprints, where it was trained on another stream than ``stream_fingerprint``.
    """
    stem = index / FOLDER / _stem(name, fingerprint)
    path = stem.with_suffix(".json")
    document = read_json(path)
    if document.get("format") != FORMAT or document.get("version") != VERSION:
        raise CheckpointError(f"expected {FORMAT} of version {VERSION} in {path}, found another format")
    said, trained = document.get("head"), document.get("trained")
    sizes = (document.get("embed_dim"), document.get("token_width"))
    if not isinstance(said, dict) or not isinstance(trained, dict) or not all(_is_size(size) for size in sizes):
        raise CheckpointError(f"expected a head, its sizes and how it was trained in {path}, found something else")
    head = build_added(said, embed_dim=int(sizes[0] or 0), token_width=int(sizes[1] or 0))
    require_stream(head.stream_fingerprint, stream_fingerprint, f"head {name}")
    _load_weights(head, stem.with_suffix(".safetensors"), prefix="")
    _require_fingerprint(head, fingerprint, path)
    return head, trained


def load_from_checkpoint(folder: Path, name: str, *, stream_fingerprint: str) -> AddedHead:
    """An added head of a scene model's folder, without loading the model; IndexFault where it reads another stream."""
    document = read_document(folder)
    named = [h for h in document["heads"] if h.get("kind") == "added" and h.get("name") == name]
    if len(named) != 1:
        known = ", ".join(str(h.get("name")) for h in document["heads"] if h.get("kind") == "added") or "none"
        raise CheckpointError(f"expected an added head {name} in {folder}, found {known}")
    require_stream(named[0].get("stream_fingerprint"), stream_fingerprint, f"head {name} in {folder}")
    width = document["model"].get("token_width")
    weights = _read_tensors(folder / "model.safetensors", f"heads.{PREFIX}{name}.")
    size = weights["weight"].shape[-1] - width if "weight" in weights and _is_size(width) else 0
    if size < 1:
        raise CheckpointError(f"expected the weights of head {name} in {folder}, found none")
    head = build_added(named[0], embed_dim=size, token_width=width)
    _put(head, weights, folder / "model.safetensors")
    _require_fingerprint(head, document["head_fingerprints"].get(head.name), folder / "config.json")
    return head


def read_examples(index: Path, head: AddedHead, fingerprint: str) -> LabelSet | None:
    """What a head of an index was fitted to; None where that is not known here (it came from elsewhere)."""
    path = (index / FOLDER / _stem(head.user_name, fingerprint)).with_suffix(".csv")
    if not path.is_file():
        return None
    if head.task == "value":
        return read_values(path)
    labels = read_labels(path)
    wanted = head.outputs or (RELEVANT,)
    if labels.outputs != wanted:
        raise IndexFault(f"expected labels {', '.join(wanted)} in {path}, found {', '.join(labels.outputs)}")
    return LabelSet(head.task, head.outputs, labels.clip_ids, labels.values, labels.source)


def remove_unnamed(store: Store) -> None:
    """Delete files of heads that the manifest does not name."""
    kept = {_stem(e.name, f) for e in read_entries(store).values() for f in (e.fingerprint, e.next) if f}
    for path in sorted((store.folder / FOLDER).glob("*")):
        if path.stem not in kept and path.is_file():
            path.unlink()


def _stem(name: str, fingerprint: str) -> str:
    return f"{name}-{fingerprint[:16]}"


def _said(entry: HeadEntry) -> str:
    return f"{str(entry.fingerprint)[:12]}" if entry.next is None else f"{entry.next[:12]}, not written yet"


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 65536


class _replacing:
    """A file beside the one that is meant, which takes its place once it is whole."""

    def __init__(self, stem: Path, suffix: str):
        self.target = stem.with_suffix(suffix)
        self.path = stem.with_suffix(suffix + ".new")

    def __enter__(self) -> "_replacing":
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self.path.unlink(missing_ok=True)
            return
        with self.path.open("rb") as handle:
            os.fsync(handle.fileno())
        self.path.replace(self.target)


def _load_weights(head: AddedHead, path: Path, *, prefix: str) -> None:
    _put(head, _read_tensors(path, prefix), path)


def _read_tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {k.removeprefix(prefix): file.get_tensor(k) for k in file.keys() if k.startswith(prefix)}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"expected {path} to be a whole safetensors file, found {error}") from None


def _put(head: AddedHead, weights: Mapping[str, Tensor], path: Path) -> None:
    """Copy weights in; CheckpointError unless finite, with the names, shapes and types of the head's."""
    own = head.state_dict()
    if set(weights) != set(own):
        odd = ", ".join(sorted(set(weights) ^ set(own)))
        raise CheckpointError(f"expected the tensors of head {head.user_name} in {path}; unknown or missing: {odd}")
    for name, tensor in weights.items():
        if tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            raise CheckpointError(
                f"expected {name} of head {head.user_name} in {path} as {list(own[name].shape)} {own[name].dtype}, "
                f"found {list(tensor.shape)} {tensor.dtype}"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"expected finite weights in {path}, found NaN or infinity in {name}")
    head.load_state_dict(dict(weights))
    head.requires_grad_(False).eval()


def _require_fingerprint(head: AddedHead, expected: object, path: Path) -> None:
    found = head_fingerprint(head)
    if found != expected:
        raise CheckpointError(
            f"expected head {head.user_name} of fingerprint {str(expected)[:12]} as {path} says, found {found[:12]}: "
            "its weights have changed"
        )
