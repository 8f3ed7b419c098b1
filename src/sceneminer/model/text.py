"""Texts to token ids for CLIP and SigLIP towers, straight from ``tokenizer.json``.

transformers' tokenizer classes rebuild the pipeline, need sentencepiece for SigLIP, and differ by version; the
file itself holds all that is needed, and the few rules around it are stated here.
Source of the SigLIP rules: big_vision's prompt canonicalisation (lower case, no punctuation), Zhai et al.,
"Sigmoid Loss for Language Image Pre-Training", ICCV 2023; SigLIP 2 lowers case only.
"""

import string
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

from sceneminer.model.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, eq=False)
class TextTokenizer:
    """Fixed-length token ids, each row independent of its neighbours."""

    tokenizer: "Tokenizer"
    length: int
    start: int | None
    end: int
    pad: int
    lower_case: bool
    strip_punctuation: bool

    def encode(self, texts: list[str]) -> Int[Tensor, "n length"]:
        """Ids with start and end tokens, cut and padded to ``length``."""
        head = [] if self.start is None else [self.start]
        room = self.length - len(head) - 1
        rows = []
        for text in texts:
            ids = self.tokenizer.encode(self.clean(text), add_special_tokens=False).ids[:room]
            row = [*head, *ids, self.end]
            rows.append(row + [self.pad] * (self.length - len(row)))
        return torch.tensor(rows, dtype=torch.int64).reshape(len(texts), self.length)

    def clean(self, text: str) -> str:
        if self.lower_case:
            text = text.lower()
        if self.strip_punctuation:
            text = text.translate(_NO_PUNCTUATION)
        return " ".join(text.split())


def load_tokenizer(folder: Path, *, model_type: str, length: int, vocab_size: int) -> TextTokenizer:
    """The tokenizer of a tower folder; CheckpointError where it is missing, broken or does not fit the tower."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(f"expected tokenizer.json in {folder}, found none: texts cannot be encoded without it")
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception for any broken file
        raise CheckpointError(f"expected {path} to be a tokenizers file, found {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if highest >= vocab_size:
        raise CheckpointError(f"expected token ids below {vocab_size} in {path}, found {highest}")
    if model_type == "clip":
        end = _token(tokenizer, "<|endoftext|>", path)
        start = _token(tokenizer, "<|startoftext|>", path)
        return TextTokenizer(tokenizer, length, start, end, end, lower_case=False, strip_punctuation=False)
    if tokenizer.token_to_id("<eos>") is not None:  # SigLIP 2: Gemma's vocabulary
        end, pad = _token(tokenizer, "<eos>", path), _token(tokenizer, "<pad>", path)
        return TextTokenizer(tokenizer, length, None, end, pad, lower_case=True, strip_punctuation=False)
    end = _token(tokenizer, "</s>", path)
    return TextTokenizer(tokenizer, length, None, end, end, lower_case=True, strip_punctuation=True)


def _token(tokenizer: Any, token: str, path: Path) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise CheckpointError(f"expected the token {token} in {path}, found none")
    return int(found)
