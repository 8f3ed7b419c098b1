"""What the routes of one server share, and what all of them answer when they cannot."""

import math
import threading
import time
from typing import Annotated, Any

from fastapi import Path as InPath
from starlette.exceptions import HTTPException

from sceneminer.index.search import Index
from sceneminer.serve import bodies
from sceneminer.serve.library import Library
from sceneminer.serve.map_points import IndexMap
from sceneminer.serve.media import Media
from sceneminer.serve.scene import Forecaster
from sceneminer.serve.settings import MAX_MEMORY, Settings

PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": bodies.Problem, "description": words}
    for code, words in {
        400: "What was asked is not understood or not allowed",
        401: "No session",
        403: "Not from this page, or the server was started to be looked at only",
        404: "Nothing of that name",
        405: "Neither GET nor POST",
        408: "The body did not come in time",
        409: "It is there already, or somebody else is writing",
        413: "Too large",
        415: "Not JSON",
        421: "The server is not called so",
        422: "The body or a parameter is not as described",
        503: "Too many at once",
    }.items()
}


def described(answer: Any) -> dict[str, Any]:
    """How a route tells its answer in the OpenAPI document; it is not made or checked anew at each request."""
    return {"response_model": None, "responses": {200: {"model": answer, "description": "As asked"}}}


ClipPath = Annotated[str, InPath(min_length=1, max_length=300)]
NamePath = Annotated[str, InPath(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,79}$")]
JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}, "description": "The picture"}}
BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "Little-endian"}
}


REMEMBER_EVERY_S = 60.0
"""While an index is being mined every commit makes what is held in memory out of date."""


class State:
    """What routes share."""

    def __init__(self, index: Index, settings: Settings):
        self.index, self.settings = index, settings
        # One model, one pass at a time: torch uses all cores for each.
        self.encoding, self.training = threading.Lock(), threading.Lock()
        self.media, self.map, self.forecaster = Media(index), IndexMap(index), Forecaster(self.encoding)
        self.library = Library(index, settings.work)
        self._loading, self._loaded_s = threading.Lock(), -math.inf

    def remember(self) -> None:
        """Hold the clips in memory again where somebody has written since; beside, and now and then at most."""
        due = time.monotonic() - self._loaded_s > REMEMBER_EVERY_S
        if due and not self.index.store.snapshot("clips").in_memory:
            threading.Thread(target=self.keep_in_memory, daemon=True).start()

    def keep_in_memory(self) -> None:
        """Hold the clips in memory as they are now, where they fit; searches from disk go on meanwhile."""
        store = self.index.store
        if store.snapshot("clips").in_memory or not self._loading.acquire(blocking=False):
            return
        self._loaded_s = time.monotonic()
        try:
            if store.rows("clips") * (2 * int(self.index.manifest["embed_dim"]) + 300) <= MAX_MEMORY:
                store.keep_in_memory()
        finally:
            self._loading.release()

    def warm_up(self) -> None:
        """Load what the first search needs, before anybody asks for it."""
        self.keep_in_memory()
        if self.index.manifest.get("model"):
            try:
                self.encode(["a street"])
            except (ValueError, OSError):
                # Such as a model that is not on this machine: who searches by text is told, everything else works.
                return

    def encode(self, texts: list[str]) -> Any:
        with self.encoding:
            return self.index.encoders.texts(texts)


def require_writing(state: State) -> None:
    if not state.settings.can_write:
        raise HTTPException(403, "expected a server that may write, found one started with --read-only")
