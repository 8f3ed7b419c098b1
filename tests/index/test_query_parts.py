"""Queries of several parts against their definition, on a store of random clips; and that a saved one replays."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_search import WIDTH, make_clips, make_logs

from sceneminer.index.errors import QueryError
from sceneminer.index.query import ImageExample, make_query, query_of, read_query, write_query
from sceneminer.index.search import open_index, run_query, search
from sceneminer.index.store import Store

RNG = np.random.default_rng(3)
WORDS = {word: RNG.normal(size=WIDTH) for word in ("bus", "rain", "dog", "its")}


def encode(texts):
    return np.stack([WORDS[text] for text in texts])


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    store = Store.create(folder / "i", embed_dim=WIDTH)
    store.append("logs", make_logs(12))
    store.append("clips", make_clips(12, 10))
    store.set_manifest({"mining": {"stride_us": 1_000_000}, "model": {"space": "s", "source": "none"}})
    return open_index(folder / "i")


@pytest.fixture(scope="module")
def clips(index):
    rows = index.store.read("clips").to_pylist()
    return rows, np.array([row["embedding"] for row in rows], np.float64)


def standard(embeddings, vector):
    cosine = embeddings @ (vector / np.linalg.norm(vector))
    return (cosine - cosine.mean()) / cosine.std()


def best(hits):
    return [hit.best_clip_id for hit in hits]


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ('"bus" and "rain"', lambda z: np.minimum(z["bus"], z["rain"])),
        ('"bus" and not "rain"', lambda z: np.minimum(z["bus"], -z["rain"])),
        ("“bus” and not „rain“", lambda z: np.minimum(z["bus"], -z["rain"])),
        ('"bus" or "rain"', lambda z: np.maximum(z["bus"], z["rain"])),
        ('not ("bus" or "rain") and "dog"', lambda z: np.minimum(-np.maximum(z["bus"], z["rain"]), z["dog"])),
        ('"dog" and (not "bus" or "rain")', lambda z: np.minimum(z["dog"], np.maximum(-z["bus"], z["rain"]))),
    ],
)
def test_texts_are_joined_as_written(index, clips, text, formula):
    rows, embeddings = clips
    expected = formula({word: standard(embeddings, vector) for word, vector in WORDS.items()})
    hits = search(index, text, top=5, encode_text=encode)
    order = np.argsort(-expected)
    assert hits[0].best_clip_id == rows[order[0]]["clip_id"]
    scores = {row["clip_id"]: value for row, value in zip(rows, expected, strict=True)}
    for hit in hits:
        assert hit.score == pytest.approx(scores[hit.best_clip_id], abs=1e-4)
        told = [value for name, value in hit.parts.items() if name.startswith("likeness to ")]
        assert len(told) == sum(word in text for word in WORDS)


def test_a_text_and_examples_add_up(index, clips):
    rows, embeddings = clips
    by_id = {row["clip_id"]: k for k, row in enumerate(rows)}
    like = ["log003-0badf00d+0004000", "log005-0badf00d+0007000"]
    unlike = ["log008-0badf00d+0002000"]
    z = standard(embeddings, WORDS["bus"])
    z = z + standard(embeddings, embeddings[[by_id[c] for c in like]].mean(0))
    z = z - 0.5 * standard(embeddings, embeddings[by_id[unlike[0]]])
    hits = search(index, "bus", like=like, unlike=unlike, top=200, encode_text=encode)
    found = {clip for hit in hits for clip in hit.clip_ids}
    gone = {row["clip_id"] for row in rows} - found
    near = [(clip.split("+")[0], int(clip.split("+")[1]) + d) for clip in like + unlike for d in (-1000, 0, 1000)]
    assert gone == {f"{log}+{ms:07d}" for log, ms in near}, "what overlaps an example is left out, and nothing else"
    kept = [k for k in np.argsort(-z) if rows[k]["clip_id"] in found]
    assert hits[0].best_clip_id == rows[kept[0]]["clip_id"]
    assert hits[0].score == pytest.approx(z[kept[0]], abs=1e-4)


def test_scoring_near_the_parts_finds_what_scoring_all_finds(index, clips, monkeypatch):
    monkeypatch.setattr("sceneminer.index.rank.ANN_FROM_ROWS", 0)
    monkeypatch.setattr("sceneminer.index.rank.CANDIDATES", 60)
    near = search(index, '"bus" and not "rain"', top=5, encode_text=encode)
    monkeypatch.undo()
    assert near == search(index, '"bus" and not "rain"', top=5, encode_text=encode)


def test_a_filter_narrows_what_is_scored(index, clips):
    rows, _ = clips
    hits = search(index, '"bus" or "dog"', where="risk > 0.5", top=50, encode_text=encode)
    found = {clip for hit in hits for clip in hit.clip_ids}
    assert found == {row["clip_id"] for row in rows if (row["risk_tracks"] or 0) > 0.5}


def test_a_saved_query_replays(index, tmp_path):
    image = ImageExample("dash.jpg", "s", WORDS["dog"].astype("<f4").tobytes())
    query = make_query("bus", image=image, like="log003-0badf00d+0004000", where="tag.rain > 0.2")
    write_query(query, tmp_path / "q.json")
    again = read_query(tmp_path / "q.json")
    assert again == query
    assert run_query(index, again, encode_text=encode) == run_query(index, query, encode_text=encode)
    assert "dash.jpg" in (tmp_path / "q.json").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format 1"),
        ({"text": 3}, "text as a text"),
        ({"like": "x"}, "list of clip ids"),
        ({"more": 1}, "format 1 and any of"),
        ({"image": {"name": "a"}}, "name, space and embedding"),
        ({"image": {"name": "a", "space": "s", "embedding": "!!"}}, "base64"),
        ({"image": {"name": "a", "space": "s", "embedding": "AAA="}}, "float32"),
        ({"image": {"name": "a", "space": "s", "embedding": "AADAfw=="}}, "finite"),
        ({"image": {"name": "a", "space": "s", "embedding": "2iTRfg=="}}, "finite"),
        ({"image": {"name": "a", "space": "s", "embedding": "AQAAAA=="}}, "1e-6 to 1e6"),
        ({"image": {"name": "\ud800", "space": "s", "embedding": "AACAPw=="}}, "printable"),
        ({"image": {"name": "a\x1b[31m", "space": "s", "embedding": "AACAPw=="}}, "printable"),
        ({"image": {"name": "a" * 256, "space": "s", "embedding": "AACAPw=="}}, "at most 255"),
    ],
)
def test_what_is_no_query_is_refused(change, said):
    with pytest.raises(QueryError, match=said):
        query_of({"format": 1, "text": "bus"} | change)


def test_an_image_of_another_space_is_refused(index):
    with pytest.raises(QueryError, match="space s with 16 numbers"):
        search(index, image=ImageExample("a", "other", np.ones(16, "<f4").tobytes()))
    with pytest.raises(QueryError, match="found a in s with 3"):
        search(index, image=ImageExample("a", "s", np.ones(3, "<f4").tobytes()))


def test_no_query_file_is_said(tmp_path):
    (tmp_path / "q.json").write_text(json.dumps([1]))
    with pytest.raises(QueryError, match="format 1"):
        read_query(tmp_path / "q.json")
    with pytest.raises(QueryError, match="expected a query at"):
        read_query(tmp_path / "none.json")
    with pytest.raises(QueryError, match="at most 4194304 bytes"):
        read_query(Path("/dev/zero"))
