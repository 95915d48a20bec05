"""Prices of three assets, one of which starts late, as a wide and as a long table."""

import numpy as np
import polars as pl
import pytest

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
    assert panel.num_days == len(expected)
    assert panel.dates[0] == np.datetime64("2020-01-01")
    np.testing.assert_array_equal(panel.prices, expected)
