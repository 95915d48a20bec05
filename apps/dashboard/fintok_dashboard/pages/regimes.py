"""Regimes: ribbon, probabilities, transitions, durations and what each regime looks like."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dash
from dash import Input, Output, State, dcc, html, no_update

from fintok_dashboard.figures import ink_of, regime_colours
from fintok_dashboard.formats import number, percent
from fintok_dashboard.parts import card, dot, figure, table
from fintok_dashboard.regime_figures import HISTORY, SMALL, durations, history, transitions
from fintok_dashboard.selection import select
from fintok_dashboard.view import View, Window

if TYPE_CHECKING:
    from fintok.regime_result import Regimes
    from fintok_dashboard.desk import Desk
    from fintok_dashboard.reading import Reading

NAME, TITLE = "regimes", "Regimes"
_HISTORY_TITLE = "The market, and its regime as known on each date"


def layout(desk: Desk, window: Window) -> Any:
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
            figure("regimes-history", "regimes", height=HISTORY, least=480),
            html.Div(id="regimes-signature"),
            html.Div(
                [
                    figure("regimes-transitions", "regime-transitions", height=SMALL),
                    figure("regimes-durations", "regime-durations", height=SMALL),
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
            history(reading, regimes, rows, ink, title=_HISTORY_TITLE),
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


def signature(reading: Reading, regimes: Regimes) -> Any:
    """What each regime looks like, over the whole panel."""
    found, colours = regimes.summary(), regime_colours(regimes.num_regimes)
    is_relative = reading.panel.values == "prices"
    noun = reading.panel.row_noun
    heads = ["regime", f"{noun}s", "share", "volatility", "mean return", "correlation", "dispersion"]
    heads += [f"mean spell, {noun}s", "spells a year"]
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
    note = f"Volatility, mean return and dispersion in {unit}. The whole panel, whatever the dates above."
    return card("What each regime looks like", table(heads, rows, right=range(1, 9)), html.P(note, className="soft"))
