"""``sceneminer verify`` and ``sceneminer bench``: has anything moved, and what moves things."""

from pathlib import Path
from typing import Annotated

import typer

bench_app = typer.Typer(help="Benchmarks that print the tables in docs/results.", no_args_is_help=True)


def verify(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Folder of a scene model.")],
    against: Annotated[str, typer.Option(help="Folder of the older scene model that nothing may have moved from.")],
) -> None:
    """Compare a checkpoint with an older one, bit by bit: weights, buffers, preprocessing and outputs on a probe batch.

    Exit code: 0 all that the older one had is unmoved, 1 something moved (the first is named), 2 unusable input.
    """
    from sceneminer.evals.identity_verify import print_report
    from sceneminer.model.verify import verify as verify_checkpoints

    report = verify_checkpoints(checkpoint, against)
    print_report(report)
    raise typer.Exit(0 if report.identical else 1)


@bench_app.command("identity")
def identity(
    out: Annotated[Path, typer.Option(help="Folder to write results/ and images/ in, such as docs.")] = Path(
        "out/identity"
    ),
    model: Annotated[str | None, typer.Option(help="A trained scene model; else a small one is trained.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of cached features for it; else made up.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many times, from other seeds.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Of fine-tuning in each arm.")] = 60,
) -> None:
    """Does adding a head move its siblings? Two conditions, two by two, and one arm for each leak: table and plot."""
    from sceneminer.evals.identity_console import run_and_write

    run_and_write(out, model=model, data=data, seeds=seeds, steps=steps)
