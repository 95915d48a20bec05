"""read_panel: every shape a panel comes in, and every way it can be wrong."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fintok.errors import InputError
from fintok.sources import read_panel

NUM_DAYS = 30
SYMBOLS = ("AAA", "BBB", "CCC")


@pytest.fixture
def wide() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    dates = (np.datetime64("2020-01-01") + np.arange(NUM_DAYS)).astype("datetime64[us]")
    prices = np.round(50 * np.exp(np.cumsum(rng.normal(0, 0.02, (NUM_DAYS, 3)), axis=0)), 4)
    frame = pl.DataFrame({"date": dates, **{name: prices[:, i] for i, name in enumerate(SYMBOLS)}})
    return frame.with_columns(pl.when(pl.int_range(pl.len()) < 4).then(None).otherwise("CCC").alias("CCC"))


@pytest.fixture
def long(wide) -> pl.DataFrame:
    table = wide.unpivot(index="date", variable_name="symbol", value_name="close").drop_nulls()
    return table.sample(fraction=1.0, shuffle=True, seed=1)


@pytest.fixture
def expected(wide) -> np.ndarray:
    return wide.select(SYMBOLS).to_numpy()


def assert_is(panel, expected: np.ndarray) -> None:
    assert panel.assets == SYMBOLS
    assert panel.num_days == NUM_DAYS
    assert panel.dates[0] == np.datetime64("2020-01-01")
    np.testing.assert_array_equal(panel.prices, expected)


WRITERS = {
    "prices.parquet": pl.DataFrame.write_parquet,
    "prices.csv": pl.DataFrame.write_csv,
    "prices.arrow": pl.DataFrame.write_ipc,
    "stream.arrow": pl.DataFrame.write_ipc_stream,
    "prices.tsv": lambda frame, path: frame.write_csv(path, separator="\t"),
    "semicolons.csv": lambda frame, path: frame.write_csv(path, separator=";"),
    "prices.csv.gz": lambda frame, path: frame.to_pandas().to_csv(path, index=False),
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


@pytest.mark.parametrize("symbols_first", [False, True])
def test_two_level_columns_of_downloads_are_read_with_their_bars(wide, expected, symbols_first):
    close = wide.to_pandas().set_index("date")
    parts = {"Close": close, "Adj Close": close, "Volume": close * 100}
    frame = pd.concat(parts, axis=1, names=["Price", "Ticker"])
    panel = read_panel(frame.swaplevel(axis=1) if symbols_first else frame)
    assert_is(panel, expected)
    assert set(panel.fields) == {"close", "volume"}


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


def test_an_asset_may_be_called_as_a_symbol_column_is(wide):
    assert read_panel(wide.rename({"AAA": "CODE", "BBB": "ID"})).assets == ("CODE", "ID", "CCC")


def test_symbols_may_be_numbers_or_categories(long, expected):
    numbered = long.with_columns(pl.col("symbol").replace_strict(dict(zip(SYMBOLS, (3, 5, 9), strict=True))))
    panel = read_panel(numbered.rename({"symbol": "permno"}))
    assert panel.assets == ("3", "5", "9")
    np.testing.assert_array_equal(panel.prices, expected)
    assert_is(read_panel(long.with_columns(pl.col("symbol").cast(pl.Categorical))), expected)


def test_missing_values_of_every_spelling_stay_missing(tmp_path):
    (tmp_path / "p.csv").write_text(
        "date,A,B\n2020-01-01, 1.5 ,2\n2020-01-02,NA,2\n2020-01-03,,nan\n2020-01-04,null,2\n"
    )
    panel = read_panel(tmp_path / "p.csv")
    np.testing.assert_array_equal(panel.prices[:, 0], [1.5, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(panel.prices[:, 1], [2, 2, np.nan, 2])


def test_a_comma_is_a_decimal_point_where_semicolons_separate(tmp_path):
    (tmp_path / "p.csv").write_text("date;A;B\n31.01.2020;1,5;2\n28.02.2020;1,25;3,0\n")
    np.testing.assert_array_equal(read_panel(tmp_path / "p.csv").prices, [[1.5, 2.0], [1.25, 3.0]])


def test_returns_are_taken_as_they_are(wide, long):
    wide_returns = wide.with_columns((pl.col(name).log().diff()).alias(name) for name in SYMBOLS)
    panel = read_panel(wide_returns, values="returns")
    np.testing.assert_array_equal(panel.returns, wide_returns.select(SYMBOLS).to_numpy())
    assert panel.prices is None
    long_returns = long.with_columns(pl.lit(-0.01).alias("ret"))
    assert np.nanmax(read_panel(long_returns, values="returns").returns) == -0.01


def _good_csv(rows: int = 3) -> str:
    return "date,A,B\n" + "".join(f"2020-01-0{day},{day}.5,2\n" for day in range(1, rows + 1))


FAULTY_FILES = {
    "nothing at all": ("p.csv", b"", "the file is empty"),
    "only a header": ("p.csv", b"date,A,B\n", "there are no rows"),
    "text that says parquet": ("p.parquet", b"date,A\n", "is not Parquet"),
    "parquet cut short": ("p.parquet", b"PAR1 and no more", "cannot be read as Parquet"),
    "another kind": ("p.xlsx", b"PK\x03\x04....", "not a kind of file that fintok reads"),
    "not utf-8": ("p.csv", b"date,\xff\xfe\n1,2\n", "cannot be read as CSV"),
    "a column twice": ("p.csv", b"date,A,A\n2020-01-01,1,2\n", "column 'A' appears twice"),
    "no date": ("p.csv", b"A,B\n1,2\n", r"no date column among 'A', 'B'; name it with --date"),
    "no dates in it": ("p.csv", b"date,A,B\nsoon,1,2\n", "'soon' in column 'date', row 1, is not a date"),
    "one bad date": (
        "p.csv",
        b"date,A,B\n2020-01-01,1,2\n2020-13-01,1,2\n",
        "'2020-13-01' in column 'date', row 2, is not a date",
    ),
    "an empty date": ("p.csv", b"date,A,B\n2020-01-01,1,2\n,1,2\n", r"column 'date' has no date in row 2"),
    "a counter": ("p.csv", b"day,A,B\n0,1,2\n1,1,2\n", "column 'day' holds the whole numbers 0 to 1, which are not"),
    "a date twice": (
        "p.csv",
        b"date,A,B\n2020-01-02,1,\n2020-01-01,1,2\n2020-01-02,3,4\n",
        "2020-01-02 has more than one row with values of A; keep one row per date",
    ),
    "text": ("p.csv", b"date,A,B\n2020-01-01,1,2\n2020-01-02,x7,2\n", "column 'A' holds 'x7' in row 2"),
    "zero": ("p.csv", b"date,A,B\n2020-01-01,1,0\n", "price of B on 2020-01-01 is 0 .*--values returns"),
    "negative": ("p.csv", b"date,A,B\n2020-01-01,-1,2\n", "price of A on 2020-01-01 is -1 "),
    "infinite": ("p.csv", b"date,A,B\n2020-01-01,inf,2\n", "price of A on 2020-01-01 is infinite"),
    "one asset": ("p.csv", b"date,A\n2020-01-01,1\n", r"one asset \(A\); fintok learns"),
    "one asset's bars": (
        "p.csv",
        b"date,open,high,low,close\n2020-01-01,1,1,1,1\n",
        "one asset .*add a symbol column",
    ),
    "only missing": ("p.csv", b"date,A,B\n2020-01-01,,\n", "every price is missing"),
    "no price": (
        "p.csv",
        b"date,symbol,foo,bar\n2020-01-01,A,1,2\n",
        "no price column among 'date', 'symbol', 'foo', 'bar'; name it with --price",
    ),
    "no symbol": ("p.csv", b"date,symbol,close\n2020-01-01,A,1\n2020-01-01,,1\n", "'symbol' is empty in row 2"),
    "a symbol twice": (
        "p.csv",
        b"date,symbol,close\n2020-01-01,A,1\n2020-01-01,B,1\n2020-01-01,B,1\n",
        r"B has more than one row on 2020-01-01 \(1 rows too many\)",
    ),
    "text price": (
        "p.csv",
        b"date,symbol,close\n2020-01-01,A,1\n2020-01-01,B,n.v.\n",
        "column 'close' holds 'n.v.' in row 2",
    ),
    "no price beside numbered symbols": (
        "p.csv",
        b"date,permno,foo\n2020-01-01,10001,1.5\n",
        "no price column among 'date', 'permno', 'foo'",
    ),
    "a comma at the end": ("p.csv", b"date,A,B,\n2020-01-01,1,2,\n", "a column has no name"),
    "nothing but dates": ("p.csv", b"date\n2020-01-01\n", "no asset beside the date"),
    "long but odd": (
        "p.csv",
        b"date,wkn,close\n2020-01-01,A1B,1\n2020-01-01,B2C,2\n",
        "column 'wkn' holds 'A1B' in row 1, which is no number; if this is a long table, name --symbol",
    ),
}


@pytest.mark.parametrize("fault", FAULTY_FILES)
def test_a_faulty_file_gets_one_sentence_that_names_it(fault, tmp_path):
    name, content, message = FAULTY_FILES[fault]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_panel(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_path_that_leads_nowhere_or_to_no_data_is_named(tmp_path, wide):
    with pytest.raises(InputError, match=r"gone\.parquet: there is no such file or folder"):
        read_panel(tmp_path / "gone.parquet")
    with pytest.raises(InputError, match="the folder holds no Parquet, CSV or Arrow file"):
        read_panel(tmp_path)
    wide.write_parquet(tmp_path / "a.parquet")
    wide.write_csv(tmp_path / "b.csv")
    with pytest.raises(InputError, match="the folder holds CSV and Parquet files; keep one kind"):
        read_panel(tmp_path)


def test_a_parquet_file_cut_in_the_middle_is_named(wide, tmp_path):
    wide.write_parquet(tmp_path / "p.parquet")
    content = (tmp_path / "p.parquet").read_bytes()
    (tmp_path / "p.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"p\.parquet: cannot be read as Parquet"):
        read_panel(tmp_path / "p.parquet")


def test_a_named_column_that_is_not_there_gets_a_suggestion(long, wide):
    with pytest.raises(InputError, match=r"no column 'symbl' to take as the symbol; did you mean 'symbol'\?"):
        read_panel(long, symbol="symbl")
    with pytest.raises(InputError, match="no column 'zzz' to take as the price; there are 'date', 'AAA'"):
        read_panel(wide, price="zzz")
    with pytest.raises(InputError, match=r"--price 'AAA' is a column of a long table.*--symbol"):
        read_panel(wide, price="AAA")


def test_levels_given_as_returns_are_refused(wide, long):
    rng = np.random.default_rng(0)
    levels = 100 + np.cumsum(rng.normal(size=(400, 2)), axis=0)  # a futures price, as differences would need
    dates = np.datetime64("2020-01-01") + np.arange(400)
    frame = pd.DataFrame(levels, index=pd.DatetimeIndex(dates), columns=["A", "B"])
    with pytest.raises(InputError, match="look like prices or other levels, not returns"):
        read_panel(frame, values="returns")
    assert read_panel(frame.diff(), values="returns").num_assets == 2
    with pytest.raises(InputError, match=r"no return column among 'date', 'symbol', 'close'"):
        read_panel(long, values="returns")


def test_what_is_no_table_is_refused_by_its_type():
    with pytest.raises(InputError, match=r"got builtins\.list"):
        read_panel([1, 2, 3])
    with pytest.raises(InputError, match="values is 'yields'"):
        read_panel("p.csv", values="yields")


def test_pandas_tables_that_cannot_be_read_are_refused(wide):
    frame = wide.to_pandas()
    with pytest.raises(InputError, match="the pandas table: column 'AAA' appears twice"):
        read_panel(frame[["date", "AAA", "AAA"]])
    with pytest.raises(InputError, match="the pandas table: "):
        read_panel(frame.assign(BBB=[*[1.0] * 29, "x"]))
    with pytest.raises(InputError, match="column 'AAA' holds Boolean, not numbers"):
        read_panel(frame.assign(AAA=True))


# (file, assets, rows, share of returns observed, rows per year)
REAL = [
    ("us_dj30_1962_2015_close_wide", 30, 13595, 0.752, 252),
    ("us_yahoo_raw_sp500_2000_2012_long", 497, 3175, 0.928, 252),
    ("uk_ftse64_2000_2023_close_wide", 64, 5960, 1.0, 252),
    ("crypto23_daily_2013_2021_long", 23, 2991, 0.539, 365),
    ("fx_h1_2012_2018_long", 10, 40956, 0.927, 6182),
    ("demo_us20_sp500_1990_2022", 21, 8313, 1.0, 252),
]


@pytest.mark.parametrize(("name", "assets", "rows", "share", "periods"), REAL)
def test_real_panels_are_read(shared_data, name, assets, rows, share, periods):
    panel = read_panel(shared_data(f"{name}.parquet"))
    assert (panel.num_assets, panel.num_days) == (assets, rows)
    assert panel.is_observed.mean() == pytest.approx(share, abs=1e-3)
    assert panel.periods_per_year == periods
    assert not np.isinf(panel.returns).any()


def test_real_raw_bars_come_with_the_adjusted_close(shared_data):
    panel = read_panel(shared_data("us_yahoo_raw_sp500_2000_2012_long.parquet"))
    assert tuple(panel.fields) == ("open", "high", "low", "close", "volume")
    apple, split = panel.assets.index("AAPL"), int(np.searchsorted(panel.dates, np.datetime64("2005-02-28")))
    assert abs(panel.returns[split, apple]) < 0.05  # two for one, adjusted
    raw = panel.fields["close"][split - 1 : split + 1, apple]
    assert raw[0] / raw[1] == pytest.approx(2.0, rel=0.05)
    lehman = panel.assets.index("LEHMQ")
    assert np.nanmin(panel.returns[:, lehman]) < -2.5


def test_real_futures_with_negative_prices_are_sent_to_returns(shared_data):
    path = shared_data("futures38_daily_1975_2016_long.parquet")
    with pytest.raises(InputError, match=r"US20 on 1977-08-23 is -1\.41.*6410 such.*--values returns"):
        read_panel(path)
    with pytest.raises(InputError, match="no return column"):
        read_panel(path, values="returns")
    frame = pl.read_parquet(path).sort("symbol", "date")
    frame = frame.with_columns(pl.col("adj_close").diff().over("symbol").alias("difference"))
    panel = read_panel(frame, values="returns")
    assert (panel.num_assets, panel.num_days) == (38, 10517)


@pytest.mark.parametrize("name", ["olps_msci_price_wide", "olps_nyse_o_price_wide"])
def test_real_panels_without_dates_are_refused(shared_data, name):
    with pytest.raises(InputError, match=r"column 'day' holds the whole numbers 0 to [0-9]+, which are not dates"):
        read_panel(shared_data(f"{name}.parquet"))
