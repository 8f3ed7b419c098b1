"""The demo as its user runs it, on a town of one log of two seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

from sceneminer.index.search import open_index
from sceneminer.model.example import make_clip_folder

CODE = """
import sys
from pathlib import Path
from sceneminer.evals.demo import DemoTown, run_demo

town = DemoTown(logs=1, size_hw=(32, 56), sensors=("CAM_FRONT", "CAM_BACK"), duration_s=2.0)
run_demo(Path(sys.argv[1]), model=sys.argv[2], town=town, workers=1)
"""


def run(out: Path, model: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CODE, str(out), model], capture_output=True, text=True)


@pytest.mark.slow
def test_the_demo_makes_mines_searches_and_reports_and_then_uses_what_is_there(tmp_path):
    tower = str(make_clip_folder(tmp_path / "clip"))
    first = run(tmp_path / "demo", tower)
    assert first.returncode == 0, first.stderr
    assert "wrote 1 logs of 2 s" in first.stdout and "mined with clip" in first.stdout
    report = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    index = open_index(tmp_path / "demo" / "index")
    clip_id = index.store.read("clips", columns=["clip_id"]).to_pylist()[0]["clip_id"]
    assert clip_id in report and clip_id in first.stdout
    assert "sceneminer show" in first.stdout and "report.html" in first.stdout
    images = {path: path.stat().st_mtime_ns for path in (tmp_path / "demo" / "town").rglob("*.jpg")}
    assert len(images) >= 6
    second = run(tmp_path / "demo", tower)
    assert second.returncode == 0, second.stderr
    assert "nothing to do" in second.stdout and "mined 0 clips" in second.stdout
    assert images == {path: path.stat().st_mtime_ns for path in (tmp_path / "demo" / "town").rglob("*.jpg")}
    assert (tmp_path / "demo" / "report.html").read_text(encoding="utf-8") == report


def test_a_model_that_is_not_there_is_told_before_anything_is_rendered(tmp_path):
    done = run(tmp_path / "demo", str(tmp_path / "no-model"))
    assert done.returncode != 0 and "no-model" in done.stderr
    assert not (tmp_path / "demo").exists()
