"""One open MCAP file: its messages by topic and number. Opened in this process, never part of a Log."""

import functools
import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from sceneminer.data.adapters.mcap_index import FileIndex, Positions, read_index
from sceneminer.data.adapters.mcap_messages import is_readable
from sceneminer.data.adapters.mcap_records import HEAD, MESSAGE, MESSAGE_HEAD, Channel, read_at, read_chunk
from sceneminer.data.errors import Issue, MediaError
from sceneminer.data.media import MAX_IMAGE_BYTES, MediaRoot, media_error

HEAD_BYTES = 256
"""Of a message, where its stamp stands."""
MAX_GATHERED_BYTES = 2**30
"""Of the messages of one file that are held on opening: a small file may unpack to any number of them."""
_OPEN_RECORDINGS = 8
_KEPT_BYTES = 64 * 2**20
_KEPT_CHUNKS = 8


def open_recording(media: MediaRoot, name: str) -> "Recording":
    """This process's open handle on a file as it is now."""
    path = media.path(name)
    stat = path.stat()
    return _recording_of(os.getpid(), str(path), stat.st_size, stat.st_mtime_ns, name)


@functools.lru_cache(maxsize=_OPEN_RECORDINGS)
def _recording_of(process: int, path: str, size: int, mtime_ns: int, name: str) -> "Recording":
    """The key keeps forks from sharing a file position."""
    return Recording(Path(path), name)


@dataclass(frozen=True, eq=False)
class Gathered:
    """Data of the messages that were asked for, by topic; None where one is unreadable."""

    data: Mapping[str, list[bytes | None]]
    issues: tuple[Issue, ...]


class Recording:
    """Reads whole chunks, checks their checksums, and keeps the last few."""

    def __init__(self, path: Path, name: str):
        self.name = name
        try:
            self._handle = path.open("rb")
        except OSError as error:
            raise media_error("broken_file", name, f"expected a readable file, found {error.strerror}") from error
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, memoryview] = OrderedDict()
        self.index: FileIndex = read_index(self._handle, name, is_readable)
        self._topics: dict[str, int] = {}
        for channel, at in self.index.positions.items():
            topic = self.index.channels[channel].topic
            best = self._topics.get(topic)
            if best is None or len(at) > len(self.index.positions[best]):
                self._topics[topic] = channel

    def left_out(self) -> list[Issue]:
        """Messages of channels that share a topic with one that has more."""
        return [
            Issue(
                "unsupported",
                self.name,
                f"expected one channel of {self.index.channels[c].topic}, found more; that with most messages is taken",
                len(at),
            )
            for c, at in self.index.positions.items()
            if c not in self._topics.values() and len(at)
        ]

    def topics(self) -> dict[str, Channel]:
        """Readable topics that have messages. Where several channels share a topic, that with most messages."""
        return {topic: self.index.channels[c] for topic, c in sorted(self._topics.items()) if self.positions(topic)}

    def positions(self, topic: str) -> Positions:
        return self.index.positions[self._topics[topic]]

    def read(self, topic: str, number: int) -> tuple[Channel, bytes | memoryview]:
        """The message of that number in its topic, in the order of the file; MediaError names the file."""
        channel = self._topics.get(topic)
        count = 0 if channel is None else len(self.index.positions[channel])
        if channel is None or not 0 <= number < count:
            raise media_error("broken_file", self.name, f"expected message {number} of {topic}, found {count} messages")
        at = self.index.positions[channel]
        with self._lock:
            data = self._message(channel, int(at.chunk[number]), int(at.offset[number]))
        return self.index.channels[channel], data

    def gather(
        self, wanted: Mapping[str, Int[ndarray, "k"]], *, heads: frozenset[str], limits: Mapping[str, int]
    ) -> Gathered:
        """Messages by their numbers, each chunk decompressed once; of topics in ``heads`` the first bytes only.

        Messages longer than their topic's limit in bytes are left out, as are those beyond ``MAX_GATHERED_BYTES``
        together and those in chunks that are unreadable: all are said.
        """
        names = list(wanted)
        rows = []
        for t, topic in enumerate(names):
            at, numbers = self.positions(topic), wanted[topic]
            columns = (at.chunk[numbers], at.offset[numbers], np.full(len(numbers), t), np.arange(len(numbers)))
            rows.append(np.stack(columns, -1))
        data: dict[str, list[bytes | None]] = {topic: [None] * len(wanted[topic]) for topic in names}
        lost: dict[str, tuple[MediaError, int]] = {}
        held = 0
        order = np.concatenate(rows) if rows else np.zeros((0, 4), np.int64)
        for chunk, offset, t, i in order[np.lexsort((order[:, 1], order[:, 0]))].tolist():
            topic = names[t]
            try:
                with self._lock:
                    if topic in heads:
                        data[topic][i] = self._head(self._topics[topic], chunk, offset)
                    else:
                        message = self._message(self._topics[topic], chunk, offset)
                        self._require_small(topic, len(message), limit=limits[topic], held=held)
                        data[topic][i] = bytes(message)
                        held += len(message)
            except MediaError as error:
                first, count = lost.get(error.issue.reason, (error, 0))
                lost[error.issue.reason] = first, count + 1
        issues = tuple(Issue(e.issue.kind, self.name, e.issue.reason, count) for e, count in lost.values())
        return Gathered(data, issues)

    def _require_small(self, topic: str, length: int, *, limit: int, held: int) -> None:
        found = f"found more in {topic}; left out"
        if length > limit:
            raise media_error("too_large", self.name, f"expected at most {limit} bytes, {found}")
        if held + length > MAX_GATHERED_BYTES:
            reason = f"expected at most {MAX_GATHERED_BYTES} bytes of transforms, infos and boxes together, {found}"
            raise media_error("too_large", self.name, reason)

    def squeezed_bytes(self, topics: frozenset[str], *, besides: frozenset[str]) -> int:
        """Bytes of compressed chunks with messages of some topics, without those that have messages of others."""
        chunks = self._chunks_of(topics) - self._chunks_of(besides)
        return sum(self.index.chunks[k].length for k in chunks if self.index.chunks[k].compression)

    def _chunks_of(self, topics: frozenset[str]) -> set[int]:
        found: set[int] = set()
        for topic in topics & self._topics.keys():
            found |= {k for k in np.unique(self.positions(topic).chunk).tolist() if k >= 0}
        return found

    def _message(self, channel: int, chunk: int, offset: int) -> bytes | memoryview:
        if chunk < 0:
            head = read_at(self._handle, offset, HEAD.size, self.name)
            _, length = HEAD.unpack(head)
            body = read_at(self._handle, offset + HEAD.size, length, self.name, limit=2 * MAX_IMAGE_BYTES)
            return self._data_of(memoryview(head + body), 0, channel)
        return self._data_of(self._chunk(chunk), offset, channel)

    def _head(self, channel: int, chunk: int, offset: int) -> bytes:
        """The first bytes of a message's data; where the chunk is not compressed, without reading all of it."""
        place = self.index.chunks[chunk] if chunk >= 0 else None
        if place is not None and place.compression:
            return bytes(self._data_of(self._chunk(chunk), offset, channel)[:HEAD_BYTES])
        start = offset if place is None else place.data_offset + offset
        head = read_at(self._handle, start, HEAD.size + MESSAGE_HEAD.size, self.name)
        opcode, length = HEAD.unpack_from(head)
        if opcode != MESSAGE or MESSAGE_HEAD.unpack_from(head, HEAD.size)[0] != channel:
            raise media_error("broken_file", self.name, f"expected a message at byte {start}, found another record")
        left = min(max(length - MESSAGE_HEAD.size, 0), HEAD_BYTES)
        return read_at(self._handle, start + len(head), left, self.name)

    def _chunk(self, k: int) -> memoryview:
        if k in self._kept:
            self._kept.move_to_end(k)
            return self._kept[k]
        data = read_chunk(self._handle, self.index.chunks[k], self.name)
        self._kept[k] = data
        while len(self._kept) > 1 and (
            len(self._kept) > _KEPT_CHUNKS or sum(map(len, self._kept.values())) > _KEPT_BYTES
        ):
            self._kept.popitem(last=False)
        return data

    def _data_of(self, records: memoryview, offset: int, channel: int) -> memoryview:
        try:
            opcode, length = HEAD.unpack_from(records, offset)
            owner = MESSAGE_HEAD.unpack_from(records, offset + HEAD.size)[0]
        except struct.error:
            opcode, length, owner = 0, 0, -1
        start, end = offset + HEAD.size + MESSAGE_HEAD.size, offset + HEAD.size + length
        if opcode != MESSAGE or owner != channel or not start <= end <= len(records):
            raise media_error("broken_file", self.name, "expected a message where the index says, found another record")
        return records[start:end]
