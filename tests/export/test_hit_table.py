"""Hits on a terminal and in a pipe."""

import io
import sys

import pytest

from sceneminer.export.hit_table import print_hits
from sceneminer.index.hits import Hit

ID = "scene-20001-d9937e99+0009000"
TRACK = "b4f6d2a8c0777dd7139ea670ae433094"
HIT = Hit(
    log_id="scene-20001-d9937e99",
    log_name="scene-20001",
    start_us=9_000_000,
    end_us=11_000_000,
    score=0.402,
    best_clip_id=ID,
    clip_ids=(ID,),
    parts={
        "risk": 0.45,
        "risk_measure": "ttc_turn_s",
        "risk_value": 0.87,
        "risk_time_us": 9_000_000,
        "risk_category": "car",
        "risk_source": "tracks",
        "agents": f"pedestrian {TRACK}",
        "agents_start_us": 9_500_000,
        "agents_end_us": 10_000_000,
    },
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(monkeypatch, columns: int, out: io.StringIO) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", out)
    print_hits([HIT], score="score")
    return out.getvalue().splitlines()


@pytest.mark.parametrize("columns", [40, 80, 100])
def test_a_narrow_terminal_breaks_no_id(monkeypatch, columns: int):
    lines = printed(monkeypatch, columns, Terminal())
    text = "\n".join(lines)
    for whole in (ID, TRACK, "score 0.402", "9.0 s to 11.0 s", "risk 0.45 car ttc_turn_s 0.87 at 9.0 s"):
        assert whole in text
    assert lines[-1].strip() == ID


@pytest.mark.parametrize(("columns", "out"), [(200, Terminal()), (80, io.StringIO())])
def test_a_wide_terminal_and_a_pipe_have_one_line_a_hit(monkeypatch, columns: int, out: io.StringIO):
    head, line = printed(monkeypatch, columns, out)
    assert "score" in head
    assert line.rstrip().endswith(ID)
    assert TRACK in line
