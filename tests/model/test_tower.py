"""Towers: agreement with transformers' own processors and models, shapes, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from sceneminer.model.embedder import EmbedderTower
from sceneminer.model.errors import CheckpointError
from sceneminer.model.example import make_clip_folder, make_siglip2_folder, make_siglip_folder
from sceneminer.model.preprocess import resize_images
from sceneminer.model.tower import Tower, load_tower

MAKERS = {"clip": make_clip_folder, "siglip": make_siglip_folder, "siglip2": make_siglip2_folder}
TEXTS = ["a red car", "Night,  rain!", "", "pedestrian steps out between parked cars, at night: " * 4, "rue à Paris"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("towers")
    return {name: make(root / name) for name, make in MAKERS.items()}


def photo(width_px: int, height_px: int, *, seed: int = 0) -> Image.Image:
    """Smooth shapes with some texture, as photographs have."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width_px, height_px), Image.Resampling.BICUBIC), np.float64)
    return Image.fromarray(np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8))


def as_batch(*images: Image.Image) -> torch.Tensor:
    return torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images])


def theirs(kind, folder, images):
    """Embeddings and patches by transformers alone."""
    import transformers
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
    from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

    processors = {"clip": CLIPImageProcessorPil, "siglip": SiglipImageProcessorPil, "siglip2": Siglip2ImageProcessorPil}
    inputs = processors[kind].from_pretrained(folder)(images=list(images), return_tensors="pt")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        out = model.get_image_features(**inputs)
    patches = out.last_hidden_state[:, 1:] if kind == "clip" else out.last_hidden_state
    return torch.nn.functional.normalize(out.pooler_output, dim=-1), patches


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("resize", ["torch", "pil"])
def test_square_images_agree_with_transformers(folders, kind, resize):
    tower = load_tower(folders[kind])
    images = [photo(200, 200, seed=s) for s in range(4)]
    size = tower.input_size(200, 200)
    assert size == (32, 32)
    if resize == "torch":
        ours = resize_images(as_batch(*images), size, resample=tower.resample)
    else:
        code = Image.Resampling.BICUBIC if tower.resample == "bicubic" else Image.Resampling.BILINEAR
        ours = as_batch(*(image.resize((size[1], size[0]), code) for image in images))
    features = tower.encode_images(ours)
    embeddings, patches = theirs(kind, folders[kind], images)
    assert (features.embeddings * embeddings).sum(-1).min() >= 0.9999
    cosine = torch.cosine_similarity(features.patches.flatten(1, 2), patches, dim=-1)
    assert cosine.min() >= 0.9995 and cosine.mean() >= 0.9999


@pytest.mark.parametrize("kind", ["clip", "siglip2"])
def test_texts_agree_with_transformers(folders, kind):
    import transformers

    tower = load_tower(folders[kind])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[kind])
    model = transformers.AutoModel.from_pretrained(folders[kind]).eval()
    length = 77 if kind == "clip" else 64
    if kind == "siglip2":  # the bare class adds no <eos>; the released tokenizer files do
        ids = [[*tokenizer(" ".join(t.split()), add_special_tokens=False).input_ids[: length - 1], 1] for t in TEXTS]
        ids = torch.tensor([row + [0] * (length - len(row)) for row in ids])
    else:
        ids = tokenizer(TEXTS, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids
    assert torch.equal(tower.tokenizer.encode(TEXTS), ids)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model.get_text_features(ids).pooler_output, dim=-1)
    assert torch.allclose(tower.encode_texts(TEXTS), expected, atol=1e-5)


def test_siglip_texts_ignore_case_and_fill_64_tokens(folders):
    tower = load_tower(folders["siglip"])
    assert tower.tokenizer.encode(TEXTS).shape == (5, 64)
    lower, upper = tower.encode_texts(["a bus at night", "A  BUS at Night "])
    assert torch.equal(lower, upper)
    assert tower.encode_texts([]).shape == (0, 32)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(
    ("width_px", "height_px", "grid"), [(1600, 900, (4, 7)), (900, 1600, (7, 4)), (64, 64, (4, 4))]
)
def test_whole_images_of_any_aspect_in_one_pass(folders, kind, width_px, height_px, grid):
    tower = load_tower(folders[kind])
    assert isinstance(tower, Tower)
    size = tower.input_size(width_px, height_px)
    assert size == (grid[0] * 8, grid[1] * 8)
    calls = []
    tower.model.vision_model.register_forward_hook(lambda *_: calls.append(1))
    features = tower.encode_images(as_batch(photo(size[1], size[0]), photo(size[1], size[0], seed=1)))
    assert len(calls) == 1
    assert features.patches.shape == (2, *grid, tower.patch_dim)
    assert features.embeddings.shape == (2, tower.embed_dim)
    assert torch.allclose(features.embeddings.norm(dim=-1), torch.ones(2))


@pytest.mark.parametrize("kind", MAKERS)
def test_a_patch_token_stands_where_its_pixels_are(folders, kind):
    """Changing pixels in one corner changes that corner's token most, on a grid the tower never saw."""
    tower = load_tower(folders[kind])
    image = as_batch(photo(56, 32))
    changed = image.clone()
    changed[:, :, 24:32, 40:48] = 255 - changed[:, :, 24:32, 40:48]
    moved = (tower.encode_images(image).patches - tower.encode_images(changed).patches)[0].norm(dim=-1)
    assert divmod(int(moved.argmax()), 7) == (3, 5)


@pytest.mark.parametrize("kind", MAKERS)
def test_bf16_is_near_and_is_another_stream_in_the_same_space(folders, kind):
    full, half = load_tower(folders[kind]), load_tower(folders[kind], dtype="bf16")
    images = as_batch(*(photo(56, 32, seed=s) for s in range(3)))
    ours = half.encode_images(images)
    assert ours.embeddings.dtype == ours.patches.dtype == torch.float32
    assert (ours.embeddings * full.encode_images(images).embeddings).sum(-1).min() > 0.999
    assert half.space == full.space
    assert half.fingerprint_state()["numeric_mode"] == "bf16"


def test_towers_of_other_weights_name_other_spaces(folders, tmp_path):
    one, other = load_tower(folders["clip"]), load_tower(make_clip_folder(tmp_path / "other", seed=1))
    assert one.space.startswith("clip:") and len(one.space) == len("clip:") + 8
    assert one.space != other.space
    assert load_tower(folders["clip"]).space == one.space


def test_towers_are_frozen_and_stay_in_eval_mode(folders):
    tower = load_tower(folders["clip"])
    torch.nn.Sequential(tower).train()
    assert not any(module.training for module in tower.modules())
    assert not any(p.requires_grad for p in tower.parameters())
    weight = torch.nn.Linear(tower.embed_dim, 1)
    # Outputs can feed a trunk in training.
    weight(tower.encode_images(as_batch(photo(32, 32))).embeddings).sum().backward()
    assert weight.weight.grad is not None


def broken(folders, tmp_path, name, change):
    folder = tmp_path / name
    shutil.copytree(folders["clip"], folder)
    change(folder)
    return folder


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def truncated(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def drop_a_weight(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def poison(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["visual_projection.weight"][0, 0] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def wider(folder):
    config = json.loads((folder / "config.json").read_text())
    config["projection_dim"] = 30
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: edit(f / "config.json", model_type="bert"), "clip, siglip, siglip2.*found 'bert'"),
        (lambda f: (f / "config.json").unlink(), "config.json"),
        (lambda f: (f / "config.json").write_text("{"), "config.json to hold JSON"),
        (lambda f: (f / "config.json").write_text("[1]"), "JSON object, found list"),
        (lambda f: (f / "tokenizer.json").unlink(), "expected tokenizer.json"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizers file"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "preprocessor_config.json"),
        (lambda f: edit(f / "preprocessor_config.json", image_std=[1, 0, 1]), "positive image_std"),
        (lambda f: edit(f / "preprocessor_config.json", image_mean="x"), "three numbers as image_mean"),
        (lambda f: edit(f / "preprocessor_config.json", resample=0), "resample"),
        (pickled, "pytorch_model.bin .pickled weights are never opened"),
        (truncated, "to hold a clip model"),
        (drop_a_weight, "visual_projection.weight is missing"),
        (wider, "text_projection.weight has the wrong shape"),
        (poison, "NaN or infinity in visual_projection.weight"),
    ],
)
def test_a_broken_folder_gets_one_clear_error(folders, tmp_path, change, says):
    with pytest.raises(CheckpointError, match=says):
        load_tower(broken(folders, tmp_path, "broken", change))


def test_a_mistyped_folder_is_not_asked_of_the_hub(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        load_tower(tmp_path / "nothing")


def test_odd_sizes_are_refused(folders):
    tower = load_tower(folders["clip"])
    with pytest.raises(ValueError, match="multiples of 8 px, found 33×32"):
        tower.encode_images(torch.zeros(1, 3, 32, 33, dtype=torch.uint8))
    with pytest.raises(ValueError, match="positive image size"):
        tower.input_size(0, 10)


class MeanColour:
    """An embedder of one's own: an image is its mean colour, a text its first letter."""

    def embed_images(self, images):
        return images.float().mean((2, 3))

    def embed_texts(self, texts):
        return torch.tensor([[float(t.startswith(letter)) for letter in "rgb"] for t in texts])


def test_bring_your_own_embedder():
    tower = EmbedderTower(MeanColour(), name="mean colour", space="colour", embed_dim=3, image_size_px=32)
    assert isinstance(tower, Tower)
    size = tower.input_size(1600, 900)
    images = torch.zeros(2, 3, *size, dtype=torch.uint8)
    images[0, 0], images[1, 2] = 200, 90
    features = tower.encode_images(images)
    assert features.patches.shape == (2, 1, 1, 3)
    best = (features.embeddings @ tower.encode_texts(["red", "green", "blue"]).T).argmax(-1)
    assert best.tolist() == [0, 2]
