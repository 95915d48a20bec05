"""Figures: axes that can be read, and something in every card."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fintok_dashboard.alerts import Alerts
from fintok_dashboard.asset_figures import around, day_shares, price_and_score
from fintok_dashboard.figures import ink_of, market_line, price_axis
from fintok_dashboard.formats import move, number
from fintok_dashboard.map_figure import heat_map, plan
from fintok_dashboard.pages.alerts import _count
from fintok_dashboard.pages.asset import _head, _like, chosen
from fintok_dashboard.pages.today import _age, _found, _health, _latest
from fintok_dashboard.pages.vocabulary import _list
from fintok_dashboard.regime_figures import history
from fintok_dashboard.ticks import date_ticks
from fintok_dashboard.view import View
from fintok_dashboard.vocabulary_figures import occurrences, portrait


@pytest.fixture
def hourly(reading):
    """The same numbers, read off a panel of hours."""
    hours = np.datetime64("2020-01-01", "ns") + np.arange(reading.panel.num_days) * np.timedelta64(1, "h")
    panel = replace(reading.panel, dates=hours)
    scores, tokens = replace(reading.scores, panel=panel), replace(reading.tokens, dates=hours)
    return replace(reading, panel=panel, scores=scores, tokens=tokens)


@pytest.mark.parametrize(("low", "high"), [(78, 260), (30, 140), (100, 5_000), (0.02, 80), (1e-5, 3e-5)])
@pytest.mark.parametrize("most", [4, 6, 9])
def test_an_axis_of_prices_has_some_ticks_within_the_prices_and_no_more_than_asked_for(low, high, most):
    ticks = np.array(price_axis(np.array([high, low, np.nan]), most=most)["tickvals"])
    assert 2 <= len(ticks) <= most
    assert (ticks >= low * (1 - 1e-9)).all()
    assert (ticks <= high * (1 + 1e-9)).all()


def test_prices_that_have_not_doubled_stand_on_a_linear_axis():
    assert price_axis(np.array([85.0, 103.0]))["type"] == "linear"
    assert price_axis(np.array([np.nan]))["type"] == "linear"


def test_the_market_is_an_index_that_begins_at_100(reading):
    index, _ = market_line(reading, slice(200, 300))
    np.testing.assert_allclose(index[0], 100.0)
    np.testing.assert_allclose(index[-1], 100.0 * np.exp(np.nansum(reading.market[201:300])))


def test_numbers_below_zero_have_a_real_minus():
    assert number(-1.25, 2) == "−1.25"
    assert move(-0.1, is_relative=True) == "−9.52 %"


def test_the_asset_page_opens_at_the_latest_alert(reading):
    row, column = chosen(reading, View())
    alerts = reading.alarms.at(1.0)
    assert row == alerts.row.max()
    assert column in alerts.asset[alerts.row == row]


def test_a_month_without_alerts_lists_the_strangest_day_of_each_asset(reading):
    view = View(alarms=0.001)
    alerts = reading.alarms.at(view.alarms)
    row = int(next(row for row in range(400, reading.panel.num_days) if not (abs(alerts.row - row + 15) < 16).any()))
    card = str(_latest(reading, view, row))
    assert "0 alerts" in card
    for name in reading.panel.assets:
        assert card.count(f"'{name}'") == 1


@pytest.mark.parametrize(
    ("start", "days", "said"),
    [(-60, 31, "nothing"), (-60, 32, "stale price (1)"), (0, 1, "stale price (1)"), (1, 1, "nothing")],
)
def test_a_run_that_reaches_into_the_last_month_is_found_in_it(reading, start, days, said):
    dates = reading.panel.dates
    row = 1000  # the panel has seven days a week: the month are the 30 rows that end here
    findings = pd.DataFrame({"kind": ["stale price"], "date": dates[[row + start]], "symbol": "A00", "days": [days]})
    assert _found(replace(reading, findings=findings), row) == said


def test_rows_that_are_hours_are_not_called_days(hourly, reading):
    for shown, noun, other in ((reading, "day", "hour"), (hourly, "hour", "day")):
        like = str(_like(shown, View(), 1000, 0))
        assert f"its 5 {noun}s" in like
        assert f"next 5 {noun}s" in like
        assert f"The last {noun}s before" in like
        cells = occurrences(shown, "word", 2, slice(0, 1000))
        assert f"its 5 {noun}s" in str(_list(shown, View(), 2, cells))
        assert f"{other}s" not in str(portrait(shown, "word", 2, ink_of("light")))


def test_hours_are_told_where_a_line_is_hovered(hourly, reading):
    rows, ink = slice(0, 1500), ink_of("light")
    for shown, form in ((reading, "%{x|%Y-%m-%d}:"), (hourly, "%{x|%Y-%m-%d %H:%M}:")):
        figures = [
            price_and_score(shown, View(), rows, 1000, 0, ink),
            around(shown, 1000, 0, ink),
            history(shown, shown.regimes_for(4), rows, ink, title="Market"),
        ]
        hovers = [trace.hovertemplate for figure in figures for trace in figure.data if trace.type == "scatter"]
        assert all(text.startswith(form) for text in hovers if text)


def test_long_names_end_in_an_ellipsis_where_they_have_no_room(reading):
    names = tuple(f"Actions ordinaires {k}" for k in range(reading.panel.num_assets))
    panel = replace(reading.panel, assets=names)
    named = replace(reading, panel=panel, scores=replace(reading.scores, panel=panel))
    figure = heat_map(named, View(), plan(named, View(), {"width": 900, "height": 600}), "light")
    assert set(figure.layout.yaxis.ticktext) == {"Actions ord…"}
    assert {trace.name for trace in around(named, 1000, 0, ink_of("light")).data} == {"Actions ordin…"}


def said_in(figure) -> str:
    return " ".join(str(note.text).replace("<br>", " ") for note in figure.layout.annotations)


def test_an_asset_that_never_traded_has_no_flat_line_and_no_file_is_blamed(reading):
    returns, empty = reading.panel.returns.copy(), np.full_like(reading.scores.expected, np.nan)
    returns[:, 0] = np.nan
    panel = replace(reading.panel, returns=returns, prices=None, values="returns")
    scores = replace(reading.scores, panel=panel, expected=empty, residual=empty)
    silent, ink = replace(reading, panel=panel, scores=scores), ink_of("light")
    assert said_in(day_shares(silent, 1000, 0, ink)) == "there is no return on these dates"
    assert said_in(day_shares(silent, 1000, 1, ink)) == "too few dates before to say what its peers led to expect"
    of_a_file = replace(silent, scores=replace(scores, statistics={}, tails={}))
    assert "a file of scores" in said_in(day_shares(of_a_file, 1000, 0, ink))
    peers = around(silent, 1000, 0, ink)
    assert said_in(peers) == "there is no return on these dates"
    assert len(peers.data) == 0
    assert np.isnan(price_and_score(silent, View(), slice(0, 1500), 1000, 0, ink).data[0].y).all()


def test_the_figure_of_an_asset_names_what_it_draws(reading):
    rows, ink = slice(0, 1500), ink_of("light")
    figure = price_and_score(reading, View(), rows, 1000, 0, ink)
    assert (figure.layout.title.text, figure.data[0].name) == ("A00: price and score", "price")
    panel = replace(reading.panel, prices=None, values="returns")
    figure = price_and_score(replace(reading, panel=panel), View(), rows, 1000, 0, ink)
    assert (figure.layout.title.text, figure.data[0].name) == ("A00: sum of returns and score", "sum of returns")


def test_one_alert_is_no_alerts(reading, monkeypatch):
    table = pl.DataFrame({"alarm": [True, False], "verdict": ["open", "noise"]})
    assert _count(table, View()).startswith("2 alerts: 1 alarm at 1 per 1,000 scores and 1 named check; 1 marked.")
    assert _count(table[:1], View()).startswith("1 alert: 1 alarm at 1 per 1,000 scores and 0 named checks;")
    alone, first = replace(reading), Alerts(*(part[:1] for part in reading.alarms.at(1.0)))
    monkeypatch.setattr(alone.alarms, "at", lambda rate: first)
    assert "'1 alert in all'" in str(_head(alone, View(), 1000, int(reading.alarms.at(1.0).asset[0])))


@pytest.mark.parametrize(
    ("row", "said"),
    [(1499, "all rows (trained to {})."), (998, "the rows up to {}."), (None, "no row (trained to {}).")],
    ids=["all", "some", "none"],
)
def test_the_health_of_a_panel_says_which_rows_are_in_sample(reading, row, said):
    train_end = np.datetime64("1999-12-31", "ns") if row is None else reading.panel.dates[row]
    shown = replace(reading, scores=replace(reading.scores, train_end=train_end))
    assert f"In sample: {said.format(str(train_end)[:10])}" in str(_health(shown, 1499))


@pytest.mark.parametrize(("days", "said"), [(-3, "3 days ago"), (0, "today"), (1, "1 day ahead of today")])
def test_the_age_of_a_panel_is_counted_from_today(days, said):
    assert _age(np.datetime64("today") + np.timedelta64(days, "D")) == f"Its last date is {said}."


@pytest.mark.parametrize("unit", ["D", "h", "s"])
def test_dates_under_the_map_have_room_beside_each_other(unit):
    days = np.datetime64("2018-12-17", "ns") + np.arange(100) * np.timedelta64(1, unit)
    _, texts = date_ticks(days, slice(0, 100), 14)
    assert len(texts) > 2
    assert len(texts) * max(map(len, texts)) <= 14 * len("2018-12-17 ")
