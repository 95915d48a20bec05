"""Dates as they are asked for: what spans a day, what is a moment, and what is neither."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from fintok.cells import locate
from fintok.errors import InputError
from fintok.panel import Panel
from fintok.spans import rows_until
from fintok.split import cutoff_split

HOURS = (np.datetime64("2020-01-02T00") + np.arange(72)).astype("datetime64[ns]")
DAYS = (np.datetime64("2020-01-01") + np.arange(40)).astype("datetime64[ns]")
CLOSES = DAYS + np.timedelta64(16, "h")
EAST, WEST = dt.timezone(dt.timedelta(hours=9)), dt.timezone(dt.timedelta(hours=-5))


@pytest.mark.parametrize(
    ("date", "hours"),
    [
        ("2020-01-03", 48),
        ("20200103", 48),
        (dt.date(2020, 1, 3), 48),
        (dt.datetime(2020, 1, 3), 48),
        (pd.Timestamp("2020-01-03"), 48),
        (np.datetime64("2020-01-03"), 48),
        ("2020-01-03T00:00:00", 25),  # who writes the time means it
        (HOURS[24], 25),  # a row's own date is that row, or a panel cut at it would know the day
        (pd.Timestamp("2020-01-03 05:00"), 30),
        ("2020-01-03T05", 30),
        (pd.Timestamp("2020-01-03", tz="UTC"), 25),
        (dt.datetime(2020, 1, 3, 9, tzinfo=EAST), 25),
        (dt.datetime(2020, 1, 3, tzinfo=WEST), 30),
        ("2020-01-03T09:00:00+09:00", 25),
        ("2020-01-03 00:00:00Z", 25),
        ("2020-01-03T05:00z", 30),
    ],
)
def test_a_day_is_all_its_hours_and_a_moment_is_one(date, hours):
    assert rows_until(HOURS, date) == hours
    assert Panel.from_arrays(np.ones((72, 2)), HOURS, "AB").until(date).num_days == hours
    assert cutoff_split(HOURS, date).train.stop == hours


@pytest.mark.parametrize(
    "date", [dt.datetime(2020, 1, 3, tzinfo=EAST), dt.datetime(2020, 1, 3, 23, tzinfo=WEST), "2020-01-03T23:00-05:00"]
)
def test_where_dates_are_days_a_time_with_a_zone_is_its_own_day(date):
    assert rows_until(DAYS, date) == 3
    assert locate(DAYS, ("A", "B"), date, "B") == (2, 1)


@pytest.mark.parametrize("date", ["today", "now", "NOW", "", "soon", None, 3, pd.NaT, np.datetime64("NaT")])
def test_what_is_no_date_of_the_calendar_is_refused(date):
    for ask in (lambda: rows_until(DAYS, date), lambda: locate(DAYS, ("A",), date, "A")):
        with pytest.raises(InputError, match="is not a date; write it as 2015-12-31"):
            ask()


@pytest.mark.parametrize("date", ["24000103", "0200-01-03", "2400"])
def test_a_year_that_nanoseconds_cannot_count_is_refused(date):
    with pytest.raises(InputError, match="is not a date between 1678 and 2261"):
        rows_until(DAYS, date)


def test_a_cell_is_that_of_the_moment_or_the_only_one_of_the_day():
    for date in ("2020-01-03", pd.Timestamp("2020-01-03"), dt.date(2020, 1, 3), CLOSES[2]):
        assert locate(CLOSES, ("A", "B"), date, "B") == (2, 1)
    assert locate(HOURS, ("A",), pd.Timestamp("2020-01-03"), "A") == (24, 0)
    with pytest.raises(InputError, match=r"2020-01-02 has 23 rows here; give the time as well, as in 2020-01-02T01"):
        locate(HOURS[1:], ("A",), "2020-01-02", "A")


def test_a_train_end_on_the_last_day_lies_inside_the_data():
    assert cutoff_split(HOURS, pd.Timestamp("2020-01-04")).train.stop == 72
    with pytest.raises(InputError, match="train_end 2020-01-05"):
        cutoff_split(HOURS, dt.date(2020, 1, 5))
