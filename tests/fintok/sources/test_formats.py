"""read_panel: every shape a panel comes in."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fintok.sources import read_panel
from tests.fintok.sources.conftest import SYMBOLS, assert_is

WRITERS = {
    "prices.parquet": pl.DataFrame.write_parquet,
    "prices.csv": pl.DataFrame.write_csv,
    "prices.arrow": pl.DataFrame.write_ipc,
    "stream.arrow": pl.DataFrame.write_ipc_stream,
    "prices.tsv": lambda frame, path: frame.write_csv(path, separator="\t"),
    "semicolons.csv": lambda frame, path: frame.write_csv(path, separator=";"),
    "prices.csv.gz": lambda frame, path: frame.to_pandas().to_csv(path, index=False),
    "SHOUTED.CSV.GZ": lambda frame, path: frame.to_pandas().to_csv(path, index=False, compression="gzip"),
    "no_suffix": pl.DataFrame.write_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("layout", ["wide", "long"])
def test_every_file_format_gives_the_same_panel(name, layout, wide, long, expected, tmp_path):
    WRITERS[name](wide if layout == "wide" else long, tmp_path / name)
    panel = read_panel(tmp_path / name)
    assert_is(panel, expected)
    assert panel.source == str(tmp_path / name)


def test_frames_of_every_library_give_the_same_panel(wide, long, expected):
    frame = wide.to_pandas()
    indexed = frame.set_index("date")
    nameless = indexed.rename_axis(None)
    two_level_rows = long.to_pandas().set_index(["date", "symbol"])
    for source in (wide, wide.lazy(), wide.to_arrow(), frame, indexed, nameless, long, long.to_pandas(),
                   long.to_arrow(), two_level_rows, two_level_rows.rename_axis(["day", "ticker"])):  # fmt: skip
        assert_is(read_panel(source), expected)


@pytest.mark.parametrize(
    ("date", "symbol", "price"),
    [("date", "PERMNO", "PRC"), ("datadate", "gvkey", "close_price"), ("Date", "contract", "last_price"),
     ("timestamp", "symbol", "mid"), ("timestamp", "symbol", "vwap")],
)  # fmt: skip
def test_columns_are_known_as_data_vendors_call_them(long, expected, tmp_path, date, symbol, price):
    long.rename({"date": date, "symbol": symbol, "close": price}).write_csv(tmp_path / "p.csv")
    assert_is(read_panel(tmp_path / "p.csv"), expected)


def test_a_close_is_preferred_to_a_vwap_and_a_midpoint(long, expected):
    assert_is(read_panel(long.with_columns(vwap=pl.lit(1.0), mid=pl.lit(2.0), prc=pl.lit(3.0))), expected)


def test_months_are_read_as_their_last_days(tmp_path):
    (tmp_path / "p.csv").write_text(",Mkt,SMB\n" + "".join(f"{1990 + m // 12}{m % 12 + 1:02},1,2\n" for m in range(40)))
    panel = read_panel(tmp_path / "p.csv")
    assert panel.assets == ("Mkt", "SMB")
    assert [str(day) for day in panel.dates[:2].astype("datetime64[D]")] == ["1990-01-31", "1990-02-28"]
    assert panel.periods_per_year == 12.0


def test_a_panel_is_read_as_it_is(wide):
    panel = read_panel(wide)
    assert read_panel(panel) is panel


def test_an_index_written_to_csv_without_a_name_is_the_date(wide, expected, tmp_path):
    wide.to_pandas().set_index("date").rename_axis(None).to_csv(tmp_path / "p.csv")
    assert_is(read_panel(tmp_path / "p.csv"), expected)


def test_a_folder_partitioned_by_year_or_by_symbol_is_one_panel(wide, long, expected, tmp_path):
    for number, part in enumerate((wide[:11], wide[11:])):
        (tmp_path / "years" / f"year={2020 + number}").mkdir(parents=True)
        part.write_parquet(tmp_path / "years" / f"year={2020 + number}" / "part-0.parquet")
    (tmp_path / "years" / "_SUCCESS").touch()
    (tmp_path / "years" / "README.md").write_text("not data")
    for symbol in SYMBOLS:
        (tmp_path / "hive" / f"symbol={symbol}").mkdir(parents=True)
        part = long.filter(pl.col("symbol") == symbol).drop("symbol")
        part.write_csv(tmp_path / "hive" / f"symbol={symbol}" / "part.csv")
    assert_is(read_panel(tmp_path / "years"), expected)
    assert_is(read_panel(tmp_path / "hive"), expected)


def test_a_folder_with_one_file_per_symbol_takes_the_files_names(long, expected, tmp_path):
    for symbol in SYMBOLS:
        long.filter(pl.col("symbol") == symbol).drop("symbol").write_csv(tmp_path / f"{symbol}.csv")
    assert_is(read_panel(tmp_path), expected)


def test_files_of_one_symbol_may_spell_their_columns_each_in_its_own_way(long, expected, tmp_path):
    spelled = {"AAA": ("Date", "Close"), "BBB": ("date", "close"), "CCC": ("DATE", "CLOSE")}
    for symbol, (date, close) in spelled.items():
        frame = long.filter(pl.col("symbol") == symbol).select(pl.col("date").alias(date), pl.col("close").alias(close))
        frame.write_csv(tmp_path / f"{symbol}.csv")
    assert_is(read_panel(tmp_path), expected)


def test_a_file_of_one_symbol_without_rows_is_told(long, expected, tmp_path, capsys):
    for symbol in SYMBOLS:
        long.filter(pl.col("symbol") == symbol).select("date", "close").write_csv(tmp_path / f"{symbol}.csv")
    (tmp_path / "DDD.csv").write_text("date,price\n")
    assert_is(read_panel(tmp_path), expected)
    assert capsys.readouterr().err == f"{tmp_path}: no rows in '{tmp_path / 'DDD.csv'}': left out\n"


def test_columns_of_assets_in_wide_parts_are_never_taken_for_one_another(tmp_path):
    for name, asset in (("one", "中证300"), ("two", "沪深300")):
        (tmp_path / f"{name}.csv").write_text(f"Date,{asset},X\n2020-01-0{1 + (name == 'two')},1,2\n")
    assert read_panel(tmp_path).assets == ("中证300", "X", "沪深300")


def test_files_of_one_symbol_each_may_hold_more_than_the_bar(long, expected, tmp_path):
    for symbol in SYMBOLS:
        bars = long.filter(pl.col("symbol") == symbol).drop("symbol").rename({"date": "Date", "close": "Close"})
        bars = bars.with_columns(Open=1.0, High=1.0, Low=1.0, Volume=5, Dividends=0.0, splits=0.0)
        bars.write_csv(tmp_path / f"{symbol}.csv")
    assert_is(read_panel(tmp_path), expected)


def test_wide_parts_may_hold_different_assets(wide, expected, tmp_path):
    wide[:4].drop("CCC").write_parquet(tmp_path / "1.parquet")
    wide[4:].write_parquet(tmp_path / "2.parquet")
    assert_is(read_panel(tmp_path), expected)


def test_an_adjusted_close_is_preferred_and_the_bar_is_kept_as_it_is(long, expected):
    bars = long.with_columns(
        (pl.col("close") * 2).alias("Close"), (pl.col("close") * 3).alias("High"), pl.lit(10).alias("Volume")
    )
    bars = bars.rename({"close": "Adj Close", "symbol": "Ticker", "date": "Date"})
    panel = read_panel(bars)
    assert_is(panel, expected)
    np.testing.assert_allclose(panel.fields["close"], 2 * expected, rtol=1e-6)
    np.testing.assert_allclose(panel.fields["high"], 3 * expected, rtol=1e-6)
    assert list(panel.fields) == ["high", "close", "volume"]
    chosen = read_panel(bars, date="Date", symbol="Ticker", price="Close")
    np.testing.assert_array_equal(chosen.prices, 2 * expected)


def test_columns_with_unusual_names_can_be_named(long, expected):
    odd = long.rename({"date": "when", "symbol": "what", "close": "how much"})
    assert_is(read_panel(odd, date="when", symbol="what", price="how much"), expected)


def test_whatever_gives_an_arrow_stream_is_a_table(long, expected):
    class Relation:
        def __arrow_c_stream__(self, requested_schema=None):
            return long.to_arrow().__arrow_c_stream__(requested_schema)

    assert_is(read_panel(Relation()), expected)


def test_an_asset_may_be_called_as_a_symbol_column_is(wide):
    assert read_panel(wide.rename({"AAA": "CODE", "BBB": "ID"})).assets == ("CODE", "ID", "CCC")


def test_symbols_may_be_numbers_or_categories(long, expected):
    numbered = long.with_columns(pl.col("symbol").replace_strict(dict(zip(SYMBOLS, (3, 5, 9), strict=True))))
    panel = read_panel(numbered.rename({"symbol": "permno"}))
    assert panel.assets == ("3", "5", "9")
    np.testing.assert_array_equal(panel.prices, expected)
    assert_is(read_panel(long.with_columns(pl.col("symbol").cast(pl.Categorical))), expected)


def test_a_first_line_that_names_the_separator_is_passed_over(tmp_path):
    (tmp_path / "excel.csv").write_text("sep=;\ndate;A;B\n2020-01-01;1,5;2\n2020-01-02;3;4\n")
    assert read_panel(tmp_path / "excel.csv").prices.tolist() == [[1.5, 2.0], [3.0, 4.0]]


def test_spaces_around_symbols_do_not_count(tmp_path):
    (tmp_path / "long.csv").write_text("date, symbol, close\n2020-01-01, A, 1\n2020-01-01,B,2\n2020-01-02,A ,3\n")
    (tmp_path / "wide.csv").write_text("date, A,B \n2020-01-01,1,2\n2020-01-02,3,\n")
    for name in ("long.csv", "wide.csv"):
        panel = read_panel(tmp_path / name)
        assert panel.assets == ("A", "B")
        assert np.isfinite(panel.returns).sum() == 1


def test_missing_values_of_every_spelling_stay_missing(tmp_path):
    (tmp_path / "p.csv").write_text(
        "date,A,B\n2020-01-01, 1.5 ,2\n2020-01-02,NA,2\n2020-01-03,,nan\n2020-01-04,null,2\n"
    )
    panel = read_panel(tmp_path / "p.csv")
    np.testing.assert_array_equal(panel.prices[:, 0], [1.5, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(panel.prices[:, 1], [2, 2, np.nan, 2])


def test_three_decimals_are_no_thousands_where_one_number_shows_it(tmp_path):
    (tmp_path / "p.csv").write_text("date;A;B\n2020-01-01;1,125;987\n2020-01-02;0,998;988\n2020-01-03;.;989\n")
    np.testing.assert_array_equal(read_panel(tmp_path / "p.csv").prices, [[1.125, 987], [0.998, 988], [np.nan, 989]])


def test_a_comma_is_a_decimal_point_where_semicolons_separate(tmp_path):
    (tmp_path / "p.csv").write_text("date;A;B\n31.01.2020;1,5;2\n28.02.2020;1,25;3,0\n")
    np.testing.assert_array_equal(read_panel(tmp_path / "p.csv").prices, [[1.5, 2.0], [1.25, 3.0]])
    (tmp_path / "q.csv").write_text("date;A;B\nJanuary 01, 2020;1,5;2\nFebruary 28, 2020;1,25;3,0e1\n")
    np.testing.assert_array_equal(read_panel(tmp_path / "q.csv").prices, [[1.5, 2.0], [1.25, 30.0]])


def test_returns_are_taken_as_they_are(wide, long):
    wide_returns = wide.with_columns((pl.col(name).log().diff()).alias(name) for name in SYMBOLS)
    panel = read_panel(wide_returns, values="returns")
    np.testing.assert_array_equal(panel.returns, wide_returns.select(SYMBOLS).to_numpy())
    assert panel.prices is None
    long_returns = long.with_columns(pl.lit(-0.01).alias("ret"))
    assert np.nanmax(read_panel(long_returns, values="returns").returns) == -0.01


def test_a_folder_of_single_downloads_is_read(wide, expected, tmp_path):
    close = wide.to_pandas().set_index("date").rename_axis("Date")
    for symbol in SYMBOLS:
        bars = pd.concat({"Close": close[[symbol]], "Volume": close[[symbol]]}, axis=1, names=["Price", "Ticker"])
        bars.dropna().to_csv(tmp_path / f"{symbol}.csv")
    assert_is(read_panel(tmp_path), expected)


def test_lines_without_anything_are_passed_over(wide, expected, tmp_path):
    (tmp_path / "p.csv").write_text(wide.write_csv() + ",,,\n\n\n")
    assert_is(read_panel(tmp_path / "p.csv"), expected)


def test_a_symbol_may_be_spelled_as_a_missing_value_is(tmp_path):
    (tmp_path / "p.csv").write_text("date,symbol,close\n2020-01-01,NA,1\n2020-01-01,B,n/a\n2020-01-02,B,2\n")
    panel = read_panel(tmp_path / "p.csv")
    assert panel.assets == ("B", "NA")
    np.testing.assert_array_equal(panel.prices, [[np.nan, 1.0], [2.0, np.nan]])


def test_blanks_are_missing_in_files_and_in_frames_of_objects(wide, tmp_path):
    (tmp_path / "p.csv").write_text("date,A,B\n2020-01-01, ,2\n2020-01-02,1,2\n")
    assert np.isnan(read_panel(tmp_path / "p.csv").prices[0, 0])
    frame = wide.to_pandas().astype({"AAA": object})
    frame.loc[3, "AAA"] = ""
    panel = read_panel(frame)
    assert np.isnan(panel.prices[3, 0])
    np.testing.assert_array_equal(np.delete(panel.prices[:, 0], 3), np.delete(wide["AAA"].to_numpy(), 3))
