"""The demo: a small town, mined, searched and reported, with nothing to download."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sceneminer.data.options import OpenOptions
from sceneminer.data.synth.console import synth_with_progress
from sceneminer.export.card import ClipCard, read_cards
from sceneminer.export.report import write_report
from sceneminer.export.words import camera_words, risk_words, tag_words, top_tags
from sceneminer.index.hits import Hit
from sceneminer.index.search import Index, hardest, open_index, search
from sceneminer.mine.console import mine_with_progress
from sceneminer.mine.units import MiningPlan
from sceneminer.model.zoo import TINY, resolve_model

QUERIES = (
    "a street at night in the rain",
    "a pedestrian crossing the street in front of the car",
    "road works with traffic cones",
)
NOTE = (
    f"{TINY} is a demo model trained on synthetic towns alone: it is made to search streets like these and cannot be "
    "relied on for real ones; for real logs name a CLIP or SigLIP 2 on the hub with --model."
)
_CAMERAS = ("CAM_FRONT", "CAM_FRONT_LEFT", "CAM_FRONT_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT")


@dataclass(frozen=True)
class DemoTown:
    """What is recorded: small enough to be rendered in a minute or two, varied enough to be searched."""

    logs: int = 5
    seed: int = 9
    """By its labels, not by what is found: each of the queries is true of some drive of this town."""
    split: str = "val"
    size_hw: tuple[int, int] = (160, 280)
    sensors: tuple[str, ...] = _CAMERAS
    duration_s: float = 12.0


def run_demo(
    out: Path,
    *,
    model: str = TINY,
    town: DemoTown | None = None,
    queries: Sequence[str] = QUERIES,
    top: int = 4,
    workers: int | None = None,
) -> None:
    """Make ``out/town``, mine it to ``out/index``, search, and write ``out/report.html``.

    What a former run left there is used again. CheckpointError, before anything is rendered, where the model is not
    there; DataError or IndexFault where ``out`` holds another town or index.
    """
    console = Console(highlight=False, soft_wrap=True)
    resolve_model(model)
    note = NOTE if model == TINY else f"mined with {Path(model).name}"
    console.print(note, style="dim")
    town = town or DemoTown()
    folder, index_folder, report = out / "town", out / "index", out / "report.html"
    with _timed(console, "a town and drives through it"):
        synth_with_progress(
            folder,
            logs=town.logs,
            seed=town.seed,
            split=town.split,
            rate="keyframes",
            size_hw=town.size_hw,
            sensors=town.sensors,
            duration_s=town.duration_s,
            workers=workers or os.cpu_count(),
            logs_per_town=town.logs,
        )
    with _timed(console, "mining"):
        plan = MiningPlan()
        mine_with_progress(
            folder, index_folder, options=OpenOptions(), plan=plan, model=model, precision=None, workers=2
        )
    index = open_index(index_folder)
    with _timed(console, "searching"):
        encode = index.encoders.texts
        found = [(text, search(index, text, top=top, encode_text=encode)) for text in queries]
        hard = hardest(index, top=top)
    for text, hits in found:
        _print_hits(console, index, f'search "{text}"', hits)
    _print_hits(console, index, "hardest", hard)
    with _timed(console, "the report"):
        write_report(index, report, searches=found, hardest=hard, title="sceneminer demo", note=note)
    first = (hard or found[0][1])[0].best_clip_id
    console.print(f"\nreport: {report.resolve()} (open it in a browser)")
    console.print(f"a clip: sceneminer show {index_folder} {first} --out {out / 'clip.png'}")
    console.print(f'search: sceneminer search {index_folder} "rain" --where "risk > 0.2"')
    console.print(f"the page: sceneminer serve {index_folder}")


@contextmanager
def _timed(console: Console, what: str) -> Iterator[None]:
    console.print(f"\n{what}", style="bold")
    start = time.monotonic()
    yield
    console.print(f"  {time.monotonic() - start:.1f} s", style="dim")


def _print_hits(console: Console, index: Index, title: str, hits: Sequence[Hit]) -> None:
    cards = read_cards(index, [hit.best_clip_id for hit in hits])
    console.print(f"\n{title}", style="bold")
    if not hits:
        console.print("nothing found")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("score", "log", "best clip", "risk and why, tags, description"):
        table.add_column(name, justify="right" if name == "score" else "left")
    for hit in hits:
        card = cards[hit.best_clip_id]
        said = "\n".join(line for line in (risk_words(card), camera_words(card), _tags(card), card.description) if line)
        table.add_row(f"{hit.score:.3f}", hit.log_name, _span(card), said)
    console.print(table)


def _span(card: ClipCard) -> str:
    return f"{card.offset_s(card.start_us):.0f} to {card.offset_s(card.end_us):.0f} s"


def _tags(card: ClipCard) -> str:
    return ", ".join(f"{tag_words(name)} {p:.2f}" for name, p in top_tags(card, most=3, least=2))
