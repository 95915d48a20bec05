"""Vocabulary: what the words and codes look like, and where each of them occurs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dash
import numpy as np
from dash import Input, Output, State, dcc, html, no_update
from numpy.typing import NDArray

from fintok_dashboard.figures import graph_config, ink_of
from fintok_dashboard.formats import moment, move, number, plural
from fintok_dashboard.parts import card, figure, link, table
from fintok_dashboard.selection import day_of, select
from fintok_dashboard.view import View, Window
from fintok_dashboard.vocabulary_figures import (
    LEAST_WIDTH,
    SMALL,
    Gallery,
    arrange_gallery,
    by_asset,
    by_regime,
    by_year,
    occurrences,
    pictures,
    portrait,
)

if TYPE_CHECKING:
    from fintok_dashboard.desk import Desk
    from fintok_dashboard.reading import Reading

NAME, TITLE = "vocabulary", "Vocabulary"
_LISTED = 60  # occurrences: the latest


def layout(desk: Desk, window: Window) -> Any:
    """Gallery on the left, the chosen token on the right."""
    nouns = [{"label": f"{noun}s", "value": noun} for noun in ("word", "code")]
    return html.Div(
        [
            html.Div(
                [
                    dcc.RadioItems(id="vocabulary-noun", options=nouns, inline=True, className="radio"),
                    html.Label("Token", htmlFor="vocabulary-token"),
                    dcc.Dropdown(id="vocabulary-token", style={"width": "140px"}, clearable=False),
                    html.Span("A picture: the mean path of a token's rows. Click one.", className="soft"),
                ],
                className="line",
            ),
            html.Div(
                dcc.Graph(
                    id="vocabulary-gallery", config=graph_config("vocabulary"), style={"minWidth": f"{LEAST_WIDTH}px"}
                ),
                className="card figure",
            ),
            html.Div(
                [
                    figure("vocabulary-picture", "token", height=SMALL),
                    figure("vocabulary-when", "token-by-year", height=SMALL),
                    figure("vocabulary-regimes", "token-by-regime", height=SMALL),
                    figure("vocabulary-assets", "token-by-asset", height=SMALL),
                ],
                className="columns four",
            ),
            html.Div(id="vocabulary-list"),
        ]
    )  # fmt: skip


def register(app: dash.Dash, desk: Desk) -> None:
    """The callbacks."""

    @app.callback(
        Output("vocabulary-gallery", "figure"),
        Output("vocabulary-picture", "figure"),
        Output("vocabulary-when", "figure"),
        Output("vocabulary-regimes", "figure"),
        Output("vocabulary-assets", "figure"),
        Output("vocabulary-list", "children"),
        Output("vocabulary-noun", "value"),
        Output("vocabulary-token", "options"),
        Output("vocabulary-token", "value"),
        Input("url", "search"),
        Input("theme", "data"),
    )
    def draw(search: str, theme: str) -> tuple[Any, ...]:
        reading, view, ink = desk.reading, View.parse(search), ink_of(theme)
        assert reading is not None
        rows = select(reading, view).rows
        gallery = arrange_gallery(reading, view.noun, rows)
        token = chosen(reading, view, gallery)
        cells = occurrences(reading, view.noun, token, rows)
        number_of_tokens = len(reading.pictures[view.noun].counts)
        return (
            pictures(reading, view.noun, gallery, token, ink),
            portrait(reading, view.noun, token, ink),
            by_year(reading, view.noun, token, cells, rows, ink),
            by_regime(reading, view, token, cells, rows, ink),
            by_asset(reading, view.noun, token, cells, rows, ink),
            _list(reading, view, token, cells),
            view.noun,
            [{"label": f"{view.noun} {k}", "value": k} for k in range(number_of_tokens)],
            token,
        )

    @app.callback(
        Output("url", "search", allow_duplicate=True),
        Input("vocabulary-noun", "value"),
        Input("vocabulary-token", "value"),
        Input("vocabulary-gallery", "clickData"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def choose(noun: str | None, token: int | None, clicked: dict[str, Any] | None, search: str) -> Any:
        view, trigger = View.parse(search), dash.ctx.triggered_id
        if trigger == "vocabulary-noun" and noun and noun != view.noun:
            return replace(view, noun=noun, token=None).query()
        if trigger == "vocabulary-token" and token is not None and token != view.token and noun == view.noun:
            return replace(view, token=token).query()
        if trigger == "vocabulary-gallery" and clicked and "customdata" in clicked["points"][0]:
            return replace(view, token=int(np.ravel(clicked["points"][0]["customdata"])[0])).query()
        return no_update


def chosen(reading: Reading, view: View, gallery: Gallery) -> int:
    """The token of the address, else the most used one."""
    if view.token is not None and view.token < len(reading.pictures[view.noun].counts):
        return view.token
    return int(gallery.tokens[gallery.share.argmax()])


def _list(reading: Reading, view: View, token: int, cells: tuple[NDArray[np.intp], NDArray[np.intp]]) -> Any:
    """The latest occurrences."""
    panel, is_relative = reading.panel, reading.panel.values == "prices"
    rows = []
    for k in range(len(cells[0]) - 1, max(len(cells[0]) - 1 - _LISTED, -1), -1):
        row, column = int(cells[0][k]), int(cells[1][k])
        name = panel.assets[column]
        week = panel.returns[max(row + 1 - reading.patch_days, 0) : row + 1, column]
        rows.append(
            [
                link(moment(panel.dates[row]), view.href("/asset", asset=name, day=day_of(reading.panel, row))),
                name,
                move(float(np.nansum(week)), is_relative=is_relative),
                number(reading.scores.score[row, column]),
            ]
        )
    many = len(cells[0])
    latest = f", the latest {_LISTED}" if many > _LISTED else ""
    title = f"{view.noun.capitalize()} {token}: {plural(many, 'occurrence')}{latest}"
    its = plural(reading.patch_days, panel.row_noun)
    heads = ["date", "asset", f"its {its}", "score"]
    return card(title, table(heads, rows, right=(2, 3), empty="It does not occur on these dates."), class_name="flow")
