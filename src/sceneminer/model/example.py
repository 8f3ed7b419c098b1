"""Tiny towers with random weights, as folders in transformers' own layout: for tests and for the docs."""

import json
from pathlib import Path
from typing import Any

from sceneminer.model.tower import make_weights

_IMAGENET_HALF = [0.5, 0.5, 0.5]
_CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
_CLIP_STD = [0.26862954, 0.26130258, 0.27577711]


def make_clip_folder(
    path: Path, *, seed: int = 0, image_size_px: int = 32, patch_px: int = 8, width: int = 32, embed_dim: int = 24
) -> Path:
    """A CLIP of two layers; returns the folder, made if need be."""
    common = _layers(width) | {"projection_dim": embed_dim, "hidden_act": "quick_gelu"}
    vocabulary = _write_clip_tokenizer(path)
    ids = {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1}
    config = {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": embed_dim,
        "text_config": common | ids | {"vocab_size": vocabulary, "max_position_embeddings": 77},
        "vision_config": common | {"image_size": image_size_px, "patch_size": patch_px},
    }
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": image_size_px},
        "crop_size": {"height": image_size_px, "width": image_size_px},
    }
    return _write(path, config, processor | _pixels(_CLIP_MEAN, _CLIP_STD, resample=3), seed=seed)


def make_clip_shape(
    path: Path, *, width: int, layers: int, heads: int, image_size_px: int, patch_px: int, embed_dim: int
) -> Path:
    """A CLIP whose image side has this shape, with random weights; its text side is small. Returns the folder."""
    make_clip_folder(path, image_size_px=image_size_px, patch_px=patch_px, embed_dim=embed_dim)
    config = json.loads((path / "config.json").read_text())
    config["vision_config"] |= {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    config["vision_config"]["num_attention_heads"] = heads
    (path / "config.json").write_text(json.dumps(config))
    make_weights(path, seed=0)
    return path


def make_siglip_folder(
    path: Path, *, seed: int = 0, image_size_px: int = 32, patch_px: int = 8, width: int = 32
) -> Path:
    """A SigLIP of two layers (also the layout of SigLIP 2 at fixed resolution); returns the folder."""
    common = _layers(width)
    vocabulary = _write_gemma_tokenizer(path, tokenizer_class="PreTrainedTokenizerFast")
    config = {
        "model_type": "siglip",
        "architectures": ["SiglipModel"],
        "text_config": common
        | {"vocab_size": vocabulary, "max_position_embeddings": 64, "projection_size": width}
        | {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2},
        "vision_config": common | {"image_size": image_size_px, "patch_size": patch_px},
    }
    processor = {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": image_size_px, "width": image_size_px},
    }
    return _write(path, config, processor | _pixels(_IMAGENET_HALF, _IMAGENET_HALF, resample=3), seed=seed)


def make_siglip2_folder(path: Path, *, seed: int = 0, patches: int = 16, patch_px: int = 8, width: int = 32) -> Path:
    """A SigLIP 2 NaFlex of two layers, trained on ``patches`` (a square number) patches; returns the folder."""
    common = _layers(width)
    vocabulary = _write_gemma_tokenizer(path, tokenizer_class="Siglip2Tokenizer")
    config = {
        "model_type": "siglip2",
        "architectures": ["Siglip2Model"],
        "text_config": common
        | {"vocab_size": vocabulary, "max_position_embeddings": 64, "projection_size": width}
        | {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2},
        "vision_config": common | {"num_patches": patches, "patch_size": patch_px},
    }
    processor = {
        "image_processor_type": "Siglip2ImageProcessor",
        "max_num_patches": patches,
        "patch_size": patch_px,
    }
    return _write(path, config, processor | _pixels(_IMAGENET_HALF, _IMAGENET_HALF, resample=2), seed=seed)


def _layers(width: int) -> dict[str, Any]:
    return {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2, "num_attention_heads": 2}


def _pixels(mean: list[float], std: list[float], *, resample: int) -> dict[str, Any]:
    steps = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
    return steps | {"image_mean": mean, "image_std": std, "resample": resample}


def _write(path: Path, config: dict[str, Any], processor: dict[str, Any], *, seed: int) -> Path:
    (path / "config.json").write_text(json.dumps(config, indent=1))
    (path / "preprocessor_config.json").write_text(json.dumps(processor, indent=1))
    make_weights(path, seed=seed)
    return path


def _write_clip_tokenizer(path: Path) -> int:
    """Every byte, alone and at a word's end, as in CLIP's byte-level vocabulary; no merges."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], end_of_word_suffix="</w>", unk_token=tokens[-1]))
    tokenizer.normalizer = normalizers.Sequence(  # type: ignore[assignment]
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = pre_tokenizers.Split(Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    tokenizer.add_special_tokens(tokens[-2:])
    special = {"bos_token": tokens[-2], "eos_token": tokens[-1], "unk_token": tokens[-1], "pad_token": tokens[-1]}
    _save_tokenizer(path, tokenizer, {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **special})
    return len(tokens)


def _write_gemma_tokenizer(path: Path, *, tokenizer_class: str) -> int:
    """Printable ASCII and bytes to fall back to, with Gemma's special tokens at its ids."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    letters = [chr(i) for i in range(0x21, 0x7F)]
    tokens = [*special, "<mask>", *(f"<0x{i:02X}>" for i in range(256)), "▁", *letters]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], fuse_unk=True, unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(  # type: ignore[assignment]
        [normalizers.Lowercase(), normalizers.Replace(" ", "▁")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")  # type: ignore[assignment]
    tokenizer.decoder = decoders.Sequence(  # type: ignore[assignment]
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens([*special, "<mask>"])
    names = dict(zip(("pad_token", "eos_token", "bos_token", "unk_token"), special, strict=True))
    _save_tokenizer(path, tokenizer, {"tokenizer_class": tokenizer_class, "model_max_length": 64, **names})
    return len(tokens)


def _save_tokenizer(path: Path, tokenizer: Any, config: dict[str, Any]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
