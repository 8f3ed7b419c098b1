"""One random tower a process, and one thread: bits do not depend on it, but time on a shared machine does."""

from pathlib import Path

import pytest
import torch
from make_mined_log import make_model

from sceneminer.model.example import make_clip_folder
from sceneminer.model.scene_model import SceneModel


@pytest.fixture(scope="session")
def tower_folder(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return make_clip_folder(tmp_path_factory.mktemp("towers") / "clip")


@pytest.fixture
def model(tower_folder) -> SceneModel:
    return make_model(tower_folder)
