"""Records of MCAP files, read within limits: lengths are checked before anything is allocated by them.

Source: the MCAP specification, https://mcap.dev/spec (opcodes, record layouts, checksums).
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

from sceneminer.data.errors import DataError
from sceneminer.data.media import media_error

MAGIC = b"\x89MCAP0\r\n"
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX, STATISTICS, DATA_END = (
    0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x0B, 0x0F,
)  # fmt: skip
HEAD = struct.Struct("<BQ")
"""Before every record: opcode, length."""
MESSAGE_HEAD = struct.Struct("<HIQQ")
"""Before a message's data: channel, sequence, log time, publish time."""
MAX_CHUNK_BYTES = 512 * 2**20
MAX_RECORD_BYTES = 256 * 2**20
"""Of any other record, and of a summary as a whole."""
_SQUEEZED_CHUNK_HEAD = 40


@dataclass(frozen=True)
class Channel:
    """One topic of one file, and how its messages are written."""

    topic: str
    encoding: str
    """cdr, protobuf or json."""
    schema: str
    schema_data: bytes


@dataclass(frozen=True)
class ChunkPlace:
    """Where a chunk lies in its file; ``length`` is that of the whole record."""

    offset: int
    length: int
    compression: str
    indexes: tuple[int, int]
    """Offset and length of the message indexes behind it; length 0 where it has none."""
    channels: tuple[int, ...]
    """Ids of the channels that have messages in it, as far as the summary says it."""

    @property
    def data_offset(self) -> int:
        """Where the chunk's own records begin."""
        return self.offset + HEAD.size + _SQUEEZED_CHUNK_HEAD + len(self.compression)


def load_mcap() -> Any:
    """The library's records; DataError without the extra."""
    try:
        import mcap.records
    except ImportError as error:
        raise DataError("expected mcap to read recordings, found none; pip install 'sceneminer[mcap]'") from error
    return mcap.records


def parse_record(kind: str, body: bytes | memoryview, name: str) -> Any:
    """One record by the library's name of it (``Channel``, ``ChunkIndex``), from all of its bytes."""
    records = load_mcap()
    from mcap.data_stream import ReadDataStream
    from mcap.exceptions import McapError

    try:
        return getattr(records, kind).read(ReadDataStream(BytesIO(body)))
    except (McapError, struct.error, ValueError) as error:
        reason = f"expected a whole {kind} record, found {type(error).__name__}"
        raise media_error("broken_file", name, reason) from error


def read_at(handle: BinaryIO, offset: int, length: int, name: str, *, limit: int = MAX_RECORD_BYTES) -> bytes:
    """Exactly these bytes of a file; MediaError where there are fewer, or more are asked for than the limit."""
    if length > limit:
        raise media_error("too_large", name, f"expected records of at most {limit} bytes, found {length}")
    try:
        handle.seek(offset)
        data = handle.read(length)
    except (OSError, ValueError, OverflowError) as error:
        reason = f"expected a readable file, found {type(error).__name__} at byte {offset}"
        raise media_error("broken_file", name, reason) from error
    if len(data) < length:
        raise media_error("broken_file", name, f"expected {length} bytes at byte {offset}, found {len(data)}")
    return data


def iter_records(data: memoryview, name: str) -> Iterator[tuple[int, int, memoryview]]:
    """(opcode, offset, body) of every record; MediaError where one is cut."""
    at = 0
    while at < len(data):
        if len(data) - at < HEAD.size:
            raise media_error("broken_file", name, f"expected records to the end, found {len(data) - at} bytes more")
        opcode, length = HEAD.unpack_from(data, at)
        if length > len(data) - at - HEAD.size:
            found = f"found one of {length} bytes where {len(data) - at - HEAD.size} are left"
            raise media_error("broken_file", name, f"expected whole records, {found}")
        yield opcode, at, data[at + HEAD.size : at + HEAD.size + length]
        at += HEAD.size + length


def read_chunk(handle: BinaryIO, place: ChunkPlace, name: str) -> memoryview:
    """A chunk's records, decompressed no further than it says itself and checked against its checksum."""
    record = read_at(handle, place.offset, place.length, name, limit=MAX_CHUNK_BYTES)
    opcode, length = HEAD.unpack_from(record) if len(record) >= HEAD.size else (0, 0)
    where = f"at byte {place.offset}"
    if opcode != CHUNK or length != place.length - HEAD.size:
        raise media_error(
            "broken_file", name, f"expected a chunk of {place.length} bytes {where}, found another record"
        )
    chunk = parse_record("Chunk", memoryview(record)[HEAD.size :], name)
    size = chunk.uncompressed_size
    if size > MAX_CHUNK_BYTES:
        raise media_error(
            "too_large", name, f"expected chunks of at most {MAX_CHUNK_BYTES} bytes, found {size} {where}"
        )
    data = _decompressed(chunk.compression, chunk.data, size, name)
    if len(data) != size:
        found = "more" if len(data) > size else len(data)
        raise media_error("broken_file", name, f"expected a chunk of {size} bytes {where}, found {found}")
    if chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc:
        raise media_error("broken_file", name, f"expected a chunk {where} that fits its checksum, found another")
    return memoryview(data)


def _decompressed(compression: str, data: bytes, size: int, name: str) -> bytes:
    """At most one byte more than ``size``, which tells that there is more."""
    if compression == "":
        return data
    try:
        if compression == "zstd":
            import zstandard

            return _zstd(zstandard, data, size, name)
        if compression == "lz4":
            import lz4.frame

            return _lz4(lz4.frame, data, size, name)
    except ImportError as error:
        raise DataError(
            f"expected {compression} to decompress chunks, found none; pip install 'sceneminer[mcap]'"
        ) from error
    raise media_error(
        "unsupported", name, f"expected chunks compressed by zstd, lz4 or not at all; found {compression!r}"
    )


def _zstd(zstandard: Any, data: bytes, size: int, name: str) -> bytes:
    try:
        # The reader allocates what is asked for, not what the frame declares.
        return zstandard.ZstdDecompressor().stream_reader(data).read(size + 1)
    except (zstandard.ZstdError, MemoryError) as error:
        raise media_error("broken_file", name, f"expected a zstd chunk, found {type(error).__name__}") from error


def _lz4(frame: Any, data: bytes, size: int, name: str) -> bytes:
    try:
        return frame.LZ4FrameDecompressor().decompress(data, max_length=size + 1)
    except (RuntimeError, MemoryError) as error:
        raise media_error("broken_file", name, f"expected an lz4 chunk, found {type(error).__name__}") from error
