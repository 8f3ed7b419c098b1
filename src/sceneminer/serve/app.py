"""The web application: routes, the page's files, and errors in one sentence."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from sceneminer.data.errors import DataError
from sceneminer.index.errors import IndexFault, WriterBusyError
from sceneminer.index.search import Index
from sceneminer.model.errors import CheckpointError
from sceneminer.serve.clips import UnknownClipError
from sceneminer.serve.library import CrowdedError, TakenNameError, UnknownNameError
from sceneminer.serve.media import NoPictureError
from sceneminer.serve.routes_keep import library_routes
from sceneminer.serve.routes_look import clip_routes, map_routes, search_routes
from sceneminer.serve.settings import WORKERS, Settings
from sceneminer.serve.state import State


def make_app(index: Index, settings: Settings) -> FastAPI:
    """The API and the page, without the gate in front of it (``gate.Gate``)."""
    state = State(index, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Requests are worked on a few at a time; torch and the engine use all cores for each.
        anyio.to_thread.current_default_thread_limiter().total_tokens = WORKERS
        threading.Thread(target=state.warm_up, daemon=True).start()
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
    for router in (search_routes(state), clip_routes(state), map_routes(state), library_routes(state)):
        app.include_router(router)
    _add_handlers(app)
    static = Path(str(resources.files("sceneminer.serve") / "static"))
    app.mount("/static", StaticFiles(directory=static), name="static")

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return Response((static / "index.html").read_bytes(), media_type="text/html; charset=utf-8")

    return app


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

    def unforeseen(_: Request, __: Exception) -> Response:
        # The server's own output has the traceback.
        return JSONResponse(
            {"error": "expected to answer this, found a fault of the server; its output says more"}, 500
        )

    app.add_exception_handler(UnknownClipError, answer(404))
    app.add_exception_handler(NoPictureError, answer(404))
    app.add_exception_handler(UnknownNameError, answer(404))
    app.add_exception_handler(TakenNameError, answer(409))
    app.add_exception_handler(CrowdedError, answer(503))
    app.add_exception_handler(WriterBusyError, answer(409))
    app.add_exception_handler(IndexFault, answer(400))
    app.add_exception_handler(DataError, answer(400))
    app.add_exception_handler(CheckpointError, answer(400))
    app.add_exception_handler(RequestValidationError, unprocessable)
    app.add_exception_handler(HTTPException, plain_status)
    app.add_exception_handler(Exception, unforeseen)
