"""The command line: thin over the Python API. Each command imports what it needs, so that ``--help`` is instant."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from sceneminer.cli import find
from sceneminer.cli.heads import heads_app
from sceneminer.cli.identity import bench_app, verify

app = typer.Typer(
    name="sceneminer",
    help="Find the scenes that matter in driving logs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
index_app = typer.Typer(help="Look at and keep an index.", no_args_is_help=True)
app.add_typer(index_app, name="index")
app.add_typer(bench_app, name="bench")
app.add_typer(heads_app, name="heads")

IndexPath = find.IndexPath
Format = find.Format
Root = Annotated[
    Path, typer.Argument(metavar="ROOT", help="Folder with logs (nuScenes, Argoverse 2, images, video, MCAP).")
]
Cameras = Annotated[str | None, typer.Option(help="Only these cameras, comma separated.")]
MediaRoot = Annotated[Path | None, typer.Option(help="Where images lie when not under ROOT.")]
Fps = Annotated[float | None, typer.Option(help="Frames a second of plain image folders that have no times.")]
SplitOption = Annotated[str | None, typer.Option(help="Split or version folder, e.g. v1.0-mini.")]
Model = Annotated[str, typer.Option(help="sceneminer-tiny, a folder, or a CLIP or SigLIP 2 name on the hub.")]
Workers = Annotated[int, typer.Option(min=1, help="Threads that decode images ahead of the model.")]
Seconds = Annotated[str, typer.Option(help="Seconds, e.g. 1s or 0.5s.")]


@app.command()
def mine(
    root: Root,
    out: Annotated[Path, typer.Option(help="Folder of the index; made, continued or added to.")],
    model: Model = "sceneminer-tiny",
    cameras: Cameras = None,
    stride: Seconds = "1s",
    length: Seconds = "2s",
    workers: Workers = 2,
    min_cameras: Annotated[int, typer.Option(help="A clip with fewer usable cameras is quarantined.")] = 1,
    retry_quarantined: Annotated[bool, typer.Option(help="Mine again what was masked or quarantined.")] = False,
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="Numeric mode of the tower.")] = "fp32",
    logs: Annotated[str | None, typer.Option(help="Only these logs, comma separated names.")] = None,
    split: SplitOption = None,
    media_root: MediaRoot = None,
    fps: Fps = None,
) -> None:
    """Read the logs under ROOT, run the model over them once, and keep what comes out in an index.

    Exit code: 0 all mined, 3 something was masked or quarantined, 2 unusable input, 130 interrupted.
    """
    from sceneminer.data.options import OpenOptions
    from sceneminer.mine.console import mine_with_progress
    from sceneminer.mine.units import MiningPlan

    options = OpenOptions(media_root=media_root, cameras=_names(cameras), split=split, fps=fps, logs=_names(logs))
    plan = MiningPlan(
        _microseconds(stride, "--stride"), _microseconds(length, "--length"), min_cameras, _names(cameras)
    )
    code = mine_with_progress(
        root,
        out,
        options=options,
        plan=plan,
        model=model,
        precision=precision,
        workers=workers,
        retry_quarantined=retry_quarantined,
    )
    raise typer.Exit(code)


@app.command()
def show(
    index: IndexPath,
    clip_id: Annotated[str, typer.Argument(metavar="CLIP_ID", help="As a search names it under 'best clip'.")],
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("clip.png"),
) -> None:
    """Draw one clip: its cameras, and a bird's-eye view with map, tracks and the riskiest agent."""
    from sceneminer.export.picture import draw_clip
    from sceneminer.index.search import open_index

    draw_clip(open_index(index), clip_id, out)
    typer.echo(f"wrote {out}")


@app.command()
def tags(explain: Annotated[bool, typer.Option(help="Print the rule behind each tag.")] = False) -> None:
    """List the 20 scene tags."""
    from sceneminer.labels.prompts import TAGS
    from sceneminer.labels.tags import explain as explain_tag

    for tag in TAGS:
        typer.echo(f"{tag}\n    {explain_tag(tag)}\n" if explain else tag)


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write, in nuScenes v1.0 format.")],
    logs: Annotated[int, typer.Option(help="How many logs.")] = 12,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 7,
    split: Annotated[str, typer.Option(help="train, val, test or far; their towns share nothing.")] = "val",
    rate: Annotated[str, typer.Option(help="keyframes (2 Hz) or full (cameras 12 Hz, LiDAR 20 Hz).")] = "keyframes",
    size: Annotated[str, typer.Option(help="Image height x width.")] = "256x448",
    sensors: Annotated[str | None, typer.Option(help="Comma separated; default all six cameras and LIDAR_TOP.")] = None,
    seconds: Annotated[float, typer.Option(help="Length of a log.")] = 20.0,
    workers: Annotated[int | None, typer.Option(help="Processes; default one a core.")] = None,
) -> None:
    """Make a procedural town and record drives through it, as a nuScenes folder."""
    from sceneminer.data.synth.console import synth_with_progress

    size_hw = tuple(int(part) for part in size.split("x")) if size.replace("x", "", 1).isdigit() else ()
    if len(size_hw) != 2:
        raise typer.BadParameter(f"expected HEIGHTxWIDTH such as 256x448, found {size!r}", param_hint="--size")
    synth_with_progress(
        out,
        logs=logs,
        seed=seed,
        split=split,
        rate=rate,
        size_hw=(size_hw[0], size_hw[1]),
        sensors=_names(sensors),
        duration_s=seconds,
        workers=workers,
    )


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the town, the index and the report.")] = Path("out/demo"),
) -> None:
    """Make a small town, mine it, search it three times, show the hardest clips and write report.html."""
    from sceneminer.evals.demo import run_demo

    run_demo(out)


@index_app.command("info")
def info(index: IndexPath, format_: Format = "table") -> None:
    """What is in an index, what made it, and which rule gives risk."""
    from sceneminer.index.manage import hardness_words, index_info
    from sceneminer.index.search import open_index
    from sceneminer.mine.printable import one_line

    opened = open_index(index)
    found = asdict(index_info(opened))
    if format_ == "json":
        typer.echo(json.dumps(found, indent=2, allow_nan=False))
        return
    manifest = found.pop("manifest") | {"hardness": hardness_words(opened)}
    for key, value in {**found, **manifest}.items():
        typer.echo(one_line(f"{key:24} {json.dumps(value) if isinstance(value, dict) else value}"))


@index_app.command("add")
def add(
    index: IndexPath,
    root: Root,
    model: Model = "",
    cameras: Cameras = None,
    workers: Workers = 2,
    split: SplitOption = None,
    media_root: MediaRoot = None,
    fps: Fps = None,
) -> None:
    """Mine more logs into an existing index, with the model and plan it was made with."""
    from sceneminer.data.options import OpenOptions
    from sceneminer.index.search import open_index
    from sceneminer.mine.console import mine_with_progress
    from sceneminer.mine.units import MiningPlan

    manifest = open_index(index).manifest
    plan = manifest["mining"]
    code = mine_with_progress(
        root,
        index,
        options=OpenOptions(media_root=media_root, cameras=_names(cameras), split=split, fps=fps),
        plan=MiningPlan(plan["stride_us"], plan["length_us"], plan["min_cameras"], _names(cameras)),
        model=model or manifest["model"]["source"],
        precision=manifest["model"]["precision"],
        workers=workers,
    )
    raise typer.Exit(code)


@index_app.command("delete")
def delete(
    index: IndexPath, logs: Annotated[list[str], typer.Argument(metavar="LOG...", help="Names or ids of logs.")]
) -> None:
    """Remove logs, by name or id, from every table."""
    from sceneminer.index.manage import delete_logs
    from sceneminer.index.search import open_index

    removed = delete_logs(open_index(index), tuple(logs))
    typer.echo("removed " + ", ".join(f"{count} {name}" for name, count in removed.items()))


@index_app.command("move")
def move(
    index: IndexPath,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Folder that data lay under when they were mined.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Folder that they lie under now.")],
) -> None:
    """Say that data once under OLD now lies under NEW."""
    from sceneminer.index.manage import move_root
    from sceneminer.index.search import open_index

    typer.echo(f"{move_root(open_index(index), old, new)} logs now read from under {new}")


@index_app.command("optimize")
def optimize(index: IndexPath) -> None:
    """Refresh rarity and hardness, merge small files, and build the vector index past 50,000 clips."""
    from sceneminer.index.manage import optimize as optimize_index
    from sceneminer.index.search import open_index

    done = optimize_index(open_index(index))
    searched = "by a vector index" if done.ann else "exactly"
    typer.echo(f"hardness of {done.hardness.clips} clips at {done.hardness.index_version}; searched {searched}")


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise typer.BadParameter(f"expected names separated by commas, found {text!r}")
    return names


def _microseconds(text: str, option: str) -> int:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError as error:
        raise typer.BadParameter(f"expected seconds such as 1s or 0.5s, found {text!r}", param_hint=option) from error
    if not 0 < seconds < 1e6:
        raise typer.BadParameter(f"expected a positive number of seconds, found {text!r}", param_hint=option)
    return round(seconds * 1e6)


# After those above, so that help lists commands in the order of a first day.
for command in (find.search, find.hardest, find.select, find.replay, find.export, find.serve, verify):
    app.command()(command)


def main() -> None:
    """Entry point: our own errors are one line and exit code 2, an interrupt is 130."""
    try:
        code = app(standalone_mode=False)
    except typer.BadParameter as error:
        error.show()
        sys.exit(2)
    except (typer.TyperException, ValueError, OSError) as error:
        _say_error(str(error))
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    # typer turns an interrupt into this code by itself, without a word.
    if code == 130:
        typer.echo("interrupted; run the same command again to continue", err=True)
    sys.exit(code if isinstance(code, int) else 0)


def _say_error(text: str) -> None:
    """Without what names of logs and files could do to a terminal."""
    from sceneminer.mine.printable import one_line

    typer.echo("error: " + "\n".join(one_line(line) for line in text.split("\n")), err=True)
