"""Rivals that do not look ahead, and label what they should."""

from dataclasses import replace

import numpy as np
import pytest

from fintok.evaluate import regime_rivals
from fintok.evaluate.future import foresight, targets
from fintok.evaluate.label_paths import persistence, shift_p_value, strategy
from fintok.evaluate.log_score import Densities
from fintok.evaluate.market import Market, correlation
from fintok.evaluate.regime_rivals import RIVALS, calm_to_stressed, filter_states, log_size
from fintok.evaluate.regimes import open_market, own_methods
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns, with_noise_after

FIRST, CUT, ROW = 40, 500, 650


@pytest.fixture(scope="module")
def panel():
    returns, _ = simulate_returns(800, 6, seed=4)  # it ends calm, and what the tests put there is not
    returns = returns.copy()
    returns[700, :] = np.nan  # a holiday
    returns[:300, 2] = np.nan  # listed late
    return make_panel(returns)


@pytest.fixture(scope="module")
def market(panel):
    return Market(panel, FIRST, CUT)


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: f"{rival.name} {rival.usual}")
def test_a_rival_labels_each_day_from_its_own_past(rival, panel, market):
    if rival.package:
        pytest.importorskip(rival.package)
    spoilt = Market(with_noise_after(panel, ROW), FIRST, CUT)
    labellings, others = rival.label(market, 2, CUT, 0), rival.label(spoilt, 2, CUT, 0)
    assert labellings.keys() == others.keys()
    assert rival.usual is None or rival.usual in labellings
    for setting, labels in labellings.items():
        assert labels.shape == (800,)
        assert set(np.unique(labels[FIRST:])) <= {0, 1}
        np.testing.assert_array_equal(labels[: ROW + 1], others[setting][: ROW + 1])
    assert any(not np.array_equal(labels, others[setting]) for setting, labels in labellings.items())


def test_what_the_hmm_sees_is_the_same_for_daily_and_for_tiny_returns(panel, market):
    tiny = Market(replace(panel, returns=panel.returns * 1e-3), FIRST, CUT)
    np.testing.assert_allclose(log_size(tiny, CUT) - np.log(1e-3), log_size(market, CUT))
    later = Market(with_noise_after(panel, ROW), FIRST, CUT)
    np.testing.assert_array_equal(log_size(later, CUT)[: ROW - FIRST], log_size(market, CUT)[: ROW - FIRST])


def test_a_market_that_stands_still_has_a_size(panel):
    still = Market(replace(panel, returns=panel.returns * 0.0), FIRST, CUT)
    assert np.isfinite(log_size(still, CUT)).all()


def test_the_filter_is_the_forward_recursion():
    class Model:  # what is asked of an HMM of hmmlearn
        startprob_, transmat_ = np.array([0.6, 0.4]), np.array([[0.9, 0.1], [0.2, 0.8]])

        def _compute_log_likelihood(self, observations):
            return np.log(np.where(observations, [0.2, 0.7], [0.8, 0.3]))

    seen = np.array([[0], [1], [1]])
    share = Model.startprob_ * [0.8, 0.3]
    for _ in range(2):
        share = (share @ Model.transmat_) * [0.2, 0.7]
    np.testing.assert_allclose(filter_states(Model(), seen)[-1], share / share.sum())


def test_with_a_margin_a_label_stays_until_a_bound_is_passed_by_so_much():
    values = np.cumsum(np.random.default_rng(3).standard_normal(500)) * 0.3
    bounds, slack = np.quantile(values[50:300], [1 / 3, 2 / 3]), 0.4 * values[50:300].std()
    label, expected = int(np.searchsorted(bounds, values[0])), []
    for value in values:
        below = -np.inf if label == 0 else bounds[label - 1] - slack
        above = np.inf if label == 2 else bounds[label] + slack
        label = label if below < value <= above else int(np.searchsorted(bounds, value))
        expected.append(label)
    found = regime_rivals._quantiles(values, 3, 50, 300, 0.4)
    np.testing.assert_array_equal(found, expected)
    plain = regime_rivals._quantiles(values, 3, 50, 300)
    assert np.count_nonzero(np.diff(found)) < 0.5 * np.count_nonzero(np.diff(plain))


def test_regimes_are_numbered_by_volatility(market):
    size = np.nan_to_num(np.abs(market.move))
    labels = np.where(size > np.quantile(size, 0.7), 0, 1)
    np.testing.assert_array_equal(calm_to_stressed(labels, market, CUT)[FIRST:], 1 - labels[FIRST:])


def test_a_correlation_is_of_the_days_on_which_both_are_observed():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((4000, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    observed = rng.random(z.shape) > 0.3
    assert correlation(np.where(observed, z, 0.0), observed)[0, 1] == pytest.approx(0.9 * 0.8, abs=0.05)


def test_correlations_of_pairs_with_days_of_their_own_can_be_inverted():
    common = np.random.default_rng(0).normal(size=(300, 1))
    z = np.concatenate([common, common, -common], axis=1)
    observed = np.repeat([[True, True, False], [True, False, True], [False, True, True]], 100, axis=0)
    z[200:, 2] *= -1.0  # A with B, B with C, A against C
    found = correlation(np.where(observed, z, 0.0), observed)
    assert np.linalg.eigvalsh(found)[0] == pytest.approx(0.1)


def test_targets_are_of_the_days_after(market):
    aims, move = targets(market), np.nan_to_num(market.move)
    ahead = move[101:121]
    assert aims["volatility 20"][100] == pytest.approx(0.5 * np.log((ahead**2).mean()))
    path = np.concatenate([[0.0], np.cumsum(ahead)])
    assert aims["drawdown 20"][100] == pytest.approx((np.maximum.accumulate(path) - path).max())
    spread = np.nanvar(market.returns[101:106], axis=1, ddof=1).mean()
    assert aims["dispersion 5"][100] == pytest.approx(0.5 * np.log(spread))
    assert all(np.isnan(aim[-1]) for aim in aims.values())


def test_foresight_is_one_for_labels_that_know_the_target_and_none_for_one_regime(market):
    target = np.tile([0.0, 1.0], 400)
    known = foresight(target.astype(int), target, 5, market)
    assert known.r_squared == pytest.approx(1.0)
    assert known.rank_correlation == pytest.approx(1.0)
    nothing = foresight(np.zeros(800, dtype=int), target, 5, market)
    assert nothing.r_squared <= 0.0
    assert np.isnan(nothing.rank_correlation)


def test_the_error_of_each_judged_day_is_kept_and_makes_the_r_squared(market):
    rng, labels = np.random.default_rng(0), np.tile([0, 1], 400)
    target = labels + rng.standard_normal(800)
    target[-5:] = np.nan
    found = foresight(labels, target, 5, market)
    known = slice(FIRST, CUT - 5)
    means = np.array([target[known][labels[known] == k].mean() for k in (0, 1)])
    true = target[CUT:-5]
    np.testing.assert_allclose(found.daily, (true - means[labels[CUT:-5]]) ** 2 / true.var())
    assert found.r_squared == pytest.approx(1.0 - found.daily.mean())


def test_persistence_is_counted_on_the_judged_days(market):
    labels = np.zeros(800, dtype=int)
    labels[::2] = 1  # before the cut it does not count
    labels[CUT:] = np.repeat([0, 1, 0], 100)
    path = persistence(labels, 3, market)
    assert path.switches_a_year == pytest.approx(2 / (300 / market.panel.periods_per_year))
    assert path.mean_rows == 100
    assert path.smallest_share == 0.0


@pytest.mark.parametrize(("is_timed", "low", "high"), [(True, 0.0, 0.02), (False, 0.02, 1.0)])
def test_only_a_path_whose_timing_matters_beats_its_shifts(is_timed, low, high):
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 2, 60), 10)
    sums = rng.standard_normal((600, 2))
    sums[np.arange(600), labels] += 0.5 if is_timed else 0.0
    p_value = shift_p_value(Densities(sums, np.ones(600, dtype=int)), labels, 0)
    assert low <= p_value <= high


def test_assets_that_list_late_or_leave_do_not_look_like_calm():
    returns, _ = simulate_returns(1500, 8)
    whole = Market(make_panel(returns), 100, 800)
    part = returns.copy()
    part[:900, :3] = np.nan
    part[1200:, 3] = np.nan
    late = Market(make_panel(part), 100, 800)
    listed = Market(make_panel(returns[:, 3:]), 100, 800)
    np.testing.assert_allclose(late.volatility(20)[300:850], listed.volatility(20)[300:850])
    assert np.corrcoef(late.volatility(20)[300:], whole.volatility(20)[300:])[0, 1] > 0.9
    assert late.turbulence(800)[1000:].mean() < 2.0 * whole.turbulence(800)[1000:].mean()
    np.testing.assert_allclose(late.absorption[400:850], listed.absorption[400:850])


def test_equal_weights_earn_the_mean_of_simple_returns():
    returns = np.log1p(np.full((900, 2), [[0.1, -0.08]]))
    returns[850:, 1] = np.nan
    market = Market(make_panel(returns), 100, 800)
    made = strategy(np.ones(900, dtype=bool), 1, market)
    expected = (50 * np.log1p(0.01) + 50 * np.log1p(0.1)) / 100
    assert made.annual_return == pytest.approx(expected * market.panel.periods_per_year)


def test_a_strategy_pays_for_its_trades_and_comes_late(market):
    is_held = np.zeros(800, dtype=bool)
    is_held[600:700] = True
    made, late = strategy(is_held, 1, market), strategy(is_held, 5, market)
    simple = np.expm1(market.returns)
    move = np.log1p(np.nan_to_num(np.nanmean(np.where(np.isnan(simple).all(axis=1)[:, None], 0.0, simple), axis=1)))
    years = 300 / market.panel.periods_per_year
    assert made.annual_return * years == pytest.approx(move[601:701].sum() - 0.002)
    assert late.annual_return * years == pytest.approx(move[605:705].sum() - 0.002)
    assert made.share_invested == pytest.approx(1 / 3)
    assert made.trades_a_year == pytest.approx(2 / years)


def test_rows_on_which_nothing_trades_are_no_switches(monkeypatch):
    returns = simulate_returns(1600, 6)[0]
    holidays = np.arange(200, 1600, 28)
    returns[holidays] = np.nan
    panel = make_panel(returns)
    bundle = FakeBundle(panel[:1000])
    forecast = bundle.forecast(panel)
    forecast[~panel.is_observed.any(axis=1)] = np.nan  # as a bundle has it
    monkeypatch.setattr(bundle, "forecast", lambda panel, since=0: forecast)
    market = open_market(bundle, panel, forecast)
    (labels,) = own_methods(bundle)[0].label(market, 2, market.cut, 0).values()
    np.testing.assert_array_equal(labels[holidays], labels[holidays - 1])
