"""Stored streams, read back: checked to be of the model that a head was trained on, and to be finite."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import torch

from sceneminer.index.errors import IndexFault
from sceneminer.index.schema import TOKEN_WIDTH, TOKENS
from sceneminer.index.store import Store
from sceneminer.model.stream import Stream

BATCH = 512
_COLUMNS = ["clip_id", "stream_fingerprint", "tokens", "mean_embedding"]


def iter_streams(store: Store, *, expected: str) -> Iterator[tuple[list[str], Stream]]:
    """Every stored stream, a batch at a time, with its clip ids. IndexFault where one is not as ``expected``."""
    for batch in store.iter_batches("tokens", columns=_COLUMNS, rows=BATCH):
        if batch.num_rows:
            yield _checked(batch, expected)


def take_streams(store: Store, positions: Sequence[int], *, expected: str) -> Iterator[tuple[list[str], Stream]]:
    """Streams of some rows of ``tokens``, in this order, a batch at a time."""
    for first in range(0, len(positions), BATCH):
        rows = store.take("tokens", list(positions[first : first + BATCH]), columns=_COLUMNS)
        yield _checked(rows.combine_chunks().to_batches()[0], expected)


def require_stream(found: str | None, expected: str, what: str) -> None:
    """IndexFault, with both fingerprints, unless they are equal."""
    if found != expected:
        raise IndexFault(f"expected {what} of stream {expected[:12]}, found stream {str(found)[:12]}")


def _checked(batch: pa.RecordBatch, expected: str) -> tuple[list[str], Stream]:
    ids = batch.column("clip_id").to_pylist()
    for clip, found in zip(ids, batch.column("stream_fingerprint").to_pylist(), strict=True):
        require_stream(found, expected, f"the row of clip {clip}")
    tokens = _halves(batch.column("tokens")).reshape(len(ids), TOKENS, TOKEN_WIDTH)
    stream = Stream(
        torch.from_numpy(tokens), torch.from_numpy(_halves(batch.column("mean_embedding")).reshape(len(ids), -1))
    )
    finite = torch.isfinite(stream.tokens).flatten(1).all(1) & torch.isfinite(stream.embedding).all(1)
    if not bool(finite.all()):
        bad = [clip for clip, fine in zip(ids, finite.tolist(), strict=True) if not fine]
        raise IndexFault(
            f"expected finite streams, found NaN or infinity in that of {', '.join(bad[:5])}: "
            "delete their logs (sceneminer index delete) and mine them again"
        )
    return ids, stream


def _halves(column: pa.Array) -> np.ndarray:
    """A copy, since torch wants to be able to write."""
    return np.array(column.flatten().to_numpy(zero_copy_only=False), np.float16)
