"""The sky: shares of night, rain and fog, and what goes together."""

import numpy as np
import pytest

from sceneminer.data.synth.environment import draw_environment
from sceneminer.data.synth.scene import Environment


def skies(split: str, n: int = 2000) -> list[Environment]:
    rng = np.random.default_rng(0)
    return [draw_environment(split, rng) for _ in range(n)]  # type: ignore[arg-type]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_quarter_is_night_a_fifth_rain_and_some_fog(split: str):
    drawn = skies(split)
    assert 0.20 < np.mean([sky.is_night for sky in drawn]) < 0.30
    assert 0.16 < np.mean([sky.rain_mm_h > 0 for sky in drawn]) < 0.25
    assert 0.05 < np.mean([sky.fog_m < 400 for sky in drawn]) < 0.12


def test_far_towns_have_worse_weather():
    near, far = skies("train"), skies("far")
    assert np.mean([s.fog_m < 400 for s in far]) > 1.4 * np.mean([s.fog_m < 400 for s in near])
    assert np.mean([s.is_night for s in far]) > np.mean([s.is_night for s in near])


def test_weather_hangs_together():
    drawn = skies("train")
    for sky in drawn:
        assert 0 <= sky.hour < 24 and 0 <= sky.cloud <= 1 and 0 <= sky.wetness <= 1 and 0 <= sky.lens_dirt <= 1
        assert 0.8 <= sky.exposure <= 1.25 and 40 <= sky.fog_m <= 20000
        if sky.rain_mm_h > 0:
            assert sky.cloud >= 0.7 and sky.wetness > 0.3
    assert any(sky.wetness > 0.1 and sky.rain_mm_h == 0 for sky in drawn)  # roads stay wet after rain
    dusk = np.mean([0.0 < np.rad2deg(sky.sun_elevation_rad) < 10.0 for sky in drawn])
    assert 0.05 < dusk < 0.25


def test_the_same_generator_gives_the_same_sky():
    assert skies("test", 5) == skies("test", 5)
