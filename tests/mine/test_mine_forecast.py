"""Risk from the cameras alone: physics on a head's forecast, beside the risk of tracks, and null where it must be."""

import numpy as np
import pytest
import torch
from make_mined_log import make_log, times_us
from nuscenes_tree import make_nuscenes_tree

from sceneminer.evals.camera_risk_report import report
from sceneminer.export.card import read_cards
from sceneminer.export.words import camera_words
from sceneminer.index.errors import IndexFault
from sceneminer.index.search import open_index, search
from sceneminer.mine.rows import camera_columns
from sceneminer.mine.run import mine
from sceneminer.model.forecast import ForecastHead
from sceneminer.model.forecast_risk import camera_risk
from sceneminer.model.initial import initialise_head
from sceneminer.model.stream import Stream


@pytest.fixture
def seer(model):
    """A model whose forecast head believes in agents all around, since its last layers are not zero any more."""
    head = ForecastHead(token_width=model.config.token_width)
    initialise_head(head, seed=1)
    generator = torch.Generator().manual_seed(2)
    for part in (head.say, head.ego.say):
        part.weight.data = 0.1 * torch.randn(part.weight.shape, generator=generator)
    head.believe.bias.data[0] = -4.0
    head.ego.say.bias.data[0::2] = 0.4
    model.add_head(head)
    return model


def rows(index) -> list[dict]:
    return index.store.read("clips").to_pylist()


def test_every_clip_gets_a_risk_from_the_cameras_with_who_where_when_and_why(tmp_path, seer):
    mine(make_nuscenes_tree(tmp_path / "root"), tmp_path / "index", model=seer)
    index = open_index(tmp_path / "index")
    found = [row for row in rows(index) if row["stream_fingerprint"] is not None]
    assert found
    for row in found:
        assert 0.0 <= row["risk_camera"] <= 1.0
        assert row["ambiguity"] >= 0.0
        if row["risk_camera_agent"] is not None:
            assert row["start_us"] <= row["risk_camera_time_us"] <= row["start_us"] + 2_000_000
            assert row["risk_camera_category"] in ("vehicle", "vulnerable", "static")
            assert np.isfinite([row["risk_camera_x_m"], row["risk_camera_y_m"], row["risk_camera_value"]]).all()
    assert any(row["risk_camera_agent"] is not None for row in found)
    hit = search(index, where="risk_camera >= 0 and risk_camera_category in ('vehicle', 'vulnerable', 'static')")
    assert hit


def test_the_column_is_what_the_stored_stream_gives(tmp_path, seer):
    mine(make_nuscenes_tree(tmp_path / "root"), tmp_path / "index", model=seer)
    index = open_index(tmp_path / "index")
    by_id = {row["clip_id"]: row for row in rows(index)}
    for stored in index.store.read("tokens").to_pylist():
        tokens = torch.tensor(np.array(stored["tokens"], np.float16).reshape(1, -1, seer.config.token_width))
        stream = Stream(tokens, torch.tensor(np.array(stored["mean_embedding"], np.float16))[None])
        forecast = seer.signals(stream, names=["forecast"])["forecast"]
        again = camera_risk({name: value[0].numpy() for name, value in forecast.items()})
        row = by_id[stored["clip_id"]]
        columns = camera_columns(again, row["start_us"])
        assert np.float32(columns["risk_camera"]) == np.float32(row["risk_camera"])
        assert np.float32(columns["ambiguity"]) == np.float32(row["ambiguity"])
        assert columns["risk_camera_time_us"] == row["risk_camera_time_us"]


def test_tracks_come_first_and_the_cameras_are_said_beside_them(tmp_path, seer):
    mine(make_nuscenes_tree(tmp_path / "root"), tmp_path / "index", model=seer)
    index = open_index(tmp_path / "index")
    row = next(row for row in rows(index) if row["risk_tracks"] is not None and row["risk_camera"] is not None)
    card = read_cards(index, [row["clip_id"]])[row["clip_id"]]
    assert (card.risk_source, card.risk) == ("tracks", card.risk_tracks)
    assert camera_words(card).startswith(f"from the cameras alone {card.risk_camera:.2f}")


def test_without_poses_or_a_rig_it_is_null_not_zero(tmp_path, seer):
    make_log(tmp_path / "root", "a", {"front": times_us(6, 2)})
    mine(tmp_path / "root", tmp_path / "index", model=seer)
    found = rows(open_index(tmp_path / "index"))
    assert all(row["stream_fingerprint"] is not None for row in found)
    assert {row["risk_camera"] for row in found} == {row["ambiguity"] for row in found} == {None}


def test_both_risks_of_a_log_are_laid_side_by_side(tmp_path, seer):
    mine(make_nuscenes_tree(tmp_path / "root"), tmp_path / "index", model=seer)
    page = report(tmp_path / "index")
    assert "| s | ego m/s | risk from tracks | why | from cameras | why |" in page
    assert "Spearman of the cameras'" in page
    assert page.startswith("## scene-0001"), "the other scene has no tracks within its images' span"


def test_without_both_risks_there_is_nothing_to_lay(tmp_path, model):
    mine(make_nuscenes_tree(tmp_path / "root"), tmp_path / "index", model=model)
    with pytest.raises(IndexFault, match="risk from tracks and from cameras"):
        report(tmp_path / "index")
