"""A head that was added to an index: clips have the same bits whether they were mined before or after."""

import pytest
import torch
from make_mined_log import content, make_log, times_us

from sceneminer.data.options import OpenOptions
from sceneminer.index.backfill import backfill
from sceneminer.index.errors import IndexFault
from sceneminer.index.head_export import export_head
from sceneminer.index.heads import add_head, adopt_head, drop_head, list_heads, upgrade_head
from sceneminer.index.label_set import mark
from sceneminer.index.search import open_index, search
from sceneminer.mine.run import mine
from sceneminer.mine.units import MiningPlan
from sceneminer.model.scene_model import SceneModel

COLUMN = "head_liked"


@pytest.fixture
def root(tmp_path):
    for name in ("a", "bb"):
        make_log(tmp_path / "root", name, {"front": times_us(6, 2), "rear": times_us(6, 3)})
    make_log(tmp_path / "root", "ccc", {"front": times_us(4, 2)})
    (next((tmp_path / "root" / "ccc" / "front").iterdir())).write_bytes(b"broken")
    return tmp_path / "root"


@pytest.fixture
def checkpoint(tmp_path, model):
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def liked(index) -> dict[str, str | None]:
    return {row["clip_id"]: row[COLUMN] for row in content(index)["clips"]}


def others(index) -> dict:
    rows = content(index)
    clips = [{k: v for k, v in row.items() if k != COLUMN} for row in rows["clips"]]
    return {k: v for k, v in rows.items() if k != "manifest"} | {"clips": clips}


def add_liked(folder):
    index = open_index(folder)
    ids = [row["clip_id"] for row in index.store.read("clips", columns=["clip_id"]).to_pylist()]
    return add_head(index, "liked", mark(sorted(ids)[:2], sorted(ids)[3:5]))


def test_clips_mined_before_and_after_a_head_was_added_have_the_same_bits(tmp_path, root, model):
    """No image is opened for the first: they could not be, the files are gone."""
    folder = tmp_path / "index"
    mine(root, folder, model=model, options=OpenOptions(logs=("a",)))
    (root / "a").rename(tmp_path / "gone")
    report = add_liked(folder)
    assert report.backfilled is not None and report.backfilled.clips == len(liked(folder)) == 5
    (tmp_path / "gone").rename(root / "a")
    heads = list(model.heads)
    mine(root, folder, model=model)
    assert list(model.heads) == heads, "the caller's model keeps its own heads"
    mined = liked(folder)
    assert len(mined) == 13 and None not in mined.values()
    backfill(open_index(folder), "liked")
    assert liked(folder) == mined
    index = open_index(folder)
    drop_head(index, "liked")
    add_again = tmp_path / "plain"
    mine(root, add_again, model=model)
    assert others(folder) == others(add_again), "nothing else has moved"


def test_a_checkpoint_with_the_head_mines_the_same_bits(tmp_path, root, checkpoint):
    folder = tmp_path / "index"
    mine(root, folder, model=checkpoint)
    report = add_liked(folder)
    export_head(open_index(folder), "liked", checkpoint)
    mine(root, tmp_path / "afresh", model=checkpoint)
    assert liked(tmp_path / "afresh") == liked(folder)
    assert others(tmp_path / "afresh") == others(folder)
    (listed,) = list_heads(open_index(tmp_path / "afresh"))
    assert listed.fingerprint == report.fingerprint
    assert open_index(tmp_path / "afresh").manifest["columns"][COLUMN] == f"head liked {report.fingerprint[:12]}"
    # Into a new folder too, made from the model the index names; and back from there.
    export_head(open_index(folder), "liked", tmp_path / "new")
    assert set(SceneModel.from_pretrained(tmp_path / "new").heads) == {"embedding", "tags", COLUMN}
    index = open_index(folder)
    before = liked(folder)
    drop_head(index, "liked")
    adopt_head(index, "liked", tmp_path / "new")
    assert liked(folder) == before


def test_the_index_says_which_heads_its_clips_have(tmp_path, root, checkpoint):
    """A checkpoint's head does not come back after it was dropped, nor its older version after an upgrade."""
    folder = tmp_path / "index"
    mine(root, folder, model=checkpoint, options=OpenOptions(logs=("a",)))
    add_liked(folder)
    index = open_index(folder)
    export_head(index, "liked", checkpoint)
    ids = sorted(liked(folder))
    newer = upgrade_head(index, "liked", mark(ids[2:3]))
    mine(root, folder, model=checkpoint, options=OpenOptions(logs=("bb",)))
    mined = liked(folder)
    assert backfill(index, "liked").fingerprint == newer.fingerprint and liked(folder) == mined
    drop_head(index, "liked")
    mine(root, folder, model=checkpoint)
    assert all(COLUMN not in row for row in content(folder)["clips"])
    assert search(index, where="images > 0", top=5)


def test_a_head_of_another_stream_is_refused_with_both_fingerprints(tmp_path, root, checkpoint):
    folder = tmp_path / "index"
    mine(root, folder, model=checkpoint)
    report = add_liked(folder)
    export_head(open_index(folder), "liked", checkpoint)
    other = MiningPlan(length_us=1_200_000)
    with pytest.raises(IndexFault, match=f"found stream {report.stream_fingerprint[:12]}"):
        mine(root, tmp_path / "other", model=checkpoint, plan=other)
    assert not (tmp_path / "other" / "clips.lance").exists()
    model = SceneModel.from_pretrained(checkpoint)
    with torch.no_grad():
        next(model.lift.parameters()).flatten()[0].add_(1.0)
    del model.heads[COLUMN]
    model.save_pretrained(tmp_path / "moved")
    text = (tmp_path / "moved" / "config.json").read_bytes()
    with pytest.raises(IndexFault, match=r"expected the model at .* of stream .{12}, found stream "):
        export_head(open_index(folder), "liked", tmp_path / "moved")
    assert (tmp_path / "moved" / "config.json").read_bytes() == text
    mine(root, tmp_path / "other", model=tmp_path / "moved")
    with pytest.raises(IndexFault, match=r"expected head liked in .* of stream .{12}, found stream "):
        adopt_head(open_index(tmp_path / "other"), "liked", checkpoint)
