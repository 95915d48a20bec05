"""What returns are described in."""

import numpy as np
import pytest

from fintok.moves import deviations, moves_of
from fintok.panel import Panel
from fintok.signature import rows_per_year


def panel_of(returns: np.ndarray, values: str = "returns") -> Panel:
    dates = np.datetime64("2001-01-01") + np.arange(len(returns))
    data = returns if values == "returns" else np.exp(np.cumsum(returns, axis=0))
    return Panel.from_arrays(data, dates, [f"A{place}" for place in range(returns.shape[1])], values=values)


@pytest.fixture
def returns():
    return np.random.default_rng(0).standard_normal((2000, 3)) * [0.01, 1.0, 300.0]


def test_log_returns_of_prices_stay_as_they_are(returns):
    panel = panel_of(returns[:, :2] / 100, "prices")
    moves = moves_of(panel)
    assert moves.returns is panel.returns
    assert moves.is_relative
    assert "log" in moves.axis_title
    np.testing.assert_allclose(moves.market, panel.returns.mean(axis=1))


def test_returns_given_are_in_deviations_so_that_no_asset_is_louder_than_another(returns):
    panel = panel_of(returns)
    moves = moves_of(panel)
    annual = np.nanstd(moves.returns, axis=0) * np.sqrt(rows_per_year(panel.dates))
    np.testing.assert_allclose(annual, 1.0, atol=0.05)
    assert np.nanstd(moves.market) == pytest.approx(np.sqrt(1 / 3 / 365.25), rel=0.05)
    assert not moves.is_relative
    assert "σ" in moves.axis_title


def test_a_deviation_divides_by_the_mean_size_of_the_rows_before(returns):
    returns[700:900, 1] = np.nan
    found = deviations(panel_of(returns))
    expected = returns[1500, 1] / (1.2533 * np.nanmean(np.abs(returns[:1500, 1])))
    assert found[1500, 1] == pytest.approx(expected)
    assert np.isnan(found[:20]).all()
    assert np.isnan(found[700:900, 1]).all()
    later = returns.copy()
    later[1000:] = 7.0
    np.testing.assert_array_equal(deviations(panel_of(later))[:1000], found[:1000])
