"""A Query is what we look for, as a small JSON that replays: texts, images, clips to be like or unlike, a filter."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.index.errors import IndexFault, QueryError

QUERY_FORMAT = 1
MAX_EXAMPLES = 200
MAX_NAME = 300
"""Characters of a clip's id or an image's name."""
MAX_BYTES = 1 << 22
MAX_WIDTH = 8192
MAX_NAME = 255


@dataclass(frozen=True)
class ImageExample:
    """An image to be like: kept as its embedding, so that a query replays without the file."""

    name: str
    space: str
    """The text space of the tower that embedded it."""
    embedding: bytes
    """float32, little-endian."""

    def vector(self) -> Float[ndarray, "e"]:
        return np.frombuffer(self.embedding, "<f4").astype(np.float32)


@dataclass(frozen=True)
class Query:
    """Everything that is set must be met (``where``) or counts into the score (the rest)."""

    text: str | None = None
    image: ImageExample | None = None
    like: tuple[str, ...] = ()
    """Ids of clips to be like."""
    unlike: tuple[str, ...] = ()
    where: str | None = None

    @property
    def has_score(self) -> bool:
        """Whether it ranks by likeness; a filter alone ranks by hardness."""
        return self.text is not None or self.image is not None or bool(self.like)

    def as_json(self) -> dict[str, Any]:
        """What ``query_of`` reads; parts that are not set are left out."""
        out: dict[str, Any] = {"format": QUERY_FORMAT}
        if self.text is not None:
            out["text"] = self.text
        if self.image is not None:
            embedding = base64.b64encode(self.image.embedding).decode()
            out["image"] = {"name": self.image.name, "space": self.image.space, "embedding": embedding}
        out |= {name: list(ids) for name, ids in (("like", self.like), ("unlike", self.unlike)) if ids}
        if self.where is not None:
            out["where"] = self.where
        return out


def make_query(
    text: str | None = None,
    *,
    image: ImageExample | None = None,
    like: str | Sequence[str] | None = None,
    unlike: str | Sequence[str] | None = None,
    where: str | None = None,
) -> Query:
    """A Query with at least one part; QueryError where there is none, or examples to be unlike alone."""
    query = Query(text, image, _ids(like), _ids(unlike), where)
    if len(query.like) + len(query.unlike) > MAX_EXAMPLES:
        raise QueryError(f"expected at most {MAX_EXAMPLES} clips as examples, found {len(query.like + query.unlike)}")
    if not query.has_score and query.unlike:
        raise QueryError("expected a text, an image or a clip to be like beside clips to be unlike; found none")
    if not query.has_score and where is None:
        raise QueryError("expected a text, an image, a clip to be like, or a filter; found none")
    return query


def query_of(document: Any, where: str = "this query") -> Query:
    """A Query from its JSON values; QueryError names what is wrong with it."""
    known = {"format", "text", "image", "like", "unlike", "where"}
    if not isinstance(document, Mapping) or document.get("format") != QUERY_FORMAT or set(document) - known:
        raise QueryError(f"expected format {QUERY_FORMAT} and any of {', '.join(sorted(known))} in {where}")
    for name in ("text", "where"):
        if not isinstance(document.get(name, ""), str):
            raise QueryError(f"expected {name} as a text in {where}")
    for name in ("like", "unlike"):
        ids = document.get(name, [])
        if not isinstance(ids, list) or not all(isinstance(clip, str) for clip in ids):
            raise QueryError(f"expected {name} as a list of clip ids in {where}")
    image = None if document.get("image") is None else _image(document["image"], where)
    return make_query(
        document.get("text"),
        image=image,
        like=document.get("like"),
        unlike=document.get("unlike"),
        where=document.get("where"),
    )


def read_query(path: Path) -> Query:
    """A saved query; QueryError where it is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise QueryError(f"expected a query of at most {MAX_BYTES} bytes at {path}, found a larger file")
        document = json.loads(data.decode())
    except OSError as error:
        raise QueryError(f"expected a query at {path}, found {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, IndexFault):
            raise
        raise QueryError(f"expected a query in JSON at {path}, found something else ({error})") from error
    return query_of(document, str(path))


def write_query(query: Query, path: Path) -> None:
    """Save a query; an earlier one of that name is replaced."""
    try:
        path.write_text(json.dumps(query.as_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise QueryError(f"expected to write a query to {path}, found {error.strerror}") from error


def _image(value: Any, where: str) -> ImageExample:
    keys = ("name", "space", "embedding")
    if not isinstance(value, Mapping) or set(value) != set(keys) or not all(isinstance(value[k], str) for k in keys):
        raise QueryError(f"expected name, space and embedding of the image in {where}")
    if len(value["name"]) > MAX_NAME:
        raise QueryError(f"expected a name of the image of at most {MAX_NAME} characters in {where}")
    try:
        embedding = base64.b64decode(value["embedding"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise QueryError(f"expected the image's embedding in base64 in {where}") from error
    if not 4 <= len(embedding) <= 4 * MAX_WIDTH or len(embedding) % 4:
        raise QueryError(f"expected 1 to {MAX_WIDTH} float32 as the image's embedding in {where}")
    with np.errstate(over="ignore"):
        length = float(np.linalg.norm(np.frombuffer(embedding, "<f4")))
    if not 1e-6 <= length <= 1e6:
        raise QueryError(f"expected a finite embedding of the image, 1e-6 to 1e6 long, in {where}, found {length}")
    if len(value["name"]) > MAX_NAME or not value["name"].isprintable():
        raise QueryError(f"expected a name of the image of at most {MAX_NAME} printable characters in {where}")
    return ImageExample(value["name"], value["space"], embedding)


def _ids(value: str | Sequence[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    ids = (value,) if isinstance(value, str) else tuple(value)
    for clip in ids:
        try:
            clip.encode()
        except UnicodeEncodeError as error:
            raise QueryError(f"expected clip ids in UTF-8, found {clip!r}") from error
        if len(clip) > MAX_NAME:
            raise QueryError(f"expected clip ids of at most {MAX_NAME} characters, found one of {len(clip)}")
    return tuple(dict.fromkeys(ids))
