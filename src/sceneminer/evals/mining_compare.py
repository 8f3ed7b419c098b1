"""One figure of several methods side by side: over seeds, with intervals, and what ours gains over each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from sceneminer.evals.mining_bootstrap import RESAMPLES, Estimate, Statistic, bootstrap

OURS = "ours"


@dataclass(frozen=True)
class Figure:
    """One measure of one method."""

    method: str
    measure: str
    seeds: tuple[float, ...]
    """The figure of each seed; one for a method without seeds."""
    estimate: Estimate
    """Of the mean over seeds, logs resampled."""
    gain: Estimate | None
    """Of ours minus this method, on the same resamples; None for ours."""


@dataclass(frozen=True)
class Verdict:
    """Whether something asked for was reached; None where it was not measured."""

    asked: str
    reached: bool | None
    said: str


@dataclass(frozen=True)
class Section:
    """One signal's figures and verdicts; no figures where it was not measured."""

    name: str
    defines: str
    figures: tuple[Figure, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    def figure(self, method: str, measure: str) -> Figure:
        return next(f for f in self.figures if (f.method, f.measure) == (method, measure))

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(f.measure for f in self.figures))

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(f.method for f in self.figures))


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: over which logs, how many times."""

    log: Int[ndarray, "n"]
    n: int = RESAMPLES
    seed: int = 0

    def estimate(self, statistic: Statistic) -> Estimate:
        return bootstrap(self.log, statistic, n=self.n, seed=self.seed)


def compare(measure: str, by_method: Mapping[str, Sequence[Statistic]], over: Resampling) -> tuple[Figure, ...]:
    """A figure of every method, each with one statistic a seed; ``OURS`` is among them."""
    ours = mean_of(by_method[OURS])
    found = []
    for method, statistics in by_method.items():
        other = mean_of(statistics)
        once = np.ones((1, len(over.log)))
        found.append(
            Figure(
                method=method,
                measure=measure,
                seeds=tuple(float(statistic(once)[0]) for statistic in statistics),
                estimate=over.estimate(other),
                gain=None if method == OURS else over.estimate(_difference(ours, other)),
            )
        )
    return tuple(found)


def mean_of(statistics: Sequence[Statistic]) -> Statistic:
    """The mean over seeds, for each resample."""

    def mean(weights: ndarray) -> ndarray:
        return np.mean([statistic(weights) for statistic in statistics], axis=0)

    return mean


def must_beat(
    section: Section, measure: str, *, by: float = 0.0, but: Sequence[str] = (), less: bool = False
) -> Verdict:
    """Whether ours is better than all methods but some: at all, or by at least ``by``; ``less``: lower is better."""
    others = [f for f in section.figures if f.measure == measure and f.method != OURS and f.method not in but]
    sign = -1.0 if less else 1.0
    best = max(others, key=lambda f: np.nan_to_num(sign * f.estimate.value, nan=-np.inf))
    gain = best.gain
    assert gain is not None
    asked = f"{measure} {'below' if less else 'above'} the best of the others" + (f" by at least {by:g}" if by else "")
    if not np.isfinite(gain.value):
        ours = section.figure(OURS, measure).estimate.value
        said = (
            "not defined on this set"
            if np.isfinite(ours)
            else "ours is not defined: it says the same of all, or nothing"
        )
        return Verdict(asked, None if np.isfinite(ours) else False, said)
    value, worst, top = sign * gain.value, *sorted((sign * gain.low, sign * gain.high))
    sure = f"; the interval of the difference includes {sign * by:g}" if worst <= by <= top else ""
    said = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] to {best.method}{sure}"
    return Verdict(asked, bool(value >= by if by else value > 0), said)


def at_least(asked: str, value: float, least: float) -> Verdict:
    """Whether one number is as large as asked."""
    return Verdict(asked, bool(value >= least), f"{value:.3f}, asked {least:.3f}")


def _difference(a: Statistic, b: Statistic) -> Statistic:
    def difference(weights: ndarray) -> ndarray:
        return a(weights) - b(weights)

    return difference
