"""A mined town behind a server's gate."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from nuscenes_tree import make_nuscenes_tree

from sceneminer.index.manage import optimize
from sceneminer.index.search import Index, open_index
from sceneminer.mine.run import mine
from sceneminer.model.example import make_clip_folder
from sceneminer.serve.app import make_app
from sceneminer.serve.gate import Gate, cookie_name
from sceneminer.serve.settings import Settings

PORT = 8765
ORIGIN = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="session")
def town(tmp_path_factory) -> Index:
    """Two nuScenes scenes: the first with a car ahead, a walker and a map; the second without agents."""
    folder = tmp_path_factory.mktemp("served")
    mine(make_nuscenes_tree(folder), folder / "index", model=make_clip_folder(folder / "clip"))
    index = open_index(folder / "index")
    optimize(index)
    return open_index(folder / "index")


@pytest.fixture
def settings(town: Index, tmp_path: Path) -> Settings:
    return Settings(town.folder, port=PORT, exports=tmp_path / "exports")


@pytest.fixture
def gate(town: Index, settings: Settings) -> Gate:
    return Gate(make_app(town, settings), settings)


@pytest.fixture
def stranger(gate: Gate) -> TestClient:
    """Somebody without a session."""
    return TestClient(gate, base_url=ORIGIN, follow_redirects=False)


@pytest.fixture
def client(stranger: TestClient, settings: Settings) -> TestClient:
    """Somebody who opened the printed address."""
    assert stranger.get("/", params={"token": settings.token}).status_code == 303
    return stranger


@pytest.fixture
def visit():
    """A session with a server of an index, started as told."""

    def visit(index: Index, exports: Path, **told) -> TestClient:
        settings = Settings(index.folder, port=PORT, exports=exports, **told)
        client = TestClient(Gate(make_app(index, settings), settings), base_url=ORIGIN, raise_server_exceptions=False)
        client.cookies.set(cookie_name(f"127.0.0.1:{PORT}"), settings.session)
        return client

    return visit
