"""Tensors as they were, and what has moved since: by bits, whatever they are nested in."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass

import torch
from torch import Tensor, nn

from sceneminer.model.fingerprint import fingerprint_of


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Copies of tensors by name, and a SHA-256 of each (name, type, shape and bytes)."""

    tensors: Mapping[str, Tensor]
    hashes: Mapping[str, str]


@dataclass(frozen=True)
class Moved:
    """One tensor that is not what it was."""

    name: str
    max_abs: float
    """Largest absolute difference; infinity where one is missing, of another shape or type, or NaN alone."""
    found: str
    """In words, e.g. ``moved by up to 0.25, first at [0, 3]``."""


def tensors_in(value: object, name: str = "") -> dict[str, Tensor]:
    """Every tensor in nested mappings, sequences and dataclasses, by dotted name; ValueError for anything else.

    None stands for an output that is not there and is left out.
    """
    if value is None:
        return {}
    if isinstance(value, Tensor):
        return {name or "output": value}
    if isinstance(value, Mapping):
        parts = [(str(key), part) for key, part in value.items()]
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [(f.name, getattr(value, f.name)) for f in fields(value)]
    elif isinstance(value, list | tuple):
        parts = [(str(i), part) for i, part in enumerate(value)]
    else:
        raise ValueError(f"expected tensors in {name or 'the output'}, found {type(value).__name__}")
    found: dict[str, Tensor] = {}
    for key, part in parts:
        found |= tensors_in(part, f"{name}.{key}" if name else key)
    return found


def snapshot(value: object) -> Snapshot:
    """Copies and hashes of all tensors in ``value`` (``tensors_in``)."""
    tensors = {name: tensor.detach().clone() for name, tensor in tensors_in(value).items()}
    return Snapshot(tensors, {name: fingerprint_of({name: tensor}) for name, tensor in tensors.items()})


def compare(before: Snapshot, after: Snapshot) -> tuple[Moved, ...]:
    """What moved, in the order of ``before``; tensors only ``after`` has come last.

    Equal means the same bits. That is stricter than ``torch.equal``, for which -0.0 is 0.0, but for one case: a NaN
    that stays the same NaN has not moved.
    """
    moved = []
    for name, old in before.tensors.items():
        new = after.tensors.get(name)
        if new is None:
            moved.append(Moved(name, math.inf, "is gone"))
        elif not same_bits(old, new):
            moved.append(difference(name, old, new))
    return (*moved, *(Moved(name, math.inf, "is new") for name in after.tensors if name not in before.tensors))


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether type, shape and every byte are equal."""
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(_bytes(a), _bytes(b))


def difference(name: str, old: Tensor, new: Tensor) -> Moved:
    """How far a tensor moved and where first."""
    if old.dtype != new.dtype or old.shape != new.shape:
        return Moved(name, math.inf, f"was {_kind(old)}, is {_kind(new)}")
    a, b = old.detach().cpu().double(), new.detach().cpu().double()
    apart = torch.where(a == b, 0.0, (a - b).abs())
    apart = torch.where(a.isnan() & b.isnan(), 0.0, apart.nan_to_num(math.inf, math.inf))
    largest = float(apart.max()) if apart.numel() else 0.0
    if largest == 0.0:
        return Moved(name, 0.0, "has other bits for the same numbers (-0.0 and 0.0, or one NaN and another)")
    first = (apart.reshape(-1) > 0).nonzero()[0]
    place = [int(i) for i in torch.unravel_index(first, a.shape)] if a.ndim else []
    return Moved(name, largest, f"moved by up to {largest:.3g}, first at {place}")


def named_state(module: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by each of its names, those that are not saved included."""
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
