"""Regimes: ribbon, probabilities, transitions, durations and what each regime looks like."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dash
import numpy as np
import plotly.graph_objects as go
from dash import Input, Output, State, dcc, html, no_update

from fintok_dashboard.figures import (
    Ink,
    blank,
    ink_of,
    mark_train_end,
    message,
    moments,
    plain,
    regime_colours,
    spell_strip,
)
from fintok_dashboard.formats import number, percent
from fintok_dashboard.parts import card, dot, figure, table
from fintok_dashboard.resample import thin_line
from fintok_dashboard.selection import select
from fintok_dashboard.standing import spells_of
from fintok_dashboard.view import View

if TYPE_CHECKING:
    from fintok.regime_result import Regimes
    from fintok_dashboard.desk import Desk
    from fintok_dashboard.reading import Reading

NAME, TITLE = "regimes", "Regimes"
_POINTS = 1_500


def layout(desk: Desk) -> Any:
    """The number of regimes, the history, then the tables."""
    assert desk.reading is not None
    numbers = sorted(desk.reading.regimes)
    slider = dcc.Slider(
        id="regimes-number",
        min=numbers[0],
        max=numbers[-1],
        step=None,
        marks={k: str(k) for k in numbers},
        value=None,
        included=False,
    )
    return html.Div(
        [
            html.Div([html.Label("Number of regimes"), html.Div(slider, className="slider")], className="line"),
            figure("regimes-history", "regimes", height=430),
            html.Div(id="regimes-signature"),
            html.Div(
                [
                    figure("regimes-transitions", "regime-transitions", height=330),
                    figure("regimes-durations", "regime-durations", height=330),
                ],
                className="columns two",
            ),
        ]
    )


def register(app: dash.Dash, desk: Desk) -> None:
    """The callbacks."""

    @app.callback(
        Output("regimes-history", "figure"),
        Output("regimes-transitions", "figure"),
        Output("regimes-durations", "figure"),
        Output("regimes-signature", "children"),
        Output("regimes-number", "value"),
        Input("url", "search"),
        Input("theme", "data"),
    )
    def draw(search: str, theme: str) -> tuple[Any, ...]:
        reading, view = desk.reading, View.parse(search)
        assert reading is not None
        regimes, rows, ink = reading.regimes_for(view.regimes), select(reading, view).rows, ink_of(theme)
        return (
            history(reading, regimes, rows, ink),
            transitions(regimes, rows, ink),
            durations(regimes, rows, ink),
            signature(reading, regimes),
            regimes.num_regimes,
        )

    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Input("regimes-number", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def choose(value: int | None, search: str) -> Any:
        view, reading = View.parse(search), desk.reading
        if value is None or reading is None or value == reading.regimes_for(view.regimes).num_regimes:
            return no_update
        return replace(view, regimes=value).query()


def history(reading: Reading, regimes: Regimes, rows: slice, ink: Ink) -> go.Figure:
    """The market over the ribbon of regimes, and the probabilities below."""
    title = "The market and its regimes, with what was known on each day"
    if (regimes.labels[rows] < 0).all():
        return message("no regime is known on these days", ink, height=430, title=title)
    shown = blank(title, ink, height=430)
    dates = moments(reading.panel.dates)
    edges = np.append(dates[rows], dates[rows.stop - 1 : rows.stop])
    shown.add_trace(spell_strip(regimes.labels[rows], edges, regimes.names, opacity=0.5, yaxis="y2"))
    path = np.nancumsum(reading.market)[rows]
    points = thin_line(path, _POINTS)
    shown.add_trace(
        go.Scatter(
            x=dates[rows][points],
            y=path[points].astype(np.float32),
            mode="lines",
            line={"width": 1.4, "color": ink.text},
            hovertemplate="%{x|%Y-%m-%d}: %{y:.2f}<extra></extra>",
            showlegend=False,
        )
    )
    known = np.arange(rows.start, rows.stop)[regimes.labels[rows] >= 0]
    known = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), _POINTS)).astype(int))]
    for k, colour in enumerate(regime_colours(regimes.num_regimes)):
        shown.add_trace(
            go.Scatter(
                x=dates[known],
                y=regimes.probabilities[known, k].astype(np.float32),
                stackgroup="all",
                mode="lines",
                line={"width": 0, "color": colour},
                fillcolor=colour,
                name=plain(regimes.names[k]),
                hovertemplate="%{x|%Y-%m-%d}: %{y:.0%}",
                yaxis="y3",
            )
        )
    unit = _unit(reading)
    shown.update_layout(
        yaxis={"domain": [0.36, 1.0], "overlaying": "y2", "tickmode": "auto", "title": {"text": unit}},
        yaxis2={"domain": [0.36, 1.0], "range": [0, 1], "visible": False, "fixedrange": True},
        yaxis3={
            "domain": [0.0, 0.28],
            "range": [0, 1],
            "tickformat": ".0%",
            "nticks": 3,
            "title": {"text": "probability"},
        },
        xaxis={"anchor": "y3"},
        legend={"traceorder": "normal"},
    )
    mark_train_end(shown, reading.panel.dates[rows], regimes.train_end)
    return shown


def _unit(reading: Reading) -> str:
    """What the market's line is measured in."""
    return "log return" if reading.panel.values == "prices" else "own annual σ"


def transitions(regimes: Regimes, rows: slice, ink: Ink) -> go.Figure:
    """Which regime followed which, when one ended."""
    _, _, spell = spells_of(regimes.labels[rows])
    count = np.zeros((regimes.num_regimes, regimes.num_regimes), dtype=int)
    here, there = spell[:-1], spell[1:]
    both = (here >= 0) & (there >= 0)
    np.add.at(count, (here[both], there[both]), 1)
    if not count.any():
        return message("no regime ended on these days", ink, height=330, title="When a regime ends, what follows")
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    names = [plain(name) for name in regimes.names]
    cells = [list(zip(*pair, strict=True)) for pair in zip(share, count, strict=True)]
    shown = blank("When a regime ends, what follows", ink, height=330)
    shown.add_trace(
        go.Heatmap(
            x=names,
            y=names,
            z=share.astype(np.float32),
            text=[[f"{part:.0%} ({times})" if times else "–" for part, times in row] for row in cells],
            texttemplate="%{text}",
            textfont={"color": ink.text},
            colorscale=[(0.0, "rgba(0,114,178,0.04)"), (1.0, "rgba(0,114,178,0.6)")],
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate="%{y} → %{x}: %{text}<extra></extra>",
        )
    )
    shown.update_yaxes(autorange="reversed", showgrid=False)
    shown.update_xaxes(showgrid=False, tickangle=0)
    return shown


def durations(regimes: Regimes, rows: slice, ink: Ink) -> go.Figure:
    """How long the spells lasted, each one a point."""
    starts, lengths, spell = spells_of(regimes.labels[rows])
    title = "How long each spell lasted"
    if not (spell >= 0).any():
        return message("no regime is known on these days", ink, height=330, title=title)
    shown = blank(title, ink, height=330, showlegend=False)
    dates = regimes.dates[rows]
    for k, colour in enumerate(regime_colours(regimes.num_regimes)):
        mine = np.flatnonzero(spell == k)
        shown.add_trace(
            go.Box(
                x=lengths[mine].astype(np.int32),
                name=plain(regimes.names[k]),
                boxpoints="all",
                jitter=0.5,
                pointpos=0,
                marker={"color": colour, "size": 6, "line": {"width": 0.5, "color": ink.text}},
                line={"color": ink.soft, "width": 1},
                fillcolor="rgba(128,128,128,0.12)",
                text=[f"from {np.datetime_as_string(dates[starts[s]], 'D')}" for s in mine],
                hovertemplate="%{x} rows, %{text}<extra></extra>",
            )
        )
    shown.update_xaxes(type="log", title={"text": "rows (days of a daily panel)"}, dtick=1, minor={"dtick": "D1"})
    shown.update_yaxes(autorange="reversed", showgrid=False)
    return shown


def signature(reading: Reading, regimes: Regimes) -> Any:
    """What each regime looks like, over the whole panel."""
    found, colours = regimes.summary(), regime_colours(regimes.num_regimes)
    is_relative = reading.panel.values == "prices"
    heads = ["regime", "days", "share", "volatility", "mean", "correlation", "dispersion", "mean spell", "a year"]
    rows = []
    for k, facts in enumerate(found.to_dict("records")):
        moves = [percent(facts[name], 1) if is_relative else number(facts[name], 2) for name in ("volatility", "mean")]
        spread = percent(facts["dispersion"], 1) if is_relative else number(facts["dispersion"], 2)
        rows.append(
            [
                html.Span([dot(colours[k]), str(facts["name"])]),
                number(facts["days"], 0),
                percent(facts["share"]),
                *moves,
                number(facts["correlation"], 2),
                spread,
                number(facts["mean_duration"], 0),
                number(facts["switches_per_year"], 1),
            ]
        )
    unit = "log returns a year" if is_relative else "annual deviations, 1 is an asset's own usual volatility"
    note = f"Volatility, mean and dispersion in {unit}; mean spell in rows; spells that begin a year; whole panel."
    return card("What each regime looks like", table(heads, rows, right=range(1, 9)), html.P(note, className="soft"))
