"""Today: the regime and what usually follows, alerts against their number, the health of the panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dash
import numpy as np
from dash import Input, Output, html
from numpy.typing import NDArray

from fintok_dashboard.figures import ink_of, regime_colours
from fintok_dashboard.formats import moment, number, percent, plural, probability
from fintok_dashboard.parts import card, dot, figure, link, table
from fintok_dashboard.regime_figures import history
from fintok_dashboard.selection import day_of, select
from fintok_dashboard.standing import FRESH_ROWS, alert_counts, regime_on, silence_on
from fintok_dashboard.view import View, Window

if TYPE_CHECKING:
    from fintok_dashboard.desk import Desk
    from fintok_dashboard.reading import Reading

NAME, TITLE = "today", "Today"
_SHOWN = 11  # asset-days in the list
_HEIGHT = "max(330px, calc(100vh - 438px))"  # of the figure: what the cards above leave of the window


def layout(desk: Desk, window: Window) -> Any:
    """Cards above, the last year and the strangest of the last month below."""
    return html.Div(
        [
            html.Div(id="today-cards", className="columns three"),
            html.Div(
                [figure("today-probabilities", "today", height=_HEIGHT, least=400), html.Div(id="today-latest")],
                className="columns two",
            ),
        ]
    )


def register(app: dash.Dash, desk: Desk) -> None:
    """The callbacks."""

    @app.callback(Output("today-cards", "children"), Output("today-latest", "children"), Input("url", "search"))
    def tell(search: str) -> tuple[Any, Any]:
        reading, view = desk.reading, View.parse(search)
        assert reading is not None
        row = select(reading, view).today
        cards = [_regime(reading, view, row), _alerts(reading, view, row), _health(reading, row)]
        return cards, _latest(reading, view, row)

    @app.callback(Output("today-probabilities", "figure"), Input("url", "search"), Input("theme", "data"))
    def draw(search: str, theme: str) -> Any:
        reading, view = desk.reading, View.parse(search)
        assert reading is not None
        row = select(reading, view).today
        rows = slice(max(row + 1 - round(reading.panel.periods_per_year), 0), row + 1)
        regimes, title = reading.regimes_for(view.regimes), "The market and its regime, the last year"
        return history(reading, regimes, rows, ink_of(theme), title=title, height=None)


def _regime(reading: Reading, view: View, row: int) -> Any:
    regimes = reading.regimes_for(view.regimes)
    now = regime_on(regimes, row)
    date = moment(reading.panel.dates[row])
    if now is None:
        return card(f"Regime on {date}", html.P("Not enough dates before to read a regime.", className="soft"))
    colours, noun = regime_colours(regimes.num_regimes), reading.panel.row_noun
    sure = "over 99 %" if now.probability > 0.99 else percent(now.probability)
    usual = "it has not ended before"
    if len(now.spells):
        half = plural(float(np.median(now.spells)), noun)
        usual = f"usually {half} (median of {plural(len(now.spells), 'spell')}, mean {number(now.spells.mean(), 0)})"
    follows = [
        html.Li([dot(colours[k]), f"{regimes.names[k]} ", html.Span(percent(share), className="soft")])
        for k, share in now.follows
    ]
    return card(
        f"Regime on {date}",
        html.P([dot(colours[now.regime]), now.name], className="big"),
        html.P(f"{sure} sure · since {moment(now.since)}"),
        html.P([html.B(plural(now.days, noun)), f" so far; {usual}"]),
        html.P("What usually follows:" if follows else "It has not been left before.", className="soft"),
        html.Ul(follows, className="plain"),
        link(f"{regimes.num_regimes} regimes in detail", view.href("/regimes")),
    )


def _alerts(reading: Reading, view: View, row: int) -> Any:
    counts = alert_counts(reading, row, view.alarms)
    rows = [
        [
            f"last {count.name}",
            html.B(f"{count.alarms:,}", className="loud" if count.alarms > 2 * count.expected + 2 else ""),
            number(count.expected, 2 if count.expected < 1.0 else 1),
            f"{count.checks:,}",
        ]
        for count in counts
    ]
    rate = f"{view.alarms:g} alarm{'' if view.alarms == 1.0 else 's'}"
    note = f"Expected: {rate} per 1,000 scores. Named checks, such as stale prices, come on top."
    return card(
        "Alerts",
        table(["", "alarms", "expected", "named checks"], rows, right=(1, 2, 3)),
        html.P(note, className="soft"),
        link("All alerts", view.href("/alerts")),
        " · ",
        link("Map", view.href("/map")),
    )


def _health(reading: Reading, row: int) -> Any:
    panel, scores = reading.panel, reading.scores
    stale = np.array([reason == "stale price" for reason in scores.reasons])[scores.reason_codes[row]]
    silence = silence_on(panel, row, stale)
    late = [f"{panel.assets[a]} ({behind})" for a, behind in silence.late]
    gone = [panel.assets[a] for a in silence.gone]
    rows = [
        ["with a value", f"{len(silence.present):,} of {panel.num_assets:,}", ""],
        ["late", f"{len(late):,}", _some(late)],
        ["silent", f"{len(gone):,}", _some(gone)],
        ["stale", f"{len(silence.stale):,}", _some([panel.assets[a] for a in silence.stale])],
    ]
    return card(
        f"Panel on {moment(panel.dates[row])}",
        table(["", "assets", ""], rows, right=(1,)),
        html.P(f"Late: rows behind, at most {FRESH_ROWS}; silent: longer.", className="soft"),
        html.P(f"Found in the last month: {_found(reading, row)}."),
        html.P(_age(panel.dates[-1]), className="soft"),
        html.P(_in_sample(panel.dates, scores.train_end), className="soft"),
    )


def _found(reading: Reading, row: int) -> str:
    """What the checks of the panel find in the month up to a row; runs that began before it and reach into it too."""
    panel, findings = reading.panel, reading.findings
    before = max(row - round(panel.periods_per_year / 12), 0)
    first = np.searchsorted(panel.dates, findings["date"])
    recent = findings[(first <= row) & (first + findings["days"] > before + 1)]
    kinds, counts = np.unique(np.asarray(recent["kind"], dtype=str), return_counts=True)
    return ", ".join(f"{kind} ({count:,})" for kind, count in zip(kinds, counts, strict=True)) or "nothing"


def _age(last: np.datetime64) -> str:
    """How old the panel is: a feed that stopped shows here first, and a mistyped year."""
    days = int((np.datetime64("today") - last.astype("datetime64[D]")).astype(int))
    if days < 0:
        return f"Its last date is {plural(-days, 'day')} ahead of today."
    return f"Its last date is {plural(days, 'day')} ago." if days > 0 else "Its last date is today."


def _in_sample(dates: NDArray[np.datetime64], train_end: np.datetime64) -> str:
    """Which rows the model's training reaches: where it reaches all, no figure has a line at its end to show it."""
    until = moment(train_end)
    if train_end < dates[0]:
        return f"In sample: no row (trained to {until})."
    if train_end < dates[-1]:
        return f"In sample: the rows up to {until}."
    return f"In sample: all rows (trained to {until})."


def _latest(reading: Reading, view: View, row: int) -> Any:
    """The alerts of the last month, the strangest first; then the strangest day of each asset."""
    month, score = alert_counts(reading, row, view.alarms)[-1].rows, reading.scores.score
    alerts = reading.alarms.at(view.alarms).within(month)
    reasons = {(int(r), int(a)): text for r, a, text in zip(alerts.row, alerts.asset, alerts.reason, strict=True)}
    height = np.nan_to_num(score[month], nan=-1.0)
    highest = [(month.start + int(height[:, a].argmax()), a) for a in np.argsort(-height.max(axis=0), kind="stable")]
    scored = [place for place in highest if np.isfinite(score[place]) and place not in reasons]
    ranked = sorted(reasons, key=lambda place: -height[place[0] - month.start, place[1]])
    rows = []
    for place in [*ranked, *scored][:_SHOWN]:
        at, asset = int(place[0]), int(place[1])
        name, day = reading.panel.assets[asset], moment(reading.panel.dates[at])
        way = link(day, view.href("/asset", asset=name, day=day_of(reading.panel, at)))
        said = reasons.get((at, asset)) or html.Span("no alert", className="soft")
        rows.append([way, name, number(score[at, asset]), probability(reading.scores.p_value[at, asset]), said])
    heads, empty = ["date", "asset", "score", "p-value", "alert"], "No scores in the last month."
    title = f"Strangest of the last month: {plural(len(reasons), 'alert')}"
    return card(title, table(heads, rows, right=(2, 3), empty=empty))


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} …" if len(names) > 4 else shown
