"""What sceneminer synth says: of bad arguments in one sentence, and of what it wrote."""

import pytest

from sceneminer.data.errors import DataError
from sceneminer.data.synth.console import synth_with_progress

GOOD = {"logs": 1, "seed": 7, "split": "val", "rate": "keyframes", "size_hw": (32, 56), "duration_s": 1.0}
GOOD |= {"sensors": ("CAM_FRONT",), "workers": 1}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "dev"}, "expected split train, val, test, far .* found 'dev'"),
        ({"rate": "10hz"}, "rate keyframes or full; .*'10hz'"),
        ({"size_hw": (4, 8)}, "16 to 4096 pixels a side, found 4x8"),
        ({"sensors": ("CAM_TOP",)}, "found CAM_TOP"),
        ({"logs": 0}, "1 to 9999 logs, found 0"),
        ({"duration_s": 0.1}, "seconds a log, found 0.1"),
        ({"workers": 0}, "1 worker"),
    ],
)
def test_bad_arguments_are_one_clear_error_and_write_nothing(tmp_path, wrong, message):
    with pytest.raises(DataError, match=message):
        synth_with_progress(tmp_path / "town", **(GOOD | wrong))
    assert not (tmp_path / "town").exists()


@pytest.mark.slow
def test_it_says_what_it_wrote_and_that_nothing_was_left_to_do(tmp_path, capsys):
    synth_with_progress(tmp_path / "town", **GOOD)
    said = capsys.readouterr().out
    assert "wrote 1 logs of 1 s (keyframes, 32x56, 1 sensors)" in said and "sceneminer mine" in said
    synth_with_progress(tmp_path / "town", **GOOD)
    assert "nothing to do" in capsys.readouterr().out
