"""The whole report on a toy world whose answers are known: what is best must be said to be best."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_windows import toy_windows

from sceneminer.evals import mining_baselines as baselines
from sceneminer.evals.mining_agents import match_forecasts
from sceneminer.evals.mining_compare import OURS
from sceneminer.evals.mining_fit import Fitted, Search, Setting, choose
from sceneminer.evals.mining_page import Origin, write_page
from sceneminer.evals.mining_predict import Forecast, Named, Predictions
from sceneminer.evals.mining_report import (
    OF_STREAM,
    as_json,
    read_split,
    report_split,
    train_baselines,
    write_report,
)
from sceneminer.evals.mining_set import Features
from sceneminer.model.example import make_clip_folder
from sceneminer.model.forecast import ForecastHead
from sceneminer.model.initial import initialise_head
from sceneminer.model.scene_model import SceneModel
from sceneminer.recipes.mining import Towns, debug, open_model
from sceneminer.recipes.mining_set import clips_of_windows
from sceneminer.recipes.mining_text import make_bank

ORIGIN = Origin("python -m x", "abc1234", "2026-11-25", "a machine", 2, 50, {}, "a few clips")
QUICK = Search(
    linear={"decay": (0.1, 1.0)},
    mlp={"inputs": (("mean",), ("mean", "spread"))},
    projection={"scale": (20.0,)},
    of_features={"hidden": (0,)},
    of_tokens={"inputs": (("attention",),)},
    steps=20,
)


def forecasts_of(truth, *, wrong_m=0.0):
    """True futures as the fourth of six, in boxes that stand still."""
    found = []
    for c in range(len(truth)):
        rows = np.flatnonzero(truth.agents.there[c].numpy())
        xy = truth.agents.state[c, rows, :2].double().numpy()
        futures = np.repeat(truth.agents.future[c, rows].double().numpy()[:, None], 6, 1) + 9.0
        futures[:, 3] -= 9.0
        futures += wrong_m
        found.append(Forecast(xy, np.zeros_like(xy), futures, np.linspace(1, 0, len(xy))))
    return tuple(found)


def all_knowing(split, seed):
    """Predictions that are the truth, but for a little noise."""
    truth, queries, rng = split.truth, split.queries, np.random.default_rng(seed)
    basis = np.linalg.pinv(queries.embedding) @ (2.0 * queries.true)
    path, at = truth.explanation.xy_m, np.nan_to_num(truth.explanation.instant_s)
    where = path[np.arange(len(truth)), np.round(10 * at).astype(int)]
    return Predictions(
        embedding=basis.T / np.linalg.norm(basis, axis=0)[:, None],
        tags=np.clip(truth.tags + 0.01 * rng.random(truth.tags.shape), 0, 1),
        tokens=rng.normal(size=(len(truth), 4, 16)).astype(np.float16),
        risk=truth.risk + 1e-6 * rng.random(len(truth)),
        ambiguity=rng.random(len(truth)),
        explanation=Named(where, truth.explanation.instant_s, truth.explanation.measure),
        forecasts=forecasts_of(truth),
    )


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Val, test and the baselines, with nothing said by us yet."""
    model = SceneModel.from_pretrained(make_clip_folder(tmp_path_factory.mktemp("clip")))
    folder = tmp_path_factory.mktemp("windows")
    splits = [read_split(n, toy_windows(folder, count=10, seed=s), [], model) for n, s in (("val", 0), ("test", 1))]
    val, test = (replace(s, ours=(all_knowing(s, 0), all_knowing(s, 1))) for s in splits)
    windows = toy_windows(folder, count=6, seed=2)
    clips, train = clips_of_windows(windows), baselines.make_train_set(windows)
    bank = make_bank(windows, clips, model.tower, each=2, grammar="train", seed=0)
    tokens = [np.random.default_rng(k).normal(size=(len(clips), 4, 16)).astype(np.float16) for k in range(2)]
    return val, test, train, bank, tokens


@pytest.fixture(scope="module")
def trained(parts):
    val, _, train, bank, tokens = parts
    return train_baselines(train, bank, val, tokens, seeds=2, search=QUICK)


def test_one_who_knows_everything_reaches_what_was_asked(parts, trained):
    val, test, *_ = parts
    report = report_split(test, val, trained, resamples=50)
    tags, search, risk, explanation, forecast, hardness = report.sections
    assert tags.figure(OURS, "mAP").estimate.value == pytest.approx(1.0)
    assert tags.figure(OURS, "micro-F1").estimate.value == pytest.approx(1.0)
    assert tags.figure("prevalence", "mAP").estimate.value == pytest.approx(np.mean(report.prevalence))
    assert risk.figure(OURS, "NDCG").estimate.value == pytest.approx(1.0, abs=1e-4)
    assert explanation.figure(OURS, "risk above 0.1").estimate.value == pytest.approx(1.0)
    assert forecast.figure(OURS, "minADE@6 m").estimate.value == pytest.approx(0.0, abs=1e-5)
    assert forecast.figure(OURS, "found").estimate.value == 1.0
    assert forecast.figure("constant velocity", "miss rate, moving").estimate.value > 0.9
    for section in (tags, risk, explanation, forecast):
        assert all(verdict.reached for verdict in section.verdicts), section
    assert search.figure(OURS, "mAP").estimate.value > search.figure("frozen mean", "mAP").estimate.value
    for section in report.sections:
        for figure in (f for f in section.figures if f.gain and np.isfinite(f.gain.value)):
            ours = section.figure(OURS, figure.measure).estimate.value
            assert figure.gain.value == pytest.approx(ours - figure.estimate.value, abs=1e-9)
    assert {"perfect order", OURS, "rarity alone"} <= set(hardness.methods)
    page = write_page(replace(ORIGIN, settings=trained.settings), [report])
    verdicts = page.split("## The sets")[0].splitlines()
    asked = [line for line in verdicts if line.startswith(("| tags", "| risk", "| explanation", "| forecast"))]
    assert len(asked) == 11 and all("| reached |" in line for line in asked)
    assert "| test | asked |" in page and "`abc1234`" not in page and "abc1234" in page


def test_the_command_measures_checkpoints_from_their_folders(tmp_path, make_windows):
    recipe = debug(tmp_path)
    (towns,) = recipe.data.values()
    splits = {name: Towns(replace(towns.plan, split=name), towns.first, 1) for name in ("train", "val", "test")}
    recipe = replace(recipe, data=splits)
    make_windows(recipe, tmp_path)
    runs = []
    for seed in range(2):
        model = open_model(replace(recipe, seed=seed))
        head = ForecastHead(token_width=model.config.token_width)
        initialise_head(head, seed=seed)
        model.add_head(head)
        runs.append(tmp_path / f"seed-{seed}")
        model.save_pretrained(runs[-1])
    page, document = write_report(
        runs, tmp_path, ["test"], command="python -m x", resamples=20, recipe=recipe, search=QUICK
    )
    assert document["origin"]["seeds"] == 2 and document["origin"]["train"] == "14 clips of 2 logs"
    assert page.startswith("# ") and "python -m x" in page and "**Not measured.**" not in page
    (split,) = json.loads(as_json(document))["splits"]
    (risk,) = (s for s in split["sections"] if s["name"] == "risk, cameras only")
    assert {OF_STREAM, OURS} <= {figure["method"] for figure in risk["figures"]}


def test_what_a_model_does_not_say_is_not_measured(parts, trained):
    val, test, *_ = parts

    def bare(split):
        return replace(split, ours=tuple(Predictions(p.embedding, p.tags) for p in split.ours))

    report = report_split(bare(test), bare(val), replace(trained, of_stream=()), resamples=20)
    verdicts = {section.name: [v.reached for v in section.verdicts] for section in report.sections}
    assert verdicts["risk, cameras only"] == verdicts["forecast"] == verdicts["hardness"] == [None]
    page = write_page(ORIGIN, [report])
    assert page.count("**Not measured.**") == 4
    document = json.loads(as_json({"sections": [{"value": float("nan"), "tuple": (1, 2)}]}))
    assert document == {"sections": [{"value": None, "tuple": [1, 2]}]}


def test_one_who_guesses_reaches_nothing(parts, trained):
    val, test, *_ = parts

    def guessing(split):
        rng, n = np.random.default_rng(3), len(split.truth)
        vectors = rng.normal(size=split.truth.features.mean.shape)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        nobody = Named(np.full((n, 2), np.nan), np.full(n, np.nan), ("",) * n)
        said = Predictions(
            embedding=vectors,
            tags=rng.random((n, 20)),
            tokens=split.ours[0].tokens,
            risk=-split.truth.risk,
            ambiguity=rng.random(n),
            explanation=nobody,
            forecasts=forecasts_of(split.truth, wrong_m=500.0),
        )
        return replace(split, ours=(said, said))

    tags, _, risk, explanation, forecast, _ = report_split(
        guessing(test), guessing(val), trained, resamples=20
    ).sections
    for section in (tags, risk, explanation, forecast):
        assert not any(verdict.reached for verdict in section.verdicts), section


def test_each_true_agent_is_taken_once_and_only_from_nearby(parts):
    truth = parts[1].truth
    exact = forecasts_of(truth)
    twice = tuple(
        Forecast(*(np.concatenate([getattr(f, n)] * 2) for n in ("xy_m", "velocity_mps", "futures_m", "belief")))
        for f in exact
    )
    far = tuple(Forecast(f.xy_m + 500.0, f.velocity_mps, f.futures_m, f.belief) for f in exact)
    movers = (truth.agents.there & (truth.agents.kind < 2)).sum()
    assert len(match_forecasts(exact, truth).clip) == len(match_forecasts(twice, truth).clip) == movers
    assert len(match_forecasts(far, truth).clip) == 0


def test_the_best_on_val_is_chosen_and_each_setting_is_tried_once():
    tried = []

    def make(setting):
        tried.append(setting)
        return Fitted(torch.nn.Identity(), setting, 0, -abs(setting.decay - 1.0) - abs(setting.hidden - 64))

    best = choose(make, Setting(), {"decay": (0.1, 1.0, 3.0), "hidden": (0, 64)})
    assert (best.setting.decay, best.setting.hidden) == (1.0, 64)
    assert len(tried) == len(set(tried))


def test_a_probe_finds_what_is_there_and_the_same_seed_finds_it_again(parts):
    val, _, train, _, _ = parts
    told, asked = (replace(p, features=_of_tags(p.tags.astype(float))) for p in (train, val.truth))
    first, again = (baselines.fit_tags(told, asked, Setting(rate=0.02), seed=1, steps=200) for _ in range(2))
    assert first.on_val > 0.8
    np.testing.assert_array_equal(baselines.say_tags(first, asked.features), baselines.say_tags(again, asked.features))


def _of_tags(tags):
    return Features(tags, tags, tags, np.zeros((len(tags), 9)))


def test_a_projection_starts_as_the_frozen_mean(parts):
    val, _, train, bank, _ = parts
    fitted = baselines.fit_projection(train, bank, val.truth, val.queries, Setting(), seed=0, steps=0)
    mean = val.truth.features.mean
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(baselines.project(fitted, val.truth.features), expected, atol=1e-6)
