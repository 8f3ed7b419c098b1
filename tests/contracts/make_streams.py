"""An index of random streams, in which a direction of the tokens says which clips are foggy and how busy each is."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from sceneminer.index.schema import TOKEN_WIDTH, TOKENS, clips_schema, tokens_schema
from sceneminer.index.search import Index, open_index
from sceneminer.index.store import Store

EMBED_DIM = 16
STREAM = "5" * 64
_RNG = np.random.default_rng(11)
FOG, BUSY = (v / np.linalg.norm(v) for v in _RNG.normal(size=(2, TOKEN_WIDTH)))


def clip_id(log: int, k: int) -> str:
    return f"log{log:03d}-0badf00d+{k * 1000:07d}"


def is_foggy(log: int, k: int) -> bool:
    return (log * 7 + k * 3) % 5 == 0


def busyness(log: int, k: int) -> float:
    return float((log * 13 + k * 5) % 17)


def make_index(folder: Path, *, logs: int = 12, per_log: int = 10, stream: str = STREAM, seed: int = 0) -> Index:
    """Clips 2 s long, 1 s apart; the last one of each log has no stream."""
    model = {
        "stream_fingerprint": stream,
        "source": "nowhere",
        "space": "s",
        "embed_dim": EMBED_DIM,
        "precision": "fp32",
    }
    mining = {"stride_us": 1_000_000, "length_us": 2_000_000, "min_cameras": 1}
    manifest = {"model": model, "mining": mining, "columns": {"embedding": "head embedding 0123"}}
    store = Store.create(folder, embed_dim=EMBED_DIM, manifest=manifest)
    store.append("tokens", make_tokens(logs, per_log, stream=stream, seed=seed))
    store.append("clips", make_clips(logs, per_log, stream=stream))
    return open_index(folder)


def make_clips(logs: int, per_log: int, *, stream: str = STREAM) -> pa.Table:
    rows = [
        _ids(log, k)
        | {"log_name": f"log{log:03d}", "start_us": k * 1_000_000, "end_us": (k + 2) * 1_000_000}
        | {"ego_speed_mps": busyness(log, k) if k else None, "images": 4}
        | (
            {}
            if k == per_log - 1
            else {"stream_fingerprint": stream, "embedding": np.eye(EMBED_DIM, dtype="f4")[k % 16]}
        )
        for log in range(logs)
        for k in range(per_log)
    ]
    return pa.Table.from_pylist(rows, schema=clips_schema(EMBED_DIM))


def make_tokens(logs: int, per_log: int, *, stream: str = STREAM, seed: int = 0) -> pa.Table:
    rng, rows = np.random.default_rng(seed), []
    for log in range(logs):
        for k in range(per_log - 1):
            tokens = rng.normal(size=(TOKENS, TOKEN_WIDTH))
            tokens += 1.5 * is_foggy(log, k) * FOG + 0.1 * busyness(log, k) * BUSY
            embedding = 0.1 * rng.normal(size=EMBED_DIM).astype(np.float16)
            rows.append(
                _ids(log, k)
                | {"stream_fingerprint": stream, "tokens": tokens.astype(np.float16).reshape(-1)}
                | {"mean_embedding": embedding}
            )
    return pa.Table.from_pylist(rows, schema=tokens_schema(EMBED_DIM))


def fog_csv(path: Path, *, logs: range = range(12), per_log: int = 10, extra: str = "") -> Path:
    lines = [f"{clip_id(log, k)},{int(is_foggy(log, k))}" for log in logs for k in range(per_log)]
    path.write_text("clip_id,fog\n" + "\n".join(lines) + "\n" + extra)
    return path


def column_of(index: Index, column: str) -> dict[str, float | None]:
    rows = index.store.read("clips", columns=["clip_id", column])
    return dict(zip(rows["clip_id"].to_pylist(), rows[column].to_pylist(), strict=True))


def _ids(log: int, k: int) -> dict[str, str]:
    return {"clip_id": clip_id(log, k), "log_id": f"log{log:03d}-0badf00d", "unit_id": f"unit{log:03d}"}
