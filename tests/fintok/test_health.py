"""check_panel: planted faults are found by name and date, and clean data stay clean."""

import numpy as np
import polars as pl

from fintok.health import check_panel, reverting_spikes
from fintok.panel import Panel
from fintok.sample import simulate_panel
from fintok.sources import read_panel

NUM_DAYS = 300


def clean_prices(num_assets: int = 6) -> np.ndarray:
    return 50 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, (NUM_DAYS, num_assets)), axis=0))


def panel_of(prices: np.ndarray, **kwargs: object) -> Panel:
    dates = np.busday_offset("2020-01-01", np.arange(len(prices)), roll="forward")
    return Panel.from_arrays(prices, dates, [f"A{i}" for i in range(prices.shape[1])], **kwargs)


def found(panel: Panel) -> set[tuple[str, int, int, int]]:
    return {
        (str(kind), int(row), int(asset), int(days))
        for kind, row, asset, days in zip(*check_panel(panel).findings, strict=True)
    }


def test_clean_prices_have_no_findings():
    health = check_panel(panel_of(clean_prices()))
    assert len(health.findings.row) == 0
    assert health.to_pandas().empty
    assert health.to_polars().height == 0
    assert repr(health) == "PanelHealth(findings: 0, assets: 6, arrays)"


def test_each_fault_is_found_with_its_row_asset_and_length():
    prices = clean_prices()
    prices[100, 0] *= 1.3  # reverts the next day
    prices[150:, 1] /= 3.0
    prices[200, 2] *= 100.0
    prices[50:62, 3] = prices[90:95, 3] = prices[110:114, 3] = np.nan
    prices[250:253, :4] = np.nan
    prices[:, 5] = np.nan
    seen = found(panel_of(prices))
    assert ("spike that reverts", 100, 0, 1) in seen
    assert ("possible unadjusted split", 150, 1, 1) in seen
    assert ("possible decimal shift", 200, 2, 2) in seen
    assert ("long gap", 50, 3, 12) in seen
    assert ("long gap", 90, 3, 5) in seen  # the return after it is lost as well
    assert ("long gap", 110, 3, 4) not in seen
    assert ("date with few assets", 250, -1, 3) in seen
    assert ("asset without values", 0, 5, NUM_DAYS) in seen


def test_a_stale_run_and_bars_out_of_order_are_found():
    prices = clean_prices()
    prices[120:140, 2] = prices[120, 2]
    high = prices * 1.01
    high[33, 4] = prices[33, 4] * 0.98
    seen = found(panel_of(prices, fields={"high": high, "close": prices}))
    assert {(kind, asset) for kind, _, asset, _ in seen} == {("stale price", 2), ("high and low out of order", 4)}
    assert ("high and low out of order", 33, 4, 1) in seen


def test_a_move_of_the_whole_market_that_reverts_is_no_spike():
    returns = np.random.default_rng(0).normal(0, 0.01, (NUM_DAYS, 20))
    returns[100] += 0.2
    returns[101] -= 0.2
    assert not reverting_spikes(returns).any()
    returns[200, 3] += 0.2
    returns[201, 3] -= 0.2
    assert np.argwhere(reverting_spikes(returns)).tolist() == [[200, 3]]


def test_the_summary_counts_and_names_the_first():
    prices = clean_prices()
    prices[:30, 0] = prices[280:, 1] = np.nan
    prices[150:, 2] /= 2.0
    table = check_panel(panel_of(prices)).summary()
    assert table.loc["assets", "value"] == "6"
    assert table.loc["rows", "first"].startswith("2020-01-01 to 2021-")
    assert table.loc["rows per year", "first"] == "Mon Tue Wed Thu Fri"
    assert table.loc["late starts"].tolist() == ["1", "A0"]
    assert table.loc["early ends"].tolist() == ["1", "A1"]
    day = np.datetime_as_string(np.busday_offset("2020-01-01", 150, roll="forward"))
    assert table.loc["possible unadjusted split"].tolist() == ["1", f"A2 {day}"]


def test_a_first_difference_is_no_late_start_and_a_closing_weekend_no_early_end():
    prices = clean_prices()
    prices[0] = prices[-2:, :-2] = np.nan
    table = check_panel(panel_of(prices)).summary()
    assert table.loc["late starts", "value"] == table.loc["early ends", "value"] == "0"


def test_findings_as_tables_name_symbols_and_leave_them_empty_for_whole_dates():
    prices = clean_prices()
    prices[250, :] = np.nan
    prices[50:60, 3] = np.nan
    health = check_panel(panel_of(prices))
    pandas, polars = health.to_pandas(), health.to_polars()
    assert pandas["kind"].tolist() == polars["kind"].to_list() == ["long gap", "date with few assets"]
    assert polars["symbol"].to_list() == ["A3", None]
    assert pandas["symbol"].isna().tolist() == [False, True]
    assert polars["days"].to_list() == [10, 1]
    assert polars["other"].to_list() == [None, None]


def test_planted_faults_of_the_simulated_market_are_found():
    simulated = simulate_panel(40, 1500, num_faults=12, seed=3)
    seen = found(simulated.panel)
    kinds = {
        "spike": "spike that reverts",
        "decimal shift": "possible decimal shift",
        "unadjusted split": "possible unadjusted split",
        "stale price": "stale price",
    }
    planted = [fault for fault in simulated.faults if fault.kind in kinds]
    caught = [
        any(kind == kinds[fault.kind] and asset == fault.asset and fault.row <= row < fault.row + fault.days
            for kind, row, asset, _ in seen)
        for fault in planted
    ]  # fmt: skip
    assert sum(caught) >= len(planted) - 1
    assert len(seen) <= 2 * len(planted)


def test_a_panel_without_rows_has_a_summary():
    assert check_panel(panel_of(clean_prices())[:0]).summary().loc["rows", "value"] == "0"


def test_a_real_raw_panel_shows_its_gaps_and_its_broken_bars(shared_data):
    health = check_panel(read_panel(shared_data("us_yahoo_raw_sp500_2000_2012_long.parquet")))
    table = health.summary()
    assert table.loc["early ends", "value"] == "52"
    assert table.loc["long gap", "value"] == "6"
    assert len(health.findings.row) < 300


def test_the_figure_has_a_trace_per_kind():
    prices = clean_prices()
    prices[150:, 2] /= 2.0
    figure = check_panel(panel_of(prices)).plot()
    assert [trace.name for trace in figure.data] == ["possible unadjusted split"]


def test_missing_dates_are_found_with_both_ends():
    days = np.busday_offset("2018-01-01", np.arange(NUM_DAYS), roll="forward")
    days[200:] += np.timedelta64(365, "D")
    health = check_panel(Panel.from_arrays(clean_prices(), days, [f"A{i}" for i in range(6)]))
    assert health.summary().loc["dates missing"].tolist() == ["1", "between 2018-10-05 and 2019-10-08"]
    assert ("dates missing", 200, -1, 1) in found(health.panel)


def test_an_asset_that_never_moves_is_named_and_has_no_spikes_of_its_own():
    prices = clean_prices()
    prices[:, 1:] *= np.where(np.arange(NUM_DAYS) == 200, 1.5, 1.0)[:, None]  # the market's spike, not its own
    prices[:, 0] = 7.0
    seen = found(panel_of(prices))
    assert ("asset that never moves", 0, 0, NUM_DAYS) in seen
    assert not any(kind == "spike that reverts" and asset == 0 for kind, _, asset, _ in seen)
    assert check_panel(panel_of(prices)).summary().loc["asset that never moves"].tolist() == ["1", "A0"]


def test_a_date_that_repeats_the_one_before_is_found():
    prices = clean_prices()
    prices[120] = prices[119]  # a holiday that was filled
    prices[200, :5] = prices[199, :5]  # one asset moves
    prices[[250, -2, -1], :3] = np.nan
    prices[250] = prices[249] * np.where(np.arange(6) < 3, np.nan, 1.0)  # of three assets nothing is said
    prices[-2:] = prices[-3]
    dates = {(row, days) for kind, row, asset, days in found(panel_of(prices)) if kind == "date on which nothing moves"}
    assert dates == {(120, 1), (NUM_DAYS - 2, 2)}


def test_a_second_row_of_a_day_is_found_where_rows_are_days():
    close = np.busday_offset("2020-01-01", np.arange(NUM_DAYS), roll="forward").astype("datetime64[ns]")
    quote, assets = np.timedelta64(14 * 60 + 33, "m"), [f"A{i}" for i in range(6)]
    dates = np.append(close[:-1], close[-2] + quote)
    panel = Panel.from_arrays(clean_prices(), dates, assets)
    assert found(panel) == {("second row of a day", NUM_DAYS - 1, -1, 1)}
    assert check_panel(panel).summary().loc["second row of a day", "first"] == "2021-02-22T14:33"
    in_summer = np.where(np.arange(NUM_DAYS) < 100, 21, 20) * np.timedelta64(1, "h")
    assert not found(Panel.from_arrays(clean_prices(), close + in_summer, assets))
    hours = np.datetime64("2020-01-01", "ns") + np.arange(NUM_DAYS) * np.timedelta64(1, "h")
    assert not found(Panel.from_arrays(clean_prices(), hours, assets))


def test_real_holidays_that_were_filled_are_found(shared_data):
    table = check_panel(read_panel(shared_data("uk_ftse64_2000_2023_close_wide.parquet"))).summary()
    assert table.loc["date on which nothing moves"].tolist() == ["11", "2000-04-24"]  # Easter Monday


def test_of_duplicates_the_partner_is_named():
    prices = clean_prices()
    prices[:, 4] = prices[:, 2] * 3.0
    health = check_panel(panel_of(prices))
    first = health.summary().loc["duplicate of another column", "first"]
    assert first.startswith("A2 ")
    assert first.endswith(" rows, as A4")
    assert health.to_polars().rows_by_key("symbol", named=True)["A4"][0]["other"] == "A2"


def test_a_long_table_names_the_column_that_its_prices_are_from():
    prices = clean_prices(2)
    table = pl.DataFrame(
        {
            "date": np.repeat(panel_of(prices).dates, 2),
            "ticker": ["A", "B"] * NUM_DAYS,
            "px_close": prices.ravel(),
            "adj_close": prices.ravel(),
        }
    )
    assert check_panel(read_panel(table)).summary().value["columns"] == "prices (adj_close)"
    assert check_panel(read_panel(table, price="px_close")).summary().value["columns"] == "prices (px_close)"
    assert check_panel(panel_of(prices)).summary().value["columns"] == "prices"


def test_a_jump_of_all_prices_is_one_finding():
    prices = clean_prices()
    prices[200:] *= 1.3
    assert found(panel_of(prices)) == {("all prices jump alike", 200, -1, 1)}
