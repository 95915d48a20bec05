"""Map: scores of all assets and days as a heat map, the market and its regimes above it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dash
import numpy as np
from dash import Input, Output, State, dcc, html, no_update

from fintok_dashboard.figures import graph_config
from fintok_dashboard.formats import moment, number, probability
from fintok_dashboard.map_figure import FRAME_HEIGHT, cell_at, heat_map, plan, zoomed
from fintok_dashboard.selection import day_of
from fintok_dashboard.view import ORDERS, View, Window

if TYPE_CHECKING:
    from fintok_dashboard.desk import Desk
    from fintok_dashboard.reading import Reading

NAME, TITLE = "map", "Map"
_ORDER_NAMES = {"cluster": "alike side by side", "group": "by group", "score": "strangest first", "name": "by name"}


def layout(desk: Desk, window: Window) -> Any:
    """The figure, as high as the window lets it be; there at once, since it is what a desk opens."""
    assert desk.reading is not None
    view, size, theme = window
    config = graph_config("map") | {"doubleClick": False}  # its first click opens the asset
    orders = [{"label": _ORDER_NAMES[name], "value": name} for name in ORDERS]
    return html.Div(
        [
            html.Div(
                [
                    dcc.RadioItems(id="map-order", options=orders, value=view.order, inline=True, className="radio"),
                    html.Button("whole map", id="map-whole", n_clicks=0),
                    html.Span("Drag: zoom. Click: the asset and the date.", className="soft"),
                ],
                className="line",
            ),
            html.Div(
                dcc.Graph(
                    figure=heat_map(desk.reading, view, plan(desk.reading, view, size), theme),
                    id="map", config=config, responsive=True, clear_on_unhover=True,
                    style={"height": f"calc(100vh - {FRAME_HEIGHT}px)", "minHeight": "420px"},
                ),
                className="card figure",
            ),
            dcc.Tooltip(id="map-tip", direction="top", className="tip"),
        ]
    )  # fmt: skip


def register(app: dash.Dash, desk: Desk) -> None:
    """The callbacks."""

    @app.callback(
        Output("map", "figure"),
        Output("map-order", "value"),
        Input("url", "search"),
        Input("size", "data"),
        Input("theme", "data"),
        State("map-order", "value"),
        prevent_initial_call=True,
    )
    def draw(search: str, size: dict[str, int] | None, theme: str, order: str | None) -> tuple[Any, Any]:
        reading, view = desk.reading, View.parse(search)
        assert reading is not None
        figure = heat_map(reading, view, plan(reading, view, size), theme)
        return figure, no_update if order == view.order else view.order

    app.clientside_callback(
        dash.ClientsideFunction("fintok", "arrange"),
        Output("url", "search", allow_duplicate=True),
        Input("map-order", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )

    app.clientside_callback(
        dash.ClientsideFunction("fintok", "whole"),
        Output("url", "search", allow_duplicate=True),
        Input("map-whole", "n_clicks"),
        State("url", "search"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Input("map", "relayoutData"),
        State("url", "search"),
        State("size", "data"),
        prevent_initial_call=True,
    )
    def zoom(moved: dict[str, Any] | None, search: str, size: dict[str, int] | None) -> Any:
        reading, view = desk.reading, View.parse(search)
        assert reading is not None
        changed = zoomed(reading, view, plan(reading, view, size), moved or {})
        return no_update if changed == view else changed.query()

    @app.callback(
        Output("url", "pathname", allow_duplicate=True),
        Output("url", "search", allow_duplicate=True),
        Input("map", "clickData"),
        State("url", "search"),
        State("size", "data"),
        prevent_initial_call=True,
    )
    def open_asset(clicked: dict[str, Any] | None, search: str, size: dict[str, int] | None) -> tuple[Any, Any]:
        reading, view = desk.reading, View.parse(search)
        assert reading is not None
        cell = cell_at(reading, plan(reading, view, size), clicked)
        if cell is None:
            return no_update, no_update
        row, column = cell
        chosen = replace(view, asset=reading.panel.assets[column], day=day_of(reading.panel, row))
        return "/asset", chosen.query()

    @app.callback(
        Output("map-tip", "show"),
        Output("map-tip", "bbox"),
        Output("map-tip", "children"),
        Input("map", "hoverData"),
        State("url", "search"),
        State("size", "data"),
    )
    def tip(hovered: dict[str, Any] | None, search: str, size: dict[str, int] | None) -> tuple[Any, Any, Any]:
        reading, view = desk.reading, View.parse(search)
        assert reading is not None
        cell = cell_at(reading, plan(reading, view, size), hovered)
        if cell is None or hovered is None or "bbox" not in hovered["points"][0]:
            return False, no_update, no_update
        return True, hovered["points"][0]["bbox"], _describe(reading, view, *cell)


def _describe(reading: Reading, view: View, row: int, column: int) -> Any:
    """What the tip says of one asset-day."""
    scores, regimes = reading.scores, reading.regimes_for(view.regimes)
    score, p = scores.score[row, column], scores.p_value[row, column]
    alerts = reading.alarms.at(view.alarms).within(slice(row, row + 1), np.array([column]))
    regime = regimes.labels[row]
    lines = [html.B(reading.panel.assets[column]), f" · {moment(reading.panel.dates[row])}", html.Br()]
    lines.append(f"score {number(score)}, p-value {probability(p)}" if np.isfinite(score) else "no score")
    if len(alerts.row):
        lines += [html.Br(), f"alert: {alerts.reason[0]}"]
    if regime >= 0:
        lines += [html.Br(), f"regime: {regimes.names[regime]}"]
    return html.Div(lines)
