"""Facets against a loop over rows."""

import numpy as np
import pyarrow as pa
import pytest
from make_streams import fog_csv, make_index
from test_search import WIDTH, make_logs

from sceneminer.index.errors import QueryError
from sceneminer.index.facets import BINS, SPREADS, facets
from sceneminer.index.heads import add_head
from sceneminer.index.label_set import read_labels
from sceneminer.index.schema import clips_schema
from sceneminer.index.search import Index, open_index
from sceneminer.index.store import Store
from sceneminer.labels.prompts import TAGS


def rows_of(count: int) -> list[dict]:
    rng = np.random.default_rng(11)

    def often(value, k, every):
        return None if k % every == 0 else value

    return [
        {
            "clip_id": f"log{k // 20:03d}-0badf00d+{k % 20 * 1000:07d}",
            "log_id": f"log{k // 20:03d}-0badf00d",
            "log_name": f"log{k // 20:03d}",
            "unit_id": f"unit{k // 20:03d}",
            "start_us": k % 20 * 1_000_000,
            "end_us": (k % 20 + 2) * 1_000_000,
            "risk_tracks": often(float(rng.random()), k, 3),
            "risk_camera": often(float(rng.random()), k, 2),
            "hardness": often(float(rng.choice([0.0, 0.5, 1.0])), k, 7),
            "ego_speed_mps": often(float(50 * rng.random()), k, 5),
            "tag_night": often(float(rng.choice([0.2, 0.5, 0.9])), k, 4),
            "tag_bus": float(rng.random()),
        }
        for k in range(count)
    ]


@pytest.fixture(params=["read from disk", "held in memory"])
def index(tmp_path, request) -> Index:
    store = Store.create(tmp_path / "index", embed_dim=WIDTH)
    store.append("logs", make_logs(12))
    store.append("clips", pa.Table.from_pylist(rows_of(240), schema=clips_schema(WIDTH)))
    found = open_index(store.folder)
    if request.param == "held in memory":
        found.store.keep_in_memory()
    return found


@pytest.mark.parametrize(
    ("where", "is_met"),
    [
        (None, lambda row: True),
        ("tag.bus > 0.7", lambda row: row["tag_bus"] > 0.7),
        ("risk > 0.5", lambda row: (risk_of(row) or 0) > 0.5),
        ("risk > 2", lambda row: False),
    ],
)
def test_facets_are_those_of_a_loop(index, where, is_met):
    met = [row for row in rows_of(240) if is_met(row)]
    told = facets(index, where)
    assert (told.clips, told.logs) == (len(met), len({row["log_id"] for row in met}))
    assert set(told.tags) == set(TAGS)
    for tag in TAGS:
        assert told.tags[tag] == sum((row.get(f"tag_{tag}") or 0) >= 0.5 for row in met)
    for name, most in SPREADS.items():
        bins = [0] * BINS
        for row in met:
            value = risk_of(row) if name == "risk" else row[name]
            if value is not None:
                bins[min(int(value / most * BINS), BINS - 1)] += 1
        assert told.histograms[name] == tuple(bins)


def risk_of(row: dict) -> float | None:
    return row["risk_camera"] if row["risk_tracks"] is None else row["risk_tracks"]


def test_heads_are_counted(tmp_path):
    index = make_index(tmp_path / "index", logs=8, per_log=10)
    assert facets(index).heads == {}
    (column,) = add_head(index, "fog", read_labels(fog_csv(tmp_path / "fog.csv", logs=range(8)))).columns
    values = index.store.read("clips", columns=[column])[column].to_pylist()
    found = sum((value or 0) >= 0.5 for value in values)
    assert 0 < found < len(values)
    assert facets(index).heads == {column: found}
    assert facets(index, f"{column} >= 0.5").clips == found


def test_a_filter_that_is_not_allowed_is_refused(index):
    with pytest.raises(QueryError, match="unknown column 'nonsense'"):
        facets(index, "nonsense > 1")
