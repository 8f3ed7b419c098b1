"""``sceneminer search``, ``hardest``, ``select``, ``replay``, ``export``: from an index to files for somebody else."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from sceneminer.index.hits import Hit
    from sceneminer.index.query import Query
    from sceneminer.index.search import Index

IndexPath = Annotated[Path, typer.Argument(metavar="INDEX", help="Folder of the index.")]
Text = Annotated[str | None, typer.Argument(metavar="[TEXT]", help='What to look for; "a" and not "b" joins texts.')]
Like = Annotated[list[str] | None, typer.Option(help="Id of a clip to be like; may be given several times.")]
Unlike = Annotated[list[str] | None, typer.Option(help="Id of a clip to be unlike; may be given several times.")]
Image = Annotated[Path | None, typer.Option(help="A JPEG or PNG to be like.")]
Where = Annotated[
    str | None,
    typer.Option(help="Filter, e.g. \"risk > 0.6 and tag.rain > 0.5 and agent.category = 'pedestrian'\"."),
]
QueryFile = Annotated[Path | None, typer.Option("--query", help="A saved query, instead of its parts.")]
Top = Annotated[int, typer.Option(help="How many intervals, after merging neighbouring clips.")]
Merge = Annotated[
    bool,
    typer.Option("--merge/--no-merge", help="Neighbouring clips of a log as one interval, or each clip by itself."),
]
Format = Annotated[Literal["table", "json"], typer.Option("--format", help="How to print.")]
SelectionPath = Annotated[Path, typer.Argument(metavar="SELECTION", help="A Selection's file.")]


def search(
    index: IndexPath,
    text: Text = None,
    like: Like = None,
    unlike: Unlike = None,
    image: Image = None,
    where: Where = None,
    query: QueryFile = None,
    save_query: Annotated[Path | None, typer.Option(help="Save this query as a small JSON that replays.")] = None,
    top: Top = 10,
    merge: Merge = True,
    format_: Format = "table",
) -> None:
    """Find time intervals by texts, an image, clips to be like and unlike, and a filter; by filter alone, the hardest.

    Filters and texts are explained in the guide to queries (docs/guides/query.md).
    """
    from sceneminer.index.query import write_query
    from sceneminer.index.search import open_index, run_query

    opened = open_index(index)
    asked = _query(opened, text, like=like, unlike=unlike, image=image, where=where, saved=query)
    hits = run_query(opened, asked, top=top, merge=merge)
    if save_query is not None:
        write_query(asked, save_query)
    _print_hits(hits, format_, score="score")
    _say_unknown(opened, hits, asked.where)


def hardest(
    index: IndexPath, where: Where = None, top: Top = 10, merge: Merge = True, format_: Format = "table"
) -> None:
    """The intervals of highest hardness: risk, ambiguity and rarity under fixed, printed weights."""
    from sceneminer.index.hardness import WEIGHTS
    from sceneminer.index.manage import hardness_words
    from sceneminer.index.search import hardest as hardest_hits
    from sceneminer.index.search import open_index
    from sceneminer.index.where import RISK_RULE

    opened = open_index(index)
    hits = hardest_hits(opened, where=where, top=top, merge=merge)
    _print_hits(hits, format_, score="hardness")
    _say_unknown(opened, hits, f"hardness >= 0 and ({where})" if where else "hardness >= 0")
    if format_ == "table":
        weights = ", ".join(f"{name} {weight:g}" for name, weight in WEIGHTS.items())
        typer.echo(
            f"hardness weighs percentiles: {weights}; a null part is left out; {hardness_words(opened)}. {RISK_RULE}."
        )


def select(
    index: IndexPath,
    n: Annotated[int, typer.Option(help="How many clips.")],
    out: Annotated[Path, typer.Option(help="The Selection to write: a new JSON file.")],
    text: Text = None,
    like: Like = None,
    unlike: Unlike = None,
    image: Image = None,
    where: Where = None,
    query: QueryFile = None,
    hardness: Annotated[float, typer.Option(help="Weight of hardness.")] = 1.0,
    score: Annotated[float, typer.Option(help="Weight of likeness to text, image and examples.")] = 1.0,
    diversity: Annotated[float, typer.Option(help="Weight of distance to what is chosen already.")] = 1.0,
    quota: Annotated[
        list[str] | None, typer.Option(help="E.g. log<=3, tag.night>=50, location=boston-seaport<=100; several times.")
    ] = None,
    near_duplicate: Annotated[
        float | None,
        typer.Option(
            help="Cosine from which two clips are one; above 1: never. By default where they are 2 % of the mean "
            "distance apart."
        ),
    ] = None,
    exclude: Annotated[
        list[Path] | None, typer.Option(help="An earlier Selection to leave out; several times.")
    ] = None,
) -> None:
    """Choose clips that are hard, to the point and unlike one another, and freeze them as a Selection.

    Exit code: 0 as asked, 3 fewer clips than asked or a quota not met (said), 2 unusable input.
    """
    from sceneminer.index.search import open_index
    from sceneminer.index.select import AUTO, Rule, excluding
    from sceneminer.index.select import select as select_clips
    from sceneminer.index.selection import read_selection, write_selection

    opened = open_index(index)
    parts = (text, like, unlike, image, where, query)
    asked = None
    if any(part for part in parts):
        asked = _query(opened, text, like=like, unlike=unlike, image=image, where=where, saved=query)
    earlier = [read_selection(path) for path in exclude or ()]
    near = AUTO if near_duplicate is None else None if near_duplicate > 1 else near_duplicate
    rule = Rule(n, hardness, score, diversity, tuple(quota or ()), near, excluding(*earlier))
    report = select_clips(opened, asked, rule)
    write_selection(report.selection, out)
    found = len(report.selection.items)
    alike = "" if report.near_cosine is None else f" (cosine of {report.near_cosine:g} or more)"
    typer.echo(
        f"chose {found} of {report.matching} clips: {report.excluded} left out as selected before, "
        f"{report.near_duplicates} as near-duplicates of better ones{alike}; wrote {out}"
    )
    for line in report.unmet:
        typer.echo(f"quota not met: {line}", err=True)
    if found < n:
        typer.echo(f"expected {n} clips, found no more than {found} to choose", err=True)
    raise typer.Exit(3 if report.unmet or found < n else 0)


def replay(
    selection: SelectionPath,
    index: IndexPath,
    out: Annotated[Path | None, typer.Option(help="Write what its rule chooses now, as a new Selection.")] = None,
    format_: Format = "table",
) -> None:
    """Show a Selection, choose again by its query and rule, and say what changed.

    Exit code: 0 the same clips with the same scores, 3 something changed, 2 unusable input.
    """
    from sceneminer.export.selection_table import print_replay
    from sceneminer.index.replay import replay as replay_selection
    from sceneminer.index.search import open_index
    from sceneminer.index.selection import read_selection, write_selection

    then = read_selection(selection)
    found = replay_selection(open_index(index), then)
    if out is not None:
        write_selection(found.now, out)
    print_replay(then, found, as_json=format_ == "json")
    raise typer.Exit(0 if found.same else 3)


def export(
    selection: SelectionPath,
    index: IndexPath,
    to: Annotated[str, typer.Option(help="nuscenes, openlabel, parquet, csv, rerun, mcap or fiftyone.")],
    out: Annotated[Path, typer.Option(help="The new file or folder to write.")],
    link: Annotated[
        bool, typer.Option("--link", help="Hard-link recordings rather than copying them (nuscenes).")
    ] = False,
) -> None:
    """Write the clips of a Selection for another tool; licence and origin travel along.

    Exit code: 0 all written, 3 something was left out (named), 2 unusable input.
    """
    from sceneminer.export.formats import export_selection
    from sceneminer.index.search import open_index
    from sceneminer.index.selection import read_selection

    chosen = read_selection(selection)
    report = export_selection(
        open_index(index), chosen, out, to=to, link=link, say=lambda line: typer.echo(line, err=True)
    )
    typer.echo(f"wrote {report.items} of {len(chosen.items)} intervals as {report.files} files to {report.path}")
    for what, why in report.left_out:
        typer.echo(f"left out: {what}: {why}", err=True)
    raise typer.Exit(3 if report.left_out else 0)


def serve(
    index: IndexPath,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8765,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Ask for no token: only on this machine's own address.")
    ] = False,
    exports: Annotated[
        Path | None, typer.Option(help="Folder for selections and exports; by default INDEX-exports.")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="No heads, selections or exports.")] = False,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="Another address under which browsers reach it, e.g. https://scenes.example; several times."),
    ] = None,
) -> None:
    """Open the page: search, look, mark, train, select and export in the browser.

    The printed address holds a token, which is exchanged for a cookie; share links from the address bar instead.
    """
    from sceneminer.serve.run import serve as serve_index
    from sceneminer.serve.settings import Settings

    settings = Settings(index, host, port, exports=exports, can_write=not read_only, origins=tuple(origin or ()))
    serve_index(replace(settings, token=None) if no_token else settings)


def _query(
    index: "Index",
    text: str | None,
    *,
    like: list[str] | None,
    unlike: list[str] | None,
    image: Path | None,
    where: str | None,
    saved: Path | None,
) -> "Query":
    """Of the parts that were given, or the saved one."""
    from sceneminer.index.query import make_query, read_query

    if saved is not None:
        if any((text, like, unlike, image, where)):
            raise typer.BadParameter("expected a saved query or parts of one, found both", param_hint="--query")
        return read_query(saved)
    example = None if image is None else index.encoders.image(image)
    return make_query(text, image=example, like=like, unlike=unlike, where=where)


def _print_hits(hits: Sequence["Hit"], format_: str, *, score: str) -> None:
    if format_ == "json":
        typer.echo(json.dumps([asdict(hit) for hit in hits], indent=2, allow_nan=False))
        return
    from sceneminer.export.hit_table import print_hits

    print_hits(hits, score=score)


def _say_unknown(index: "Index", hits: Sequence["Hit"], where: str | None) -> None:
    """Where nothing was found because nothing is known of it; null never matches."""
    from sceneminer.index.where_unknown import known_of_no_clip

    unknown = () if hits or where is None else known_of_no_clip(index, where)
    if unknown:
        typer.echo(f"known of no clip in this index, so that nothing matches: {', '.join(unknown)}", err=True)
