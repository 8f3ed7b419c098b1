"""An export's place: taken by something whole or by nothing, whatever happens on the way."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sceneminer.export.whole import new_file, new_folder
from sceneminer.index.errors import IndexFault
from sceneminer.index.selection import Selection, read_selection, write_selection

SELECTION = Selection((), "0", (), {}, {})


@pytest.mark.parametrize("make", [new_file, new_folder])
@pytest.mark.parametrize("what", ["file", "folder", "link to nothing"])
def test_what_is_there_stays_as_it_is(tmp_path, make, what):
    out = tmp_path / "out"
    {"file": lambda: out.write_text("mine"), "folder": out.mkdir, "link to nothing": lambda: out.symlink_to("no")}[
        what
    ]()
    with pytest.raises(IndexFault, match="there already"), make(out):
        pytest.fail("it began to write")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("make", [new_file, new_folder])
def test_another_that_was_quicker_is_not_written_over(tmp_path, make):
    out = tmp_path / "out"
    with pytest.raises(IndexFault, match="there already"), make(out) as part:
        (part if make is new_file else part / "a").write_text("mine")
        out.mkdir()
        (out / "theirs").write_text("theirs")
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and [p.name for p in out.iterdir()] == ["theirs"]


@pytest.mark.parametrize("make", [new_file, new_folder])
def test_an_error_on_the_way_leaves_nothing_and_names_its_own_file(tmp_path, make):
    with pytest.raises(IndexFault, match="No such file or directory at nowhere/a"), make(tmp_path / "out"):
        Path("nowhere/a").read_text()
    with pytest.raises(IndexFault, match=r"File exists at b$"), make(tmp_path / "out"):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), "b")
    with pytest.raises(ZeroDivisionError), make(tmp_path / "out") as part:
        (part if make is new_file else part / "a").write_text("x")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", ["new_file", "new_folder"])
def test_one_that_is_killed_leaves_no_half_export_and_can_be_begun_again(tmp_path, make):
    code = f"""
import os, signal, sys
from pathlib import Path
from sceneminer.export.whole import {make}
with {make}(Path(sys.argv[1])) as part:
    (part / "a" if part.is_dir() else part).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists() and all(p.name.startswith(".out.") for p in tmp_path.iterdir())
    with {"new_file": new_file, "new_folder": new_folder}[make](tmp_path / "out") as part:
        (part / "a" if make == "new_folder" else part).write_text("whole")
    assert (tmp_path / "out").exists()


def test_processes_of_one_number_do_not_meet(tmp_path, monkeypatch):
    """In containers every process may be number 1, and leave behind what the next one finds."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    (tmp_path / ".out.1.part").mkdir()
    with new_folder(tmp_path / "out") as part:
        (part / "a").write_text("whole")
    assert (tmp_path / "out" / "a").read_text() == "whole"


def test_file_systems_without_links_will_do(tmp_path, monkeypatch):
    def refuse(self, target):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(self))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with new_file(tmp_path / "out") as part:
        part.write_text("whole")
    write_selection(SELECTION, tmp_path / "s.json")
    assert (tmp_path / "out").read_text() == "whole" and read_selection(tmp_path / "s.json") == SELECTION
    with pytest.raises(IndexFault, match="already"):
        write_selection(SELECTION, tmp_path / "s.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "s.json"]


def test_a_file_of_a_similar_name_is_not_touched(tmp_path):
    (tmp_path / "s.json.part").write_text("mine")
    write_selection(SELECTION, tmp_path / "s.json")
    assert (tmp_path / "s.json.part").read_text() == "mine"
