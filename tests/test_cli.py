"""The command line as a user meets it: exit codes, one line of error, JSON that parses, tables that stay readable."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from nuscenes_tree import make_nuscenes_tree

from sceneminer.model.example import make_clip_folder, make_siglip2_folder, make_siglip_folder

FLAGS = {
    "": {"--help", "mine", "search", "hardest", "show", "tags", "synth", "demo", "index", "verify", "bench", "heads"}
    | {"select", "replay", "export", "serve"},
    "mine": {"--out", "--model", "--cameras", "--stride", "--length", "--workers", "--min-cameras", "--precision"}
    | {"--retry-quarantined", "--no-retry-quarantined", "--logs", "--split", "--media-root", "--fps"},
    "search": {"--like", "--unlike", "--image", "--where", "--query", "--save-query", "--top", "--format"}
    | {"--merge", "--no-merge"},
    "select": {"--n", "--out", "--like", "--unlike", "--image", "--where", "--query", "--hardness", "--score"}
    | {"--diversity", "--quota", "--near-duplicate", "--exclude"},
    "replay": {"--out", "--format"},
    "export": {"--to", "--out", "--link"},
    "serve": {"--host", "--port", "--no-token", "--exports", "--read-only", "--origin"},
    "hardest": {"--where", "--top", "--merge", "--no-merge", "--format"},
    "show": {"--out"},
    "tags": {"--explain", "--no-explain"},
    "synth": {"--logs", "--seed", "--split", "--rate", "--size", "--sensors", "--seconds", "--workers"},
    "demo": {"--out"},
    "verify": {"--against"},
    "bench identity": {"--out", "--model", "--data", "--seeds", "--steps"},
    "index info": {"--format"},
    "index add": {"--model", "--cameras", "--workers", "--split", "--media-root", "--fps"},
    "index delete": set(),
    "index move": set(),
    "index optimize": set(),
    "heads list": {"--format"},
    "heads add": {"--labels", "--target", "--relevant", "--not-relevant", "--from", "--seed", "--dry-run"},
    "heads upgrade": {"--labels", "--target", "--relevant", "--not-relevant", "--seed", "--dry-run"},
    "heads drop": set(),
    "heads backfill": set(),
    "heads export": set(),
}
"""Frozen: a flag that scripts use neither goes nor changes its name."""


def sceneminer(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sceneminer", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


@pytest.fixture(scope="module")
def mined(tmp_path_factory) -> tuple[Path, Path]:
    """A nuScenes tree with one broken image and its index, mined by the command."""
    folder = tmp_path_factory.mktemp("cli")
    root = make_nuscenes_tree(folder)
    next((root / "samples" / "CAM_BACK").iterdir()).write_bytes(b"broken")
    tower = make_clip_folder(folder / "clip")
    done = sceneminer("mine", root, "--out", folder / "index", "--model", tower)
    assert done.returncode == 3, done.stderr
    assert "1 images masked" in done.stdout and "masked samples/CAM_BACK/" in done.stdout
    assert done.stderr == ""
    return root, folder / "index"


@pytest.mark.parametrize("command", FLAGS)
def test_flags_are_frozen(command):
    from typer.main import get_command

    from sceneminer.cli import app

    found = get_command(app)
    for word in command.split():
        found = found.commands[word]  # type: ignore[attr-defined]
    if not command:
        assert set(found.commands) | {"--help"} == FLAGS[""]  # type: ignore[attr-defined]
        return
    options = {o for p in found.params for o in (*p.opts, *p.secondary_opts) if o.startswith("--")}
    assert options - {"--help"} == FLAGS[command]


def test_mined_again_nothing_is_added(mined):
    root, index = mined
    rows = json.loads(sceneminer("index", "info", index, "--format", "json").stdout)["rows"]
    again = sceneminer("index", "add", index, root)
    assert (
        again.returncode == 3 and "mined 0 clips" in again.stdout and "2 of 2 units were there already" in again.stdout
    )
    assert json.loads(sceneminer("index", "info", index, "--format", "json").stdout)["rows"] == rows


def test_hits_as_json_and_as_a_table_that_a_pipe_can_read(mined):
    _, index = mined
    found = sceneminer("search", index, "a car ahead", "--format", "json", "--top", 5)
    hits = json.loads(found.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found.returncode == 0 and found.stderr == "" and len(hits) == 2
    assert {"log_id", "start_us", "end_us", "score", "best_clip_id", "parts"} <= set(hits[0])
    each = json.loads(sceneminer("search", index, "a car ahead", "--format", "json", "--top", 5, "--no-merge").stdout)
    assert all(hit["clip_ids"] == [hit["best_clip_id"]] for hit in each)
    assert {hit["best_clip_id"] for hit in each} <= {
        clip for hit in json.loads(found.stdout) for clip in hit["clip_ids"]
    }
    lines = sceneminer("search", index, "a car ahead").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["#", "1", "2"]
    assert [hits[i]["best_clip_id"] in lines[1 + i] for i in range(2)] == [True, True]
    # Only one of the two logs has tracks, and two logs are too few for rarity: one hardness is known.
    lines = sceneminer("hardest", index, "--where", "risk >= 0").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["#", "1", "hardness"] and "hardness weighs" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("mine", "{tmp}/none", "--out", "{tmp}/out"), "none"),
        (("mine", "{root}", "--out", "{tmp}/out", "--model", "{tmp}/none"), "none"),
        (("mine", "{root}", "--out", "{tmp}/file", "--model", "{model}"), "expected an index or an empty folder"),
        (("mine", "{root}", "--out", "{index}", "--model", "{model}", "--stride", "0.5s"), "plan"),
        (("mine", "{root}", "--out", "{index}", "--model", "{model}", "--precision", "bf16"), "stream"),
        (("mine", "{root}", "--out", "{tmp}/out", "--cameras", "CAM_TOP"), "CAM_TOP"),
        (("mine", "{root}", "--out", "{tmp}/out", "--min-cameras", "0"), "at least one camera"),
        (("mine", "{root}", "--out", "{tmp}/out", "--stride", "3s"), "stride"),
        (("mine", "{root}", "--out", "{index}", "--model", "{model}", "--cameras", "CAM_FRONT"), "cameras and times"),
        (("search", "{tmp}", "text"), "expected a sceneminer index"),
        (("search", "{index}"), "expected a text"),
        (("search", "{index}", "x", "--where", "sleep(9) > 1"), "sleep"),
        (("search", "{index}", "x", "--where", "passwords > 1"), "passwords"),
        (("index", "delete", "{index}", "scene-9999"), "scene-9999"),
        (("mine", "{tmp}/a\x1b[31m\x07b", "--out", "{tmp}/out"), "a?[31m?b"),
        (("search", "{index}", "--like", "a\x9bb\udcff"), "UTF-8"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(mined, tmp_path, arguments, says):
    root, index = mined
    (tmp_path / "file").write_text("")
    places = {"tmp": tmp_path, "root": root, "index": index, "model": index.parent / "clip"}
    done = sceneminer(*(a.format(**places) for a in arguments))
    assert done.returncode == 2 and done.stdout == ""
    assert says in done.stderr and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("mine", "x"),
        ("nonsense",),
        ("mine", "x", "--out", "y", "--stride", "soon"),
        ("mine", "x", "--out", "y", "--workers", "0"),
        ("index", "info", "x", "--format", "xml"),
    ],
)
def test_usage_errors_name_what_is_wrong(arguments):
    done = sceneminer(*arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr and 0 < len(done.stderr) < 500


@pytest.mark.slow
@pytest.mark.parametrize("make", [make_clip_folder, make_siglip_folder, make_siglip2_folder])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_random_towers_through_the_whole_job(tmp_path, make, precision):
    root, tower, index = make_nuscenes_tree(tmp_path), make(tmp_path / "tower"), tmp_path / "index"
    done = sceneminer("mine", root, "--out", index, "--model", tower, "--precision", precision)
    assert done.returncode == 0, done.stderr
    hits = json.loads(sceneminer("search", index, "rain", "--where", "tag.rain >= 0", "--format", "json").stdout)
    assert len(hits) == 2 and all(-1 <= hit["score"] <= 1 for hit in hits)


def test_deleted_logs_can_be_mined_again(mined, tmp_path):
    root, index = mined
    gone = sceneminer("index", "delete", index, "scene-0002")
    assert gone.returncode == 0 and "1 clips" in gone.stdout
    assert "mined 1 clips" in sceneminer("index", "add", index, root).stdout
    assert sceneminer("index", "optimize", index).returncode == 0
