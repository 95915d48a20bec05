"""Panel: its guarantees, the meaning of missing prices, and slicing."""

import copy
import datetime as dt
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from fintok.errors import InputError
from fintok.panel import Panel, dates_missing, log_returns
from fintok.spans import rows_until


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def days(count: int, start: str = "2020-01-01") -> np.ndarray:
    return np.datetime64(start) + np.arange(count)


@pytest.mark.parametrize(
    ("spoil", "count"),
    [
        (lambda panel: panel[:4], 4),
        (lambda panel: panel[1:], 0),
        (lambda panel: panel.select(["B", "A"]), 0),
        (lambda panel: replace(panel, returns=panel.returns + (np.arange(6) == 3)[:, None]), 3),
        (lambda panel: replace(panel, returns=np.where(np.arange(6)[:, None] == 5, np.nan, panel.returns)), 5),
        (lambda panel: replace(panel, fields={"volume": panel.fields["volume"] + (np.arange(6) == 2)[:, None]}), 2),
        (lambda panel: replace(panel, fields={}), 0),
    ],
    ids=["shorter", "later", "other assets", "restated", "no longer there", "other bars", "no bars"],
)
def test_rows_in_common_end_at_the_first_change(spoil, count):
    prices = np.exp(np.arange(12.0).reshape(6, 2) / 100) + (np.arange(12.0).reshape(6, 2) == 5)
    panel = Panel.from_arrays(prices, days(6), ["A", "B"], fields={"volume": np.ones((6, 2))})
    assert panel.rows_in_common(panel) == 6
    assert spoil(panel).rows_in_common(panel) == panel.rows_in_common(spoil(panel)) == count


def panel_of(prices: list[list[float]], **kwargs: object) -> Panel:
    table = np.array(prices, dtype=float)
    return Panel.from_arrays(table, days(len(table)), ["A", "B", "C"][: table.shape[1]], **kwargs)


def naive_log_returns(prices: np.ndarray, max_gap: int = 5) -> np.ndarray:
    returns = np.full(prices.shape, np.nan)
    for asset in range(prices.shape[1]):
        last = None
        for row in range(len(prices)):
            if np.isfinite(prices[row, asset]):
                if last is not None and row - last <= max_gap:
                    returns[row, asset] = np.log(prices[row, asset]) - np.log(prices[last, asset])
                last = row
    return returns


def test_log_returns_equal_the_naive_loop_with_gaps_late_starts_and_ends(rng):
    prices = np.exp(np.cumsum(rng.normal(0, 0.02, (300, 7)), axis=0))
    prices[rng.random(prices.shape) < 0.3] = np.nan
    prices[:100, 0] = prices[200:, 1] = prices[50:70, 2] = np.nan
    prices[:, 3] = np.nan
    np.testing.assert_array_equal(log_returns(prices), naive_log_returns(prices))


def test_a_return_spans_a_gap_of_up_to_five_rows_and_starts_anew_after_a_longer_one():
    short = [[1.0, 1.0], *[[np.nan, 1.0]] * 4, [np.e, 1.0]]
    long = [[1.0, 1.0], *[[np.nan, 1.0]] * 5, [np.e, 1.0], [np.e**2, 1.0]]
    assert panel_of(short).returns[5, 0] == pytest.approx(1.0)
    assert np.isnan(panel_of(long).returns[6, 0])
    assert panel_of(long).returns[7, 0] == pytest.approx(1.0)


def test_returns_start_anew_where_a_year_of_dates_is_missing():
    days = np.arange("2018-12-01", "2020-02-01", dtype="datetime64[D]")
    days = days[(days < np.datetime64("2019-01-01")) | (days >= np.datetime64("2020-01-01"))]
    panel = Panel.from_arrays(np.linspace(1.0, 2.0, len(days))[:, None], days, ["X"])
    assert np.flatnonzero(np.isnan(panel.returns[:, 0])).tolist() == [0, 31]


def test_a_return_over_a_missing_row_does_not_reach_across_missing_dates_either():
    days = np.array(["2019-01-01", "2019-01-02", "2019-03-01", "2019-03-02"], "datetime64[ns]")
    returns = log_returns(np.array([[1.0], [2.0], [np.nan], [4.0]]), days)
    assert np.flatnonzero(np.isfinite(returns[:, 0])).tolist() == [1]


@pytest.mark.parametrize("step", ["h", "D", "W", "M", "Y"])
def test_no_regular_calendar_lacks_dates(step):
    assert not dates_missing(np.arange(500).astype(f"datetime64[{step}]").astype("datetime64[ns]")).any()


def test_later_dates_never_change_which_earlier_ones_were_missing(rng):
    days = np.datetime64("2000-01-01", "ns") + np.cumsum(rng.choice([1, 1, 7, 30, 90, 400], 200)).astype("m8[D]")
    missing = dates_missing(days)
    assert missing.any()
    assert all((dates_missing(days[:count]) == missing[:count]).all() for count in range(1, 200))


def test_a_constant_price_has_zero_returns_and_an_empty_column_is_never_listed():
    panel = panel_of([[2.0, np.nan]] * 4)
    np.testing.assert_array_equal(panel.returns[1:, 0], 0.0)
    assert not panel.is_listed[:, 1].any()
    assert not panel.is_observed[:, 1].any()
    assert panel.is_listed[:, 0].all()


def test_is_listed_runs_from_the_first_price_to_the_last_over_gaps():
    panel = panel_of([[np.nan, 1], [1, 1], [np.nan, 1], [1, 1], [np.nan, 1]])
    assert panel.is_listed[:, 0].tolist() == [False, True, True, True, False]


def test_a_slice_equals_the_panel_of_the_rows_before_it(rng):
    prices = np.exp(np.cumsum(rng.normal(0, 0.02, (60, 3)), axis=0))
    prices[rng.random(prices.shape) < 0.2] = np.nan
    whole = Panel.from_arrays(prices, days(60), "ABC", fields={"volume": prices})
    part = Panel.from_arrays(prices[:37], days(37), "ABC")
    assert whole[:37].returns.tobytes() == part.returns.tobytes()
    assert whole[:37].dates.tolist() == part.dates.tolist()
    assert whole[:37].fields["volume"].shape == (37, 3)
    assert whole[-5:].num_days == 5
    with pytest.raises(TypeError):
        whole[::2]
    with pytest.raises(TypeError, match="slice of consecutive rows or dates, got '2020-01'"):
        whole["2020-01"]


def test_a_slice_of_dates_includes_both():
    panel = Panel.from_arrays(np.ones((800, 2)), days(800), "AB")
    for bounds, first, last in [
        (slice("2020-02", "2020-03"), "2020-02-01", "2020-03-31"),
        (slice("2021", None), "2021-01-01", "2022-03-10"),
        (slice(None, dt.date(2020, 1, 5)), "2020-01-01", "2020-01-05"),
        (slice(3, "20200105"), "2020-01-04", "2020-01-05"),
        (slice(panel.dates[2], np.int64(9)), "2020-01-03", "2020-01-09"),
    ]:
        part = panel[bounds]
        assert [str(day) for day in part.dates[[0, -1]].astype("datetime64[D]")] == [first, last]
    assert panel["2019":"2019"].num_days == 0
    with pytest.raises(InputError, match="'soon' is not a date"):
        panel["soon":]


def test_until_takes_all_of_a_day_a_month_or_a_year():
    hours = np.datetime64("2020-01-31T00") + np.arange(48)
    panel = Panel.from_arrays(np.ones((48, 2)), hours, "AB")
    assert panel.until("2020-01-31").num_days == 24
    assert panel.until("2020-01").num_days == 24
    assert panel.until("2020").num_days == 48
    assert panel.until("2020-01-31 05:00:00").num_days == 6
    assert panel.until(np.datetime64("2020-01-31T05", "ns")).num_days == 6
    assert panel.until("2019-12-31").num_days == 0
    with pytest.raises(InputError, match="'soon' is not a date"):
        rows_until(panel.dates, "soon")


def test_select_reorders_assets_and_names_a_near_miss():
    panel = panel_of([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]])
    assert panel.select("C").assets == ("C",)
    chosen = panel.select(["C", "A"])
    np.testing.assert_array_equal(chosen.prices, panel.prices[:, [2, 0]])
    assert chosen.assets == ("C", "A")
    with pytest.raises(InputError, match=r"no asset 'AAPLE'.*did you mean 'AAPL'"):
        Panel.from_arrays(np.ones((2, 2)), days(2), ["AAPL", "MSFT"]).select(["AAPLE"])
    with pytest.raises(InputError, match="'A' is asked for twice"):
        panel.select(["A", "C", "A"])
    with pytest.raises(InputError, match="no asset named"):
        panel.select([])


@pytest.mark.parametrize(
    ("step", "count", "expected"),
    [("D", 1000, 365.0), ("W", 300, 52.0), ("M", 240, 12.0), ("h", 20000, 8766.0), (("Y", 3), 20, 1.0)],
)
def test_periods_per_year_come_from_the_dates(step, count, expected):
    dates = (np.datetime64("2000-01", step) + np.arange(count)).astype("datetime64[ns]")
    assert Panel.from_arrays(np.ones((count, 2)), dates, "AB").periods_per_year == expected


def test_exchange_days_make_252_periods_and_one_row_is_taken_for_such_a_day():
    weekdays = np.busday_offset("2000-01-03", np.arange(2000))
    kept = np.delete(weekdays, np.arange(0, 2000, 29))  # nine holidays a year
    panel = Panel.from_arrays(np.ones((len(kept), 2)), kept, "AB")
    assert panel.periods_per_year == 252.0
    assert panel[:1].periods_per_year == 252.0


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ([[1.0, 1.0], [0.0, 1.0]], r"price of A on 2020-01-02 is 0 .*--values returns"),
        ([[1.0, 1.0], [1.0, -3.5]], r"price of B on 2020-01-02 is -3.5 \(1 such in 1 of 2 assets\)"),
        ([[1.0, np.inf], [1.0, 1.0]], r"price of B on 2020-01-01 is infinite"),
    ],
)
def test_prices_that_have_no_logarithm_are_refused_by_name(prices, message):
    with pytest.raises(InputError, match=message):
        panel_of(prices)


def test_returns_may_be_negative_and_have_no_prices():
    panel = panel_of([[-0.5, 0.1], [0.0, np.nan]], values="returns")
    assert panel.prices is None
    np.testing.assert_array_equal(panel.returns, [[-0.5, 0.1], [0.0, np.nan]])


@pytest.mark.parametrize(
    ("dates", "assets", "message"),
    [
        (["2020-01-01", "2020-01-01"], "AB", "2020-01-01 .row 1. appears twice"),
        (["2020-01-02", "2020-01-01"], "AB", "comes after a later date"),
        (["2020-01-01", "NaT"], "AB", "row 1 has no date"),
        (["2020-01-01", "2020-01-02"], "AA", "asset 'A' appears twice"),
        (["2020-01-01"], "AB", "do not fit 1 dates"),
    ],
)
def test_what_does_not_fit_together_is_refused(dates, assets, message):
    with pytest.raises(InputError, match=message):
        Panel.from_arrays(np.ones((2, 2)), np.array(dates, dtype="datetime64[D]"), assets)


def arrays_of(panel):
    return (panel.returns, panel.dates, panel.prices, *panel.fields.values())


def full_panel():
    return Panel.from_arrays(np.ones((3, 2)), days(3), "AB", fields={"volume": np.ones((3, 2))})


@pytest.mark.parametrize("again", [lambda panel: panel, lambda panel: pickle.loads(pickle.dumps(panel)), copy.deepcopy,
                                   lambda panel: panel[1:], lambda panel: panel.select(["B", "A"])],
                         ids=["made", "unpickled", "copied", "sliced", "selected"])  # fmt: skip
def test_arrays_are_read_only(again):
    panel = again(full_panel())
    assert [array.flags.writeable for array in arrays_of(panel)] == [False] * 4
    with pytest.raises(ValueError, match="read-only"):
        panel.prices[0, 0] = 5.0
    assert all(array.flags.c_contiguous for array in arrays_of(panel))


@pytest.mark.parametrize("values", ["prices", "returns"])
def test_what_the_caller_does_to_his_arrays_later_changes_nothing(values):
    data, dates = np.ones((3, 2)), days(3).astype("datetime64[ns]")
    volume = np.ones((3, 2), np.float32)
    panel = Panel.from_arrays(data, dates, "AB", values=values, fields={"volume": volume})
    data[0, 0], dates[0], volume[0, 0] = 1.5, np.datetime64("1999-01-01"), 2.0
    whole = panel.to_pandas()
    assert (whole == 1.0).all(axis=None)
    assert whole.index[0].year == 2020
    assert (panel.fields["volume"] == 1.0).all()


def test_repr_is_one_line_and_frames_hold_what_was_given():
    panel = panel_of([[1.0, 2.0], [2.0, np.nan]], source="mine.csv")
    assert repr(panel) == ("Panel(2 assets x 2 rows, 2020-01-01 to 2020-01-02, prices, 25.0 % observed, mine.csv)")
    frame = panel.to_pandas()
    assert frame.index.name == "date"
    assert frame["A"].tolist() == [1.0, 2.0]
    frame.loc[:] = 7.0  # a copy, and writable
    assert panel.prices[0, 0] == 1.0
    assert panel.to_polars().columns == ["date", "A", "B"]


def test_summary_has_a_row_per_asset_and_plot_draws():
    panel = panel_of([[1.0, np.nan, 1.0], [2.0, np.nan, np.nan], [1.0, np.nan, 1.0]])
    table = panel.summary()
    assert table.index.tolist() == ["A", "B", "C"]
    assert table.loc["A", "returns"] == 2
    assert table.loc["A", "worst"] == pytest.approx(-np.log(2))
    assert table.loc["B", ["worst", "volatility", "missing"]].isna().all()
    assert table.loc["C", "missing"] == pytest.approx(1 / 3)
    assert table.loc["C", "longest_gap"] == 1
    assert len(panel.plot().data) == 2


def test_importing_the_panel_imports_numpy_and_nothing_heavier():
    code = (
        "import sys, fintok.panel, fintok.imaging, fintok.split\n"
        "print([m for m in ('pandas', 'polars', 'plotly', 'torch', 'scipy.signal') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
