"""What a Selection can be exported to, and what comes of it: one exporter a file, imported when it is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sceneminer.index.errors import IndexFault
from sceneminer.index.search import Index
from sceneminer.index.selection import Selection

Format = Literal["nuscenes", "openlabel", "parquet", "csv", "rerun", "mcap", "fiftyone"]
FORMATS: tuple[str, ...] = get_args(Format)

Say = Callable[[str], None]
"""Gets a line of progress now and then."""


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote, and what of the Selection is not in it."""

    path: Path
    items: int
    """Items of the Selection that were written."""
    files: int
    left_out: tuple[tuple[str, str], ...] = ()
    """(what, why) of each thing that was not: an item, images of a camera, a map."""


def export_selection(
    index: Index, selection: Selection, out: Path, *, to: str, link: bool = False, say: Say | None = None
) -> ExportReport:
    """Write a Selection to a new file or folder ``out`` in the format ``to``, whole or not at all.

    ``link``: hard-link files of the recordings into the export rather than copying them (``nuscenes``). IndexFault
    for an unknown format, for ``link`` where nothing is linked, or where ``out`` is there already.
    """
    if link and to != "nuscenes":
        raise IndexFault(f"expected links only in an export to nuscenes, found them asked for in one to {to}")
    match to:
        case "nuscenes":
            from sceneminer.export.nuscenes import export_nuscenes

            return export_nuscenes(index, selection, out, link=link, say=say)
        case "openlabel":
            from sceneminer.export.openlabel import export_openlabel as export
        case "parquet":
            from sceneminer.export.tables import export_parquet as export
        case "csv":
            from sceneminer.export.tables import export_csv as export
        case "rerun":
            from sceneminer.export.rerun import export_rerun as export
        case "mcap":
            from sceneminer.export.mcap import export_mcap as export
        case "fiftyone":
            from sceneminer.export.fiftyone import export_fiftyone as export
        case _:
            raise IndexFault(f"expected a format among {', '.join(FORMATS)}; found {to!r}")
    return export(index, selection, out, say=say)
