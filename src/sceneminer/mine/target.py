"""The index that a run writes to: made, or found to be of the same model and plan; and what it is told of each log."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from sceneminer.data.log import Log
from sceneminer.data.options import OpenOptions
from sceneminer.index.errors import IndexFault
from sceneminer.index.head_files import FOLDER as HEADS_FOLDER
from sceneminer.index.head_files import manifest_of
from sceneminer.index.heads import install_heads, load_heads
from sceneminer.index.schema import LOGS_SCHEMA
from sceneminer.index.store import Store
from sceneminer.index.streams import require_stream
from sceneminer.mine.units import MiningPlan
from sceneminer.model.added import AddedHead, added_heads
from sceneminer.model.fingerprint import head_fingerprint
from sceneminer.model.scene_model import SceneModel

_OURS = frozenset({".writer.lock", "quarantine.jsonl", HEADS_FOLDER})


def require_ours(folder: Path) -> None:
    """IndexFault where a folder holds other things than an index: asked before anything is written there."""
    if not folder.exists() or Store.exists(folder):
        return
    if not folder.is_dir() or any(p.name not in _OURS and p.suffix != ".lance" for p in folder.iterdir()):
        found = "other files there" if folder.is_dir() else "a file"
        raise IndexFault(f"expected an index or an empty folder at {folder}, found {found}")


def open_or_create(folder: Path, model: SceneModel, source: str, fingerprint: str, plan: MiningPlan) -> Store:
    """The index at ``folder``; IndexFault where it was made with another stream or plan."""
    mining = {key: value for key, value in asdict(plan).items() if key != "cameras"}
    if not Store.exists(folder):
        brought = added_heads(model.heads.values())
        for head in brought:
            require_stream(head.stream_fingerprint, fingerprint, f"head {head.user_name} of {source}")
        heads = {name: head_fingerprint(head) for name, head in model.heads.items()}
        described = {
            "source": source,
            "space": model.tower.space,
            "embed_dim": model.tower.embed_dim,
            "precision": model.config.numeric_mode,
            "stream_fingerprint": fingerprint,
        }
        manifest = {"model": described, "mining": mining}
        manifest |= manifest_of(install_heads(folder, brought), columns=_provenance(heads))
        return Store.create(folder, embed_dim=model.tower.embed_dim, manifest=manifest)
    store = Store.open(folder)
    manifest = store.manifest()
    if manifest["model"]["stream_fingerprint"] != fingerprint:
        raise IndexFault(
            f"expected the stream this index was made with, {manifest['model']['stream_fingerprint'][:12]} of "
            f"{manifest['model']['source']}; found {fingerprint[:12]} of {source}: mine into another folder"
        )
    if manifest["mining"] != mining:
        raise IndexFault(f"expected the plan this index was made with, {manifest['mining']}; found {mining}")
    return store


def with_index_heads(model: SceneModel, store: Store, fingerprint: str) -> SceneModel:
    """The model with the heads that users added to the index; it is the index that says which, not the checkpoint."""
    own = [head for head in model.heads.values() if not isinstance(head, AddedHead)]
    return model.with_heads([*own, *load_heads(store, stream_fingerprint=fingerprint)])


def _provenance(heads: dict[str, str]) -> dict[str, str]:
    forecast = heads.get("forecast", "")
    return {
        "embedding": f"head embedding {heads['embedding'][:12]}",
        "tag_*": f"head tags {heads['tags'][:12]}",
        "label_tag_*": "rules on annotations, map, ego motion and description (sceneminer tags --explain)",
        "risk_tracks": "physics on given tracks",
        "risk_camera": f"physics on head forecast {forecast[:12]}"
        if forecast
        else "null: no risk head has been trained",
        "ambiguity": f"futures of head forecast {forecast[:12]}"
        if forecast
        else "null: no forecast head has been trained",
    }


def log_rows(logs: tuple[Log, ...], root: Path, options: OpenOptions) -> pa.Table:
    """Rows of ``logs``: what each log is, and how it was opened, with every path made absolute."""
    told = {name: value for name, value in asdict(options).items() if name != "logs"}
    if options.media_root is not None:
        told["media_root"] = str(options.media_root.expanduser().resolve())
    rows: list[dict[str, Any]] = [
        {
            "log_id": log.log_id,
            "name": log.name,
            "dataset": log.dataset,
            "split": log.split,
            "location": log.location,
            "description": log.description,
            "licence": log.licence,
            "start_us": log.start_us,
            "end_us": log.end_us,
            "cameras": list(log.cameras()),
            "rig_source": log.rig.source,
            "has_poses": log.has_poses,
            "has_tracks": log.has_tracks,
            "has_map": log.has_map,
            "root": str(root.expanduser().resolve()),
            "adapter": log.dataset,
            "options": json.dumps(told, sort_keys=True),
            "issues": json.dumps([asdict(issue) for issue in log.issues], sort_keys=True),
        }
        for log in logs
    ]
    return pa.Table.from_pylist(rows, schema=LOGS_SCHEMA)
