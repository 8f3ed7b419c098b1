"""What kind of trip a Drive is: how busy, which way ego likes to go, what stands in its way."""

from dataclasses import dataclass

import numpy as np

from sceneminer.data.synth.scene import Environment, Style

TRIPS: dict[str, float] = {
    "through": 0.07,
    "turns": 0.11,
    "fast": 0.20,
    "wide": 0.15,
    "lot": 0.14,
    "works": 0.11,
    "busy": 0.12,
    "rush": 0.10,
}
"""Kinds of trips and how often they are made: fast ones meet green lights on main roads, wide ones keep to roads with
two lanes a direction, where one overtakes."""


@dataclass(frozen=True)
class Mood:
    """Densities and preferences of one Drive."""

    trip: str
    vehicles_per_km: float
    """Moving vehicles per kilometre of lane."""
    walkers: float
    """People per 100 m of walk path near ego's way."""
    cross: float
    """Weight of crossings in people's routes."""
    parked: float
    """Share of kerb spots that are taken."""
    double_parked: float
    """Expected number of vehicles standing in a lane along ego's way."""
    jaywalkers: float
    """Expected number of people who cross away from crossings, where it is easy."""
    turn_left: float
    turn_right: float
    pushy: float
    """Ego's wish to change lanes, 0 to 1."""
    lead: float
    """Chance that somebody drives ahead of ego on the same way."""
    lead_pace: float
    """How fast that one drives: 1 as usual, less for who looks for a place to park or an address."""
    bikes: float
    buses: float
    trucks: float
    motorcycles: float
    """Shares among moving vehicles."""


def draw_mood(style: Style, environment: Environment, rng: np.random.Generator) -> Mood:
    """A mood that follows hour, weather and town only in part: nights are quieter on average, yet some are crowded."""
    night = environment.is_night
    calm = (0.7 if night else 1.0) * (0.85 if environment.rain_mm_h > 0 else 1.0)
    trip = str(rng.choice(list(TRIPS), p=list(TRIPS.values())))
    traffic = style.traffic_density * float(rng.lognormal(0.0, 0.5)) * (0.6 + 0.4 * calm)
    people = style.pedestrian_density * float(rng.lognormal(0.0, 0.75)) * calm
    if trip == "busy":
        traffic, people = 2.0 * traffic, 2.0 * people
    if trip == "rush":
        traffic = 2.4 * traffic + 0.6
    if trip == "wide":
        traffic = min(traffic, 1.0)
    if trip == "fast":
        traffic, people = min(0.3 * traffic, 0.3), 0.4 * people
    quick = trip in ("fast", "wide")
    turn = 3.0 if trip == "turns" else 0.12 if trip == "fast" else 0.4 if trip == "wide" else 1.0
    return Mood(
        trip=trip,
        vehicles_per_km=float(np.clip(42.0 * traffic, 4.0, 110.0)),
        walkers=float(np.clip(1.5 * people, 0.1, 8.0)),
        cross=float(rng.choice([0.4, 1.2, 3.0])),
        parked=float(np.clip(style.parked_density * rng.uniform(0.5, 1.3), 0.0, 0.95)),
        double_parked=float(rng.choice([0.5, 1.5, 3.0, 5.0]))
        * (0.3 if trip == "fast" else 1.5 if trip == "wide" else 1.0),
        jaywalkers=float(rng.choice([0.0, 0.5, 2.0], p=[0.45, 0.3, 0.25])),
        turn_left=turn * float(rng.uniform(0.5, 1.8)),
        turn_right=turn * float(rng.uniform(0.5, 1.8)),
        pushy=float(rng.beta(4.0, 1.0)) if trip in ("fast", "rush", "wide") else float(rng.beta(1.6, 1.0)),
        lead=0.95
        if trip == "rush"
        else 0.8
        if trip == "wide"
        else float(rng.choice([0.3, 0.6, 0.95])) * (0.4 if trip == "fast" else 1.0),
        lead_pace=float(rng.uniform(0.55, 0.85)) if trip == "wide" else 1.0,
        bikes=float(rng.choice([0.01, 0.05, 0.15])) * (0.4 if quick else 1.0),
        buses=float(rng.choice([0.04, 0.13, 0.26])),
        trucks=float(rng.choice([0.03, 0.10, 0.20])),
        motorcycles=float(rng.choice([0.0, 0.02, 0.06])),
    )
