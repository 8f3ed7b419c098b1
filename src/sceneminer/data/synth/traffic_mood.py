"""What kind of trip a Drive is: how busy, which way ego likes to go, what stands in its way."""

from dataclasses import dataclass

import numpy as np

from sceneminer.data.synth.scene import Environment, Style

TRIPS = ("through", "turns", "fast", "lot", "works", "busy", "rush")


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
    bikes: float
    buses: float
    trucks: float
    motorcycles: float
    """Shares among moving vehicles."""


def draw_mood(style: Style, environment: Environment, rng: np.random.Generator) -> Mood:
    """A mood that follows hour, weather and town only in part: nights are quieter on average, yet some are crowded."""
    night = environment.is_night
    calm = (0.7 if night else 1.0) * (0.85 if environment.rain_mm_h > 0 else 1.0)
    trip = TRIPS[int(rng.choice(len(TRIPS), p=[0.03, 0.11, 0.29, 0.16, 0.12, 0.14, 0.15]))]
    traffic = style.traffic_density * float(rng.lognormal(0.0, 0.5)) * (0.6 + 0.4 * calm)
    people = style.pedestrian_density * float(rng.lognormal(0.0, 0.75)) * calm
    if trip == "busy":
        traffic, people = 2.2 * traffic, 2.0 * people
    if trip == "rush":
        traffic = 3.0 * traffic + 1.0
    if trip == "fast":
        people *= 0.6
    turn = 3.0 if trip == "turns" else 0.12 if trip == "fast" else 1.0
    return Mood(
        trip=trip,
        vehicles_per_km=float(np.clip(42.0 * traffic, 4.0, 130.0)),
        walkers=float(np.clip(1.5 * people, 0.1, 8.0)),
        cross=float(rng.choice([0.4, 1.2, 3.0])),
        parked=float(np.clip(style.parked_density * rng.uniform(0.5, 1.3), 0.0, 0.95)),
        double_parked=float(rng.choice([0.5, 1.5, 3.0, 5.0])) * (0.4 if trip == "fast" else 1.0),
        jaywalkers=float(rng.choice([0.0, 0.5, 2.0], p=[0.45, 0.3, 0.25])),
        turn_left=turn * float(rng.uniform(0.5, 1.8)),
        turn_right=turn * float(rng.uniform(0.5, 1.8)),
        pushy=float(rng.beta(1.6, 1.0)) if trip not in ("fast", "rush") else float(rng.beta(3.0, 1.0)),
        lead=float(rng.choice([0.3, 0.6, 0.95])) if trip != "rush" else 0.95,
        bikes=float(rng.choice([0.01, 0.05, 0.15])) * (0.4 if trip == "fast" else 1.0),
        buses=float(rng.choice([0.04, 0.13, 0.26])),
        trucks=float(rng.choice([0.03, 0.10, 0.20])),
        motorcycles=float(rng.choice([0.0, 0.02, 0.06])),
    )
