"""How dates are written."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from fintok.dates import parse_dates
from fintok.errors import InputError
from fintok.tables import Table

HERE = Table(pl.LazyFrame(), "here")


def parsed(values: list[object], **kwargs: object) -> list[str]:
    dates = parse_dates(pl.Series("date", values, **kwargs), HERE)
    assert dates.dtype == "datetime64[ns]"
    return [str(date) for date in dates.astype("datetime64[m]")]


@pytest.mark.parametrize(
    "text",
    ["2020-03-31", "2020/03/31", "20200331", "31.03.2020", "03/31/2020", "31/03/2020", "31-Mar-2020",
     " 2020-03-31 ", "2020-03-31 00:00:00", "2020-03-31T00:00:00.000000", "2020-03-31T00:00:00Z",
     "2020-03-31 00:00:00+00:00", "2020-03-31 00:00:00-04:00", "3/31/2020 00:00", "03-31-2020", "31-3-2020",
     "Mar 31, 2020", "March 31, 2020", "31-Mar-20", "3/31/2020 12:00 AM", "2020-03-31 12:00:00 AM"],
)  # fmt: skip
def test_text_of_many_styles_is_read(text):
    assert parsed([text]) == ["2020-03-31T00:00"]


def test_hours_are_kept():
    expected = ["2020-03-31T14:30", "2020-03-31T15:30"]
    assert parsed(["2020-03-31 14:30", "2020-03-31 15:30"]) == expected
    assert parsed(["3/31/2020 14:30", "3/31/2020 15:30"]) == expected
    for texts in (["3/31/2020 2:30 PM", "3/31/2020 3:30 PM"], ["31/3/2020 2:30:00 pm", "31/3/2020 3:30:00 pm"],
                  ["2020-03-31 02:30 PM", "2020-03-31 03:30 PM"],
                  ["31-03-2020 14:30", "31-03-2020 15:30"]):  # fmt: skip
        assert parsed(texts) == expected
    assert parsed(["2020-03-31 10:30:00-04:00", "2020-03-31 16:30:00+01:00"]) == expected


def test_days_beside_minutes_and_seconds_are_read():
    texts = ["2020-03-31", "2020-03-31 14:30", "2020-03-31 15:59:59", "2020-04-01T23:59:59.999"]
    dates = parse_dates(pl.Series("date", texts), HERE)
    np.testing.assert_array_equal(dates, np.array([text.replace(" ", "T") for text in texts], "datetime64[ns]"))
    with pytest.raises(InputError, match="'2020-03-31 late' in column 'date', row 2, is not a date"):
        parsed(["2020-03-31", "2020-03-31 late"])


@pytest.mark.parametrize(
    ("number", "expected"),
    [(20200331, "2020-03-31T00:00"), (1585612800, "2020-03-31T00:00"), (1585612800_000, "2020-03-31T00:00"),
     (1585612800_000_000_000, "2020-03-31T00:00")],
)  # fmt: skip
def test_whole_numbers_are_days_or_epochs(number, expected):
    assert parsed([number]) == [expected]
    assert parsed([str(number)]) == [expected]
    assert parsed([float(number)]) == [expected]
    if number < 1e12:  # as text a longer float is 1.5856128e18
        assert parsed([str(float(number))]) == [expected]


@pytest.mark.parametrize("months", [["2020-02", "2020-12"], ["202002", "202012"], [202002, 202012],
                                    [202002.0, 202012.0], ["202002.0", "202012.0"]])  # fmt: skip
def test_a_month_counts_at_its_last_day(months):
    assert parsed(months) == ["2020-02-29T00:00", "2020-12-31T00:00"]


@pytest.mark.parametrize("quarters", [["2020Q1", "2020Q4"], ["2020-Q1", "2020-Q4"], ["2020 q1", "2020 q4"]])
def test_a_quarter_counts_at_its_last_day(quarters):
    assert parsed(quarters) == ["2020-03-31T00:00", "2020-12-31T00:00"]


@pytest.mark.parametrize(
    "style",
    ["%d %b %Y", "%b %d %Y", "%d %B %Y", "%a %b %d %Y", "%a, %d %b %Y", "%Y.%m.%d", "%Y.%m.%d %H:%M", "%Y%m%dT%H%M%S",
     "%Y%m%d %H%M%S", "%d.%m.%y", "%d/%b/%Y", "%Y-%b-%d", "%Y-%m-%d %H:%M:%S UTC", "%d%b%Y", "%m/%d/%y", "%d/%m/%y",
     "%Y年%m月%d日"],
)  # fmt: skip
def test_dates_of_many_styles_are_read(style):
    moments = [dt.datetime(2020, 5, 2), dt.datetime(2020, 12, 31)]
    expected = ["2020-05-02T00:00", "2020-12-31T00:00"]
    assert parsed([moment.strftime(style) for moment in moments]) == expected
    assert parsed([moment.strftime(style).upper() for moment in moments]) == expected


@pytest.mark.parametrize("texts", [["2020-01", "2020-13"], ["2020-01", "2020-02-03"], ["04-Oct-20", "04-Oct-65"],
                                   ["04-10-20"]])  # fmt: skip
def test_what_could_only_be_guessed_is_no_date(texts):
    with pytest.raises(InputError, match="is not a date"):
        parsed(texts)
    with pytest.raises(InputError, match="which are not dates"):
        parsed([202012, 202013])


def test_month_and_day_that_may_be_exchanged_are_refused():
    with pytest.raises(InputError, match="may be month or day first; write them as 2020-12-31"):
        parsed(["03/04/2020", "05/06/2020"])
    with pytest.raises(InputError, match="dates like '04-10-2022' in column 'date' may be month or day first"):
        parsed(["04-10-2022"])
    with pytest.raises(InputError, match="dates like '3/4/20' in column 'date' may be month or day first"):
        parsed(["3/4/20", "5/6/20"])
    assert parsed(["03/04/2020", "25/06/2020"]) == ["2020-04-03T00:00", "2020-06-25T00:00"]


def test_zoned_midnights_are_days_and_other_zoned_times_become_utc():
    local = pl.Series("date", ["2020-03-30", "2020-03-31"]).str.to_datetime().dt.replace_time_zone("America/New_York")
    assert parsed(local.to_list(), dtype=local.dtype) == ["2020-03-30T00:00", "2020-03-31T00:00"]
    hour = local.dt.offset_by("1h")
    assert parsed(hour.to_list(), dtype=hour.dtype) == ["2020-03-30T05:00", "2020-03-31T05:00"]


def test_what_is_no_date_is_named_with_its_row():
    with pytest.raises(InputError, match="here: 'x' in column 'date', row 2, is not a date"):
        parsed(["2020-01-01", "x"])
    with pytest.raises(InputError, match=r"has no date in row 2 \(1 such\); fill it in or remove the row"):
        parsed(["2020-01-01", None])
    with pytest.raises(InputError, match="whole numbers 0 to 2, which are not dates"):
        parsed([0, 1, 2])
    with pytest.raises(InputError, match=r"has no date in row 2 \(1 such\)"):
        parsed([20200331.0, float("nan")])
    with pytest.raises(InputError, match="holds Float64, not dates"):
        parsed([0.5, 1.5])


def test_many_rows_of_few_dates_are_read_fast():
    texts = pl.Series("date", np.tile(np.array(["2020-01-01", "2020-01-02"]), 50_000))
    assert len(np.unique(parse_dates(texts, HERE))) == 2
