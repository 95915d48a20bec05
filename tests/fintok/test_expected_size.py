"""How large the coming moves are to be expected, on panels whose sizes are known."""

from dataclasses import replace

import numpy as np
import pytest

from fintok.expected_size import ExpectedSize, size_predictors
from tests.fintok.fake_bundle import make_panel, permuted, simulate_returns, with_noise_after


@pytest.fixture(scope="module")
def panel():
    return make_panel(simulate_returns(1200, 7)[0])


def test_the_first_predictor_is_the_log_size_over_that_of_the_first_500_rows():
    returns = np.full((900, 3), 0.01) * np.where(np.arange(900) < 600, 1.0, 3.0)[:, None]
    log_size = size_predictors(make_panel(returns))[:, 0]
    np.testing.assert_allclose(log_size[:600], 0.0, atol=1e-6)
    np.testing.assert_allclose(log_size[600:], np.log((3 * 3.0 + 1.0) / (3 + 1)), rtol=1e-5)


def test_averages_have_the_half_lives_that_are_documented(panel):
    found = size_predictors(panel)
    for column, half_life in ((1, 5), (2, 20)):
        weights = 0.5 ** (np.arange(800)[::-1] / half_life)
        expected = (weights * found[:800, 0]).sum() / weights.sum()
        assert found[799, column] == pytest.approx(expected, rel=1e-4)
    squares, market = 0.5 ** (np.arange(800)[::-1] / 60), _clipped_mean(panel.returns[:800])
    deviation = np.sqrt((squares * market**2).sum() / squares.sum())
    for column, half_life in ((3, 1), (4, 5), (5, 20)):
        weights = 0.5 ** (np.arange(800)[::-1] / half_life)
        assert found[799, column] == pytest.approx((weights * market).sum() / weights.sum() / deviation, rel=1e-3)
    assert found.shape == (1200, 6)


def _clipped_mean(returns):
    bound = 4.0 * np.median(np.abs(returns), axis=1, keepdims=True)
    return np.clip(returns, -bound, bound).mean(axis=1)


@pytest.mark.parametrize("row", [0, 1, 30, 499, 500, 1100])
def test_no_row_knows_of_later_ones(panel, row):
    whole = size_predictors(panel)
    np.testing.assert_array_equal(size_predictors(panel[: row + 1]), whole[: row + 1])
    np.testing.assert_array_equal(size_predictors(with_noise_after(panel, row))[: row + 1], whole[: row + 1])


@pytest.mark.parametrize("row", [30, 499, 1100])
def test_no_row_of_differences_knows_of_later_ones(panel, row):
    dates = np.busday_offset("2001-01-01", np.arange(1200), roll="forward").astype("datetime64[ns]")
    differences = replace(panel, values="returns", prices=None, dates=dates)
    np.testing.assert_array_equal(size_predictors(differences[: row + 1]), size_predictors(differences)[: row + 1])


def test_the_unit_and_the_order_of_the_assets_do_not_matter(panel):
    found = size_predictors(panel)
    np.testing.assert_allclose(size_predictors(make_panel(panel.returns * 0.01)), found, rtol=1e-4, atol=1e-5)
    mixed = permuted(panel, np.random.default_rng(0).permutation(7))
    np.testing.assert_allclose(size_predictors(mixed), found, rtol=1e-4, atol=1e-5)


def test_a_bad_print_is_not_a_crash(panel):
    returns = panel.returns.copy()
    returns[800, 2] = np.log(100.0)
    change = np.abs(size_predictors(make_panel(returns))[800] - size_predictors(panel)[800])
    assert change[0] < np.log(2.0)


def test_rows_and_assets_without_moves_say_nothing(panel):
    returns = panel.returns.copy()
    returns[700], returns[800] = np.nan, 0.0
    found = size_predictors(make_panel(returns))
    assert np.isfinite(found).all()
    assert found[700, 0] == found[699, 0]
    assert found[800, 0] == found[799, 0]
    empty = np.full((1200, 1), np.nan)
    wider = size_predictors(make_panel(np.concatenate([panel.returns, empty], axis=1)))
    np.testing.assert_allclose(wider, size_predictors(panel), rtol=1e-5)
    assert (size_predictors(make_panel(np.full((30, 2), np.nan))) == 0.0).all()


def test_what_is_expected_follows_the_size_to_come():
    returns, states = simulate_returns(2400, 8)
    predictors = size_predictors(make_panel(returns))
    expected = ExpectedSize.learn(predictors[:1400], 1.0).of(predictors)
    late = slice(1400, 2399)
    ahead = np.log(np.abs(returns[1401:]).mean(axis=1))
    told = np.corrcoef([expected[late], predictors[late, 0], ahead])[2]
    assert told[0] > 0.7
    assert told[0] > told[1] + 0.05  # the last day's size alone
    means = [expected[late][states[late] == state].mean() for state in range(3)]
    assert means[0] < means[1] < means[2]


def test_what_is_expected_has_the_spread_of_sizes_times_their_correlation(panel):
    """As a least-squares fit has, which it is but for a small ridge."""
    predictors = size_predictors(panel)
    expected = ExpectedSize.learn(predictors, 3.0).of(predictors)
    correlation = np.corrcoef(expected[:-1], predictors[1:, 0])[0, 1]
    assert expected.std() == pytest.approx(3.0 * correlation, rel=0.01)
    standard = (predictors - predictors.mean(axis=0)) / predictors.std(axis=0)
    solved = np.linalg.lstsq(standard[:-1], standard[1:, 0], rcond=None)[0]
    np.testing.assert_allclose(expected, 3.0 * standard @ solved, atol=0.05)


def test_the_less_is_foreseen_the_less_is_expected():
    """Of days that follow each other at random hardly anything, of clustered ones most of the spread asked for."""
    clustered = size_predictors(make_panel(simulate_returns(4000, 8)[0]))
    mixed = np.random.default_rng(0).permutation(simulate_returns(4000, 8)[0])
    spreads = [
        ExpectedSize.learn(predictors, 3.0).of(predictors).std()
        for predictors in (clustered, size_predictors(make_panel(mixed)))
    ]
    assert 1.5 < spreads[0] < 3.0
    assert spreads[1] < 0.3


def test_falls_are_followed_by_larger_moves():
    """Volatility that doubles after a fall: the regression learns the sign of the market's move."""
    rng = np.random.default_rng(0)
    returns = np.zeros((3000, 5))
    for row in range(1, 3000):
        scale = 0.02 if returns[row - 1].mean() < 0.0 else 0.01
        returns[row] = scale * (rng.standard_normal() + 0.5 * rng.standard_normal(5))
    predictors = size_predictors(make_panel(returns))
    expected = ExpectedSize.learn(predictors, 1.0).of(predictors)
    fell = returns.mean(axis=1) < 0.0
    assert expected[fell].mean() > expected[~fell].mean() + expected.std()


def test_a_market_that_never_moves_and_a_row_alone_expect_nothing():
    for predictors in (size_predictors(make_panel(np.zeros((600, 2)))), np.ones((1, 6), np.float32)):
        assert (ExpectedSize.learn(predictors, 1.0).of(predictors) == 0.0).all()
