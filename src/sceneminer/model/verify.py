"""Has anything moved? A checkpoint against an older one: what the fingerprints hash, piece by piece, and the outputs.

Pieces are parameters, buffers, preprocessing values, numeric mode and config of the stream and of each head that the
older one has. Outputs are what both make of one probe batch at fixed shapes. Heads that only the newer one has are
listed; they are what it is for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sceneminer.model.checkpoint import is_scene_model, read_document
from sceneminer.model.errors import CheckpointError
from sceneminer.model.fingerprint import (
    FingerprintValue,
    fingerprint_of,
    head_fingerprint,
    head_state,
    stream_fingerprint,
    stream_state,
)
from sceneminer.model.probe import probe_stream, stream_of
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.snapshot import Moved, difference, same_bits, snapshot, tensors_in
from sceneminer.model.zoo import resolve_model

_MOST_LETTERS = 80


@dataclass(frozen=True)
class Check:
    """One thing that must not have moved, and whether it has."""

    item: str
    """``stream``, ``text space`` or ``head NAME``."""
    kind: str
    """``hash``, ``computed buffers``, ``output`` or ``record``."""
    old: str
    """First 12 digits of its SHA-256 then."""
    new: str
    moved: str = ""
    """The first difference, in words; empty where there is none."""
    max_abs: float = 0.0


@dataclass(frozen=True)
class VerifyReport:
    """All checks in order, and the heads that only the newer checkpoint has."""

    checks: tuple[Check, ...]
    added: tuple[str, ...]

    @property
    def identical(self) -> bool:
        return not any(check.moved for check in self.checks)

    @property
    def first(self) -> Check | None:
        """The first thing that moved."""
        return next((check for check in self.checks if check.moved), None)


def verify(checkpoint: str | Path, against: str | Path) -> VerifyReport:
    """What of an older scene model has moved in a newer one.

    Both are folders (or names). CheckpointError where one is no whole scene model, or where the older one is not what
    its own fingerprints say: it could vouch for nothing. The newer one may be anything that loads, so that the tensor
    that was altered is named.
    """
    folder, before = _ours(checkpoint), _ours(against)
    old = SceneModel.from_pretrained(before)
    new = SceneModel.from_pretrained(folder, check=False)
    report = verify_models(new, old)
    return VerifyReport((*report.checks, *_records(folder, new)), report.added)


def verify_models(new: SceneModel, old: SceneModel) -> VerifyReport:
    """As ``verify``, of two models in memory; both are left as they are."""
    checks = [_pieces("stream", stream_state(old), stream_state(new)), _space(old, new)]
    kept = [name for name in old.heads if name in new.heads]
    for name in old.heads:
        if name in new.heads:
            checks.append(_pieces(f"head {name}", head_state(old.heads[name]), head_state(new.heads[name])))
        else:
            checks.append(Check(f"head {name}", "hash", _short(head_fingerprint(old.heads[name])), "-", "is gone"))
    checks.append(_computed(old, new, kept))
    checks += _outputs(old, new, kept)
    return VerifyReport(tuple(checks), tuple(name for name in new.heads if name not in old.heads))


def _ours(name_or_folder: str | Path) -> Path:
    folder = resolve_model(name_or_folder)
    if not is_scene_model(folder):
        raise CheckpointError(f"expected a scene model in {folder}, found another model: its config.json has no format")
    return folder


def _pieces(item: str, old: Mapping[str, FingerprintValue], new: Mapping[str, FingerprintValue]) -> Check:
    """Every piece that a fingerprint hashes; the first that differs is named."""
    moved = next((said for name in {**old, **new} if (said := _differ(name, old.get(name), new.get(name)))), None)
    before, after = _short(fingerprint_of(old)), _short(fingerprint_of(new))
    return Check(item, "hash", before, after, *(("", 0.0) if moved is None else (moved.found, moved.max_abs)))


def _differ(name: str, old: FingerprintValue | None, new: FingerprintValue | None) -> Moved | None:
    if isinstance(old, Tensor) and isinstance(new, Tensor):
        if same_bits(old, new):
            return None
        moved = difference(name, old, new)
        return Moved(name, moved.max_abs, f"{name} {moved.found}")
    if type(old) is type(new) and old == new:
        return None
    said = _values(old, new)
    return Moved(name, float("inf"), f"{name} was {said[0]}, is {said[1]}")


def _values(old: FingerprintValue | None, new: FingerprintValue | None) -> list[str]:
    """Both in words; long ones from just before they part."""
    said = []
    for value in (old, new):
        shape = f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else str(value)
        said.append("not there" if value is None else shape)
    if max(map(len, said)) <= _MOST_LETTERS:
        return said
    parted = next((i for i, (a, b) in enumerate(zip(*said, strict=False)) if a != b), min(map(len, said)))
    start = max(0, parted - 20)
    return [f"{'...' if start else ''}{text[start : start + _MOST_LETTERS]}..." for text in said]


def _space(old: SceneModel, new: SceneModel) -> Check:
    same = old.tower.space == new.tower.space
    said = "" if same else f"text encoder was {old.tower.space}, is {new.tower.space}"
    return Check("text space", "hash", _digest(old), _digest(new), said)


def _digest(model: SceneModel) -> str:
    return model.tower.space.rpartition(":")[2][:12]


def _computed(old: SceneModel, new: SceneModel, kept: list[str]) -> Check:
    """Buffers that are worked out from the config: not in a fingerprint, since their last bit may differ by machine."""
    ours, theirs = (_unsaved(model, kept) for model in (old, new))
    moved = next(
        (said for name in {**ours, **theirs} if (said := _differ(name, ours.get(name), theirs.get(name)))), None
    )
    before, after = _short(fingerprint_of(ours)), _short(fingerprint_of(theirs))
    found = ("", 0.0) if moved is None else (moved.found, moved.max_abs)
    return Check("stream and heads", "computed buffers", before, after, *found)


def _unsaved(model: SceneModel, kept: list[str]) -> dict[str, Tensor]:
    saved = set(model.state_dict())
    others = tuple(f"heads.{name}." for name in model.heads if name not in kept)
    buffers = dict(model.named_buffers())
    return {name: value for name, value in buffers.items() if name not in saved and not name.startswith(others)}


def _outputs(old: SceneModel, new: SceneModel, kept: list[str]) -> list[Check]:
    """What both make of the probe batch: the way to the stream, and each sibling's signal from it."""
    ours = probe_stream(old)
    try:
        theirs = probe_stream(new)
    except (ValueError, RuntimeError) as error:  # a model of other shapes may refuse a probe that the old one takes
        return [
            Check("stream", "output", _short(fingerprint_of(ours)), "-", f"gives no stream: {error}".split("\n")[0])
        ]
    checks = [_output("stream", ours, theirs)]
    for name in kept:
        before = _signal(old, name, ours)
        checks.append(_output(f"head {name}", before, _signal(new, name, theirs)))
    return checks


def _signal(model: SceneModel, name: str, probe: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One clip at a time, as mining does; a signal may be a tensor or any nesting of them."""
    stream, found = stream_of(dict(probe)), {}
    with torch.no_grad():
        for i in range(len(stream)):
            found |= tensors_in(model.heads[name](stream[i : i + 1]), f"{name} of clip {i}")
    return found


def _output(item: str, old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> Check:
    before, after = snapshot(old), snapshot(new)
    moved = None
    for name in {**old, **new}:
        said = _differ(name, before.tensors.get(name), after.tensors.get(name))
        # Equal as numbers, too: a NaN is not what anybody can rely on, though its bits have not moved.
        if said is None and not torch.equal(before.tensors[name], after.tensors[name]):
            said = Moved(name, float("nan"), f"{name} holds NaN")
        if said is not None:
            moved = said
            break
    hashes = _short(fingerprint_of(before.tensors)), _short(fingerprint_of(after.tensors))
    return Check(item, "output", *hashes, *(("", 0.0) if moved is None else (moved.found, moved.max_abs)))


def _records(folder: Path, model: SceneModel) -> list[Check]:
    """Whether the newer checkpoint is what its own config.json says."""
    document = read_document(folder)
    if document["model"]["numeric_mode"] != model.config.numeric_mode:
        return []
    found: dict[str, Callable[[], str]] = {"stream": lambda: stream_fingerprint(model)}
    found |= {f"head {name}": lambda head=head: head_fingerprint(head) for name, head in model.heads.items()}
    said = {"stream": document["stream_fingerprint"]}
    said |= {f"head {name}": str(value) for name, value in document["head_fingerprints"].items()}
    checks = []
    for item in {**said, **found}:
        written, real = said.get(item, "-"), found[item]() if item in found else "-"
        words = (
            "" if written == real else f"config.json names {_short(written)} for {item}, the weights are {_short(real)}"
        )
        checks.append(Check(item, "record", _short(written), _short(real), words))
    return checks


def _short(fingerprint: str) -> str:
    return fingerprint[:12]
