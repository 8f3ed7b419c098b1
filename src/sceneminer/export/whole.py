"""A new file or folder, written whole or not at all, and never over another."""

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sceneminer.export.origin import Origin
from sceneminer.index.errors import IndexFault
from sceneminer.index.selection import take_name, unfinished


@contextmanager
def new_file(out: Path) -> Iterator[Path]:
    """A path beside ``out`` to write to, which becomes ``out`` at the end. IndexFault where there is one already."""
    part = _part(out)
    try:
        with _as_fault(out):
            yield part
        with _as_fault(out, taking=True):
            take_name(part, out)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` to fill, which becomes ``out`` at the end. IndexFault where there is one already."""
    part = _part(out)
    try:
        with _as_fault(out):
            part.mkdir()
            yield part
        with _as_fault(out, taking=True):
            part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_origin(folder: Path, origin: Origin) -> None:
    """``origin.json``: the query, the index and whose each log is, for formats that have no place for it themselves."""
    text = json.dumps(origin.as_json(), indent=1, ensure_ascii=False) + "\n"
    (folder / "origin.json").write_text(text, encoding="utf-8")


def _part(out: Path) -> Path:
    if out.exists() or out.is_symlink():
        raise IndexFault(f"expected a new place to export to, found {out} there already")
    with _as_fault(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    return unfinished(out)


@contextmanager
def _as_fault(out: Path, *, taking: bool = False) -> Iterator[None]:
    """Turns what the system refuses into an IndexFault; ``taking`` its place, another may have been quicker."""
    try:
        yield
    except OSError as error:
        if taking and error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR):
            raise IndexFault(f"expected a new place to export to, found {out} there already") from error
        where = "" if error.filename is None else f" at {error.filename}"
        raise IndexFault(f"expected to write to {out}, found {error.strerror or error}{where}") from error
