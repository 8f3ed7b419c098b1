"""Vectors as tables hold them, a list of fixed length a row, as matrices; and rows of length 1."""

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from numpy import ndarray


def matrix(column: pa.Array | pa.ChunkedArray) -> Float[ndarray, "n e"]:
    """The vectors that are not null, as stored; nothing is copied where they lie in one piece."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)


def unit_matrix(column: pa.Array | pa.ChunkedArray, *, missing: float) -> Float[ndarray, "n e"]:
    """A row a vector, of length 1; ``missing`` all along it where the vector is null."""
    out = np.full((len(column), column.type.list_size), missing, np.float32)
    out[column.is_valid().to_numpy(zero_copy_only=False)] = unit_rows(matrix(column))
    return out


def unit_rows(vectors: Float[ndarray, "n e"]) -> Float[ndarray, "n e"]:
    """Rows of length 1; rows of zeros stay."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
