"""``sceneminer heads``: thin over ``index/heads.py``, ``index/backfill.py`` and ``index/head_export.py``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sceneminer.index.backfill import Backfilled
    from sceneminer.index.heads import HeadReport, ListedHead
    from sceneminer.index.label_set import LabelSet

heads_app = typer.Typer(
    help="Add heads to an index, from what it has stored; no image is opened.", no_args_is_help=True
)

IndexPath = Annotated[Path, typer.Argument(metavar="INDEX", help="Folder of the index.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the head; its columns are head_NAME or head_NAME_LABEL.")]
Labels = Annotated[Path | None, typer.Option(help="CSV of clip_id,label[,value], or of clip_id and a column a label.")]
Target = Annotated[
    str | None, typer.Option(help="A number to learn: a column of the index, or a CSV of clip_id,value.")
]
Relevant = Annotated[
    str | None, typer.Option(help="Clips to be like: ids, comma separated, or a file with one a line.")
]
NotRelevant = Annotated[str | None, typer.Option(help="Clips that are not meant, in the same way.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same labels, same head.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Fit and measure, write nothing.")]


@heads_app.command("list")
def list_(
    place: Annotated[Path, typer.Argument(metavar="INDEX|CHECKPOINT", help="An index, or a scene model's folder.")],
    format_: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """The heads of an index or a scene model, with fingerprints and what they reached on logs left out."""
    import json
    from dataclasses import asdict

    from sceneminer.index.store import Store

    if format_ not in ("table", "json"):
        raise typer.BadParameter(f"expected table or json, found {format_!r}", param_hint="--format")
    if not Store.exists(place):
        _list_model(place, as_json=format_ == "json")
        return
    from sceneminer.index.heads import list_heads
    from sceneminer.index.search import open_index

    found = list_heads(open_index(place))
    if format_ == "json":
        typer.echo(json.dumps([asdict(head) for head in found], indent=2, allow_nan=False))
        return
    for head in found:
        _say_listed(head)
    if not found:
        typer.echo("no head has been added to this index; see sceneminer heads add --help")


@heads_app.command("add")
def add(
    index: IndexPath,
    name: Name,
    labels: Labels = None,
    target: Target = None,
    relevant: Relevant = None,
    not_relevant: NotRelevant = None,
    from_: Annotated[Path | None, typer.Option("--from", help="A scene model or index that has this head.")] = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
) -> None:
    """Fit a head to labels, a number or marked clips, from the stored streams, and write its column for all clips."""
    from sceneminer.index.heads import add_head, adopt_head
    from sceneminer.index.search import open_index

    if from_ is not None:
        if dry_run or any(option is not None for option in (labels, target, relevant, not_relevant)):
            raise typer.BadParameter("expected --from alone, found other options beside it", param_hint="--from")
        with _progress() as step:
            done = adopt_head(open_index(index), name, from_, on_step=step)
        _say_written(done)
        return
    source = _source(labels, target, relevant, not_relevant)
    with _progress() as step:
        report = add_head(open_index(index), name, source, seed=seed, dry_run=dry_run, on_step=step)
    _say_report(report)


@heads_app.command("upgrade")
def upgrade(
    index: IndexPath,
    name: Name,
    labels: Labels = None,
    target: Target = None,
    relevant: Relevant = None,
    not_relevant: NotRelevant = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
) -> None:
    """Continue a head with more labels of the same kind: it starts as it is, and what it was fitted to is kept."""
    from sceneminer.index.heads import upgrade_head
    from sceneminer.index.search import open_index

    source = _source(labels, target, relevant, not_relevant)
    with _progress() as step:
        report = upgrade_head(open_index(index), name, source, seed=seed, dry_run=dry_run, on_step=step)
    _say_report(report)


@heads_app.command("drop")
def drop(index: IndexPath, name: Name) -> None:
    """Remove a head and its columns."""
    from sceneminer.index.heads import drop_head
    from sceneminer.index.search import open_index

    typer.echo(f"dropped {', '.join(drop_head(open_index(index), name))}")


@heads_app.command("backfill")
def backfill(
    index: IndexPath,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Default: every head of the index.")] = None,
) -> None:
    """Write the columns of heads anew for all clips, from the stored streams."""
    from sceneminer.index.backfill import backfill as backfill_head
    from sceneminer.index.head_files import read_entries
    from sceneminer.index.search import open_index

    opened = open_index(index)
    names = [name] if name is not None else sorted(read_entries(opened.store))
    for one in names:
        with _progress() as step:
            done = backfill_head(opened, one, on_step=step)
        _say_written(done)
    if not names:
        typer.echo("no head has been added to this index")


@heads_app.command("export")
def export(
    index: IndexPath,
    name: Name,
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A scene model, or a new folder for one.")],
) -> None:
    """Write a head into a scene model, so that indexes mined with it have its column."""
    from sceneminer.index.head_export import export_head
    from sceneminer.index.search import open_index

    export_head(open_index(index), name, checkpoint)
    typer.echo(f"head {name} is now part of {checkpoint}")


def _source(
    labels: Path | None, target: str | None, relevant: str | None, not_relevant: str | None
) -> "LabelSet | str":
    """What was asked for; one of the three, or a usage error."""
    given = [n for n, v in (("--labels", labels), ("--target", target), ("--relevant", relevant)) if v is not None]
    if len(given) != 1 or (not_relevant is not None and relevant is None):
        found = ", ".join(given) or "none"
        raise typer.BadParameter(f"expected one of --labels, --target and --relevant, found {found}")
    from sceneminer.index.label_set import mark, read_ids, read_labels, read_values

    if labels is not None:
        return read_labels(labels)
    if target is not None:
        return read_values(Path(target)) if target.endswith(".csv") or Path(target).is_file() else target
    assert relevant is not None
    return mark(read_ids(relevant), read_ids(not_relevant) if not_relevant is not None else ())


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    import sys

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        tasks: dict[str, Any] = {}

        def step(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield step


def _say(text: str) -> None:
    from sceneminer.mine.printable import one_line

    typer.echo(one_line(text))


def _say_report(report: "HeadReport") -> None:
    weak = f" and {report.weak} that nobody marked" if report.weak else ""
    left = f"; {report.without_stream} without images left out" if report.without_stream else ""
    left += f"; {report.thinned} beyond what is used at most left out" if report.thinned else ""
    _say(f"head {report.name} ({report.reader}) {report.fingerprint[:12]} from {report.clips} clips{weak}{left}")
    for name, figures in report.held_out.items():
        said = _figures(vars(figures))
        before = report.before.get(name)
        _say(f"  {name}: {said}" + (f"; before: {_figures(vars(before))}" if before else ""))
    if report.backfilled is None:
        _say("dry run: nothing was written")
    else:
        _say_written(report.backfilled)


def _say_written(done: "Backfilled") -> None:
    null = f", null for {done.without_stream} without images" if done.without_stream else ""
    _say(f"wrote {', '.join(done.columns)} of {done.clips} clips{null} (head {done.fingerprint[:12]})")


def _say_listed(head: "ListedHead") -> None:
    state = "" if head.whole else "; not written yet: run sceneminer heads backfill"
    _say(f"{head.name}: {head.task}, head {head.fingerprint[:12]} of stream {head.stream_fingerprint[:12]}{state}")
    _say(f"  columns {', '.join(head.columns)}; from {head.trained.get('source', 'elsewhere')}")
    held_out = head.trained.get("held_out")
    for name, figures in held_out.items() if isinstance(held_out, dict) else ():
        _say(f"  {name}: {_figures(figures)}")


def _figures(figures: dict[str, Any]) -> str:
    parts = [
        f"{name} {figures[name]:.3f}" for name in ("ap", "auc", "spearman", "rmse") if figures.get(name) is not None
    ]
    if not parts:
        return "not measured: too few logs to leave any out"
    positives = f", {figures['positives']} with it" if figures.get("positives") is not None else ""
    return f"{', '.join(parts)} on {figures['clips']} clips left out{positives}, {figures['logs']} logs"


def _list_model(place: Path, *, as_json: bool) -> None:
    import json

    from sceneminer.index.errors import IndexFault
    from sceneminer.model.checkpoint import is_scene_model, read_document

    if not (place / "config.json").is_file() or not is_scene_model(place):
        raise IndexFault(f"expected an index or a scene model at {place}, found neither")
    document = read_document(place)
    heads = document["head_fingerprints"]
    if as_json:
        typer.echo(json.dumps({"stream_fingerprint": document["stream_fingerprint"], "heads": heads}, indent=2))
        return
    _say(f"stream {document['stream_fingerprint'][:12]}")
    for name, fingerprint in heads.items():
        _say(f"{name}: head {str(fingerprint)[:12]}")
