"""Foxglove's messages as plain dictionaries, out of protobuf (by the file's own descriptors) or JSON.

Source: Foxglove schemas, https://docs.foxglove.dev/docs/visualization/message-schemas; in JSON, bytes are base64.
"""

import base64
import binascii
import functools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from sceneminer.data.adapters.mcap_records import Channel
from sceneminer.data.errors import DataError

Fields = Mapping[str, Any]
_JSON_STAMP = re.compile(rb'"timestamp"\s*:\s*\{\s*"sec"\s*:\s*(\d{1,10})\s*,\s*"nsec"\s*:\s*(\d{1,9})\s*\}')


def fields_of(channel: Channel, data: bytes | memoryview) -> Fields:
    """The fields of one message; ValueError where it does not parse."""
    if channel.encoding == "json":
        try:
            found = json.loads(bytes(data))
        except RecursionError as error:
            raise ValueError("expected flat JSON, found too many levels") from error
    else:
        found = _parsed(channel, data)
    if not isinstance(found, dict):
        raise ValueError(f"expected an object, found {type(found).__name__}")
    return found


def _parsed(channel: Channel, data: bytes | memoryview) -> dict[str, Any]:
    from google.protobuf.message import DecodeError

    message = _class_of(channel.schema, channel.schema_data)()
    try:
        message.ParseFromString(bytes(data))
    except DecodeError as error:
        raise ValueError(f"expected a {channel.schema} message, found {error}") from error
    return _plain(message)


@functools.lru_cache(maxsize=64)
def _class_of(schema: str, descriptors: bytes) -> Any:
    try:
        from mcap_protobuf.decoder import DecoderFactory
    except ImportError as error:
        raise DataError("expected mcap-protobuf-support, found none; pip install 'sceneminer[mcap]'") from error
    from mcap.records import Schema

    try:
        decoder = DecoderFactory().decoder_for("protobuf", Schema(1, descriptors, "protobuf", schema))
        assert decoder is not None
        return type(decoder(b""))
    except Exception as error:  # the descriptor pool raises TypeError, KeyError, DecodeError and errors of its own
        raise ValueError(f"expected descriptors of {schema}, found {type(error).__name__}") from error


def _plain(message: Any) -> dict[str, Any]:
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def _value(field: Any, value: Any) -> Any:
    if field.type != field.TYPE_MESSAGE:
        return list(value) if field.is_repeated else value
    if field.message_type.GetOptions().map_entry:
        return {}
    return [_plain(item) for item in value] if field.is_repeated else _plain(value)


def stamp_ns_of(fields: Fields, key: str = "timestamp") -> int | None:
    """A time in ns: ``seconds`` and ``nanos`` in protobuf, ``sec`` and ``nsec`` in JSON."""
    time = fields.get(key)
    if not isinstance(time, dict):
        return None
    seconds, rest = (time.get(a, time.get(b, 0)) for a, b in (("seconds", "sec"), ("nanos", "nsec")))
    if not (isinstance(seconds, int) and isinstance(rest, int)):
        return None
    return seconds * 1_000_000_000 + rest


def stamp_ns_in_head(encoding: str, head: bytes) -> int | None:
    """The time by a message's first bytes: protobuf's first field is the timestamp, in JSON it is looked for."""
    if encoding == "json":
        match = _JSON_STAMP.search(head)
        return int(match[1]) * 1_000_000_000 + int(match[2]) if match else None
    if len(head) < 2 or head[0] != 0x0A or head[1] > len(head) - 2:
        return None
    values = {1: 0, 2: 0}
    at, end = 2, 2 + head[1]
    while at < end:
        tag, value, shift = head[at], 0, 0
        at += 1
        while at < end:
            value |= (head[at] & 0x7F) << shift
            shift += 7
            at += 1
            if not head[at - 1] & 0x80:
                break
        if tag not in (0x08, 0x10) or shift > 63:
            return None
        values[tag >> 3] = value
    return values[1] * 1_000_000_000 + values[2]


def text(fields: Fields, key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"expected text as {key}, found {type(value).__name__}")
    return value


def number(fields: Fields, key: str, default: float = 0.0) -> float:
    value = fields.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a finite number as {key}, found {value!r:.40}")
    return float(value)


def whole(fields: Fields, key: str) -> int:
    value = fields.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise ValueError(f"expected a whole number as {key}, found {value!r:.40}")
    return value


def numbers(fields: Fields, key: str, counts: tuple[int, ...] | None = None) -> tuple[float, ...]:
    value = fields.get(key, [])
    if not isinstance(value, list) or (counts is not None and len(value) not in counts):
        raise ValueError(f"expected a list of numbers as {key}, found {value!r:.40}")
    return tuple(number({key: item}, key) for item in value)


def blob(fields: Fields, key: str = "data") -> bytes:
    value = fields.get(key, b"")
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError(f"expected bytes as {key}, found {type(value).__name__}")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"expected base64 as {key}, found {error}") from error


def child(fields: Fields, key: str) -> Fields:
    value = fields.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(f"expected an object as {key}, found {type(value).__name__}")
    return value


def children(fields: Fields, key: str) -> list[Fields]:
    value = fields.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"expected a list of objects as {key}, found {type(value).__name__}")
    return value
