"""read_panel: what pandas has beside columns, an index and levels."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from fintok.cells import marked_cells
from fintok.errors import InputError
from fintok.groups import read_groups
from fintok.sources import read_panel
from tests.fintok.sources.conftest import SYMBOLS, assert_is


def test_stacked_frames_of_pandas_are_read_with_and_without_names(wide, long, expected):
    stacked = wide.to_pandas().set_index("date").stack()
    nameless = stacked.rename_axis([None, None])
    bars = long.to_pandas().set_index(["date", "symbol"])
    for source in (stacked, nameless, nameless.swaplevel(), nameless.to_frame("close"), bars["close"],
                   bars.rename_axis([None, None]), bars.swaplevel().rename_axis([None, None])):  # fmt: skip
        assert_is(read_panel(source), expected)


def test_a_period_counts_at_its_end(wide):
    frame = wide.to_pandas().set_index("date")
    weeks = pd.period_range("2020-01-05", periods=len(frame), freq="W-SUN")
    hours = pd.period_range("2020-01-05", periods=len(frame), freq="h")
    assert read_panel(frame.set_index(weeks)).dates[0] == np.datetime64("2020-01-05")
    assert read_panel(frame.set_index(hours)).dates[0] == np.datetime64("2020-01-05T00:59")


@pytest.mark.parametrize("name", ["p.parquet", "p.csv", "p.csv.gz"])
def test_the_index_of_a_filtered_table_is_no_asset(name, wide, expected, tmp_path):
    frame = wide.to_pandas()
    frame.index += 5
    frame = frame[frame.index != 8]
    frame.reset_index().to_csv(tmp_path / name) if "csv" in name else frame.to_parquet(tmp_path / name)
    for source in (frame, frame.sample(frac=1.0, random_state=0), tmp_path / name):
        assert_is(read_panel(source), np.delete(expected, 3, axis=0))


@pytest.mark.parametrize("symbols_first", [False, True])
def test_two_level_columns_of_downloads_are_read_with_their_bars(wide, expected, symbols_first):
    close = wide.to_pandas().set_index("date")
    parts = {"Close": close, "Adj Close": close, "Volume": close * 100}
    frame = pd.concat(parts, axis=1, names=["Price", "Ticker"])
    panel = read_panel(frame.swaplevel(axis=1) if symbols_first else frame)
    assert_is(panel, expected)
    assert set(panel.fields) == {"close", "volume"}


@pytest.mark.parametrize("symbols_first", [False, True])
def test_two_level_columns_may_have_the_names_of_terminals(wide, expected, symbols_first):
    close = wide.to_pandas().set_index("date")
    frame = pd.concat({"PX_LAST": close, "PX_VOLUME": close * 100, "PX_HIGH": close * 2}, axis=1)
    panel = read_panel(frame.swaplevel(axis=1) if symbols_first else frame)
    assert_is(panel, expected)
    assert set(panel.fields) == {"high", "volume"}


def test_an_asset_of_two_level_columns_may_be_called_as_a_field(wide, expected):
    close = wide.to_pandas().set_index("date").rename(columns={"AAA": "LOW"})
    frame = pd.concat({"Close": close}, axis=1)
    for source in (frame, frame.swaplevel(axis=1)):
        panel = read_panel(source)
        assert panel.assets == ("BBB", "CCC", "LOW")
        np.testing.assert_array_equal(panel.prices, expected[:, [1, 2, 0]])


@pytest.mark.parametrize("name", ["p.parquet", "p.csv"])
def test_two_level_columns_of_downloads_are_read_from_files_too(name, wide, expected, tmp_path):
    close = wide.to_pandas().set_index("date").rename_axis("Date")
    frame = pd.concat({"Close": close, "High": close * 2, "Volume": close * 100}, axis=1, names=["Price", "Ticker"])
    getattr(frame, f"to_{name[2:]}")(tmp_path / name)
    panel = read_panel(tmp_path / name)
    assert_is(panel, expected)
    assert set(panel.fields) == {"high", "close", "volume"}


def test_an_index_that_is_a_column_too_is_read_once(wide, long, expected):
    dated, both = wide.to_pandas().set_index("date", drop=False), long.to_pandas()
    both = both.set_index(["date", "symbol"], drop=False)
    for table in (dated, both):
        assert_is(read_panel(table), expected)
    with pytest.raises(InputError, match=r"'date' is an index and a column of other values; drop one of them"):
        read_panel(dated.assign(date=dated["date"] + np.timedelta64(1, "D")))


def test_periods_count_at_their_end_wherever_they_stand(wide):
    table = wide.to_pandas().assign(date=lambda frame: frame["date"].dt.to_period("D"))
    long = table.melt("date", var_name="symbol", value_name="close")
    for frame in (
        table,
        long,
        long.set_index(["date", "symbol"]),
        long.set_index(["date", "symbol"]).rename_axis([None] * 2),
    ):
        np.testing.assert_array_equal(read_panel(frame).prices, wide.select(SYMBOLS).to_numpy())
        assert read_panel(frame).dates[0] == np.datetime64("2020-01-01")


def test_a_kind_of_pandas_table_is_one(wide, expected):
    class Kind(pd.DataFrame):
        pass

    assert_is(read_panel(Kind(wide.to_pandas().set_index("date"))), expected)


def test_what_pandas_has_beside_tables_is_no_panel():
    for source in (pd.Index([1]), pd.Series([1.0]), pd.Timestamp("2020")):
        with pytest.raises(InputError, match="a panel is a path or a pandas, polars or pyarrow table, got pandas"):
            read_panel(source)


def test_two_levels_are_known_however_their_names_were_joined(tmp_path):
    symbols = ("AAPL", "BRK.B")
    rng, dates = np.random.default_rng(0), pd.bdate_range("2020-01-01", periods=40, name="Date")
    fields = ("Adj Close", "Close", "High", "Low", "Open", "Volume")
    columns = pd.MultiIndex.from_product([fields, symbols], names=["Price", "Ticker"])
    two = pd.DataFrame(np.exp(rng.normal(0, 0.1, (40, len(columns))).cumsum(axis=0)), dates, columns)
    expected = read_panel(two)
    assert (expected.assets, expected.num_days) == (symbols, 40)

    def named(join):
        return two.set_axis([join(*names) for names in two.columns], axis=1)

    two.to_parquet(tmp_path / "two.parquet")
    named("{}_{}".format).to_csv(tmp_path / "flat.csv")
    for source in (
        two.reset_index(),
        two.set_axis(two.columns.to_flat_index(), axis=1),
        named("{}_{}".format),
        named(lambda field, symbol: f"{field.replace(' ', '_')}_{symbol}"),
        named(lambda field, symbol: f"{symbol} {field}").reset_index(),
        pl.from_pandas(named("{}_{}".format).reset_index()),
        pl.read_parquet(tmp_path / "two.parquet"),
        pq.read_table(tmp_path / "two.parquet"),
        tmp_path / "two.parquet",
        tmp_path / "flat.csv",
    ):
        found = read_panel(source)
        assert found.assets == symbols
        np.testing.assert_allclose(found.prices, expected.prices)
        np.testing.assert_allclose(found.fields["volume"], expected.fields["volume"])


def test_assets_called_by_a_field_and_something_else_stay_assets():
    table = pd.DataFrame({"Open_A": [1.0, 2.0], "Rest_B": [1.0, 3.0]}, pd.bdate_range("2020-01-01", periods=2))
    assert read_panel(table).assets == ("Open_A", "Rest_B")


def test_a_symbol_that_is_a_whole_number_is_written_as_one_however_it_is_kept():
    dates = pd.bdate_range("2020-01-01", periods=30).repeat(2)
    frame = pd.DataFrame({"date": dates, "symbol": [600000.0, 5.0] * 30, "close": np.linspace(1.0, 2.0, 60)})
    panel = read_panel(frame)
    assert panel.assets == read_panel(frame.astype({"symbol": int})).assets == ("5", "600000")
    table = frame[["symbol"]].drop_duplicates().assign(group=[7.0, 8.0])
    assert read_groups(table) == {"600000": "7", "5": "8"}
    assert marked_cells(frame[:3], panel).sum() == 3
