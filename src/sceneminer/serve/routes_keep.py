"""Routes that keep: Selections chosen or picked, and exports."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath

from sceneminer.index.query import query_of
from sceneminer.index.select import Rule, excluding, select
from sceneminer.index.selection import document_of
from sceneminer.serve import answers, bodies
from sceneminer.serve.state import PROBLEMS, NamePath, State, described, require_writing


def library_routes(state: State) -> APIRouter:
    router = APIRouter(prefix="/api", responses=PROBLEMS)
    library = state.library

    @router.post("/select", **described(answers.Chosen))
    def choose(body: bodies.SelectBody) -> dict[str, Any]:
        """Choose clips by a rule and keep them as a Selection."""
        require_writing(state)
        library.require_new(body.name)
        query = None if body.query is None else query_of(body.query, "the query")
        earlier = excluding(*(library.read(name) for name in body.exclude))
        weights = (body.n, body.hardness, body.score, body.diversity)
        rule = Rule(*weights, tuple(body.quotas), body.near_duplicate, earlier)
        report = select(state.index, query, rule, encode_text=state.encode)
        library.keep(body.name, report.selection)
        told_of = ("matching", "excluded", "near_duplicates", "near_cosine", "beyond_pool")
        counts = {name: getattr(report, name) for name in told_of}
        told = {"name": body.name, "selection": document_of(report.selection)}
        return told | {"report": counts | {"unmet": list(report.unmet)}}

    @router.post("/selections", **described(answers.Kept))
    def pick(body: bodies.PickBody) -> dict[str, Any]:
        """Keep clips that were picked by hand as a Selection."""
        require_writing(state)
        return {"name": body.name, "selection": document_of(library.pick(body.name, body.clip_ids, body.query))}

    @router.get("/selections", **described(list[answers.NameOfSelection]))
    def selections() -> list[dict[str, Any]]:
        """The Selections of this server."""
        return library.names()

    @router.get("/selections/{name}", **described(answers.SelectionTold))
    def selection(name: NamePath) -> dict[str, Any]:
        """One Selection, as its file has it."""
        return document_of(library.read(name))

    @router.post("/exports", **described(answers.JobBegun))
    def export(body: bodies.ExportBody) -> dict[str, Any]:
        """Begin an export; ask for its job how far it is."""
        require_writing(state)
        return {"job": library.export(body.selection, body.to).job}

    @router.get("/jobs/{job}", **described(answers.JobTold))
    def job(job: Annotated[str, InPath(pattern=r"^job-[0-9]{1,9}$")]) -> dict[str, Any]:
        """How far an export is."""
        return vars(library.job(job)).copy()

    return router
