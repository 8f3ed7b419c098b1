"""What the page needs to know of an index before anything is asked of it."""

from typing import Any

from sceneminer.data.track import CATEGORIES
from sceneminer.export.formats import FORMATS
from sceneminer.index import agent_words as words
from sceneminer.index.errors import IndexFault
from sceneminer.index.head_files import read_entries
from sceneminer.index.search import Index
from sceneminer.index.where import RISK_RULE, column_names, quote
from sceneminer.labels.prompts import TAGS
from sceneminer.model.zoo import TINY
from sceneminer.serve.settings import Settings

EXAMPLES = (
    "a pedestrian crossing the road at night",
    "a cyclist beside parked cars in the rain",
    "a bus at an intersection",
    '"a truck" and not "rain"',
)
_EXTRAS = {"rerun": "rerun", "mcap": "mcap"}
MAX_NAMES = 1000


def info_json(index: Index, settings: Settings) -> dict[str, Any]:
    """Sizes, names and rules; cheap enough to be asked for at each load of the page."""
    store, manifest = index.store, index.manifest
    model = manifest.get("model") or {}
    logs = store.read("logs", columns=["name", "location", "licence"]).to_pylist()
    licences = sorted({row["licence"] for row in logs if row["licence"]})
    return {
        "name": index.folder.resolve().name,
        "clips": store.rows("clips"),
        "logs": len(logs),
        "index_version": (manifest.get("hardness") or {}).get("index_version"),
        "model": {"source": str(model.get("source", "")), "demo": model.get("source") == TINY},
        "tags": list(TAGS),
        "heads": [{"name": e.name, "columns": list(e.columns)} for e in read_entries(store).values()],
        "locations": sorted({row["location"] for row in logs if row["location"]})[:MAX_NAMES],
        "log_names": sorted({row["name"] for row in logs})[:MAX_NAMES],
        "risk_rule": RISK_RULE,
        "examples": list(EXAMPLES),
        "agent_words": {
            "columns": {**words.NUMBERS, **words.BOOLS},
            "relations": dict(words.PLACES),
            "functions": {
                **words.TURNS,
                "lasting": "lasting(CONDITION, seconds): for the same agent without a break",
                "none": "none(CONDITION): no agent of the clip meets it",
                "some": "some(CONDITION): an agent, not the one of the other conditions",
            },
            "categories": list(CATEGORIES),
            "groups": list(words.GROUPS),
        },
        "filter_columns": list(column_names()),
        "exports": [{"name": name, "extra": _EXTRAS.get(name)} for name in FORMATS],
        "can_write": settings.can_write,
        "licences": licences[:20],
        "licence_notice": "; ".join(licences[:5]) or None,
    }


def log_row(index: Index, log_id: str) -> dict[str, Any]:
    """What the index says of a log."""
    columns = ["log_id", "start_us", "end_us", "description", "licence"]
    rows = index.store.read("logs", columns=columns, where=f"log_id = {quote(log_id)}", limit=1).to_pylist()
    if not rows:
        raise IndexFault(f"expected log {log_id} in this index, found none")
    return rows[0]
