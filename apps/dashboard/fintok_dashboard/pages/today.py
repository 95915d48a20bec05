"""Today: the regime and what usually follows, alerts against their number, the health of the panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dash
import numpy as np
import plotly.graph_objects as go
from dash import Input, Output, html

from fintok_dashboard.figures import blank, ink_of, message, moments, plain, regime_colours
from fintok_dashboard.formats import moment, number, percent, probability, rows_long
from fintok_dashboard.parts import card, dot, figure, link, table
from fintok_dashboard.selection import day_of, select
from fintok_dashboard.standing import alert_counts, regime_on, silence_on
from fintok_dashboard.view import View

if TYPE_CHECKING:
    from fintok_dashboard.desk import Desk
    from fintok_dashboard.reading import Reading

NAME, TITLE = "today", "Today"
_SHOWN = 8  # alerts in the list, and names in a line
_FIGURE_ROWS = 260


def layout(desk: Desk) -> Any:
    """Cards above, the last year's probabilities below."""
    return html.Div(
        [
            html.Div(id="today-cards", className="columns three"),
            html.Div(
                [figure("today-probabilities", "regime-probabilities", height=300), html.Div(id="today-latest")],
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
        cards = [_regime(reading, view, row), _alerts(reading, view, row), _health(reading, view, row)]
        return cards, _latest(reading, view, row)

    @app.callback(Output("today-probabilities", "figure"), Input("url", "search"), Input("theme", "data"))
    def draw(search: str, theme: str) -> go.Figure:
        reading, view = desk.reading, View.parse(search)
        assert reading is not None
        return probabilities(reading, view, select(reading, view).today, theme)


def probabilities(reading: Reading, view: View, row: int, theme: str | None) -> go.Figure:
    """Probability of each regime on the last year of days."""
    ink, regimes = ink_of(theme), reading.regimes_for(view.regimes)
    title = "How sure the regime is, the last year"
    rows = np.arange(max(row + 1 - _FIGURE_ROWS, 0), row + 1)
    rows = rows[regimes.labels[rows] >= 0]
    if len(rows) == 0:
        return message("no regime is known yet on these days", ink, height=300, title=title)
    shown = blank(title, ink, height=300, hovermode="x unified")
    for k, colour in enumerate(regime_colours(regimes.num_regimes)):
        shown.add_trace(
            go.Scatter(
                x=moments(regimes.dates[rows]),
                y=regimes.probabilities[rows, k].astype(np.float32),
                stackgroup="all",
                mode="lines",
                line={"width": 0, "color": colour},
                fillcolor=colour,
                name=plain(regimes.names[k]),
                hovertemplate="%{y:.0%}",
            )
        )
    shown.update_yaxes(range=[0, 1], tickformat=".0%")
    shown.update_layout(legend={"traceorder": "normal", "y": -0.14, "yanchor": "top", "x": 0, "xanchor": "left"})
    return shown


def _regime(reading: Reading, view: View, row: int) -> Any:
    regimes = reading.regimes_for(view.regimes)
    now = regime_on(regimes, row)
    date = moment(reading.panel.dates[row])
    if now is None:
        return card(f"Regime on {date}", html.P("Not enough days before to read a regime.", className="soft"))
    colours, per_year = regime_colours(regimes.num_regimes), reading.panel.periods_per_year
    usual = "it has not ended before"
    if len(now.spells):
        half = rows_long(float(np.median(now.spells)), per_year)
        usual = f"usually {half} (median of {len(now.spells)}), mean {number(now.spells.mean(), 0)}"
    follows = [
        html.Li([dot(colours[k]), f"{regimes.names[k]} ", html.Span(percent(share), className="soft")])
        for k, share in now.follows
    ]
    return card(
        f"Regime on {date}",
        html.P([dot(colours[now.regime]), now.name], className="big"),
        html.P(f"{percent(now.probability)} sure · since {moment(now.since)}"),
        html.P([html.B(rows_long(now.days, per_year)), f" so far; {usual}"]),
        html.P("What followed it before:" if follows else "It has not been left before.", className="soft"),
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
    note = f"Expected at {view.alarms:g} alarms per 1,000 asset-days. Named checks come on top of that."
    return card(
        "Alerts",
        table(["", "alarms", "expected", "checks"], rows, right=(1, 2, 3)),
        html.P(note, className="soft"),
        link("All alerts", view.href("/alerts")),
        " · ",
        link("Map", view.href("/map")),
    )


def _health(reading: Reading, view: View, row: int) -> Any:
    panel, scores = reading.panel, reading.scores
    stale = np.array([reason == "stale price" for reason in scores.reasons])[scores.reason_codes[row]]
    silence = silence_on(panel, row, stale)
    late = [f"{panel.assets[a]} ({behind})" for a, behind in silence.late]
    gone = [panel.assets[a] for a in silence.gone]
    rows = [
        ["with a value", f"{len(silence.present):,} of {panel.num_assets:,}", ""],
        ["late (rows)", f"{len(late):,}", _some(late)],
        ["missing, over 20 rows", f"{len(gone):,}", _some(gone)],
        ["stale", f"{len(silence.stale):,}", _some([panel.assets[a] for a in silence.stale])],
    ]
    month = panel.dates[max(row - round(panel.periods_per_year / 12), 0)]
    recent = reading.findings[(reading.findings["date"] > month) & (reading.findings["date"] <= panel.dates[row])]
    kinds, counts = np.unique(np.asarray(recent["kind"], dtype=str), return_counts=True)
    found = ", ".join(f"{kind} ({count:,})" for kind, count in zip(kinds, counts, strict=True)) or "nothing"
    return card(
        f"Panel on {moment(panel.dates[row])}",
        table(["", "assets", ""], rows, right=(1,)),
        html.P(f"Found in the last month: {found}.", className="soft"),
    )


def _latest(reading: Reading, view: View, row: int) -> Any:
    month = alert_counts(reading, row, view.alarms)[-1].rows
    alerts = reading.alarms.at(view.alarms).within(month)
    height = np.nan_to_num(reading.scores.score[alerts.row, alerts.asset], nan=-1.0)
    best = np.argsort(-height, kind="stable")[:_SHOWN]
    rows = []
    for k in best:
        at, asset = int(alerts.row[k]), int(alerts.asset[k])
        name = reading.panel.assets[asset]
        day = moment(reading.panel.dates[at])
        score, p = reading.scores.score[at, asset], reading.scores.p_value[at, asset]
        way = link(day, view.href("/asset", asset=name, day=day_of(reading, at)))
        rows.append([way, name, number(score), probability(p), alerts.reason[k]])
    heads, empty = ["date", "asset", "score", "p-value", "reason"], "No alerts in the last month."
    return card("Strangest of the last month", table(heads, rows, right=(2, 3), empty=empty))


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} …" if len(names) > 4 else shown
