"""Asset: one asset's price, score and threshold, and why a day is strange."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dash
import numpy as np
from dash import Input, Output, html

from fintok import InputError
from fintok_dashboard.asset_figures import (
    around,
    day_shares,
    message_for,
    patch,
    price_and_score,
    statistics_bars,
)
from fintok_dashboard.figures import ink_of, regime_colours
from fintok_dashboard.formats import moment, move, number, plural, probability
from fintok_dashboard.parts import card, dot, figure, link, table
from fintok_dashboard.selection import day_of, row_of, select
from fintok_dashboard.view import View, Window

if TYPE_CHECKING:
    from fintok_dashboard.desk import Desk
    from fintok_dashboard.reading import Reading

NAME, TITLE = "asset", "Asset"
_LIKE, _A_DAY = 12, 2  # occurrences of a token that are listed, and of them on one day
_SEARCHED = 2_000  # the latest occurrences, among them those to list
_AFTER = 5  # rows after an occurrence, in "what came next"


def layout(desk: Desk, window: Window) -> Any:
    """Headline, history, then why."""
    return html.Div(
        [
            html.Div(id="asset-head", className="line"),
            figure("asset-history", "asset", height=400, least=720),
            html.Div(
                [
                    figure("asset-patch", "asset-patch", height=300),
                    figure("asset-statistics", "asset-statistics", height=300),
                    figure("asset-days", "asset-days", height=300),
                ],
                className="columns three",
            ),
            html.Div(
                [html.Div(id="asset-like"), figure("asset-peers", "asset-peers", height=380)], className="columns two"
            ),
        ]
    )


def register(app: dash.Dash, desk: Desk) -> None:
    """The callbacks."""

    @app.callback(
        Output("asset-head", "children"),
        Output("asset-history", "figure"),
        Output("asset-statistics", "figure"),
        Output("asset-days", "figure"),
        Output("asset-like", "children"),
        Output("asset-peers", "figure"),
        Input("url", "search"),
        Input("theme", "data"),
    )
    def draw(search: str, theme: str) -> tuple[Any, ...]:
        reading, view, ink = desk.reading, View.parse(search), ink_of(theme)
        assert reading is not None
        row, column = chosen(reading, view)
        return (
            _head(reading, view, row, column),
            price_and_score(reading, view, select(reading, view).rows, row, column, ink),
            statistics_bars(reading, row, column, ink),
            day_shares(reading, row, column, ink),
            _like(reading, view, row, column),
            around(reading, row, column, ink),
        )

    @app.callback(Output("asset-patch", "figure"), Input("url", "search"), Input("theme", "data"))
    def draw_patch(search: str, theme: str) -> Any:
        reading, view, ink = desk.reading, View.parse(search), ink_of(theme)
        assert reading is not None
        row, column = chosen(reading, view)
        try:
            found = desk.counterfactual(reading.panel, row, column)
        except InputError as error:
            return message_for("Seen beside expected", str(error), ink)
        return patch(found, ink)

    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Input("asset-history", "clickData"),
        dash.State("url", "search"),
        prevent_initial_call=True,
    )
    def choose_day(clicked: dict[str, Any] | None, search: str) -> Any:
        reading, view = desk.reading, View.parse(search)
        if not clicked or reading is None:
            return dash.no_update
        found = np.searchsorted(reading.panel.dates, np.datetime64(str(clicked["points"][0]["x"]).replace(" ", "T")))
        row = int(min(found, reading.panel.num_days - 1))
        _, column = chosen(reading, view)
        return replace(view, asset=reading.panel.assets[column], day=day_of(reading.panel, row)).query()


def chosen(reading: Reading, view: View) -> tuple[int, int]:
    """Row and column to look at: those of the address, else the latest alert in the range, of the asset or all."""
    selection = select(reading, view)
    row, column = row_of(reading.panel, view.day), reading.column.get(view.asset)
    if row is not None and column is not None:
        return row, column
    wanted = None if column is None else np.array([column])
    alerts = reading.alarms.at(view.alarms).within(selection.rows, wanted)
    if len(alerts.row):
        height = np.nan_to_num(reading.scores.score[alerts.row, alerts.asset], nan=-1.0)
        best = int(np.lexsort((height, alerts.row))[-1])
        return int(alerts.row[best]), int(alerts.asset[best])
    column = int(selection.assets[0]) if column is None else column
    known = np.flatnonzero(np.isfinite(reading.panel.returns[selection.rows, column]))
    return (selection.rows.start + int(known[-1]) if len(known) else selection.today), column


def _head(reading: Reading, view: View, row: int, column: int) -> Any:
    """The asset-day in a line, and the ways to the alerts before and after."""
    panel, scores, regimes = reading.panel, reading.scores, reading.regimes_for(view.regimes)
    alerts = reading.alarms.at(view.alarms)
    mine = alerts.row[alerts.asset == column]
    here = np.flatnonzero((alerts.row == row) & (alerts.asset == column))
    name = panel.assets[column]
    ways = []
    for text, rows in (("‹ alert before", mine[mine < row][-1:]), ("next alert ›", mine[mine > row][:1])):
        if len(rows):
            ways.append(link(text, view.href("/asset", asset=name, day=day_of(panel, int(rows[0])))))
    regime = regimes.labels[row]
    said = [
        html.B(name, className="big"),
        html.Span(moment(panel.dates[row]), className="big"),
        html.Span(f"return {move(panel.returns[row, column], is_relative=panel.values == 'prices')}"),
        html.Span(f"score {number(scores.score[row, column])}"),
        html.Span(f"p-value {probability(scores.p_value[row, column])}"),
    ]
    if regime >= 0:
        said.append(html.Span([dot(regime_colours(regimes.num_regimes)[regime]), regimes.names[regime]]))
    if len(here):
        partner = scores.attribution(panel.dates[row], name).partner
        whose = f" ({partner})" if partner else ""
        said.append(html.Span(f"alert: {alerts.reason[here[0]]}{whose}", className="loud"))
    else:
        said.append(html.Span("no alert", className="soft"))
    said.append(html.Span(f"{plural(len(mine), 'alert')} in all", className="soft"))
    return [*said, *ways]


def _like(reading: Reading, view: View, row: int, column: int) -> Any:
    """The last times before that this token occurred, and what came next."""
    panel, tokens, noun = reading.panel, reading.tokens, reading.panel.row_noun
    code = int(tokens.codes[row, column])
    if code < 0:
        return card(
            f"{noun.capitalize()}s like this one", html.P(f"There is no token on this {noun}.", className="soft")
        )
    found = tokens.like(panel.dates[row], panel.assets[column], _SEARCHED)
    before = found[found["date"] <= panel.dates[max(row - reading.patch_days, 0)]]  # no day of this patch is in them
    before = before.groupby("date", sort=False).head(_A_DAY).head(_LIKE)
    rows = []
    for day, symbol in zip(np.asarray(before["date"]), before["symbol"], strict=True):
        at, asset = int(np.searchsorted(panel.dates, day)), reading.column[symbol]
        week = panel.returns[max(at + 1 - reading.patch_days, 0) : at + 1, asset]
        after = panel.returns[at + 1 : min(at + 1 + _AFTER, row + 1), asset]
        sums = [float(np.nansum(part)) if len(part) else np.nan for part in (week, after)]
        moved = [move(total, is_relative=panel.values == "prices") for total in sums]
        rows.append(
            [
                link(moment(panel.dates[at]), view.href("/asset", asset=symbol, day=day_of(panel, at))),
                symbol,
                *moved,
                number(reading.scores.score[at, asset]),
            ]
        )
    word = int(tokens.words[row, column])
    heads = ["date", "asset", f"its {plural(reading.patch_days, noun)}", f"next {plural(_AFTER, noun)}", "score"]
    return card(
        f"The last {noun}s before with the same token: code {code}, word {word}",
        table(heads, rows, right=(2, 3, 4), empty="It has not occurred before."),
        link("All of its occurrences", view.href("/vocabulary", noun="code", token=code)),
    )
