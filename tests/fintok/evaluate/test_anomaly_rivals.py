import numpy as np
import pytest

from fintok.evaluate import anomaly_rivals
from fintok.evaluate.anomaly_rivals import RIVALS, _correlation, ecod, ewma_z, hampel, stale_run, volume_z
from fintok.evaluate.drawn import drawn
from tests.fintok.fake_bundle import make_panel, simulate_returns, with_noise_after

CUT = 400


@pytest.fixture(scope="module")
def panel():
    returns = simulate_returns(620, 6)[0]
    returns[:80, 2] = np.nan  # starts late
    returns[450:453, 4] = np.nan
    volume = np.random.default_rng(0).lognormal(12.0, 0.3, returns.shape)
    return make_panel(returns, fields={"volume": volume.astype(np.float32)})


@pytest.fixture(scope="module")
def detectors(panel):
    pytest.importorskip("sklearn")
    return {name: rival.fit(panel[:CUT]) for name, rival in RIVALS.items()}


def test_every_rival_finds_a_wrong_print_or_has_its_reason(panel, detectors):
    returns = panel.returns.copy()
    returns[500, 1], returns[501, 1] = returns[500, 1] + 0.5, returns[501, 1] - 0.5
    faulty = make_panel(returns, fields=dict(panel.fields))
    blind = {"stale run", "volume z"}
    for name, detector in detectors.items():
        scores = detector(faulty)
        assert scores.shape == returns.shape
        stands_first = scores[500, 1] > 0 and scores[500, 1] >= scores[500].max()
        assert stands_first == (name not in blind), name


def test_a_score_knows_nothing_of_later_rows(panel, detectors):
    cut_short, noisy = panel[:500], with_noise_after(panel, 499)
    noisy = make_panel(noisy.returns, fields=dict(panel.fields))
    for name, detector in detectors.items():
        whole = detector(panel)[:500]
        np.testing.assert_allclose(detector(cut_short), whole, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(detector(noisy)[:500], whole, rtol=1e-9, err_msg=name)


def test_a_missing_return_has_no_score_and_hides_no_other(panel, detectors):
    for name, detector in detectors.items():
        scores = detector(panel)
        assert np.isnan(scores[~panel.is_observed]).all(), name
        assert np.isfinite(scores[CUT:][panel.is_observed[CUT:]]).all(), name


def test_hampel_is_the_distance_from_the_median_of_the_days_before(panel):
    scores = hampel(panel)
    for row, asset in ((300, 0), (460, 4), (110, 2)):
        past = panel.returns[row - 60 : row, asset]
        past = past[np.isfinite(past)]
        spread = 1.4826 * np.median(np.abs(past - np.median(past)))
        assert scores[row, asset] == pytest.approx(abs(panel.returns[row, asset] - np.median(past)) / spread)
    assert np.isnan(scores[:20]).all()


def test_hampel_in_parts_is_hampel_at_once(panel, monkeypatch):
    whole = hampel(panel)
    monkeypatch.setattr(anomaly_rivals, "_SORTED_AT_ONCE", 60 * 6 * 37)
    np.testing.assert_array_equal(hampel(panel), whole)


def test_ecod_sums_the_smaller_tails_of_the_training_rows(monkeypatch):
    features = np.random.default_rng(0).normal(size=(50, 3))
    monkeypatch.setattr(anomaly_rivals, "_features", lambda training: lambda panel: panel)
    asked = np.array([[0.0, 5.0, -0.3], [features[7, 0], features[8, 1], features[9, 2]]])
    expected = []
    for row in asked:
        pairs = [(column <= value, column >= value) for column, value in zip(features.T, row, strict=True)]
        expected.append(-sum(np.log((min(below.sum(), above.sum()) + 1) / 51) for below, above in pairs))
    np.testing.assert_allclose(ecod(features[:, None])(asked[:, None])[:, 0], expected)


def test_days_that_assets_do_not_share_leave_their_correlations_as_they_are():
    rng = np.random.default_rng(0)
    returns = 0.01 * rng.standard_normal((5000, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    returns[rng.random(returns.shape) < 0.5] = np.nan
    assert _correlation(make_panel(returns))[0, 1] == pytest.approx(0.9 * 0.8, abs=0.05)


def test_runs_and_volumes_by_hand():
    returns = np.array([[0.01], [0.0], [0.0], [0.02], [0.0]])
    np.testing.assert_array_equal(stale_run(make_panel(returns))[:, 0], [0, 1, 2, 0, 1])
    returns[2] = np.nan
    np.testing.assert_array_equal(stale_run(make_panel(returns))[:, 0], [0, 1, np.nan, 0, 1])
    gap = np.array([[0.01], [0.0], [np.nan], [0.0]])
    np.testing.assert_array_equal(stale_run(make_panel(gap))[:, 0], [0, 1, np.nan, 2])
    returns = np.random.default_rng(0).normal(size=(60, 1))
    volume = np.full((60, 1), 1e6, dtype=np.float32)
    volume[::2] *= 1.1
    volume[50] *= 1000
    panel = make_panel(returns, fields={"volume": volume})
    assert volume_z(panel)[:, 0].argmax() == 50
    assert np.isnan(ewma_z(panel)[:20]).all()


def test_assets_that_list_after_the_training_rows_do_not_weigh_ten_times():
    returns, _ = simulate_returns(1200, 8)
    late = returns.copy()
    late[:800, :3] = np.nan
    whole, part = (RIVALS["turbulence"].fit(make_panel(x[:700]))(make_panel(x))[1000:, 4] for x in (returns, late))
    assert 0.5 * whole.mean() < part.mean() < 2.0 * whole.mean()


def test_few_of_many_are_drawn_from_all_assets():
    asset = np.tile(np.arange(20), 4000)
    counts = np.bincount(drawn(asset, 20_000))
    assert counts.sum() == 20_000
    assert counts.min() > 800
    np.testing.assert_array_equal(drawn(asset[:500], 500), asset[:500])
