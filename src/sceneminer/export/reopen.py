"""A log opened again from what the index remembers of it: where it lay, and how it was opened then."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from sceneminer.data.errors import DataError
from sceneminer.data.log import Log
from sceneminer.data.open import open_log
from sceneminer.data.options import OpenOptions
from sceneminer.index.errors import IndexFault
from sceneminer.index.manage import find_logs
from sceneminer.index.search import Index


def open_indexed_log(index: Index, log_id: str) -> Log:
    """Open a log where the index says it lies. IndexFault where the index has no such log, or it lies elsewhere now."""
    row = find_logs(index, (log_id,))[0]
    root = Path(row["root"])
    told = f"if it has moved, run: sceneminer index move {index.folder} OLD NEW"
    if not root.exists():
        raise IndexFault(f"expected the recording of {row['log_id']} under {root}, found nothing there; {told}")
    try:
        return open_log(root, row["log_id"], _options(json.loads(row["options"])), adapter=row["adapter"])
    except DataError as error:
        raise IndexFault(f"expected to open {row['log_id']} under {root} again ({error}); {told}") from error


def _options(told: dict[str, Any]) -> OpenOptions:
    media_root, cameras = told.get("media_root"), told.get("cameras")
    plain = {name: told[name] for name in ("split", "fps", "sweeps") if name in told}
    return replace(
        OpenOptions(**plain),
        media_root=None if media_root is None else Path(media_root),
        cameras=None if cameras is None else tuple(cameras),
    )
