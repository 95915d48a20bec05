"""The bar of controls, and how it and the address of the page follow one another."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dash
from dash import Input, Output, State, dcc, html, no_update

from fintok_dashboard.view import View

if TYPE_CHECKING:
    from fintok_dashboard.desk import Desk

_RANGES = {"1m": ("1m", 31), "1y": ("1y", 365), "5y": ("5y", 1826), "all": ("all", 0)}


def layout() -> html.Div:
    """The bar."""
    return html.Div(
        [
            html.Div(
                [
                    html.Label("Dates", htmlFor="dates-start"),
                    dcc.DatePickerRange(
                        id="dates",
                        start_date_id="dates-start",
                        end_date_id="dates-end",
                        display_format="YYYY-MM-DD",
                        minimum_nights=0,
                        first_day_of_week=1,
                    ),
                    html.Div(
                        [html.Button(text, id=f"range-{key}", n_clicks=0) for key, (text, _) in _RANGES.items()],
                        className="buttons",
                    ),
                ],
                className="control",
            ),
            html.Div(
                [
                    html.Label("Alarms per 1,000", htmlFor="alarms", title="of the score, per 1,000 scores"),
                    dcc.Input(id="alarms", type="number", min=0.01, max=500, step="any", debounce=True),
                ],
                className="control",
            ),
            html.Div(
                [
                    html.Label("Group", htmlFor="group"),
                    dcc.Dropdown(id="group", placeholder="all assets", style={"width": "170px"}),
                ],
                className="control",
            ),
            html.Div(
                [
                    html.Label("Asset", htmlFor="asset"),
                    dcc.Dropdown(id="asset", placeholder="search …", style={"width": "150px"}),
                ],
                className="control",
            ),
        ],
        className="controls",
        role="search",
    )


def register(app: dash.Dash, desk: Desk) -> None:
    """The callbacks: address to controls, controls to address."""

    @app.callback(
        Output("dates", "start_date"),
        Output("dates", "end_date"),
        Output("dates", "min_date_allowed"),
        Output("dates", "max_date_allowed"),
        Output("alarms", "value"),
        Output("group", "options"),
        Output("group", "value"),
        Output("asset", "options"),
        Output("asset", "value"),
        Input("url", "search"),
        Input("version", "data"),
        State("dates", "start_date"),
        State("dates", "end_date"),
        State("alarms", "value"),
        State("group", "value"),
        State("asset", "value"),
    )
    def fill(search: str, _: int, *shown: Any) -> tuple[Any, ...]:
        view, reading = View.parse(search), desk.reading
        if reading is None or reading.panel.num_days == 0:
            return (None, None, None, None, view.alarms, [], None, [], None)
        first, last = _span(desk)
        groups = [
            {"label": f"{name} ({len(members)})", "value": name} for name, members in reading.arrangement.groups.items()
        ]
        asset = view.asset if view.asset in reading.column else None
        group = view.group if view.group in reading.arrangement.groups else None
        values = (view.start or first).isoformat(), (view.end or last).isoformat(), view.alarms, group, asset
        if dash.ctx.triggered_prop_ids.keys() != {"url.search"}:
            start, end, alarms, group, asset = values
            return start, end, first, last, alarms, groups, group, sorted(reading.panel.assets), asset
        # what stays as it is need not be sent, drawn and answered again
        pairs = zip(values, shown, strict=True)
        start, end, alarms, group, asset = (no_update if new == old else new for new, old in pairs)
        return start, end, no_update, no_update, alarms, no_update, group, no_update, asset

    # no output: the address fills the controls, and Dash allows no circles
    app.clientside_callback(
        dash.ClientsideFunction("fintok", "follow"),
        [Input("dates", "start_date"), Input("dates", "end_date")],
        [Input("alarms", "value"), Input("group", "value"), Input("asset", "value")],
        [State("dates", "min_date_allowed"), State("dates", "max_date_allowed")],
        [State("url", "search"), State("url", "pathname")],
        prevent_initial_call=True,
    )

    @app.callback(
        Output("url", "search", allow_duplicate=True),
        [Input(f"range-{key}", "n_clicks") for key in _RANGES],
        State("url", "search"),
        prevent_initial_call=True,
    )
    def choose_range(*given: Any) -> Any:
        view, key = View.parse(given[-1]), str(dash.ctx.triggered_id).removeprefix("range-")
        if desk.reading is None or key not in _RANGES or desk.reading.panel.num_days == 0:
            return no_update
        days = _RANGES[key][1]
        if not days:
            return replace(view, start=None, end=None).query()
        first, last = _span(desk)
        start = (view.end or last) - dt.timedelta(days=days)
        return replace(view, start=None if start <= first else start).query()


def _span(desk: Desk) -> tuple[dt.date, dt.date]:
    """First and last date of the panel."""
    assert desk.reading is not None
    first, last = desk.reading.panel.dates[[0, -1]].astype("datetime64[D]").tolist()
    return first, last
