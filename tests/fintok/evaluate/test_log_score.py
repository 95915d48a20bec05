"""The log score: against scipy's Student t, by hand, and blind to what is not judged."""

import numpy as np
import pytest
from scipy import stats

from fintok.evaluate.log_score import ahead_by, densities, fit_student, log_density


@pytest.fixture(scope="module")
def market():
    """Returns (600, 6) whose size doubles in the second state, the states, and the cut."""
    rng = np.random.default_rng(0)
    states = np.repeat(np.arange(12) % 2, 50)
    today = np.roll(states, 1)  # a label is of the day before the return
    returns = np.array([0.01, 0.03])[today][:, None] * rng.standard_t(4, (600, 6))
    return returns, states, 400


def test_the_density_is_a_students(market):
    y = market[0].ravel()
    expected = stats.t.logpdf(y, df=3.0, loc=0.001, scale=0.02)
    np.testing.assert_allclose(log_density(y, 3.0, 0.001, 0.02**2), expected)


def test_the_fit_is_no_worse_than_scipys_at_any_degrees():
    y = stats.t.rvs(4, scale=0.02, size=4000, random_state=1)
    own = log_density(y, *fit_student(y)).mean()
    assert own > stats.t.logpdf(y, *stats.t.fit(y)).mean() - 1e-3


def test_the_score_is_the_mean_density_of_the_next_days_returns(market):
    returns, states, cut = market
    returns = returns.copy()
    returns[450:470, 2] = np.nan
    known = densities(states, returns, 10, cut)
    labels, total, count = states[cut - 1 : -1], 0.0, 0
    for regime in (0, 1):
        after = returns[11:cut][states[10 : cut - 1] == regime]
        density = log_density(returns[cut:][labels == regime], *fit_student(after[np.isfinite(after)]))
        total, count = total + np.nansum(density), count + np.isfinite(density).sum()
    assert known.score(labels) == pytest.approx(total / count)
    assert known.counts.sum() == count


def test_labels_that_know_the_state_score_higher_than_one_regime(market):
    returns, states, cut = market
    known = densities(states, returns, 0, cut)
    plain = densities(np.zeros_like(states), returns, 0, cut)
    one = known.of_days(states[cut - 1 : -1])
    dates = np.arange(200).astype("datetime64[D]")
    difference, error = ahead_by(one, plain.of_days(np.zeros(200, dtype=int)), known.counts, dates)
    assert difference > 3 * error > 0
    assert difference == pytest.approx(known.score(states[cut - 1 : -1]) - plain.score(np.zeros(200, dtype=int)))


def test_the_error_is_over_blocks_of_dates_however_many_rows_a_day_has():
    rng = np.random.default_rng(0)
    daily = rng.standard_normal(600)
    dates = np.arange(600).astype("datetime64[D]")
    hours = (dates.astype("datetime64[h]")[:, None] + np.arange(24)).ravel()
    errors = [
        ahead_by(ahead, np.zeros(len(ahead)), np.ones(len(ahead), int), when)[1]
        for ahead, when in ((daily, dates), (daily.repeat(24), hours))
    ]
    assert errors[0] == pytest.approx(errors[1])


def test_a_single_block_tells_no_error():
    ahead, hours = np.random.default_rng(0).standard_normal(300), np.arange(300).astype("datetime64[h]")
    difference, error = ahead_by(ahead, np.zeros(300), np.ones(300, int), hours)
    assert difference == pytest.approx(ahead.mean())
    assert error == np.inf


@pytest.mark.parametrize("num_dates", [120, 250, 1500])
def test_two_errors_hold_as_much_where_blocks_are_few(num_dates):
    rng, dates, counts = np.random.default_rng(0), np.arange(num_dates).astype("datetime64[D]"), np.ones(num_dates, int)
    found = [ahead_by(rng.standard_normal(num_dates), np.zeros(num_dates), counts, dates) for _ in range(1000)]
    beyond = np.mean([abs(difference) > 2.0 * error for difference, error in found])
    assert 0.025 < beyond < 0.075  # 0.0455 for a normal


def test_returns_after_the_cut_do_not_move_the_distributions(market):
    returns, states, cut = market
    spoilt = returns.copy()
    spoilt[cut + 1 :] *= 10.0
    before, after = densities(states, returns, 0, cut), densities(states, spoilt, 0, cut)
    np.testing.assert_array_equal(before.sums[0], after.sums[0])


def test_a_rare_regime_has_the_distribution_of_all_days(market):
    returns, states, cut = market
    labels = states.copy()
    labels[300] = 2
    known = densities(labels, returns, 0, cut)
    every = densities(np.zeros_like(states), returns, 0, cut)
    np.testing.assert_allclose(known.sums[:, 2], every.sums[:, 0])


def test_where_returns_are_many_every_asset_is_learned_from():
    rng = np.random.default_rng(0)
    sizes = np.geomspace(0.001, 0.1, 10)
    few, all_of = (rng.standard_t(4, (rows, 10)) * sizes for rows in (1500, 20_000))
    one, other = (fit_student(returns.ravel()) for returns in (few, all_of))
    assert other.square == pytest.approx(one.square, rel=0.1)
