"""The tokenizer of sceneminer-tiny: byte-level BPE in CLIP's own format, small, with every word of the towns whole.

Words that no town speaks of fall apart into pieces and bytes; none is lost. The merges are learned here (Sennrich et
al., ACL 2016) because the trainer of ``tokenizers`` numbers its pieces differently from run to run.
"""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

START, END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"


def write_tokenizer(folder: Path, texts: Iterable[str], *, vocabulary: int, length: int) -> int:
    """Learn the merges on texts and write ``tokenizer.json`` and its config; returns the number of tokens."""
    from tokenizers import pre_tokenizers

    empty = _tokenizer({}, [])
    counts: Counter[str] = Counter()
    for text in texts:
        clean = empty.normalizer.normalize_str(text)
        counts.update(word for word, _ in empty.pre_tokenizer.pre_tokenize_str(clean))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(letter + _WORD_END for letter in alphabet)]
    merges = learn_merges(counts, most=vocabulary - 2 - len(tokens))
    tokens = list(dict.fromkeys([*tokens, *(a + b for a, b in merges)]))
    tokenizer = _tokenizer({token: k for k, token in enumerate([*tokens, START, END])}, merges)
    tokenizer.add_special_tokens([START, END])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": length, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    return tokenizer.get_vocab_size()


def learn_merges(counts: Counter[str], *, most: int) -> list[tuple[str, str]]:
    """The most frequent pair again and again, while one occurs twice; ties go by the alphabet."""
    words = [([*word[:-1], word[-1] + _WORD_END], n) for word, n in sorted(counts.items())]
    merges: list[tuple[str, str]] = []
    while len(merges) < most:
        pairs: Counter[tuple[str, str]] = Counter()
        for parts, n in words:
            for pair in pairwise(parts):
                pairs[pair] += n
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < 2:
            break
        merges.append(best)
        for parts, _ in words:
            k = 0
            while k < len(parts) - 1:
                if (parts[k], parts[k + 1]) == best:
                    parts[k : k + 2] = [parts[k] + parts[k + 1]]
                k += 1
    return merges


def _tokenizer(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    model = models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix=_WORD_END, unk_token=END)
    tokenizer: Any = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = pre_tokenizers.Split(Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), behavior="removed", invert=True)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
