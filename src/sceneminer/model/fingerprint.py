"""SHA-256 fingerprints of what makes a stream and of what makes a signal."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from sceneminer.model.scene_model import SceneModel

FingerprintValue = Tensor | str | int | float | bool | tuple


def fingerprint_of(state: Mapping[str, FingerprintValue]) -> str:
    """SHA-256 (64 hex digits) over names, types, shapes and bytes, in the order of the names.

    Equal exactly when every name and bit is equal; where a tensor lives does not matter.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        if isinstance(value, Tensor):
            digest.update(f"{name}\0tensor\0{value.dtype}\0{tuple(value.shape)}\0".encode())
            flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(flat.numpy().data)
        else:
            digest.update(f"{name}\0{type(value).__name__}\0{value!r}\0".encode())
    return digest.hexdigest()


def module_state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name.

    Buffers that a module works out from its config are left out: the config is hashed, and their last bit may
    differ by machine, which would make a checkpoint from another one look altered.
    """
    return dict(module.state_dict())


def stream_fingerprint(model: "SceneModel") -> str:
    """The fingerprint of everything that feeds the stream: tower (image side), trunk, preprocessing, numeric mode."""
    return fingerprint_of(stream_state(model))


def stream_state(model: "SceneModel") -> dict[str, FingerprintValue]:
    """What ``stream_fingerprint`` hashes, piece by piece."""
    state: dict[str, FingerprintValue] = {f"tower.{k}": v for k, v in model.tower.fingerprint_state().items()}
    for name in ("lift", "temporal", "scene_tokens"):
        state |= {f"{name}.{k}": v for k, v in module_state(getattr(model, name)).items()}
    return state | {f"config.{k}": v for k, v in model.config.stream_values().items()}


def head_fingerprint(head: nn.Module) -> str:
    """The fingerprint of one head: its name, version, what it reads, its document, parameters and buffers."""
    return fingerprint_of(head_state(head))


def head_state(head: nn.Module) -> dict[str, FingerprintValue]:
    """What ``head_fingerprint`` hashes, piece by piece."""
    state: dict[str, FingerprintValue] = dict(module_state(head))
    state |= {"head.name": str(head.name), "head.version": int(head.version), "head.reads": tuple(head.reads)}  # type: ignore[arg-type]
    return state | {"head.document": json.dumps(head.document(), sort_keys=True)}  # type: ignore[operator]
