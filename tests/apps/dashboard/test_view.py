"""Views and addresses."""

import datetime as dt

import pytest

from fintok_dashboard.view import View


def test_an_address_gives_back_its_view():
    view = View(
        start=dt.date(2008, 1, 1), end=dt.date(2009, 2, 3), alarms=2.5, group="a & b", asset="<b>", day="2008-10-10",
        order="score", top=3, bottom=9, regimes=6, noun="code", token=0,
    )  # fmt: skip
    assert View.parse(view.query()) == view


def test_the_default_view_has_no_query():
    assert View().query() == ""
    assert View().href("/map") == "/map"
    assert View().href("/asset", asset="A B") == "/asset?asset=A+B"


@pytest.mark.parametrize(
    "search",
    ["", None, "?", "?start=x&end=2020-13-45", "?alarms=0", "?alarms=nan", "?alarms=1e9", "?order=upwards",
     "?top=-1&bottom=zzz&token=1e3", "?noun=letters", "?x=1&y=2", "?regimes=%F0%9F%98%80"],
)  # fmt: skip
def test_what_cannot_be_understood_counts_as_not_given(search):
    assert View.parse(search) == View()


def test_a_range_that_ends_before_it_starts_has_no_start():
    assert View.parse("?start=2020-01-02&end=2020-01-01") == View(end=dt.date(2020, 1, 1))
