"""The report on real logs: its arithmetic, and that it names what it says."""

import numpy as np
import pytest
from make_labelled_log import make_log, make_track
from scipy.stats import spearmanr

from sceneminer.evals.risk_report import report_of, shaken, spearman_ceiling, thinned


@pytest.mark.parametrize("zeros", [0, 300, 790, 999])
def test_ceiling_is_the_correlation_of_a_perfect_ranking_with_ties(zeros):
    truth = np.concatenate([np.zeros(zeros), np.arange(1, 1001 - zeros)])
    assert spearmanr(truth, np.arange(1000)).statistic == pytest.approx(spearman_ceiling(zeros / 1000), abs=1e-3)


def test_thinned_and_shaken_tracks():
    track = make_track("a", "car", lambda t: (8 * t, 0.0), attribute="vehicle.moving")
    assert len(thinned(track, every_us=1_000_000).times_us) == 5
    assert np.array_equal(thinned(track).times_us, track.times_us)
    off = shaken(track, 0.2, np.random.default_rng(0)).world_from_box[:, :2, 3] - track.world_from_box[:, :2, 3]
    assert 0.05 < np.std(off) < 0.4
    assert len(thinned(track, every_us=1_000_000).attributes) == 5


def test_report_names_the_riskiest_agent_and_the_log_without_risk():
    walker = make_track("w", "pedestrian", lambda t: (30.0, 0.0), size=(0.7, 0.7, 1.8))
    log = make_log((walker,), lambda t: (8 * t, 0.0, 0.0))
    text = report_of([log, make_log(None, None)])
    row = next(line for line in text.splitlines() if line.startswith("| test-00000000 | 3"))
    assert "pedestrian" in row and ("ttc" in row or "drac" in row)
    assert "- test-00000000: the log has no tracks and no ego poses" in text
    assert report_of([make_log(None, None)]).startswith("## Logs without risk")
