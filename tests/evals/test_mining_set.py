"""What a set says is true, against the windows that it is made from, worked out the slow way."""

import math

import numpy as np
import pytest
from toy_windows import toy_windows

from sceneminer.data.errors import DataError
from sceneminer.evals.mining_agents import best_instant, explained, nearest_ahead, targets
from sceneminer.evals.mining_predict import Named, predict, predict_zero_shot
from sceneminer.evals.mining_queries import make_queries
from sceneminer.evals.mining_set import eval_clips, make_set
from sceneminer.model.config import ModelConfig
from sceneminer.model.example import make_clip_folder
from sceneminer.model.scene_model import SceneModel


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    return toy_windows(tmp_path_factory.mktemp("windows"), count=8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = make_clip_folder(tmp_path_factory.mktemp("clip"))
    small = ModelConfig(bev_width=8, distance_bins=4, token_count=4, token_width=16, token_layers=1)
    return SceneModel.from_pretrained(folder, config=small)


def in_ego(window, first, xy):
    """A point of the world's plane in the ego frame of a clip's last Frame."""
    pose = window.tensors["world_from_ego"][first + 3]
    return (np.linalg.inv(pose) @ [*xy, 0.0, 1.0])[:2]


def test_clips_are_a_second_apart_and_named_by_log_and_time(windows):
    truth = make_set(windows)
    assert len(truth) == 8 * 4 and truth.logs == 8
    assert truth.names[:3] == ("log-0@1000000", "log-0@2000000", "log-0@3000000")
    np.testing.assert_array_equal(truth.tags[5], windows[1].tensors["tags"][2])


def test_the_explanation_is_where_the_riskiest_agent_is_at_the_instant(windows):
    truth = make_set(windows)
    for n, clip in enumerate(eval_clips(windows)):
        window = windows[clip.window]
        risk = window.truth["risk"][clip.first]
        if risk["track_id"] is None:
            assert np.isnan(truth.explanation.instant_s[n]) and np.isnan(truth.explanation.xy_m[n]).all()
            continue
        row = window.truth["track_ids"].index(risk["track_id"])
        offset_s = (risk["time_us"] - window.truth["clip_starts_us"][clip.first]) / 1e6
        at = clip.first * 5 + round(offset_s * 10)
        expected = in_ego(window, clip.first, window.tensors["agents"][row, at, :2])
        np.testing.assert_allclose(truth.explanation.xy_m[n, round(offset_s * 10)], expected, atol=1e-4)
        assert truth.explanation.instant_s[n] == pytest.approx(offset_s)


def test_a_named_agent_is_right_within_two_metres_and_half_a_second(windows):
    truth = make_set(windows)
    n = int(np.flatnonzero((truth.explanation.instant_s > 0.8) & (truth.explanation.instant_s < 1.2))[0])
    at = truth.explanation.instant_s[n]

    def right(shift_m, shift_s, **options):
        path, instant = truth.explanation.xy_m[n], at + shift_s
        where = [np.interp(instant, 0.1 * np.arange(21), path[:, k]) for k in (0, 1)]
        xy = np.full((len(truth), 2), np.nan)
        xy[n] = np.array(where) + np.array([shift_m, 0.0])
        instants = np.full(len(truth), np.nan)
        instants[n] = instant
        found = explained(Named(xy, instants, ("",) * len(truth)), truth, **options)
        assert not np.delete(found, n).any()  # nobody named
        return bool(found[n])

    assert right(1.9, 0.0) and right(0.0, 0.45) and right(0.0, -0.5)
    assert not right(2.1, 0.0) and not right(0.0, 0.55)
    assert right(0.0, 0.55, timely=False)


def test_the_nearest_agent_ahead_is_the_nearest_in_the_corridor(windows):
    truth = make_set(windows)
    for n, clip in enumerate(eval_clips(windows)):
        window = windows[clip.window]
        best = (math.inf, None)
        for row, category in enumerate(window.truth["categories"]):
            x, y = in_ego(window, clip.first, window.tensors["agents"][row, clip.first * 5 + 15, :2])
            ahead = x - 1.385
            if category != "cone" and ahead > 0 and abs(y) < 3.0 and math.hypot(ahead, y) < best[0]:
                best = (math.hypot(ahead, y), (x, y))
        if best[1] is None:
            assert np.isnan(truth.explanation.ahead_xy_m[n]).all()
        else:
            np.testing.assert_allclose(truth.explanation.ahead_xy_m[n, 15], best[1], atol=1e-4)
    tried = [explained(nearest_ahead(truth, i), truth)[truth.risk > 0.1].sum() for i in range(21)]
    assert tried[best_instant(truth)] == max(tried)


def test_trivial_scores_and_calm_clips(windows):
    truth = make_set(windows)
    speeds = np.repeat([w.tensors["ego"][0, 3] for w in windows], 4)
    np.testing.assert_allclose(truth.trivial["ego speed"], speeds)
    assert (truth.trivial["nearest distance"] <= 0).all()
    assert not truth.calm[speeds >= np.median(speeds)].any() and truth.calm.any()
    counts = truth.trivial["agent count"]
    assert counts.max() <= 7  # the cone is no agent


def test_a_braking_ego_is_not_calm(windows, tmp_path):
    slow = make_set(windows)
    braking = toy_windows(tmp_path, count=8)
    for window in braking:  # the same speed on average
        window.tensors["ego"][:, 3] += np.linspace(5.0, -5.0, 91)
    assert slow.calm.any() and not make_set(braking).calm.any()


def test_events_count_where_they_overlap_and_are_scripted(windows):
    truth = make_set(windows)
    for n, clip in enumerate(eval_clips(windows)):
        event = windows[clip.window].truth["events"][0]
        start = windows[clip.window].truth["clip_starts_us"][clip.first] / 1e6
        overlaps = event["start_s"] <= start + 2.0 and event["end_s"] >= start
        assert [e.kind for e in truth.staged[n]] == [event["kind"]] * overlaps
    found = targets(truth)
    np.testing.assert_array_equal(found["jaywalkers"], truth.has_event(("jaywalk", "step_out")))
    assert (found["all scripted"] >= found["near misses"]).all()


def test_features_pool_the_clips_own_images(windows):
    features = make_set(windows).features
    images = windows[0].embeddings[2:6].float().numpy().reshape(24, -1)
    np.testing.assert_allclose(features.mean[1], images.mean(0), atol=1e-3)
    np.testing.assert_allclose(features.largest[1], images.max(0))
    speed = windows[0].tensors["ego"][0, 3]
    np.testing.assert_allclose(features.motion[0].reshape(3, 3)[:, 0], [-1.5 * speed, -speed, -0.5 * speed], rtol=1e-4)


def test_texts_are_distinct_and_true_of_few_clips_their_own_among_them(windows, model):
    queries = make_queries(windows, model.tower)
    assert len({text.lower() for text in queries.texts}) == len(queries.texts) > 10
    assert queries.true.sum(1).max() <= 5 and queries.true[np.arange(len(queries.texts)), queries.clip].all()
    assert queries.texts == make_queries(windows, model.tower).texts


def test_an_untrained_trunk_says_what_the_tower_says(windows, model):
    bare, through = predict_zero_shot(model, windows[:2]), predict(model, windows[:2])
    np.testing.assert_allclose(through.embedding, bare.embedding, atol=1e-6)
    np.testing.assert_allclose(through.tags, bare.tags, atol=1e-5)
    assert through.tokens is not None and through.tokens.shape == (8, 4, 16) and bare.tokens is None


def test_a_clip_without_a_known_risk_is_refused(windows, tmp_path):
    broken = toy_windows(tmp_path, count=1)
    broken[0].truth["risk"][2]["risk"] = None
    with pytest.raises(DataError, match="expected a known risk of every clip, found none for log-0@2000000"):
        make_set(broken)
    with pytest.raises(DataError, match="found none"):
        make_set([])
