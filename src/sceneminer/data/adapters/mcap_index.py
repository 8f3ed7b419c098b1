"""What one MCAP file holds and where: by its summary and message indexes, else by walking over its records.

A walk reads the heads of records and the message indexes behind chunks; a chunk is decompressed only where its
messages are not indexed, or are of a channel that is not known yet. No message data is kept.
"""

import os
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from sceneminer.data.adapters.mcap_records import (
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    DATA_END,
    FOOTER,
    HEAD,
    MAGIC,
    MAX_CHUNK_BYTES,
    MESSAGE,
    MESSAGE_HEAD,
    MESSAGE_INDEX,
    SCHEMA,
    STATISTICS,
    Channel,
    ChunkPlace,
    iter_records,
    parse_record,
    read_at,
    read_chunk,
)
from sceneminer.data.errors import Issue, MediaError
from sceneminer.data.media import media_error

_FOOTER_BYTES = HEAD.size + 20 + len(MAGIC)
_LAST_NS = 2**62
"""Later log times are no times (the year 2116)."""


@dataclass(frozen=True, eq=False)
class Positions:
    """The messages of one channel in the order of the file."""

    log_ns: Int[ndarray, "n"]
    chunk: Int[ndarray, "n"]
    """Into ``FileIndex.chunks``; -1 for messages outside of chunks."""
    offset: Int[ndarray, "n"]
    """Of the record: in the chunk, or in the file."""

    def __len__(self) -> int:
        return len(self.log_ns)


@dataclass(frozen=True, eq=False)
class FileIndex:
    channels: Mapping[int, Channel]
    chunks: tuple[ChunkPlace, ...]
    positions: Mapping[int, Positions]
    """By channel, of the channels that were asked for."""
    start_ns: int
    end_ns: int
    issues: tuple[Issue, ...]


@dataclass
class _Found:
    """What reading has come to so far."""

    name: str
    wanted: Callable[[Channel], bool]
    schemas: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    chunks: list[ChunkPlace] = field(default_factory=list)
    rows: dict[int, list[ndarray]] = field(default_factory=dict)
    """Blocks of (log_ns, chunk, offset) by channel."""
    span: tuple[int, int] | None = None

    def add(self, opcode: int, body: memoryview) -> None:
        """Takes a schema or a channel; those known already stay."""
        if opcode == SCHEMA:
            schema = parse_record("Schema", body, self.name)
            self.schemas.setdefault(schema.id, (schema.name, bytes(schema.data)))
        elif opcode == CHANNEL:
            channel = parse_record("Channel", body, self.name)
            schema, data = self.schemas.get(channel.schema_id, ("", b""))
            self.channels.setdefault(channel.id, Channel(channel.topic, channel.message_encoding, schema, data))

    def add_rows(self, channel: int, log_ns: ndarray, chunk: int, offset: ndarray) -> None:
        if channel in self.channels and self.wanted(self.channels[channel]):
            block = np.stack([log_ns, np.full(len(log_ns), chunk, np.uint64), offset], -1)
            self.rows.setdefault(channel, []).append(block)

    def index(self, issues: tuple[Issue, ...]) -> FileIndex:
        odd = 0
        positions = {}
        for channel, blocks in self.rows.items():
            rows = np.concatenate(blocks)
            sane = rows[:, 0] < _LAST_NS
            odd += int(np.sum(~sane))
            rows = rows[sane].astype(np.int64)
            rows = rows[np.lexsort((rows[:, 2], rows[:, 1]))]
            positions[channel] = Positions(rows[:, 0], rows[:, 1] - 1, rows[:, 2])
        if odd:
            issues = (*issues, Issue("odd_time", self.name, "expected log times before 2116, found later ones", odd))
        times = [p.log_ns for p in positions.values() if len(p)]
        span = self.span or (0, 0)
        if times:
            span = min(int(t.min()) for t in times), max(int(t.max()) for t in times)
        return FileIndex(self.channels, tuple(self.chunks), positions, *span, issues)


def read_index(handle: BinaryIO, name: str, wanted: Callable[[Channel], bool]) -> FileIndex:
    """Channels, chunks and, of wanted channels, where their messages lie; MediaError if this is no MCAP file."""
    size = os.fstat(handle.fileno()).st_size
    if size < len(MAGIC) or (head := read_at(handle, 0, len(MAGIC), name)) != MAGIC:
        found = f"{size} bytes" if size < len(MAGIC) else f"one that starts {head!r}"
        raise media_error("broken_file", name, f"expected an MCAP file, found {found}")
    why = ""
    try:
        found = _by_summary(handle, size, name, wanted)
    except MediaError as error:
        found, why = None, error.issue.reason
    if found is not None:
        return found.index(())
    walked = _Found(name, wanted)
    whole, lost = _walk(handle, size, walked)
    if whole and not why and not lost:
        return walked.index(())
    reason = f"expected a whole file with a sound index, found none ({why or 'records that are cut'}); "
    reason += "its records were walked over instead"
    reason += f", {lost} bytes at its end are lost" if lost else ""
    return walked.index((Issue("broken_file", name, reason),))


def _by_summary(handle: BinaryIO, size: int, name: str, wanted: Callable[[Channel], bool]) -> _Found | None:
    """By the summary; None where there is none, or none that leads to messages; MediaError where it is unsound."""
    summary = _summary_of(handle, size, name)
    if summary is None:
        return None
    found = _Found(name, wanted)
    chunks: list[Any] = []
    count = 0
    for opcode, _, body in iter_records(memoryview(summary), name):
        found.add(opcode, body)
        if opcode == CHUNK_INDEX:
            chunks.append(parse_record("ChunkIndex", body, name))
        elif opcode == STATISTICS:
            statistics = parse_record("Statistics", body, name)
            count = statistics.message_count
            found.span = statistics.message_start_time, statistics.message_end_time
    if count and not chunks:
        return None
    chunks.sort(key=lambda c: c.chunk_start_offset)
    named = {channel for c in chunks for channel in c.message_index_offsets}
    if named - found.channels.keys() or (chunks and not found.channels):
        return None
    end = len(MAGIC)
    for c in chunks:
        # Each byte of the file belongs to one chunk at most: reading all chunks reads no byte twice.
        if c.chunk_start_offset < end or c.chunk_length + c.message_index_length > size:
            raise media_error("broken_file", name, "expected chunks one behind another, found some that overlap")
        end = c.chunk_start_offset + c.chunk_length
        behind = (end, c.message_index_length)
        end += c.message_index_length
        ids = tuple(c.message_index_offsets)
        found.chunks.append(ChunkPlace(c.chunk_start_offset, c.chunk_length, c.compression, behind, ids))
    if end > size:
        raise media_error("broken_file", name, f"expected chunks within {size} bytes, found one that ends at {end}")
    for k, place in enumerate(found.chunks):
        if place.channels and not any(wanted(found.channels[c]) for c in place.channels):
            continue
        _add_chunk(handle, found, k)
    return found


def _summary_of(handle: BinaryIO, size: int, name: str) -> bytes | None:
    """The summary's records, by the footer at the end of the file; None where it was not written."""
    tail = read_at(handle, max(size - _FOOTER_BYTES, 0), min(size, _FOOTER_BYTES), name)
    if size < len(MAGIC) + _FOOTER_BYTES or tail[-len(MAGIC) :] != MAGIC or tail[: HEAD.size] != HEAD.pack(FOOTER, 20):
        raise media_error("broken_file", name, "no footer at its end")
    start, _, crc = struct.unpack_from("<QQI", tail, HEAD.size)
    if start == 0:
        return None
    if not len(MAGIC) <= start <= size - _FOOTER_BYTES:
        raise media_error("broken_file", name, f"expected a summary within {size} bytes, found one at {start}")
    summary = read_at(handle, start, size - _FOOTER_BYTES - start, name)
    if crc and zlib.crc32(tail[: HEAD.size + 16], zlib.crc32(summary)) != crc:
        raise media_error("broken_file", name, "expected a summary that fits its checksum, found another")
    return summary


def _add_chunk(handle: BinaryIO, found: _Found, k: int) -> None:
    """The messages of a chunk: by the indexes behind it, else by its own records."""
    place = found.chunks[k]
    offset, length = place.indexes
    known = found.channels.keys()
    blocks: list[tuple[int, ndarray]] = []
    if length:
        for opcode, _, body in iter_records(memoryview(read_at(handle, offset, length, found.name)), found.name):
            if opcode == MESSAGE_INDEX:
                blocks.append(_message_index(body, found.name))
    if blocks and all(channel in known for channel, _ in blocks):
        for channel, pairs in blocks:
            found.add_rows(channel, pairs[:, 0], k + 1, pairs[:, 1])
        return
    records = read_chunk(handle, place, found.name)
    rows: dict[int, list[tuple[int, int]]] = {}
    for opcode, at, body in iter_records(records, found.name):
        found.add(opcode, body)
        if opcode == MESSAGE and len(body) >= MESSAGE_HEAD.size:
            channel, _, log_ns, _ = MESSAGE_HEAD.unpack_from(body)
            rows.setdefault(channel, []).append((log_ns, at))
    for channel, pairs in rows.items():
        both = np.array(pairs, np.uint64)
        found.add_rows(channel, both[:, 0], k + 1, both[:, 1])


def _message_index(body: memoryview, name: str) -> tuple[int, ndarray]:
    if len(body) < 6:
        raise media_error("broken_file", name, "expected a whole message index, found one that is cut")
    channel, length = struct.unpack_from("<HI", body)
    if length % 16 or length > len(body) - 6:
        raise media_error("broken_file", name, f"expected a message index of 16 bytes each, found {length} bytes")
    return channel, np.frombuffer(body[6 : 6 + length], "<u8").reshape(-1, 2)


def _walk(handle: BinaryIO, size: int, found: _Found) -> tuple[bool, int]:
    """Every record from the start; whether the data section's end is there, and how many bytes are lost."""
    at = len(MAGIC)
    waiting: tuple[int, int, str] | None = None
    loose: dict[int, list[tuple[int, int]]] = {}
    whole, lost = False, 0
    while at + HEAD.size <= size and not whole:
        opcode, length = HEAD.unpack(read_at(handle, at, HEAD.size, found.name))
        end = at + HEAD.size + length
        if opcode != MESSAGE_INDEX and waiting is not None:
            lost += _finish_chunk(handle, found, waiting, at)
            waiting = None
        if end > size:
            break
        if opcode == CHUNK:
            waiting = at, end - at, _compression_at(handle, at, length, found.name)
        elif opcode == MESSAGE and length >= MESSAGE_HEAD.size:
            head = read_at(handle, at + HEAD.size, MESSAGE_HEAD.size, found.name)
            channel, _, log_ns, _ = MESSAGE_HEAD.unpack(head)
            loose.setdefault(channel, []).append((log_ns, at))
        elif opcode in (SCHEMA, CHANNEL):
            found.add(opcode, memoryview(read_at(handle, at + HEAD.size, length, found.name)))
        whole = opcode in (DATA_END, FOOTER)
        at = end
    if waiting is not None:
        lost += _finish_chunk(handle, found, waiting, at)
    for channel, pairs in loose.items():
        both = np.array(pairs, np.uint64)
        found.add_rows(channel, both[:, 0], 0, both[:, 1])
    return whole, lost + (0 if whole else max(size - at, 0))


def _finish_chunk(handle: BinaryIO, found: _Found, waiting: tuple[int, int, str], end: int) -> int:
    """Takes a chunk with the message indexes behind it, up to ``end``; returns the bytes of one that is unreadable."""
    offset, length, compression = waiting
    behind = (offset + length, end - offset - length)
    found.chunks.append(ChunkPlace(offset, length, compression, behind, ()))
    try:
        _add_chunk(handle, found, len(found.chunks) - 1)
    except MediaError:
        return end - offset
    return 0


def _compression_at(handle: BinaryIO, at: int, length: int, name: str) -> str:
    if not 40 <= length <= MAX_CHUNK_BYTES:
        return ""
    head = read_at(handle, at + HEAD.size, min(length, 64), name)
    count = struct.unpack_from("<I", head, 28)[0]
    return head[32 : 32 + count].decode("ascii", "replace") if count <= 16 else "?"
