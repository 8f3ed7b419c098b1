"""Broken files, tables and names of every kind: masked, counted and named; repaired and retried, no trace is left."""

import io
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from make_mined_log import START_US, content, make_log, quarantine_text, times_us, write_noise, write_rig
from nuscenes_tree import make_nuscenes_tree, nuscenes_tables, write_tables
from PIL import Image

from sceneminer.data.errors import DataError
from sceneminer.index.quarantine import Quarantine, Quarantined
from sceneminer.mine.run import mine
from sceneminer.mine.units import MiningPlan


def zero_bytes(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def text(path: Path) -> None:
    path.write_text("<script>alert(1)</script>")


def gif(path: Path) -> None:
    Image.new("RGB", (40, 24)).save(path, "GIF")


def bomb(path: Path) -> None:
    """A PNG of 60000 × 60000 pixels in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    size = (60_000).to_bytes(4, "big")
    head = chunk(b"IHDR", size + size + bytes([8, 2, 0, 0, 0]))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))


def broken_chunks(path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 24)).save(out, "PNG")
    path.write_bytes(out.getvalue().replace(b"IDAT", b"ID\xffT"))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def missing(path: Path) -> None:
    path.unlink()


def link_outside(path: Path) -> None:
    outside = path.parents[3] / "outside.jpg"
    write_noise(outside, seed=1)
    path.unlink()
    path.symlink_to(outside)


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def unreadable(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path.chmod(0)


BREAK = (
    zero_bytes,
    truncated,
    text,
    gif,
    bomb,
    broken_chunks,
    folder,
    missing,
    link_outside,
    link_to_itself,
    unreadable,
)


@pytest.mark.parametrize("damage", BREAK, ids=lambda f: f.__name__)
def test_a_broken_image_is_masked_named_and_gone_once_repaired(tmp_path, model, damage):
    root, index = make_nuscenes_tree(tmp_path), tmp_path / "index"
    good = mine(root, tmp_path / "good", model=model)
    path = sorted((root / "samples" / "CAM_FRONT").iterdir())[1]
    before = path.read_bytes()
    damage(path)
    report = mine(root, index, model=model)
    assert good.exit_code == 0 and report.exit_code == 3 and report.images_masked == 1
    (line,) = map(json.loads, quarantine_text(index).splitlines())
    assert line["subject"] == path.relative_to(root).as_posix() and line["what"] == "image"
    assert str(tmp_path) not in quarantine_text(index) and "expected" in line["reason"]
    whole, found = content(tmp_path / "good"), content(index)
    assert [row["images_masked"] for row in found["clips"]] == [1, 0]
    assert found["clips"][0]["embedding"] != whole["clips"][0]["embedding"]
    # Rarity and hardness look at all clips; what the other log's own row says does not move.
    assert found["clips"][1]["embedding"] == whole["clips"][1]["embedding"]
    assert found["tokens"][1] == whole["tokens"][1]
    lines = quarantine_text(index)
    assert mine(root, index, model=model).exit_code == 3 and quarantine_text(index) == lines
    path.chmod(0o600) if damage is unreadable else None
    if path.is_dir():
        path.rmdir()
    if path.is_symlink():
        path.unlink()
    path.write_bytes(before)
    assert mine(root, index, model=model, retry_quarantined=True).exit_code == 0
    assert content(index) == whole and quarantine_text(index) == ""


@pytest.mark.parametrize("name", ["/etc/passwd", "../../etc/passwd", "samples/a\0b.jpg", "", "x" * 5000, "a\ud800.jpg"])
def test_hostile_file_names_in_tables_never_leave_the_root(tmp_path, model, name):
    root = make_nuscenes_tree(tmp_path)
    tables = nuscenes_tables()
    next(row for row in tables["sample_data"] if "CAM_FRONT" in row["filename"])["filename"] = name
    write_tables(root, tables)
    report = mine(root, tmp_path / "index", model=model)
    assert report.exit_code == 3 and report.index_clips == 2
    assert str(tmp_path) not in quarantine_text(tmp_path / "index")


@pytest.mark.parametrize("content_", ["", "[", "{}", "[1]", "null", '[{"token": 1}]', "\0\0", "[" * 100_000])
@pytest.mark.parametrize("table", ["scene", "sample_data", "calibrated_sensor", "sample_annotation"])
def test_broken_tables_are_refused_or_named(tmp_path, model, table, content_):
    root = make_nuscenes_tree(tmp_path)
    (root / "v1.0-mini" / f"{table}.json").write_text(content_)
    try:
        report = mine(root, tmp_path / "index", model=model)
    except DataError as error:
        assert "expected" in str(error) and "\n" not in str(error)[:100]
    else:
        assert report.exit_code == 3 or table == "sample_annotation"


@pytest.mark.parametrize(
    "name",
    [
        "<b>bold",
        "line\nbreak",
        "'; drop table clips; --",
        'say "hi"',
        "naïve 雪 🚗",
        "x" * 250,
        "a+b",
        "[red]x[bold]",
        "line\u2028separator\x85",
        "tab\tand\x1b[31mred",
        "%s{0}$HOME",
        "-rf",
    ],
)
def test_odd_names_of_logs_and_files_go_in_and_come_out(tmp_path, model, name):
    from sceneminer.index.manage import delete_logs
    from sceneminer.index.search import open_index, search

    root, index = tmp_path / "root", tmp_path / "index"
    log = make_log(root, name, {"front": times_us(3, 2)})
    (log / "front" / f"{START_US + 1_500_000}.jpg").unlink()
    bad = log / "front" / f"{name[:50]}_{START_US + 1_500_000}.jpg"
    bad.write_bytes(b"broken")
    make_log(root, "other", {"front": times_us(3, 2)})
    report = mine(root, index, model=model)
    assert report.exit_code == 3 and report.index_clips == 4
    (line,) = [line for line in Quarantine(index).lines if line.what == "image"]
    assert line.subject == f"{name}/front/{bad.name}"
    rows = {row["log_name"] for row in content(index)["clips"]}
    assert rows == {name, "other"}
    opened = open_index(index)
    example = next(r["clip_id"] for r in content(index)["clips"] if r["log_name"] == name)
    other = next(r["clip_id"] for r in content(index)["clips"] if r["log_name"] == "other")
    assert {hit.log_name for hit in search(opened, like=example)} == {"other"}
    quoted = name.replace("'", "''")
    assert {hit.log_name for hit in search(opened, like=other, where=f"log = '{quoted}'")} == {name}
    assert delete_logs(opened, (name,))["clips"] == 2
    assert mine(root, index, model=model).clips == 2


def test_quarantine_keeps_what_was_said_whatever_the_name(tmp_path):
    lines = {
        Quarantined("l", f"u{i}", "image", s, "broken_file", s)
        for i, s in enumerate(["�", "\u2028", "\x85", "\n", "\x00", "é"])
    }
    quarantine = Quarantine(tmp_path)
    quarantine.replace([], lines)
    assert Quarantine(tmp_path).lines == lines
    first = (tmp_path / "quarantine.jsonl").read_bytes()
    Quarantine(tmp_path).replace([("l", "u0")], [line for line in lines if line.unit_id == "u0"])
    assert (tmp_path / "quarantine.jsonl").read_bytes() == first


def test_min_cameras_decides_what_is_a_clip(tmp_path, model):
    root = tmp_path / "root"
    log = make_log(root, "a", {"front": times_us(4, 2), "rear": times_us(4, 2)})
    for path in (log / "rear").iterdir():
        path.write_bytes(b"")
    one = mine(root, tmp_path / "one", model=model)
    two = mine(root, tmp_path / "two", model=model, plan=MiningPlan(min_cameras=2))
    assert (one.clips, one.clips_quarantined, one.images_masked) == (3, 0, 8)
    assert (two.clips, two.clips_quarantined, two.exit_code) == (0, 3, 3)
    assert all(row["cameras"] == 1 for row in content(tmp_path / "one")["clips"])
    assert {line.reason for line in Quarantine(tmp_path / "two").lines if line.what == "clip"} == {
        "expected at least 2 usable cameras, found 1"
    }


def test_damage_does_not_move_other_images_of_any_shape(tmp_path, model):
    """Cameras of three shapes, one image broken: clips that do not hold it keep their bits."""
    root = tmp_path / "root"
    at = times_us(9, 2)
    log = make_log(root, "a", {"front": at, "rear": at})
    for camera, size in (("side", (24, 60)), ("wide", (90, 20))):
        for seed, time in enumerate(at):
            write_noise(log / camera / f"{time}.jpg", seed=seed, size=size)
    mine(root, tmp_path / "good", model=model)
    for camera in ("side", "wide"):
        (log / camera / f"{at[2]}.jpg").write_bytes(b"")
    mine(root, tmp_path / "index", model=model)
    good, found = content(tmp_path / "good"), content(tmp_path / "index")
    moved = [
        a["start_us"] - START_US
        for a, b in zip(good["clips"], found["clips"], strict=True)
        if a["embedding"] != b["embedding"]
    ]
    assert moved == [0, 1_000_000]  # the third image, at 1 s, is in the clips that start at 0 and 1 s


def test_logs_with_tracks_and_no_images_have_rows_without_model_signals(tmp_path, model):
    root = make_nuscenes_tree(tmp_path)
    tables = nuscenes_tables()
    lidar = {row["token"] for row in tables["calibrated_sensor"] if not row["camera_intrinsic"]}
    tables["sample_data"] = [row for row in tables["sample_data"] if row["calibrated_sensor_token"] in lidar]
    write_tables(root, tables)
    report = mine(root, tmp_path / "index", model=model)
    rows = content(tmp_path / "index")["clips"]
    assert [row["images"] for row in rows] == [0] * len(rows) and len(rows) >= 1
    assert all(row["embedding"] is None and row["stream_fingerprint"] is None for row in rows)
    assert rows[0]["risk_tracks"] is not None and rows[0]["hardness"] is not None
    assert report.images == 0


def test_retrying_leaves_what_lies_under_other_roots(tmp_path, model):
    index = tmp_path / "index"
    for place in ("a", "bb"):
        log = make_log(tmp_path / place, f"log{place}", {"front": times_us(4, 2)})
        (log / "front" / f"{START_US + 1_000_000}.jpg").write_bytes(b"")
        mine(tmp_path / place, index, model=model)
    before, lines = content(index), quarantine_text(index)
    mine(tmp_path / "a", index, model=model, retry_quarantined=True)
    assert content(index) == before and quarantine_text(index) == lines


def test_decoding_survives_any_corruption_of_an_image(tmp_path):
    """Bytes flipped, cut and repeated: an image or a named issue, nothing else."""
    from sceneminer.data.errors import MediaError
    from sceneminer.data.media import decode_image

    rng = np.random.default_rng(0)
    sources = []
    for kind, mode in (("JPEG", "RGB"), ("PNG", "RGB"), ("PNG", "P"), ("PNG", "I;16"), ("JPEG", "CMYK")):
        out = io.BytesIO()
        Image.new(mode, (40, 24)).save(out, kind)
        sources.append(out.getvalue())
    for k in range(1500):
        data = bytearray(sources[k % len(sources)])
        for at in rng.integers(0, len(data), rng.integers(1, 6)):
            data[at] = rng.integers(0, 256)
        try:
            image = decode_image(
                bytes(data[: rng.integers(1, len(data) + 1) if k % 3 == 0 else None]), "x", size=(16, 8)
            )
        except MediaError as error:
            assert error.issue.subject == "x"
        else:
            assert image.shape == (8, 16, 3)


def test_a_rig_and_no_rig_both_mine(tmp_path, model):
    root = tmp_path / "root"
    make_log(root, "a", {"front": times_us(3, 2)})
    mine(root, tmp_path / "plain", model=model)
    write_rig(root, ["front"])
    mine(root, tmp_path / "calibrated", model=model)
    a, b = (content(tmp_path / name) for name in ("plain", "calibrated"))
    assert a["clips"][0]["embedding"] == b["clips"][0]["embedding"]
    assert a["tokens"][0]["tokens"] != b["tokens"][0]["tokens"]
