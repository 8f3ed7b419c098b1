"""A server whose index, model or recordings change under it."""

import contextlib
import shutil
import threading

import numpy as np
import pytest
from make_streams import make_index
from nuscenes_tree import make_nuscenes_tree

from sceneminer.index import snapshot as snapshot_module
from sceneminer.index.manage import delete_logs, move_root
from sceneminer.index.search import Index, open_index
from sceneminer.mine.run import mine
from sceneminer.model.errors import CheckpointError
from sceneminer.model.example import make_clip_folder
from sceneminer.serve.scene import Forecaster

ALL = [[-9, -9], [9, -9], [9, 9], [-9, 9]]


@pytest.fixture
def copied(town, tmp_path) -> Index:
    shutil.copytree(town.folder, tmp_path / "index")
    return open_index(tmp_path / "index")


def points_of(client) -> np.ndarray:
    return np.frombuffer(client.get("/api/map/points").content, "<f4").reshape(-1, 2)


def places_of(client, index: Index) -> dict[str, tuple[float, float]]:
    """Where each clip with a stream lies on the map."""
    snapshot = index.store.snapshot("clips")
    shown = snapshot.take(snapshot.matching("stream_fingerprint IS NOT NULL"), ["clip_id"])["clip_id"].to_pylist()
    return dict(zip(shown, map(tuple, points_of(client).tolist()), strict=True))


def test_a_lasso_holds_the_same_clips_after_others_are_gone(tmp_path, visit):
    index = make_index(tmp_path / "i", logs=12, per_log=10)
    client = visit(index, tmp_path / "e")
    before = places_of(client, index)
    index.store.delete("clips", "start_us >= 6000000")
    after = places_of(client, index)
    assert len(before) / 2 < len(after) < len(before)
    assert after == {clip: before[clip] for clip in after}
    index.store.delete("clips", "start_us >= 2000000")
    few = places_of(client, index)
    assert few and few != {clip: before[clip] for clip in few}, "made anew for an index that is another by now"


def test_a_map_of_nothing_is_none_rather_than_the_last_one(copied, tmp_path, visit):
    client = visit(copied, tmp_path / "e")
    assert len(points_of(client)) == copied.store.rows("clips")
    delete_logs(copied, tuple(copied.store.read("logs", columns=["log_id"])["log_id"].to_pylist()))
    for _ in range(2):
        assert client.get("/api/map/points").status_code == 400
        assert client.post("/api/map/lasso", json={"polygon": ALL}).status_code == 400
    assert client.post("/api/search", json={}).json()["hits"] == []


def test_recordings_that_move_are_found_again(tmp_path, visit):
    mine(make_nuscenes_tree(tmp_path / "old"), tmp_path / "index", model=make_clip_folder(tmp_path / "clip"))
    index = open_index(tmp_path / "index")
    client = visit(index, tmp_path / "e")
    clip = sorted(index.store.read("clips", columns=["clip_id"])["clip_id"].to_pylist())[0]
    assert client.get(f"/media/clips/{clip}/CAM_FRONT/0").status_code == 200
    (tmp_path / "old").rename(tmp_path / "new")
    move_root(open_index(tmp_path / "index"), tmp_path / "old", tmp_path / "new")
    assert client.get(f"/media/clips/{clip}/CAM_FRONT/1").status_code == 200


def test_a_model_that_is_gone_is_said_and_filters_still_work(copied, tmp_path, visit):
    model = copied.store.manifest()["model"]
    copied.store.set_manifest({"model": model | {"source": str(tmp_path / "gone")}})
    client = visit(open_index(copied.folder), tmp_path / "e")
    answer = client.post("/api/search", json={"text": "a car"})
    assert answer.status_code == 400 and "expected a model folder" in answer.json()["error"]
    assert client.post("/api/search", json={"where": "risk >= 0"}).json()["hits"]


def test_a_fault_is_one_sentence_too(town, tmp_path, visit, monkeypatch):
    monkeypatch.setattr("sceneminer.serve.routes_look.info_json", lambda *_: 1 / 0)
    answer = visit(town, tmp_path).get("/api/info")
    assert answer.status_code == 500 and set(answer.json()) == {"error"} and "division" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_two_who_ask_first_load_one_after_another(town, monkeypatch):
    lock, at_once, most = threading.Lock(), [], []

    def load(_):
        at_once.append(1)
        most.append(len(at_once))
        threading.Event().wait(0.05)
        at_once.pop()
        if len(most) == 1:
            raise CheckpointError("expected a whole model, found half of one")

    monkeypatch.setattr("sceneminer.serve.scene._load", load)
    forecaster = Forecaster(lock)
    with lock:
        threads = [threading.Thread(target=ask, args=(forecaster, town)) for _ in range(4)]
        for thread in threads:
            thread.start()
        threading.Event().wait(0.05)
        assert not most, "a text is being encoded"
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(most) == 2, "one that failed is tried again, one that did not is kept"


def ask(forecaster: Forecaster, index: Index) -> None:
    with contextlib.suppress(CheckpointError):
        forecaster._of(index)


def test_many_filters_at_once_are_all_answered(tmp_path, monkeypatch):
    """What is remembered of one filter is forgotten while another is answered."""
    monkeypatch.setattr(snapshot_module, "MAX_REMEMBERED", 1)
    index = make_index(tmp_path / "i", logs=6, per_log=10)
    index.store.keep_in_memory()
    snapshot, failed = index.store.snapshot("clips"), []

    def work(k: int) -> None:
        try:
            for n in range(60):
                assert len(snapshot.matching(f"start_us >= {(k * 60 + n) % 7 - 8}")) == len(snapshot)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
