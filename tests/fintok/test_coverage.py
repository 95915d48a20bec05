"""The table of a panel by asset, and runs of flags."""

import numpy as np

from fintok.coverage import asset_table, runs_of
from fintok.panel import Panel


def panel_of(prices: list[list[float]]) -> Panel:
    dates = np.busday_offset("2020-01-01", np.arange(len(prices)), roll="forward")
    return Panel.from_arrays(prices, dates, [f"A{i}" for i in range(len(prices[0]))])


def test_runs_have_their_first_row_their_column_and_their_length():
    flags = np.array([[1, 0], [1, 1], [0, 1], [1, 1]], dtype=bool)
    start, asset, days = runs_of(flags)
    assert list(zip(start, asset, days, strict=True)) == [(0, 0, 2), (1, 1, 3), (3, 0, 1)]


def test_asset_table_counts_what_is_missing_while_listed():
    nan = np.nan
    table = asset_table(panel_of([[1.0, nan], [nan, 2.0], [nan, 4.0], [4.0, 2.0], [4.0, nan]]))
    assert table["missing"].tolist() == [2 / 5, 0]
    assert table["longest_gap"].tolist() == [2, 0]
    assert table["returns"].tolist() == [2, 2]
    assert table["best"].tolist() == [np.log(4), np.log(2)]
    assert table["last"].astype(str).tolist() == ["2020-01-07", "2020-01-06"]


def test_rows_on_which_nothing_can_be_observed_change_no_volatility():
    rng, days = np.random.default_rng(0), np.arange("2001-01-01", "2003-01-01", dtype="datetime64[D]")
    is_open = np.is_busday(days)
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (int(is_open.sum()), 2)), axis=0))
    every = np.full((len(days), 2), np.nan)
    every[is_open] = prices
    one, other = (
        asset_table(Panel.from_arrays(table, dates, ["A", "B"]))["volatility"]
        for table, dates in ((every, days), (prices, days[is_open]))
    )
    np.testing.assert_allclose(one, other, rtol=0.02)  # 261 weekdays a year; exchanges open on 252


def test_asset_table_of_a_short_or_empty_panel_is_missing_not_wrong():
    table = asset_table(panel_of([[1.0, np.nan]]))
    assert table["first"].isna().tolist() == [False, True]
    assert table["returns"].tolist() == [0, 0]
    assert table[["volatility", "worst", "best"]].isna().all().all()
    assert asset_table(panel_of([[1.0, 2.0]])[:0])["first"].isna().all()
