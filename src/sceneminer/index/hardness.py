"""Rarity and hardness: which clips are unlike the rest, risky, or hard to foresee.

Rarity is the mean cosine distance to the nearest clips of other logs. Hardness is a fixed weighting of three
percentiles (risk, ambiguity, rarity) among the clips of this index; a part that is null is left out of the weighting
and named, never taken for zero. Both are refreshed explicitly and stamped with what they were computed from.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.index.store import Store
from sceneminer.index.vectors import matrix

NEIGHBOURS = 8
REFERENCE_ROWS = 100_000
"""Above this many clips, neighbours are sought in a fixed, seeded sample of this size."""
WEIGHTS = {"risk": 0.5, "ambiguity": 0.25, "rarity": 0.25}
_KNOTS = 1001


@dataclass(frozen=True)
class Refreshed:
    """What a refresh covered."""

    clips: int
    with_rarity: int
    index_version: str


def index_version(store: Store) -> str:
    """A name for the content of an index: number of clips, and a hash of their units and of how much is masked in each.

    Equal for equal content; another one once clips come, go, or are mined again with fewer or more images.
    """
    masked: Counter[str] = Counter(dict.fromkeys(store.committed_units(), 0))
    for batch in store.iter_batches("clips", columns=["unit_id", "images_masked"], rows=65536):
        sums = pa.Table.from_batches([batch]).group_by("unit_id").aggregate([("images_masked", "sum")])
        masked.update(
            dict(zip(sums["unit_id"].to_pylist(), [n or 0 for n in sums["images_masked_sum"].to_pylist()], strict=True))
        )
    digest = hashlib.sha256("\n".join(f"{unit} {masked[unit]}" for unit in sorted(masked)).encode())
    return f"{store.rows('clips')}-{digest.hexdigest()[:12]}"


def refresh_hardness(store: Store) -> Refreshed:
    """Compute rarity and hardness of every clip and write them in one transaction each."""
    columns = ["clip_id", "log_id", "risk_camera", "risk_tracks", "ambiguity", "embedding", "stream_fingerprint"]
    rows = store.read("clips", columns=columns)
    order = np.argsort(np.array(rows["clip_id"].to_pylist(), dtype=object), kind="stable")
    rows = rows.take(pa.array(order))
    clips = rows.num_rows
    version = index_version(store)
    has = np.array([value is not None for value in rows["stream_fingerprint"].to_pylist()], bool)
    rarity = np.full(clips, np.nan)
    if has.any():
        logs = np.unique(np.array(rows["log_id"].to_pylist(), dtype=object)[has], return_inverse=True)[1]
        rarity[has] = mean_neighbour_distance(matrix(rows["embedding"].filter(pa.array(has))), logs)
    camera, tracks = (_numbers(rows[name]) for name in ("risk_camera", "risk_tracks"))
    parts = {"risk": np.where(np.isnan(tracks), camera, tracks), "ambiguity": _numbers(rows["ambiguity"])}
    parts["rarity"] = rarity
    calibration = {name: _calibrate(values) for name, values in parts.items()}
    hardness = weigh({name: percentile(values, calibration[name]) for name, values in parts.items()})
    if clips:
        columns_out = {"clip_id": rows["clip_id"], "rarity": _floats(rarity), "hardness": _floats(hardness)}
        store.merge_columns("clips", "clip_id", pa.table(columns_out))
    store.set_manifest(
        {
            "hardness": {
                "index_version": version,
                "weights": WEIGHTS,
                "neighbours": NEIGHBOURS,
                "calibration": {name: knots.tolist() for name, knots in calibration.items()},
            }
        }
    )
    return Refreshed(clips, int(np.sum(~np.isnan(rarity))), version)


def mean_neighbour_distance(
    embedding: Float[ndarray, "n e"], log: Int[ndarray, "n"], *, neighbours: int = NEIGHBOURS
) -> Float[ndarray, "n"]:
    """Mean cosine distance to the nearest rows of other logs; NaN where there are fewer than ``neighbours`` of them."""
    unit = np.asarray(embedding, np.float32)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    reference = np.arange(len(unit))
    if len(unit) > REFERENCE_ROWS:
        reference = np.sort(np.random.default_rng(0).choice(len(unit), REFERENCE_ROWS, replace=False))
    counts = np.bincount(log[reference], minlength=int(log.max()) + 1)
    out = np.full(len(unit), np.nan)
    for start in range(0, len(unit), 1024):
        rows = slice(start, start + 1024)
        similar = unit[rows] @ unit[reference].T
        similar[log[rows, None] == log[None, reference]] = -np.inf
        enough = len(reference) - counts[log[rows]] >= neighbours
        if len(reference) > neighbours:
            top = -np.partition(-similar, neighbours - 1, axis=1)[:, :neighbours]
            out[rows] = np.where(enough, 1.0 - np.where(enough[:, None], top, 0.0).mean(1), np.nan)
    return out


def percentile(values: Float[ndarray, "n"], knots: Float[ndarray, "k"]) -> Float[ndarray, "n"]:
    """Share of the calibration's values strictly below each value; NaN stays NaN."""
    if len(knots) == 0:
        return np.full(len(values), np.nan)
    below = np.searchsorted(knots, np.nan_to_num(values), "left") / len(knots)
    return np.where(np.isnan(values), np.nan, below)


def weigh(parts: dict[str, Float[ndarray, "n"]]) -> Float[ndarray, "n"]:
    """The weighted mean of the parts that are there; NaN where none is."""
    values = np.stack([parts[name] for name in WEIGHTS])
    weights = np.array(list(WEIGHTS.values()))[:, None] * ~np.isnan(values)
    total = weights.sum(0)
    return np.where(total > 0, np.nansum(values * weights, 0) / np.maximum(total, 1e-12), np.nan)


def _calibrate(values: ndarray) -> ndarray:
    known = np.sort(values[~np.isnan(values)])
    if len(known) <= _KNOTS:
        return known
    return known[np.round(np.linspace(0, len(known) - 1, _KNOTS)).astype(int)]


def _numbers(column: pa.ChunkedArray) -> ndarray:
    return np.array([np.nan if value is None else value for value in column.to_pylist()], np.float64)


def _floats(values: ndarray) -> pa.Array:
    return pa.array(values.astype(np.float32), mask=np.isnan(values))
