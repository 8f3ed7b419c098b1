"""What a filter asks for and an index knows of no clip."""

import pyarrow as pa
import pytest
from test_search import WIDTH, make_logs

from sceneminer.index.schema import clips_schema
from sceneminer.index.search import Index, open_index
from sceneminer.index.store import Store
from sceneminer.index.where_unknown import known_of_no_clip

AGENTS = "agents (they need tracks and ego poses)"


@pytest.fixture
def index(tmp_path) -> Index:
    """Two clips of a log without tracks, one at night; nothing else is known of them."""
    store = Store.create(tmp_path / "index", embed_dim=WIDTH)
    store.append("logs", make_logs(1))
    row = {"log_id": "log000-0badf00d", "log_name": "log000", "unit_id": "u", "start_us": 0, "end_us": 2_000_000}
    rows = [row | {"clip_id": f"log000-0badf00d+000{k}000", "tag_night": value} for k, value in enumerate((0.9, None))]
    store.append("clips", pa.Table.from_pylist(rows, schema=clips_schema(WIDTH)))
    return open_index(store.folder)


@pytest.mark.parametrize(
    ("where", "unknown"),
    [
        ("risk > 0.1 and tag.night > 0.95", ("risk",)),
        ("tag.night > 0.95 or log = 'other'", ()),
        ("label_tag.rain and ego_speed_mps > 3", ("label_tag.rain", "ego_speed_mps")),
        ("agent.category = 'car' and agent.distance_m < 3", (AGENTS,)),
        ("tag.rain > 0.5 and none(near('car'))", ("tag.rain", AGENTS)),
    ],
)
def test_what_is_null_throughout_is_named(index, where, unknown):
    assert known_of_no_clip(index, where) == unknown
