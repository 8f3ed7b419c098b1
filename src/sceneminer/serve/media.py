"""Pictures by id: thumbnails from the index, and a camera's frames from its log, as JPEGs of a few sizes."""

import io
import threading
from collections import OrderedDict
from typing import Any

from PIL import Image

from sceneminer.data.errors import MediaError
from sceneminer.data.log import Log
from sceneminer.index.search import Index
from sceneminer.index.where import quote
from sceneminer.serve.clips import UnknownClipError, open_again

WIDTHS = (320, 640, 1280)
_KEPT_BYTES = 256 << 20
_KEPT_LOGS = 8


class NoPictureError(LookupError):
    """There is no such picture, or it cannot be read; says why."""


class Media:
    """Opened logs and encoded frames, as many as fit."""

    def __init__(self, index: Index):
        self.index = index
        self._logs: OrderedDict[tuple[str, int], Log] = OrderedDict()
        self._frames: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def log(self, log_id: str) -> Log | str:
        """A log of the index, or why it cannot be opened."""
        # Where logs lie may change while they are served.
        key = (log_id, self.index.store.version("logs"))
        with self._lock:
            if key in self._logs:
                self._logs.move_to_end(key)
                return self._logs[key]
        found = open_again(self.index, log_id)
        with self._lock:
            if isinstance(found, Log):
                self._logs[key] = found
                while len(self._logs) > _KEPT_LOGS:
                    self._logs.popitem(last=False)
        return found

    def thumb(self, clip_id: str) -> bytes:
        rows = self.index.store.read("thumbs", columns=["jpeg"], where=f"clip_id = {quote(clip_id)}", limit=1)
        if rows.num_rows == 0 or rows["jpeg"][0].as_py() is None:
            raise NoPictureError(f"expected a thumbnail of clip {clip_id!r}, found none")
        return rows["jpeg"][0].as_py()

    def frame(self, row: dict[str, Any], camera: str, number: int, width: int) -> bytes:
        """The ``number``-th image of a camera within a clip, at most ``width`` wide."""
        key = (row["clip_id"], row["start_us"], camera, number, width, self.index.store.version("logs"))
        with self._lock:
            if key in self._frames:
                self._frames.move_to_end(key)
                return self._frames[key]
        data = self._read(row, camera, number, width)
        with self._lock:
            if key not in self._frames:
                self._frames[key] = data
                self._bytes += len(data)
            while self._bytes > _KEPT_BYTES:
                self._bytes -= len(self._frames.popitem(last=False)[1])
        return data

    def _read(self, row: dict[str, Any], camera: str, number: int, width: int) -> bytes:
        log = self.log(row["log_id"])
        if isinstance(log, str):
            raise NoPictureError(log)
        if camera not in log.cameras():
            raise NoPictureError(f"expected a camera of {row['log_id']}, found {camera!r}")
        series = log.series[camera].between(row["start_us"], row["end_us"] + 1)
        if not 0 <= number < len(series):
            raise NoPictureError(f"expected frame 0 to {len(series) - 1} of {camera}, found {number}")
        try:
            pixels = Image.fromarray(log.store.read_image(series, number))
        except MediaError as error:
            raise NoPictureError(f"{error.issue.subject}: {error.issue.reason}") from error
        if pixels.width > width:
            pixels = pixels.resize((width, max(1, round(pixels.height * width / pixels.width))), Image.Resampling.BOX)
        out = io.BytesIO()
        pixels.save(out, "JPEG", quality=82)
        return out.getvalue()


def require_row(index: Index, clip_id: str) -> dict[str, Any]:
    """Log and span of a clip; UnknownClipError where there is none of that id."""
    columns = ["clip_id", "log_id", "start_us", "end_us"]
    rows = index.store.read("clips", columns=columns, where=f"clip_id = {quote(clip_id)}", limit=1).to_pylist()
    if not rows:
        raise UnknownClipError(f"expected the id of a clip in this index, found {clip_id!r}")
    return rows[0]
