"""read_panel on real panels; skipped where they are not at hand."""

import numpy as np
import polars as pl
import pytest

from fintok.errors import InputError
from fintok.sources import read_panel

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
