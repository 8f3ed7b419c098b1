"""The signals that speak of single agents and moments: explanation, forecast, hardness."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer.evals import mining_metrics as metrics
from sceneminer.evals.mining_bootstrap import Statistic
from sceneminer.evals.mining_compare import OURS, Figure, Resampling, Section, compare, must_beat
from sceneminer.evals.mining_judge import RISKY, Said, not_measured
from sceneminer.evals.mining_predict import Forecast, Named, Predictions
from sceneminer.evals.mining_set import EVENTS, INSTANTS, EvalSet
from sceneminer.index.hardness import mean_neighbour_distance, percentile, weigh
from sceneminer.recipes.mining_data import STATE_US

WITHIN_M, WITHIN_S = 2.0, 0.5
MATCH_M = 2.0
"""A forecast agent is a true one if they are no further apart at present."""
EXPLAINED = 0.1
"""Risk from which on a clip is worth explaining."""
MOVES_M = 2.0
_INSTANT_S = STATE_US / 1e6


def judge_explanation(said: Said, on_val: Said, over: Resampling) -> Section:
    """Whether the named agent is the truly riskiest one, at the right time."""
    defines = (
        f"Right: the truly riskiest agent is, at the instant that is named, within {WITHIN_M:g} m of where it is said "
        f"to be, and that instant is within {WITHIN_S:g} s of its greatest risk; over clips whose true risk is above "
        f"{EXPLAINED:g}, above {RISKY:g}, or not 0. A clip where nobody is named is wrong. Agent alone: at whatever "
        "instant. The nearest agent ahead is taken from truth, where it is at the one instant that is best on val."
    )
    if any(p.explanation is None for p in said.ours):
        return not_measured("explanation", defines)
    instant = best_instant(on_val.truth)
    named = {
        OURS: tuple(p.explanation for p in said.ours if p.explanation is not None),
        "nearest agent ahead": (nearest_ahead(said.truth, instant),),
    }
    main, alone = f"risk above {EXPLAINED:g}", f"agent alone, risk above {EXPLAINED:g}"
    kinds = {main: (EXPLAINED, True), f"risk above {RISKY:g}": (RISKY, True), "any risk": (0.0, True)}
    figures: tuple[Figure, ...] = ()
    for measure, (least, timely) in (kinds | {alone: (EXPLAINED, False)}).items():
        among = said.truth.risk > least
        by_method = {}
        for method, by_seed in named.items():
            right = [explained(n, said.truth, timely=timely) for n in by_seed]
            by_method[method] = [_mean(np.where(among, r, np.nan)) for r in right]
        figures += compare(measure, by_method, over)
    section = Section("explanation", defines, figures)
    return Section(section.name, section.defines, section.figures, (must_beat(section, main),))


def explained(named: Named, truth: EvalSet, *, timely: bool = True) -> Bool[ndarray, "n"]:
    """Whether each clip's named agent is the truly riskiest one."""
    at = np.nan_to_num(named.instant_s) / _INSTANT_S
    low = np.clip(np.floor(at).astype(int), 0, INSTANTS - 2)
    clip, part = np.arange(len(truth)), np.clip(at - low, 0.0, 1.0)[:, None]
    path = truth.explanation.xy_m
    there = path[clip, low] * (1 - part) + path[clip, low + 1] * part
    # An agent that is absent at one of two neighbouring instants is where it is at the other.
    there = np.where(np.isnan(there), np.where(np.isnan(path[clip, low]), path[clip, low + 1], path[clip, low]), there)
    close = np.linalg.norm(named.xy_m - there, axis=1) <= WITHIN_M
    return close & (np.abs(named.instant_s - truth.explanation.instant_s) <= WITHIN_S + 1e-9) if timely else close


def nearest_ahead(truth: EvalSet, instant: int) -> Named:
    """The nearest agent ahead at each clip's last Frame, named at one of the clip's instants."""
    xy = truth.explanation.ahead_xy_m[:, instant]
    at = np.where(np.isnan(xy[:, 0]), np.nan, instant * _INSTANT_S)
    return Named(xy, at, ("",) * len(truth))


def best_instant(truth: EvalSet) -> int:
    """At which the nearest agent ahead is right most often among clips that are worth explaining."""
    worth = truth.risk > EXPLAINED
    return int(np.argmax([(explained(nearest_ahead(truth, i), truth) & worth).sum() for i in range(INSTANTS)]))


@dataclass(frozen=True, eq=False)
class Matched:
    """True agents that a model has found, and the errors of its futures and of constant velocity from its own boxes."""

    clip: Int[ndarray, "a"]
    model: metrics.ForecastErrors
    constant: metrics.ForecastErrors
    moves: Bool[ndarray, "a"]
    wanted: Int[ndarray, "n"]
    """True agents of each clip, found or not."""


def judge_forecast(said: Said, over: Resampling) -> Section:
    """Six futures of each agent against the one that came."""
    defines = (
        "Over true vehicles and vulnerable road users within 50 m of ego at a clip's last Frame, whose next 4 s are "
        f"known and of whom the head has a present box within {MATCH_M:g} m (the surest first, each once). minADE@6 "
        "and minFDE@6 are of the future that is best in each; a miss is a minFDE above 2 m at 4 s. Moving: more than "
        f"{MOVES_M:g} m in 4 s. Constant velocity goes on from the head's own boxes and velocities. Found: share of "
        "those true agents that have a box."
    )
    if any(p.forecasts is None for p in said.ours):
        return not_measured("forecast", defines)
    matched = [match_forecasts(p.forecasts, said.truth) for p in said.ours if p.forecasts is not None]
    figures: tuple[Figure, ...] = ()
    names = ("minADE@6 m", "minFDE@6 m", "miss rate")
    for suffix, moving in (("", False), (", moving", True)):
        for name in names:
            by_method = {
                OURS: [_of_agents(m, m.model, name, moving) for m in matched],
                "constant velocity": [_of_agents(m, m.constant, name, moving) for m in matched],
            }
            figures += compare(name + suffix, by_method, over)
    found = {OURS: [partial(_found, m) for m in matched]}
    section = Section("forecast", defines, figures + compare("found", found, over))
    verdicts = tuple(must_beat(section, name, less=True) for name in names)
    return Section(section.name, section.defines, section.figures, verdicts)


def match_forecasts(forecasts: Sequence[Forecast], truth: EvalSet) -> Matched:
    """The surest forecasts take the nearest true agent first; each true agent is taken once."""
    agents = truth.agents
    state, future = agents.state.double().numpy(), agents.future.double().numpy()
    wanted = agents.there.numpy() & (agents.kind.numpy() < 2) & np.isfinite(future).all((2, 3))
    clips, rows, said, constant = [], [], [], []
    for c, forecast in enumerate(forecasts):
        free = np.flatnonzero(wanted[c])
        for k in np.argsort(-forecast.belief, kind="stable"):
            if not len(free):
                break
            distance = np.linalg.norm(state[c, free, :2] - forecast.xy_m[k], axis=1)
            nearest = int(np.argmin(distance))
            if distance[nearest] > MATCH_M:
                continue
            clips.append(c)
            rows.append(free[nearest])
            said.append(forecast.futures_m[k])
            ahead_s = 0.5 * np.arange(1, future.shape[2] + 1)[:, None]
            constant.append((forecast.xy_m[k] + ahead_s * forecast.velocity_mps[k])[None])
            free = np.delete(free, nearest)
    clip, row = np.array(clips, np.int64), np.array(rows, np.int64)
    came = future[clip, row]
    moves = np.linalg.norm(came[:, -1] - state[clip, row, :2], axis=-1) > MOVES_M
    errors = [
        metrics.forecast_errors(np.array(f, np.float64).reshape(len(clip), -1, future.shape[2], 2), came)
        if len(clip)
        else metrics.ForecastErrors(np.zeros(0), np.zeros(0))
        for f in (said, constant)
    ]
    return Matched(clip, errors[0], errors[1], moves, wanted.sum(1))


def judge_hardness(said: Said, over: Resampling) -> Section:
    """Whether staged events are among the hardest clips."""
    defines = (
        "precision@5 %: of the 5 % of clips with the highest hardness (weights of index/hardness, percentiles of this "
        "set), the share that a scripted event of the kind overlaps; against each of its parts alone. Few clips have "
        "any: the precision that perfect order would have stands first. Calm-looking, by truth: fewer agents within "
        "30 m at the last Frame than in the median clip, ego slower than in the median clip, and never braking by "
        "1 m/s² or more."
    )
    if any(p.risk is None or p.ambiguity is None for p in said.ours):
        return not_measured("hardness", defines)
    parts = [hardness_parts(p, said.truth) for p in said.ours]
    scores = {OURS: [weighed(p) for p in parts]} | {f"{name} alone": [p[name] for p in parts] for name in parts[0]}
    staged = targets(said.truth)
    figures: tuple[Figure, ...] = ()
    for name, right in staged.items():
        best = {"perfect order": [partial(metrics.precision_at, right.astype(np.float64), right)]}
        by_method = {m: [partial(metrics.precision_at, s, right) for s in by_seed] for m, by_seed in scores.items()}
        figures += compare(name, best | by_method, over)
    section = Section("hardness", defines, figures)
    asked = [name for name, right in staged.items() if right.any()]
    verdicts = tuple(must_beat(section, name, but=("perfect order",)) for name in asked)
    return Section(section.name, section.defines, section.figures, verdicts)


def targets(truth: EvalSet) -> dict[str, Bool[ndarray, "n"]]:
    """Clips with scripted events by the names of the columns."""
    found = {name: truth.has_event(kinds) for name, kinds in EVENTS.items()}
    three = np.any(list(found.values()), axis=0)
    found |= {"all scripted": truth.has_event(), "calm-looking of the three": three & truth.calm}
    return found | {"calm-looking, all scripted": truth.has_event() & truth.calm}


def hardness_parts(said: Predictions, truth: EvalSet) -> dict[str, Float[ndarray, "n"]]:
    """The three parts before they are weighed."""
    assert said.risk is not None and said.ambiguity is not None
    rarity = mean_neighbour_distance(said.embedding, truth.log)
    return {"risk": said.risk, "ambiguity": said.ambiguity, "rarity": np.nan_to_num(rarity)}


def weighed(parts: Mapping[str, Float[ndarray, "n"]]) -> Float[ndarray, "n"]:
    """Hardness, calibrated on the same clips."""
    return weigh({name: percentile(values, np.sort(values)) for name, values in parts.items()})


def _mean(values: ndarray) -> Statistic:
    return lambda weights: metrics.weighted_mean(values, weights)


def _of_agents(matched: Matched, errors: metrics.ForecastErrors, name: str, moving: bool) -> Statistic:
    column = {"minADE@6 m": errors.ade_m, "minFDE@6 m": errors.fde_m, "miss rate": errors.missed.astype(np.float64)}
    values = np.where(matched.moves, column[name], np.nan) if moving else column[name]
    return lambda weights: metrics.weighted_mean(values, weights[:, matched.clip])


def _found(matched: Matched, weights: ndarray) -> ndarray:
    total = weights @ matched.wanted
    with np.errstate(invalid="ignore", divide="ignore"):
        return weights[:, matched.clip].sum(1) / total
