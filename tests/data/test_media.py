"""Reading other people's images and files: names, limits, formats."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from adapter_case import GREEN, RED, write_two_tone
from PIL import Image

from sceneminer.data.errors import DataError, MediaError
from sceneminer.data.media import MediaRoot, decode_image, existing_folder


@pytest.fixture
def media(tmp_path) -> MediaRoot:
    write_two_tone(tmp_path / "data" / "a" / "b.jpg", 64, 32)
    write_two_tone(tmp_path / "outside.jpg", 64, 32)
    return MediaRoot(tmp_path / "data")


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def kind_of(call, *args, **kwargs) -> str:
    with pytest.raises(MediaError) as caught:
        call(*args, **kwargs)
    return caught.value.issue.kind


def test_a_name_inside_the_root_is_read(media):
    assert media.read_image("a/b.jpg").shape == (32, 64, 3)
    assert media.read_image("a/../a/b.jpg").shape == (32, 64, 3)


@pytest.mark.parametrize(
    "name", ["../outside.jpg", "a/../../outside.jpg", "/etc/hostname", "", "a\0.jpg", "./../outside.jpg"]
)
def test_a_name_that_leaves_the_root_is_refused(media, name):
    assert kind_of(media.read_image, name) == "escaping_path"


def test_links_are_followed_only_inside_the_root(media):
    folder = media.folder
    (folder / "in.jpg").symlink_to(folder / "a" / "b.jpg")
    (folder / "out.jpg").symlink_to(folder.parent / "outside.jpg")
    (folder / "up").symlink_to(folder.parent)
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    assert media.read_image("in.jpg").shape == (32, 64, 3)
    assert kind_of(media.read_image, "out.jpg") == "escaping_path"
    assert kind_of(media.read_image, "up/outside.jpg") == "escaping_path"
    assert kind_of(media.read_image, "loop.jpg") in ("broken_file", "missing_file")


def test_a_root_that_is_itself_a_link_is_fine(media, tmp_path):
    (tmp_path / "link").symlink_to(media.folder)
    assert MediaRoot(tmp_path / "link").read_image("a/b.jpg").shape == (32, 64, 3)


@pytest.mark.parametrize("name", ["gone.jpg", "a", "a/b.jpg/c", "x" * 5000 + ".jpg"])
def test_what_is_no_file_is_named(media, name):
    assert kind_of(media.read_image, name) in ("missing_file", "broken_file")


def test_large_files_are_not_read(media):
    assert len(media.read_bytes("a/b.jpg", limit=10**6)) > 100
    assert kind_of(media.read_bytes, "a/b.jpg", limit=100) == "too_large"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "CMYK", "RGBA", "I;16"])
def test_every_colour_mode_becomes_rgb(kind, mode):
    if (kind, mode) in {("JPEG", "P"), ("JPEG", "RGBA"), ("JPEG", "I;16"), ("PNG", "CMYK")}:
        pytest.skip(f"{kind} has no {mode}")
    image = Image.new("RGB", (20, 10), (200, 200, 200)) if mode != "I;16" else Image.new("I;16", (20, 10), 51400)
    pixels = decode_image(encoded(image.convert(mode) if mode != "I;16" else image, kind), "x")
    assert pixels.shape == (10, 20, 3) and pixels.dtype == np.uint8
    assert abs(int(pixels[:, :, 0].mean()) - 200) < 8 or mode == "1"


def test_the_whole_image_is_resized(media):
    pixels = media.read_image("a/b.jpg", size=(10, 20))
    assert pixels.shape == (20, 10, 3)
    np.testing.assert_allclose(pixels[:, :3].mean((0, 1)), RED, atol=12)
    np.testing.assert_allclose(pixels[:, -3:].mean((0, 1)), GREEN, atol=12)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_other_formats_are_not_decoded(kind):
    data = encoded(Image.new("RGB", (8, 8)), kind)
    assert kind_of(decode_image, data, "x.jpg") == "broken_file"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", bytes(1000)])
def test_nonsense_is_named(data):
    with pytest.raises(MediaError, match=r"^some/name\.jpg: expected a JPEG or PNG"):
        decode_image(data, "some/name.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_half_an_image_is_broken(kind):
    rng = np.random.default_rng(0)
    data = encoded(Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)), kind)
    assert kind_of(decode_image, data[: len(data) // 2], "x") == "broken_file"


def test_a_folder_that_should_exist(tmp_path):
    assert existing_folder(str(tmp_path), "a folder") == tmp_path
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"expected a data root at .*file, found a file there"):
        existing_folder(tmp_path / "file", "a data root")
    with pytest.raises(DataError, match="found nothing there"):
        existing_folder(Path(tmp_path / "gone"), "a data root")


def test_media_errors_keep_their_issue_between_processes():

    with pytest.raises(MediaError) as caught:
        decode_image(b"", "x.jpg")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert again.issue == caught.value.issue and str(again) == str(caught.value)


def test_a_name_that_is_no_text_is_named(tmp_path):
    with pytest.raises(MediaError) as caught:
        MediaRoot(tmp_path).path("a\ud800.jpg")
    assert (caught.value.issue.kind, caught.value.issue.subject) == ("broken_file", "a?.jpg")
