"""The routes of the web API: each checks its input by a body's model and answers in JSON."""

import base64
import binascii
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
import numpy as np
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi import Path as InPath
from fastapi import Query as InQuery
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from sceneminer.data.errors import DataError
from sceneminer.index.errors import IndexFault, QueryError, WriterBusyError
from sceneminer.index.head_files import filter_names
from sceneminer.index.heads import add_head
from sceneminer.index.label_set import mark
from sceneminer.index.preview import preview_hits, preview_relevance
from sceneminer.index.query import Query, make_query, query_of
from sceneminer.index.resolve import resolve
from sceneminer.index.search import Index, hardest, run_query
from sceneminer.index.select import Rule, excluding, select
from sceneminer.index.selection import document_of
from sceneminer.serve import bodies
from sceneminer.serve.clips import UnknownClipError, clip_json, hit_json, plain, rows_of
from sceneminer.serve.info import info_json, log_row
from sceneminer.serve.library import Library
from sceneminer.serve.map_points import IndexMap
from sceneminer.serve.media import WIDTHS, Media, NoPictureError, require_row
from sceneminer.serve.scene import Forecaster, scene_json
from sceneminer.serve.settings import MAX_MEMORY, WORKERS, Settings

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": bodies.Problem, "description": words}
    for code, words in {
        400: "What was asked is not understood or not allowed",
        401: "No session",
        404: "Nothing of that name",
        409: "It is there already, or somebody else is writing",
        413: "Too large",
        415: "Not JSON",
        422: "The body or a parameter is not as described",
        503: "Too many at once",
    }.items()
}
ClipPath = Annotated[str, InPath(min_length=1, max_length=300)]
NamePath = Annotated[str, InPath(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,79}$")]
JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}, "description": "The picture"}}
BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "Little-endian"}
}


class _State:
    """What routes share."""

    def __init__(self, index: Index, settings: Settings):
        self.index, self.settings = index, settings
        self.media, self.map, self.forecaster = Media(index), IndexMap(index), Forecaster()
        self.library = Library(index, settings.work)
        # One model, one pass at a time: torch uses all cores for each.
        self.encoding = threading.Lock()
        self._loading = threading.Lock()

    def keep_in_memory(self) -> None:
        """Hold the clips in memory as they are now, where they fit; searches from disk go on meanwhile."""
        store = self.index.store
        if store.snapshot("clips").in_memory or not self._loading.acquire(blocking=False):
            return
        try:
            if store.rows("clips") * (2 * int(self.index.manifest["embed_dim"]) + 300) <= MAX_MEMORY:
                store.keep_in_memory()
        finally:
            self._loading.release()

    def encode(self, texts: list[str]) -> Any:
        with self.encoding:
            return self.index.encoders.texts(texts)


def make_app(index: Index, settings: Settings) -> FastAPI:
    """The API and the page, without the gate in front of it (``gate.Gate``)."""
    state = _State(index, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Requests are worked on a few at a time; torch and the engine use all cores for each.
        anyio.to_thread.current_default_thread_limiter().total_tokens = WORKERS
        threading.Thread(target=state.keep_in_memory, daemon=True).start()
        yield

    app = FastAPI(
        title="sceneminer",
        version="1",
        description="Search, look, mark, select and export scenes of an index.",
        openapi_url="/api/openapi.json",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    for router in (_search_routes(state), _clip_routes(state), _map_routes(state), _library_routes(state)):
        app.include_router(router)
    _add_handlers(app)
    static = Path(str(resources.files("sceneminer.serve") / "static"))
    app.mount("/static", StaticFiles(directory=static), name="static")

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return Response((static / "index.html").read_bytes(), media_type="text/html; charset=utf-8")

    return app


def _search_routes(state: _State) -> APIRouter:
    router = APIRouter(prefix="/api", responses=_PROBLEMS)
    index = state.index

    @router.get("/info")
    def info() -> dict[str, Any]:
        """What the index holds and what may be asked of it."""
        return info_json(index, state.settings)

    @router.post("/search")
    def search(body: bodies.SearchBody) -> dict[str, Any]:
        """The best intervals of a query, with the parts of their scores; of no query at all, the hardest."""
        begun = time.perf_counter()
        query = _query_of_body(body, state)
        if query is None:
            hits = hardest(index, top=body.top) if "hardness" in index.manifest else ()
        else:
            hits = run_query(index, query, top=body.top, encode_text=state.encode)
        told = {"query": query.as_json() if query else None, "hits": [hit_json(hit) for hit in hits]}
        return told | {"took_ms": round(1000 * (time.perf_counter() - begun), 1)}

    @router.post("/train")
    def train(body: bodies.TrainBody) -> dict[str, Any]:
        """Fit a head to marked clips from stored streams, and rank by it; keep it where a name is given."""
        begun = time.perf_counter()
        labels = mark(body.relevant, body.not_relevant)
        resolved = resolve(index.store, body.where, added=filter_names(index.store))
        with state.encoding:
            preview = preview_relevance(index, labels)
        hits = preview_hits(index, preview, resolved, top=body.top)
        took = round(1000 * (time.perf_counter() - begun), 1)
        saved = None
        if body.save_as is not None:
            _require_writing(state)
            report = add_head(index, body.save_as, labels)
            # The table has changed: what is held is of the version before.
            threading.Thread(target=state.keep_in_memory, daemon=True).start()
            saved = {"name": report.name, "columns": list(report.columns)}
        held = next(iter(preview.held_out.values()), None)
        note = "on logs left out" if held and held.ap is not None else "too few logs are marked to measure it"
        figures = {"ap": held.ap if held else None, "auc": held.auc if held else None, "note": note}
        return plain(
            {
                "hits": [hit_json(hit) for hit in hits],
                "examples": preview.clips,
                "unmarked": preview.weak,
                "figures": figures,
                "took_ms": took,
                "saved": saved,
            }
        )

    return router


def _clip_routes(state: _State) -> APIRouter:
    router = APIRouter(responses=_PROBLEMS)
    index, media = state.index, state.media

    @router.get("/api/clips/{clip_id}")
    def clip(clip_id: ClipPath) -> dict[str, Any]:
        """Everything that is known of a clip."""
        row = rows_of(index, [clip_id])[clip_id]
        return clip_json(index, row, log_row(index, row["log_id"]), media.log(row["log_id"]))

    @router.get("/api/clips/{clip_id}/scene")
    def scene(clip_id: ClipPath) -> dict[str, Any]:
        """Ego, agents, map and forecasts of a clip, in world coordinates."""
        row = rows_of(index, [clip_id])[clip_id]
        log = media.log(row["log_id"])
        if isinstance(log, str):
            raise NoPictureError(log)
        return scene_json(index, row, log, state.forecaster)

    @router.get("/media/thumbs/{clip_id}", responses=JPEG, response_class=Response)
    def thumb(clip_id: ClipPath) -> Response:
        """A small picture of a clip."""
        return _picture(media.thumb(clip_id))

    @router.get("/media/clips/{clip_id}/{camera:path}/{frame}", responses=JPEG, response_class=Response)
    def frame(
        clip_id: ClipPath,
        camera: Annotated[str, InPath(min_length=1, max_length=200)],
        frame: Annotated[int, InPath(ge=0, le=1_000_000)],
        w: Annotated[int, InQuery(description="width in pixels: 320, 640 or 1280")] = 640,
    ) -> Response:
        """One image of a camera within a clip, by its number."""
        if w not in WIDTHS:
            raise QueryError(f"expected a width of {', '.join(map(str, WIDTHS))}, found {w}")
        return _picture(media.frame(require_row(index, clip_id), camera, frame, w))

    return router


def _map_routes(state: _State) -> APIRouter:
    router = APIRouter(prefix="/api/map", responses=_PROBLEMS)
    found = state.map

    @router.get("")
    def about() -> dict[str, Any]:
        """How many points the map has, and where they lie."""
        points = found.points()
        (x0, y0), (x1, y1) = points.xy.min(0).tolist(), points.xy.max(0).tolist()
        told = {"points": len(points.xy), "bounds": [x0, y0, x1, y1], "version": str(found.version)}
        return plain(told | {"explained": points.explained})

    @router.get("/points", responses=BYTES, response_class=Response)
    def points() -> Response:
        """float32 [n 2]."""
        return Response(found.points().xy.astype("<f4").tobytes(), media_type="application/octet-stream")

    @router.get("/values", responses=BYTES, response_class=Response)
    def values(column: Annotated[str, InQuery(max_length=60)] = "risk") -> Response:
        """uint8 [n]: a column at each point over 0 to 254; 255 where it is null."""
        return Response(found.values(column).tobytes(), media_type="application/octet-stream")

    @router.post("/lasso")
    def lasso(body: bodies.LassoBody) -> dict[str, Any]:
        """The hardest intervals inside a polygon."""
        hits, inside = found.lasso(np.array(body.polygon, float), top=body.top)
        return {"hits": [hit_json(hit) for hit in hits], "inside": inside}

    return router


def _library_routes(state: _State) -> APIRouter:
    router = APIRouter(prefix="/api", responses=_PROBLEMS)
    library = state.library

    @router.post("/select")
    def choose(body: bodies.SelectBody) -> dict[str, Any]:
        """Choose clips by a rule and keep them as a Selection."""
        _require_writing(state)
        query = None if body.query is None else query_of(body.query, "the query")
        earlier = excluding(*(library.read(name) for name in body.exclude))
        weights = (body.n, body.hardness, body.score, body.diversity)
        rule = Rule(*weights, tuple(body.quotas), body.near_duplicate, earlier)
        report = select(state.index, query, rule, encode_text=state.encode)
        library.keep(body.name, report.selection)
        counts = {name: getattr(report, name) for name in ("matching", "excluded", "near_duplicates", "beyond_pool")}
        told = {"name": body.name, "selection": document_of(report.selection)}
        return told | {"report": counts | {"unmet": list(report.unmet)}}

    @router.post("/selections")
    def pick(body: bodies.PickBody) -> dict[str, Any]:
        """Keep clips that were picked by hand as a Selection."""
        _require_writing(state)
        return {"name": body.name, "selection": document_of(library.pick(body.name, body.clip_ids, body.query))}

    @router.get("/selections")
    def selections() -> list[dict[str, Any]]:
        """The Selections of this server."""
        return library.names()

    @router.get("/selections/{name}")
    def selection(name: NamePath) -> dict[str, Any]:
        """One Selection, as its file has it."""
        if not library.path(name).is_file():
            raise NoPictureError(f"expected a selection called {name!r}, found none")
        return document_of(library.read(name))

    @router.post("/exports")
    def export(body: bodies.ExportBody) -> dict[str, Any]:
        """Begin an export; ask for its job how far it is."""
        _require_writing(state)
        if not library.path(body.selection).is_file():
            raise NoPictureError(f"expected a selection called {body.selection!r}, found none")
        return {"job": library.export(body.selection, body.to).job}

    @router.get("/jobs/{job}")
    def job(job: Annotated[str, InPath(pattern=r"^job-[0-9]{1,9}$")]) -> dict[str, Any]:
        """How far an export is."""
        if job not in library.jobs:
            raise NoPictureError(f"expected a job of this server, found none called {job}")
        return vars(library.jobs[job]).copy()

    return router


def _query_of_body(body: bodies.SearchBody, state: _State) -> Query | None:
    if body.query is not None:
        if body.text or body.image or body.like or body.unlike or body.where:
            raise QueryError("expected a saved query or parts of one, found both")
        return query_of(body.query, "the query")
    if not (body.text or body.image or body.like or body.unlike or body.where):
        return None
    image = None
    if body.image is not None:
        try:
            data = base64.b64decode(body.image.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise QueryError("expected the image in base64") from error
        with state.encoding:
            image = state.index.encoders.image(data, name=body.image.name)
    return make_query(body.text or None, image=image, like=body.like, unlike=body.unlike, where=body.where or None)


def _require_writing(state: _State) -> None:
    if not state.settings.can_write:
        raise HTTPException(403, "expected a server that may write, found one started with --read-only")


def _picture(data: bytes) -> Response:
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})


def _add_handlers(app: FastAPI) -> None:
    """Our own errors as one sentence; anything else without a word of what is inside."""

    def answer(status: int) -> Callable[[Request, Exception], Response]:
        def handler(_: Request, error: Exception) -> Response:
            return JSONResponse({"error": str(error)}, status)

        return handler

    def unprocessable(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        return JSONResponse({"error": f"{place or 'body'}: {first['msg']}"}, 422)

    def plain_status(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)

    app.add_exception_handler(UnknownClipError, answer(404))
    app.add_exception_handler(NoPictureError, answer(404))
    app.add_exception_handler(WriterBusyError, answer(409))
    app.add_exception_handler(IndexFault, answer(400))
    app.add_exception_handler(DataError, answer(400))
    app.add_exception_handler(RequestValidationError, unprocessable)
    app.add_exception_handler(HTTPException, plain_status)
