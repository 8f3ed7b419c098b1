"""The moments that a training draws from, and what is true of those it has seen."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor

from sceneminer.recipes.tiny_batch import MomentTruth, truth_of
from sceneminer.recipes.tiny_data import Moment, read_shard
from sceneminer.recipes.tiny_union import union_scene


def key_of(moment: Moment) -> int:
    """A number that names a moment whatever other shards there are."""
    return int.from_bytes(hashlib.sha256(f"{moment.drive}@{moment.time_s}".encode()).digest()[:7], "big")


class Library:
    """The moments of all shards in a folder, which may grow."""

    def __init__(self, folder: Path):
        self.folder, self.moments = folder, list[Moment]()
        self._read: set[Path] = set()
        self._truths: dict[int, MomentTruth] = {}
        self.look()

    def recall(self, keys: Sequence[int], *, forget: bool) -> tuple[list[MomentTruth], Bool[Tensor, "q"]]:
        """What is true of remembered moments, and which of them are known; none where they are to be forgotten."""
        nothing = MomentTruth(frozenset(), frozenset())
        truths = [nothing if forget else self._truths.get(key, nothing) for key in keys]
        return truths, torch.tensor([truth is not nothing for truth in truths], dtype=torch.bool)

    def look(self) -> None:
        """Read the shards that have come since."""
        for path in sorted(set(self.folder.glob("*.safetensors")) - self._read):
            found = read_shard(path)
            self.moments += found
            self._truths |= {key_of(moment): truth_of(moment, union_scene(moment.views)) for moment in found}
            self._read.add(path)
