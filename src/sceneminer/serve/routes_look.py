"""Routes that look: search, clips and their pictures, and the map of the index."""

import base64
import binascii
import threading
import time
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Response
from fastapi import Path as InPath
from fastapi import Query as InQuery

from sceneminer.index.errors import QueryError
from sceneminer.index.facets import SPREADS, facets
from sceneminer.index.head_files import filter_names
from sceneminer.index.heads import add_head
from sceneminer.index.label_set import mark
from sceneminer.index.preview import preview_hits, preview_relevance
from sceneminer.index.query import Query, make_query, query_of
from sceneminer.index.resolve import resolve
from sceneminer.index.search import hardest, run_query
from sceneminer.index.where_unknown import known_of_no_clip
from sceneminer.serve import answers, answers_clip, bodies
from sceneminer.serve.clips import clip_json, hit_json, plain, rows_of
from sceneminer.serve.info import info_json, log_row
from sceneminer.serve.media import WIDTHS, NoPictureError, require_row
from sceneminer.serve.scene import scene_json
from sceneminer.serve.state import BYTES, JPEG, PROBLEMS, ClipPath, State, described, require_writing


def search_routes(state: State) -> APIRouter:
    router = APIRouter(prefix="/api", responses=PROBLEMS)
    index = state.index

    @router.get("/info", **described(answers.Info))
    def info() -> dict[str, Any]:
        """What the index holds and what may be asked of it."""
        return info_json(index, state.settings)

    @router.post("/search", **described(answers.Hits))
    def search(body: bodies.SearchBody) -> dict[str, Any]:
        """The best intervals of a query, with the parts of their scores; of no query at all, the hardest."""
        begun = time.perf_counter()
        state.remember()
        query = _query_of_body(body, state)
        if query is None:
            hits = hardest(index, top=body.top, merge=body.merge) if "hardness" in index.manifest else ()
        else:
            hits = run_query(index, query, top=body.top, merge=body.merge, encode_text=state.encode)
        where = query.where if query and not hits else None
        told = {
            "query": query.as_json() if query else None,
            "hits": [hit_json(hit) for hit in hits],
            "unknown": list(known_of_no_clip(index, where)) if where else [],
        }
        return told | {"took_ms": round(1000 * (time.perf_counter() - begun), 1)}

    @router.post("/facets", **described(answers.FacetsTold))
    def count(body: bodies.FacetsBody) -> dict[str, Any]:
        """How many clips and logs a filter lets through, how many with each tag, and how their values spread."""
        return plain(asdict(facets(index, body.where or None)) | {"most": SPREADS})

    @router.post("/train", **described(answers.Trained))
    def train(body: bodies.TrainBody) -> dict[str, Any]:
        """Fit a head to marked clips from stored streams, and rank by it; keep it where a name is given."""
        begun = time.perf_counter()
        if body.save_as is not None:
            require_writing(state)
        labels = mark(body.relevant, body.not_relevant)
        resolved = resolve(index.store, body.where, added=filter_names(index.store))
        with state.training:
            preview = preview_relevance(index, labels)
        hits = preview_hits(index, preview, resolved, top=body.top, merge=body.merge)
        took = round(1000 * (time.perf_counter() - begun), 1)
        saved = None
        if body.save_as is not None:
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


def clip_routes(state: State) -> APIRouter:
    router = APIRouter(responses=PROBLEMS)
    index, media = state.index, state.media

    @router.get("/api/clips/{clip_id}", **described(answers_clip.ClipTold))
    def clip(clip_id: ClipPath) -> dict[str, Any]:
        """Everything that is known of a clip."""
        row = rows_of(index, [clip_id])[clip_id]
        return clip_json(index, row, log_row(index, row["log_id"]), media.log(row["log_id"]))

    @router.get("/api/clips/{clip_id}/scene", **described(answers_clip.Scene))
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


def map_routes(state: State) -> APIRouter:
    router = APIRouter(prefix="/api/map", responses=PROBLEMS)
    found = state.map

    @router.get("", **described(answers.MapOfIndex))
    def about() -> dict[str, Any]:
        """How many points the map has, and where they lie."""
        points = found.points()
        (x0, y0), (x1, y1) = points.xy.min(0).tolist(), points.xy.max(0).tolist()
        told = {"points": len(points.xy), "bounds": [x0, y0, x1, y1], "version": str(found.version)}
        return plain(told | {"explained": points.plane.explained})

    @router.get("/points", responses=BYTES, response_class=Response)
    def points() -> Response:
        """float32 [n 2]."""
        return Response(found.points().xy.astype("<f4").tobytes(), media_type="application/octet-stream")

    @router.get("/values", responses=BYTES, response_class=Response)
    def values(column: Annotated[str, InQuery(max_length=60)] = "risk") -> Response:
        """uint8 [n]: a column at each point over 0 to 254; 255 where it is null."""
        return Response(found.values(column).tobytes(), media_type="application/octet-stream")

    @router.post("/lasso", **described(answers.Lassoed))
    def lasso(body: bodies.LassoBody) -> dict[str, Any]:
        """The hardest intervals inside a polygon."""
        hits, inside = found.lasso(np.array(body.polygon, float), top=body.top, merge=body.merge)
        return {"hits": [hit_json(hit) for hit in hits], "inside": inside}

    return router


def _query_of_body(body: bodies.SearchBody, state: State) -> Query | None:
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


def _picture(data: bytes) -> Response:
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})
