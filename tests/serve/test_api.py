"""The web API on a mined town: what it tells is what the index and the logs hold, and it refuses what it should."""

import base64
import io
import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from make_streams import clip_id, is_foggy, make_index
from PIL import Image

from sceneminer.index.search import search
from sceneminer.index.selection import read_selection
from sceneminer.serve.app import make_app
from sceneminer.serve.gate import Gate, cookie_name
from sceneminer.serve.settings import Settings

SESSION = cookie_name("127.0.0.1:8765")


@pytest.fixture
def clip(town) -> str:
    return sorted(town.store.read("clips", columns=["clip_id"])["clip_id"].to_pylist())[0]


def test_info_tells_what_there_is(client, town):
    told = client.get("/api/info").json()
    assert told["clips"] == town.store.rows("clips") and told["logs"] == 2 and len(told["tags"]) == 20
    assert "agent.crossing_in_front" in told["agent_words"]["columns"] and told["can_write"] is True
    assert "nuscenes" in {export["name"] for export in told["exports"]}
    assert str(town.folder.parent) not in json.dumps({**told, "model": None}), "no path of this machine"


def test_a_search_is_that_of_the_python_api(client, town):
    told = client.post("/api/search", json={"text": "a car", "top": 3}).json()
    expected = search(town, "a car", top=3)
    assert [hit["clip_id"] for hit in told["hits"]] == [hit.best_clip_id for hit in expected]
    assert told["hits"][0]["score"] == pytest.approx(expected[0].score)
    again = client.post("/api/search", json={"query": told["query"], "top": 3}).json()
    assert again["hits"] == told["hits"]
    hardest = client.post("/api/search", json={}).json()
    assert hardest["query"] is None and hardest["hits"]


def test_nothing_found_says_what_is_known_of_no_clip(client):
    told = client.post("/api/search", json={"where": "tag.rain >= 0 and risk_camera_x_m > 1"}).json()
    assert told["hits"] == [] and told["unknown"] == ["risk_camera_x_m"]
    assert client.post("/api/search", json={"where": "risk > 2"}).json()["unknown"] == []


def test_facets_count_what_a_filter_lets_through(client, town):
    told = client.post("/api/facets", json={}).json()
    assert (told["clips"], told["logs"]) == (town.store.rows("clips"), 2)
    ahead = client.post("/api/facets", json={"where": "agent.category = 'car'"}).json()
    assert 0 < ahead["clips"] < told["clips"] and ahead["logs"] == 1
    assert sum(ahead["histograms"]["risk"]) == ahead["clips"] and ahead["most"]["risk"] == 1
    refused = client.post("/api/facets", json={"where": "risk >"})
    assert refused.status_code == 400 and set(refused.json()) == {"error"}


def test_each_clip_by_itself(tmp_path, visit):
    index = make_index(tmp_path / "i", logs=4, per_log=6)
    client = visit(index, tmp_path)
    ids = {clip_id(log, k) for log in range(4) for k in range(6)}
    seen = ids - {clip_id(log, 5) for log in range(4)}
    far = [[-9, -9], [9, -9], [9, 9], [-9, 9]]
    for path, body, expected in (
        ("/api/search", {"where": "images > 0"}, ids),
        ("/api/search", {"like": [clip_id(0, 0)]}, seen - {clip_id(0, 0), clip_id(0, 1)}),
        ("/api/train", {"relevant": [clip_id(0, 0)]}, seen),
        ("/api/map/lasso", {"polygon": far}, seen),
    ):
        told = client.post(path, json={**body, "merge": False}).json()
        assert {hit["clip_id"] for hit in told["hits"]} == expected and len(told["hits"]) == len(expected)
        assert all(hit["clip_ids"] == [hit["clip_id"]] for hit in told["hits"])
        assert len(client.post(path, json=body).json()["hits"]) <= 4
        assert "merge" not in (told.get("query") or {}), "how hits are shown is no part of a query"


def test_a_search_by_agents_says_who(client):
    told = client.post("/api/search", json={"where": "agent.category = 'pedestrian' and agent.distance_m < 60"}).json()
    assert told["hits"] and all("pedestrian" in hit["parts"]["agents"] for hit in told["hits"])


def test_a_search_by_an_image_is_that_of_the_python_api(client, town, clip):
    picture = client.get(f"/media/clips/{clip}/CAM_FRONT/0", params={"w": 640}).content
    body = {"image": {"name": "x.jpg", "data": base64.b64encode(picture).decode()}}
    told = client.post("/api/search", json=body).json()
    assert told["query"]["image"]["name"] == "x.jpg"
    expected = search(town, image=picture, top=60)
    assert [hit["clip_id"] for hit in told["hits"]] == [hit.best_clip_id for hit in expected]
    assert told["hits"][0]["score"] == pytest.approx(expected[0].score)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"where": "nonsense > 1"}, 400, "unknown column 'nonsense'"),
        ({"where": "risk > (select 1)"}, 400, "expected"),
        ({"text": "x" * 1001}, 422, "text"),
        ({"top": 201, "text": "x"}, 422, "top"),
        ({"top": 0}, 422, "top"),
        ({"like": ["nobody"]}, 400, "nobody"),
        ({"text": "x", "more": 1}, 422, "more"),
        ({"query": {"format": 1, "text": "x"}, "text": "y"}, 400, "found both"),
        ({"query": {"format": 7}}, 400, "format 1"),
        ({"image": {"data": "!!"}}, 400, "base64"),
        ({"image": {"data": "AAAA"}}, 400, "image"),
        ({"unlike": ["x"]}, 400, "unlike"),
    ],
)
def test_bad_queries_are_one_sentence(client, body, status, said):
    answer = client.post("/api/search", json=body)
    assert answer.status_code == status and said in answer.json()["error"] and set(answer.json()) == {"error"}


def test_a_clip_is_told_whole(client, town, clip):
    told = client.get(f"/api/clips/{clip}").json()
    row = town.store.read("clips", where=f"clip_id = '{clip}'").to_pylist()[0]
    assert told["tags"]["rain"] == pytest.approx(row["tag_rain"]) and told["hardness"] == pytest.approx(row["hardness"])
    assert told["risk"]["source"] == "tracks" and told["risk"]["value"] == pytest.approx(row["risk_tracks"])
    assert {camera["name"] for camera in told["cameras"]} == {"CAM_FRONT", "CAM_BACK"}
    assert all(row["start_us"] <= t <= row["end_us"] for camera in told["cameras"] for t in camera["times_us"])
    assert told["timeline"]["risk"]["times_us"] == sorted(told["timeline"]["risk"]["times_us"])
    assert any(span["clip_id"] == clip for span in told["timeline"]["clips"]) and told["missing"] is None
    assert sum(told["weights"].values()) == pytest.approx(1.0)


def test_a_scene_is_in_world_coordinates(client, town, clip):
    told = client.get(f"/api/clips/{clip}/scene").json()
    agents = town.store.read("agents", where=f"log_id = '{clip.rsplit('+', 1)[0]}'").to_pylist()
    frames = town.store.read("frames", where=f"log_id = '{clip.rsplit('+', 1)[0]}'").to_pylist()
    at = {frame["time_us"]: frame for frame in frames}
    for row in agents:
        if row["time_us"] not in told["times_us"] or row["time_us"] not in at:
            continue
        k, ego = told["times_us"].index(row["time_us"]), at[row["time_us"]]
        (shown,) = (agent for agent in told["agents"] if agent["track_id"] == row["track_id"])
        c, s = np.cos(ego["yaw_rad"]), np.sin(ego["yaw_rad"])
        x, y = ego["x_m"] + c * row["x_m"] - s * row["y_m"], ego["y_m"] + s * row["x_m"] + c * row["y_m"]
        assert shown["states"][k][:2] == pytest.approx([x, y], abs=0.05)
    assert told["map"]["areas"]["drivable"] and told["ego"]["poses"][0] is not None
    assert told["focus"]["track_id"] in {agent["track_id"] for agent in told["agents"]}


def test_pictures_are_by_id(client, town, clip):
    thumb = client.get(f"/media/thumbs/{clip}")
    assert thumb.headers["content-type"] == "image/jpeg" and Image.open(io.BytesIO(thumb.content)).format == "JPEG"
    frame = Image.open(io.BytesIO(client.get(f"/media/clips/{clip}/CAM_FRONT/0", params={"w": 320}).content))
    assert frame.size == (64, 36)
    for path in (
        f"/media/clips/{clip}/CAM_FRONT/999",
        f"/media/clips/{clip}/CAM_NONE/0",
        f"/media/clips/{clip}/../../etc/passwd/0",
        f"/media/clips/{clip}/..%2f..%2fetc%2fpasswd/0",
        "/media/clips/x'; drop/CAM_FRONT/0",
        "/media/thumbs/..%2f..%2fetc%2fpasswd",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
    ):
        answer = client.get(path)
        assert answer.status_code == 404 and b"root:" not in answer.content and b"import" not in answer.content, path
    assert client.get(f"/media/clips/{clip}/CAM_FRONT/0", params={"w": 99}).status_code == 400


def test_recordings_that_are_gone_are_said_and_the_rest_still_works(town, tmp_path, clip):
    moved = town.folder.parent / "moved-away"
    root = next(p for p in town.folder.parent.iterdir() if (p / "v1.0-mini").is_dir() or (p / "samples").is_dir())
    settings = Settings(town.folder, exports=tmp_path)
    client = TestClient(Gate(make_app(town, settings), settings), base_url="http://127.0.0.1:8765")
    client.cookies.set(SESSION, settings.session)
    root.rename(moved)
    try:
        told = client.get(f"/api/clips/{clip}").json()
        assert "sceneminer index move" in told["missing"] and told["cameras"] == [] and told["risk"]["value"] > 0
        assert client.get(f"/media/clips/{clip}/CAM_FRONT/0").status_code == 404
        assert client.get(f"/media/thumbs/{clip}").status_code == 200
    finally:
        moved.rename(root)


def test_the_map_holds_every_clip_with_images_and_a_lasso_finds_them(client, town):
    told = client.get("/api/map").json()
    points = np.frombuffer(client.get("/api/map/points").content, "<f4").reshape(-1, 2)
    assert told["points"] == len(points) == town.store.rows("clips", "stream_fingerprint IS NOT NULL")
    values = np.frombuffer(client.get("/api/map/values", params={"column": "tag.rain"}).content, np.uint8)
    assert len(values) == len(points) and values.max() <= 254
    assert client.get("/api/map/values", params={"column": "embedding"}).status_code == 400
    x0, y0, x1, y1 = told["bounds"]
    around = [[x0 - 1, y0 - 1], [x1 + 1, y0 - 1], [x1 + 1, y1 + 1], [x0 - 1, y1 + 1]]
    assert client.post("/api/map/lasso", json={"polygon": around}).json()["inside"] == len(points)
    away = [[x + 100, y] for x, y in around]
    assert client.post("/api/map/lasso", json={"polygon": away}).json() == {"hits": [], "inside": 0}
    assert client.post("/api/map/lasso", json={"polygon": [[0, 0], [1, 1]]}).status_code == 422


def test_picked_and_chosen_selections_export(client, town, settings, clip):
    ids = sorted(town.store.read("clips", columns=["clip_id"])["clip_id"].to_pylist())
    picked = client.post("/api/selections", json={"name": "mine", "clip_ids": [ids[1], ids[0]]}).json()
    assert [item["clip_id"] for item in picked["selection"]["items"]] == [ids[1], ids[0]]
    assert client.post("/api/selections", json={"name": "mine", "clip_ids": [ids[0]]}).status_code == 409
    assert client.post("/api/selections", json={"name": "other", "clip_ids": ["nobody"]}).status_code == 404
    chosen = client.post("/api/select", json={"name": "two", "n": 2, "quotas": ["log<=1"], "exclude": ["mine"]}).json()
    assert len({item["log_id"] for item in chosen["selection"]["items"]}) == len(chosen["selection"]["items"])
    assert chosen["report"]["excluded"] >= 2
    assert {one["name"] for one in client.get("/api/selections").json()} == {"mine", "two"}
    assert client.get("/api/selections/mine").json() == picked["selection"]
    assert read_selection(settings.work / "mine.selection.json").rule["picked"] == "by hand"
    for to in ("csv", "nuscenes"):
        job = client.post("/api/exports", json={"selection": "mine", "to": to}).json()["job"]
        for _ in range(200):
            told = client.get(f"/api/jobs/{job}").json()
            if told["state"] != "running":
                break
            time.sleep(0.05)
        assert told["state"] == "done" and told["items"] == 2 and Path(told["path"]).exists(), told


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "x" * 90, "a\\nb", "..", "CON:"])
def test_names_are_no_paths(client, settings, clip, name):
    assert client.post("/api/selections", json={"name": name, "clip_ids": [clip]}).status_code == 422
    assert not settings.work.exists() or not list(settings.work.iterdir())


def test_read_only_writes_nothing(town, tmp_path, clip):
    settings = Settings(town.folder, exports=tmp_path / "e", can_write=False)
    client = TestClient(Gate(make_app(town, settings), settings), base_url="http://127.0.0.1:8765")
    client.cookies.set(SESSION, settings.session)
    for path, body in (
        ("/api/selections", {"name": "a", "clip_ids": [clip]}),
        ("/api/select", {"name": "a", "n": 1}),
        ("/api/exports", {"selection": "a", "to": "csv"}),
        ("/api/train", {"relevant": [clip], "save_as": "a"}),
    ):
        assert client.post(path, json=body).status_code == 403
    assert not (tmp_path / "e").exists() and client.get("/api/info").json()["can_write"] is False


def test_thumbs_train_a_head_on_the_spot_and_keep_it_when_asked(tmp_path):
    index = make_index(tmp_path / "i", logs=20, per_log=20)
    settings = Settings(index.folder, exports=tmp_path)
    client = TestClient(Gate(make_app(index, settings), settings), base_url="http://127.0.0.1:8765")
    client.cookies.set(SESSION, settings.session)
    pairs = [(log, k) for log in range(20) for k in range(0, 19, 2)]
    foggy = [clip_id(*pair) for pair in pairs if is_foggy(*pair)][:20]
    clear = [clip_id(*pair) for pair in pairs if not is_foggy(*pair)][:20]
    told = client.post("/api/train", json={"relevant": foggy, "not_relevant": clear, "top": 30}).json()
    assert told["examples"] == 40 and told["saved"] is None
    best = [hit["clip_id"].rsplit("+", 1) for hit in told["hits"]][:15]
    right = [is_foggy(int(log[3:6]), int(ms) // 1000) for log, ms in best]
    assert np.mean(right) > 0.8, "chance is 0.2"
    assert "head_fog" not in index.store.columns("clips")
    kept = client.post("/api/train", json={"relevant": foggy, "not_relevant": clear, "save_as": "fog"}).json()
    assert kept["saved"]["columns"] == ["head_fog"] and "head_fog" in index.store.columns("clips")
    found = client.post("/api/search", json={"where": "head_fog > 0.5"}).json()
    assert found["hits"]
    assert client.post("/api/train", json={"relevant": ["nobody"]}).status_code == 400
    assert client.post("/api/train", json={"relevant": foggy, "save_as": "../x"}).status_code == 422


def test_a_null_value_is_null_in_json_too(tmp_path):
    index = make_index(tmp_path / "i", logs=3, per_log=3)
    rows = pa.table({"clip_id": [clip_id(0, 0)], "hardness": pa.array([float("nan")], pa.float32())})
    index.store.merge_columns("clips", "clip_id", rows)
    settings = Settings(index.folder)
    client = TestClient(Gate(make_app(index, settings), settings), base_url="http://127.0.0.1:8765")
    client.cookies.set(SESSION, settings.session)
    told = client.post("/api/search", json={"where": "images > 0"})
    assert told.status_code == 200 and "NaN" not in told.text
