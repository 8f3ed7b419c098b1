"""A head of an index as part of a scene model, so that whoever mines with that model has its column."""

import tempfile
from dataclasses import replace
from pathlib import Path

from sceneminer.index.backfill import require_entry
from sceneminer.index.errors import IndexFault
from sceneminer.index.head_files import load_head
from sceneminer.index.search import Index
from sceneminer.index.streams import require_stream
from sceneminer.model.added import AddedHead
from sceneminer.model.checkpoint import WEIGHTS, is_scene_model
from sceneminer.model.fingerprint import stream_fingerprint
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.zoo import resolve_model


def export_head(index: Index, name: str, checkpoint: Path) -> AddedHead:
    """Write a head of an index into a scene model's folder, or into a new one made from the index's own model.

    A head of that name that the model has is replaced; everything else in it stays as it is. IndexFault, with both
    fingerprints, where the model makes another stream than the head was trained on.
    """
    manifest = index.manifest
    entry = require_entry(index.store, name)
    said = manifest["model"]
    head, _ = load_head(index.folder, name, entry.in_force, stream_fingerprint=said["stream_fingerprint"])
    there = (checkpoint / "config.json").is_file()
    if not there and checkpoint.exists() and (not checkpoint.is_dir() or any(checkpoint.iterdir())):
        raise IndexFault(f"expected a scene model or a new folder at {checkpoint}, found other files")
    if there and not is_scene_model(checkpoint):
        raise IndexFault(f"expected a scene model at {checkpoint}, found another model")
    source = checkpoint if there else resolve_model(said["source"])
    # As it was mined with: the numeric mode and the spacing of frames are part of the stream.
    mined = SceneModel.from_pretrained(source, numeric_mode=said["precision"])
    period_us = manifest["mining"]["length_us"] // mined.config.frames_per_clip
    mined.config = replace(mined.config, frame_period_us=period_us)
    require_stream(stream_fingerprint(mined), head.stream_fingerprint, f"the model at {source}")
    model = SceneModel.from_pretrained(source)
    model.add_head(head)
    _save(model, checkpoint)
    return head


def _save(model: SceneModel, checkpoint: Path) -> None:
    """Beside the folder first: a run that is cut short leaves the model that was there."""
    if not (checkpoint / "config.json").is_file():
        model.save_pretrained(checkpoint)
        return
    with tempfile.TemporaryDirectory(dir=checkpoint.parent, prefix=".export-") as folder:
        model.save_pretrained(folder)
        for name in (WEIGHTS, "config.json"):
            (Path(folder) / name).replace(checkpoint / name)
