import numpy as np
import pytest

from fintok.signature import (
    average_correlation,
    market_return,
    mean_durations,
    regime_names,
    row_noun,
    rows_per_year,
    signature_table,
    spell_lengths,
    transition_matrix,
    years_spanned,
)

LABELS = np.array([-1, -1, 0, 0, 0, 1, 1, 0, 2])


def test_spells_are_runs_of_one_label_without_the_unlabelled_start():
    regimes, lengths = spell_lengths(LABELS)
    np.testing.assert_array_equal(regimes, [0, 1, 0, 2])
    np.testing.assert_array_equal(lengths, [3, 2, 1, 1])
    np.testing.assert_allclose(mean_durations(LABELS, 4), [2.0, 2.0, 1.0, np.nan])


def test_a_day_without_a_label_ends_no_spell():
    holed = np.array([-1, 0, 0, -1, 0, 1, -1, -1, 1, 0, 2, -1])
    for one, other in zip(spell_lengths(holed), spell_lengths(LABELS), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(transition_matrix(holed, 4), transition_matrix(LABELS, 4))


def test_rows_without_a_market_do_not_count_for_the_year():
    rng, days = np.random.default_rng(0), np.arange("2001-01-01", "2003-01-01", dtype="datetime64[D]")
    dates, is_open = days.astype("datetime64[ns]"), np.is_busday(days)
    returns = np.where(is_open[:, None], rng.normal(0, 0.01, (len(days), 4)), np.nan)
    labels = np.where(is_open, np.arange(len(days)) // 60 % 2, -1)
    every, exchange = (
        signature_table(labels[rows], ("calm", "stressed"), dates[rows], market_return(returns[rows]), returns[rows])
        for rows in (slice(None), is_open)
    )
    columns = ["volatility", "mean", "dispersion", "mean_duration", "share"]
    np.testing.assert_allclose(every[columns], exchange[columns], rtol=1e-2)


def test_transition_matrix_counts_days_and_its_rows_sum_to_one():
    matrix = transition_matrix(LABELS, 4)
    np.testing.assert_allclose(matrix[0], [0.5, 0.25, 0.25, 0.0])
    np.testing.assert_allclose(matrix[1], [0.5, 0.5, 0.0, 0.0])
    np.testing.assert_allclose(matrix[:2].sum(axis=1), 1.0)
    assert np.isnan(matrix[2:]).all()  # nothing follows the one, the other is never visited


def test_market_return_is_the_mean_of_what_is_observed():
    returns = np.array([[0.1, 0.3], [np.nan, 0.2], [np.nan, np.nan]])
    np.testing.assert_allclose(market_return(returns), [0.2, 0.2, np.nan])


def test_average_correlation_equals_the_mean_of_the_correlation_matrix():
    rng = np.random.default_rng(0)
    returns = rng.standard_normal((500, 1)) + rng.standard_normal((500, 6))
    matrix = np.corrcoef(returns.T)
    expected = matrix[np.triu_indices(6, 1)].mean()
    assert average_correlation(returns) == pytest.approx(expected)
    returns[rng.random(returns.shape) < 0.2] = np.nan
    returns[:, 3] = np.nan
    assert average_correlation(returns) == pytest.approx(0.5, abs=0.06)
    assert np.isnan(average_correlation(returns[:5]))


@pytest.mark.parametrize("constant", [0.0, 2e-4, -0.3])
def test_an_asset_with_the_same_return_every_day_has_no_correlation(constant):
    returns = np.random.default_rng(0).standard_normal((500, 3)) * 0.01
    expected = average_correlation(returns[:, :2])
    returns[:, 2] = constant
    assert average_correlation(returns) == pytest.approx(expected)
    assert np.isnan(average_correlation(np.full((500, 2), constant)))


def test_signature_gives_annualised_numbers_of_each_regime():
    num_days = 730
    dates = np.datetime64("2001-01-01", "ns") + np.arange(num_days) * np.timedelta64(1, "D")
    labels = np.repeat([0, 1], num_days // 2)
    rng = np.random.default_rng(0)
    returns = np.where(labels[:, None] == 0, 0.01, 0.03) * rng.standard_normal((num_days, 4))
    table = signature_table(labels, ("calm", "stressed"), dates, market_return(returns), returns)
    per_year = rows_per_year(dates)
    assert per_year == pytest.approx(365.25)
    first = market_return(returns)[:365]
    assert table.loc[0, "volatility"] == pytest.approx(first.std(ddof=1) * np.sqrt(per_year))
    assert table.loc[0, "mean"] == pytest.approx(first.mean() * per_year)
    assert table.loc[1, "dispersion"] == pytest.approx(0.03 * 0.92 * np.sqrt(per_year), rel=0.1)
    assert table.loc[1, "switches_per_year"] == pytest.approx(1 / years_spanned(dates))
    assert table["share"].sum() == pytest.approx(1.0)


def test_switches_of_the_table_add_up_to_those_of_the_labelled_rows():
    dates = np.datetime64("2001-01-01", "ns") + np.arange(800) * np.timedelta64(1, "D")
    labels = np.repeat([-1, 0, 1, 0], 200)
    market = np.random.default_rng(0).standard_normal(800)
    table = signature_table(labels, ("calm", "stressed"), dates, market, None)
    assert table["switches_per_year"].sum() == pytest.approx(2 / years_spanned(dates[200:]))


@pytest.mark.parametrize(
    ("step", "noun"), [("m", "minute"), ("h", "hour"), ("D", "day"), ("W", "week"), ("M", "month"), ("Y", "year")]
)
def test_a_row_is_called_by_its_usual_step(step, noun):
    assert row_noun(np.arange(100).astype(f"datetime64[{step}]").astype("datetime64[ns]")) == noun


def test_a_row_of_an_odd_calendar_is_a_row():
    assert row_noun(np.datetime64("2020-01-01", "ns") + np.arange(9) * np.timedelta64(10, "D")) == "row"
    assert row_noun(np.busday_offset("2020-01-01", np.arange(50)).astype("datetime64[ns]")) == "day"


@pytest.mark.parametrize("num_regimes", [2, 3, 4, 5, 6, 9])
def test_names_are_unique_for_any_number_of_regimes(num_regimes):
    rng = np.random.default_rng(0)
    names = regime_names(rng.integers(num_regimes, size=900), rng.standard_normal(900), num_regimes)
    assert len(set(names)) == num_regimes


def test_names_say_calm_and_stressed_and_a_clear_trend():
    labels = np.repeat([0, 1], 500)
    market = np.where(labels == 0, 0.3, -0.3) + np.random.default_rng(0).standard_normal(1000)
    assert regime_names(labels, market, 2) == ("calm, rising", "stressed, falling")
    flat = market - np.where(labels == 0, market[:500].mean(), market[500:].mean())
    assert regime_names(labels, flat, 2) == ("calm", "stressed")
