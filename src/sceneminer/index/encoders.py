"""From words and pictures to the vector space of an index, by the tower that made it, which is opened once."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.errors import MediaError
from sceneminer.data.media import MAX_IMAGE_BYTES, decode_image
from sceneminer.index.errors import IndexFault, QueryError
from sceneminer.index.query import MAX_NAME, ImageExample

TextEncoder = Callable[[list[str]], Float[ndarray, "n e"]]


class Encoders:
    """The text and the image side of an index's tower; nothing is loaded before it is needed."""

    def __init__(self, manifest: dict[str, Any]):
        self._manifest = manifest

    @cached_property
    def _tower(self) -> Any:
        # Loading the libraries of models takes seconds, which a search by filter need not wait for.
        from sceneminer.model.zoo import load_model_tower

        model = self._manifest.get("model")
        if not model:
            raise IndexFault("expected an index with embeddings, found one without a model; search it by filter")
        tower = load_model_tower(model["source"])
        if tower.space != model["space"]:
            raise IndexFault(f"expected text space {model['space']}, found {tower.space} in {model['source']}")
        return tower

    def texts(self, texts: list[str]) -> Float[ndarray, "n e"]:
        return self._tower.encode_texts(texts).float().numpy()

    def image(self, source: Path | bytes, *, name: str = "") -> ImageExample:
        """A JPEG or PNG as an example to be like; QueryError where it is none."""
        import torch

        from sceneminer.model.whole_image import fit_tower

        name = _printable(name or (source.name if isinstance(source, Path) else "image"))
        try:
            pixels = decode_image(_read(source) if isinstance(source, Path) else source, name)
        except MediaError as error:
            raise QueryError(f"expected an image to be like, found {name}: {error.issue.reason}") from error
        batch = torch.from_numpy(np.array(fit_tower(pixels, self._tower))).permute(2, 0, 1)[None]
        vector = self._tower.encode_images(batch).embeddings[0].float().numpy()
        return ImageExample(name, self._tower.space, vector.astype("<f4").tobytes())


def _printable(name: str) -> str:
    """A name as a Query may hold it: of a file whose name is no text, the rest of it."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[-MAX_NAME:])


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_IMAGE_BYTES + 1)
    except OSError as error:
        raise QueryError(f"expected an image at {path}, found {error.strerror}") from error
    if len(data) > MAX_IMAGE_BYTES:
        raise QueryError(f"expected an image of at most {MAX_IMAGE_BYTES} bytes, found more in {path}")
    return data
