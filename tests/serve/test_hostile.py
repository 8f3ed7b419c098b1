"""Recordings that try to show, or run, what is not theirs."""

import io
import json

import numpy as np
import pytest
from nuscenes_tree import make_nuscenes_tree, nuscenes_tables, write_tables
from PIL import Image

from sceneminer.index.search import Index, open_index
from sceneminer.mine.run import mine
from sceneminer.model.example import make_clip_folder

MARKUP = '<img src=x onerror="alert(1)">'
RED = (250, 5, 5)


@pytest.fixture
def hostile(tmp_path) -> Index:
    """A scene whose images are, one after the other, outside by a path and outside by a link; names that are markup."""
    root = make_nuscenes_tree(tmp_path)
    secret = tmp_path / "secret" / "private.jpg"
    secret.parent.mkdir()
    Image.new("RGB", (64, 36), RED).save(secret)
    tables = nuscenes_tables()
    tables["scene"][0] |= {"name": "../../etc", "description": MARKUP}
    tables["category"][0] |= {"name": MARKUP}
    front = [row for row in tables["sample_data"] if "/CAM_FRONT/" in row["filename"]]
    front[0]["filename"] = "samples/CAM_FRONT/../../../secret/private.jpg"
    write_tables(root, tables)
    linked = root / front[1]["filename"]
    linked.unlink()
    linked.symlink_to(secret)
    mine(root, tmp_path / "index", model=make_clip_folder(tmp_path / "clip"))
    return open_index(tmp_path / "index")


def test_images_outside_of_a_recording_are_not_served(hostile, tmp_path, visit):
    client, served, refused = visit(hostile, tmp_path / "e"), 0, []
    for clip in hostile.store.read("clips", columns=["clip_id"])["clip_id"].to_pylist():
        thumb = client.get(f"/media/thumbs/{clip}")
        assert thumb.status_code != 200 or not is_red(thumb.content)
        for camera in client.get(f"/api/clips/{clip}").json()["cameras"]:
            for number in range(len(camera["times_us"])):
                answer = client.get(f"/media/clips/{clip}/{camera['name']}/{number}")
                served += answer.status_code == 200
                if answer.status_code == 200:
                    assert not is_red(answer.content)
                else:
                    refused.append(answer.json()["error"])
                    assert answer.status_code == 404 and str(tmp_path) not in answer.text
    assert served and len(refused) == 1 and "found one outside" in refused[0], "the link"
    issues = json.loads(hostile.store.read("logs", columns=["name", "issues"]).sort_by("name")["issues"][0].as_py())
    assert any(issue["kind"] == "escaping_path" for issue in issues), "the path"


def is_red(jpeg: bytes) -> bool:
    return bool(np.abs(np.asarray(Image.open(io.BytesIO(jpeg))).mean((0, 1)) - RED).max() < 30)


def test_markup_is_answered_as_json_which_a_browser_does_not_run(hostile, tmp_path, visit):
    client = visit(hostile, tmp_path / "e")
    clip = next(
        one for one in hostile.store.read("clips", columns=["clip_id"])["clip_id"].to_pylist() if "0002" not in one
    )
    for answer in (client.get(f"/api/clips/{clip}"), client.get(f"/api/clips/{clip}/scene"), client.get("/api/info")):
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        json.loads(answer.text)
    assert client.get(f"/api/clips/{clip}").json()["description"] == MARKUP
