"""What tests of several folders share."""

from pathlib import Path

import numpy as np
import pytest

from sceneminer.data.synth.as_log import hdmap_of
from sceneminer.data.synth.drive import record_drive
from sceneminer.data.synth.layout import build_town
from sceneminer.recipes.mining import MiningRecipe, open_model
from sceneminer.recipes.mining_data import record_window, save_window, window_path
from sceneminer.recipes.mining_features import encode_windows


@pytest.fixture(scope="session")
def make_windows():
    """Write all windows of a recipe into a folder, with noise for pictures: no test's answer depends on these."""

    def make(recipe: MiningRecipe, folder: Path) -> None:
        model = open_model(recipe)
        for split, towns in recipe.data.items():
            plan, paths = towns.plan, []
            for town in towns.seeds:
                built = build_town(split, town)
                hdmap = hdmap_of(built)
                for seed in range(plan.drives):
                    drive = record_drive(built, seed, duration_s=plan.duration_s)
                    rng = np.random.default_rng(seed)
                    tensors, truth = record_window(drive, hdmap, plan, rng)
                    images = rng.integers(0, 255, (plan.frames, 6, *plan.size_hw, 3), np.uint8)
                    paths.append(window_path(folder / "data", plan, town, seed))
                    save_window(paths[-1], {"images": images, **tensors}, truth)
            list(encode_windows(paths, model.tower))

    return make
