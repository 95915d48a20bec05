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


def test_asset_table_of_a_short_or_empty_panel_is_missing_not_wrong():
    table = asset_table(panel_of([[1.0, np.nan]]))
    assert table["first"].isna().tolist() == [False, True]
    assert table["returns"].tolist() == [0, 0]
    assert table[["volatility", "worst", "best"]].isna().all().all()
    assert asset_table(panel_of([[1.0, 2.0]])[:0])["first"].isna().all()
