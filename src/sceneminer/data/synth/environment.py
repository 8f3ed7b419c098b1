"""Light and weather of a Drive: drawn almost independently of its traffic."""

import numpy as np

from sceneminer.data.synth.scene import Environment, Split

_NIGHT = {"train": 0.24, "val": 0.24, "test": 0.26, "far": 0.34}
_RAIN = {"train": 0.20, "val": 0.20, "test": 0.21, "far": 0.28}
_FOG = {"train": 0.07, "val": 0.07, "test": 0.09, "far": 0.14}


def draw_environment(split: Split, rng: np.random.Generator) -> Environment:
    """One sky: about a quarter of them at night, a fifth in rain, one in twelve in fog; more of each in "far"."""
    hour = _draw_hour(_NIGHT[split], rng)
    raining = rng.random() < _RAIN[split]
    after_rain = not raining and rng.random() < 0.10
    foggy = rng.random() < _FOG[split] * (0.6 if raining else 1.0) * (1.8 if hour < 9.0 else 1.0)
    cloud = float(rng.uniform(0.7, 1.0) if raining or foggy else rng.beta(0.8, 1.1))
    rain_mm_h = float(np.clip(rng.lognormal(1.1, 0.8), 0.6, 18.0)) if raining else 0.0
    wetness = min(1.0, 0.35 + 0.08 * rain_mm_h) if raining else float(rng.uniform(0.15, 0.7)) if after_rain else 0.0
    haze_m = 1500.0 + 6000.0 / (1.0 + rain_mm_h) if raining else 20000.0
    fog_m = float(np.exp(rng.uniform(np.log(45.0), np.log(260.0)))) if foggy else haze_m
    warmest = 6.0 * np.cos(np.pi * (hour - 15.0) / 12.0)
    ambient_c = float(rng.normal(13.0, 7.0) + warmest - (3.0 if raining else 0.0))
    dirt = float(rng.beta(1.2, 9.0) + (rng.uniform(0.05, 0.45) if raining else 0.0))
    exposure = float(np.clip(rng.normal(1.0, 0.09), 0.8, 1.25))
    return Environment(hour, cloud, rain_mm_h, wetness, fog_m, ambient_c, exposure, min(dirt, 1.0))


def _draw_hour(night_share: float, rng: np.random.Generator) -> float:
    """Local solar time by shares of night, twilight and day; night is what Environment.is_night says it is."""
    kind = rng.random()
    if kind < night_share:
        return float((18.5 + rng.uniform(0.0, 11.0)) % 24.0)
    if kind < night_share + 0.12:
        return float(rng.uniform(5.6, 6.8) if rng.random() < 0.5 else rng.uniform(17.1, 18.3))
    return float(rng.uniform(6.8, 17.1))
