"""``sceneminer heads`` as a user meets it: what is said, exit codes, one line of error."""

import json
import sys
from pathlib import Path

import pytest
from make_streams import STREAM, clip_id, fog_csv, is_foggy, make_index

from sceneminer.cli import main


@pytest.fixture
def sceneminer(monkeypatch, capsys):
    """The command in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sceneminer", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_index(tmp_path_factory.mktemp("heads") / "index").folder


def test_a_head_is_added_listed_searched_upgraded_written_anew_and_dropped(sceneminer, folder, tmp_path):
    labels = fog_csv(tmp_path / "fog.csv", logs=range(8))
    code, out, _ = sceneminer("heads", "add", folder, "weather", "--labels", labels, "--dry-run")
    assert code == 0 and "nothing was written" in out and "head_weather" not in sceneminer("index", "info", folder)[1]
    code, out, _ = sceneminer("heads", "add", folder, "weather", "--labels", labels)
    assert code == 0 and "from 72 clips; 8 without images left out" in out and "fog: ap 1.000" in out
    assert "wrote head_weather_fog of 108 clips, null for 12 without images" in out
    code, out, _ = sceneminer("heads", "upgrade", folder, "weather", "--labels", fog_csv(tmp_path / "all.csv"))
    assert code == 0 and "before: ap" in out
    (listed,) = json.loads(sceneminer("heads", "list", folder, "--format", "json")[1])
    assert listed["stream_fingerprint"] == STREAM and listed["trained"]["clips"] == 108
    fingerprint = listed["fingerprint"][:12]
    assert f"weather: labels, head {fingerprint} of stream" in sceneminer("heads", "list", folder)[1]
    assert f"head weather {fingerprint}" in sceneminer("index", "info", folder)[1]
    hits = json.loads(sceneminer("search", folder, "--where", "weather.fog > 0.5", "--format", "json")[1])
    assert hits and all(is_foggy(int(c[3:6]), int(c.split("+")[1]) // 1000) for h in hits for c in h["clip_ids"])
    code, out, _ = sceneminer("heads", "backfill", folder)
    assert code == 0 and fingerprint in out
    assert sceneminer("heads", "drop", folder, "weather")[1] == "dropped head_weather_fog\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "INDEX", "x", "--relevant", "nobody"), "found 1 of 1 that are not: nobody"),
        (("add", "INDEX", "x", "--target", "ego_speed"), "expected a column of numbers"),
        (("add", "INDEX", "risk", "--relevant", clip_id(0, 0)), "expected a name that no column has, found risk"),
        (("add", "INDEX", "x", "--from", "nowhere"), "expected a scene model or an index that holds head x"),
        (("drop", "INDEX", "x"), "found no 'x'; it has none"),
        (("list", "nowhere"), "expected an index or a scene model at nowhere, found neither"),
    ],
)
def test_refusals_are_one_line_and_exit_code_2(sceneminer, folder, arguments, said):
    code, out, err = sceneminer("heads", *(folder if a == "INDEX" else a for a in arguments))
    assert code == 2 and out == ""
    assert said in err and err.count("\n") == 1 and err.startswith("error: ")


def test_exactly_one_kind_of_label_is_asked_for(sceneminer, folder):
    code, _, err = sceneminer("heads", "add", folder, "x")
    assert code == 2 and "expected one of --labels, --target" in err
