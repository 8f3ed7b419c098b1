"""A new file or folder, written whole or not at all, and never over another."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sceneminer.export.origin import Origin
from sceneminer.index.errors import IndexFault


@contextmanager
def new_file(out: Path) -> Iterator[Path]:
    """A path beside ``out`` to write to, which becomes ``out`` at the end. IndexFault where there is one already."""
    part = _part(out)
    try:
        yield part
        # Unlike a rename, a link fails where the name is taken.
        out.hardlink_to(part)
    except OSError as error:
        raise _fault(out, error) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` to fill, which becomes ``out`` at the end. IndexFault where there is one already."""
    part = _part(out)
    try:
        part.mkdir()
        yield part
        part.rename(out)
    except OSError as error:
        raise _fault(out, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_origin(folder: Path, origin: Origin) -> None:
    """``origin.json``: the query, the index and whose each log is, for formats that have no place for it themselves."""
    text = json.dumps(origin.as_json(), indent=1, ensure_ascii=False) + "\n"
    (folder / "origin.json").write_text(text, encoding="utf-8")


def _part(out: Path) -> Path:
    if out.exists() or out.is_symlink():
        raise IndexFault(f"expected a new place to export to, found {out} there already")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _fault(out, error) from error
    return out.with_name(f".{out.name}.{os.getpid()}.part")


def _fault(out: Path, error: OSError) -> IndexFault:
    if isinstance(error, FileExistsError):
        return IndexFault(f"expected a new place to export to, found {out} there already")
    return IndexFault(f"expected to write to {out}, found {error.strerror or error}")
