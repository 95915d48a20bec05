"""Arrays as a panel takes them."""

import numpy as np
import pandas as pd
import pytest

from fintok.errors import InputError
from fintok.panel import Panel

PRICES = np.array([[1.0, 2.0], [1.5, 2.5], [1.25, 2.0]])


@pytest.mark.parametrize(
    "dates",
    [
        pd.date_range("2020-01-01", periods=3, tz="Asia/Tokyo"),
        list(pd.date_range("2020-01-01", periods=3, tz="America/New_York")),
        pd.Series(pd.date_range("2020-01-01", periods=3, tz="Asia/Tokyo")),
        ["2020-01-01", "2020-01-02", "2020-01-03"],
        [20200101, 20200102, 20200103],
        pd.date_range("2020-01-01", periods=3).date,
        np.arange("2020-01-01", "2020-01-04", dtype="datetime64[D]"),
    ],
)
def test_dates_of_arrays_are_read_as_those_of_tables(dates):
    panel = Panel.from_arrays(PRICES, dates, ["A", "B"])
    assert panel.dates.astype(str).tolist() == [f"2020-01-0{day}T00:00:00.000000000" for day in (1, 2, 3)]


@pytest.mark.parametrize(
    ("dates", "sentence"),
    [
        (np.datetime64("1500-01-01") + np.arange(3), "arrays: row 0 is of 1500-01-01; dates lie between 1677 and 2262"),
        (np.arange(3), "whole numbers 0 to 2, which are not dates"),
        (["2020-01-01", "soon", "2020-01-03"], "arrays: 'soon' in column 'dates', row 2, is not a date"),
    ],
)
def test_what_is_no_date_is_none_in_arrays_either(dates, sentence):
    with pytest.raises(InputError, match=sentence):
        Panel.from_arrays(PRICES, dates, ["A", "B"])


def test_numbers_of_arrays_may_be_nullable_and_are_finite_or_missing():
    days = pd.date_range("2020-01-01", periods=3)
    table = pd.DataFrame(PRICES).astype("Float64").where(lambda frame: frame > 1.0)
    assert np.isnan(Panel.from_arrays(table, days, ["A", "B"]).prices).sum() == 1
    with pytest.raises(InputError, match="arrays: the prices are not an array of numbers: could not convert"):
        Panel.from_arrays([["x", 1.0]] * 3, days, ["A", "B"])
    for volume in (np.inf, 1e39):
        with pytest.raises(InputError, match="the volume of A on 2020-01-01 is infinite"):
            Panel.from_arrays(PRICES, days, ["A", "B"], fields={"volume": np.full((3, 2), volume)})
