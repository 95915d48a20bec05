"""Pieces of pages: cards, tables, links. Texts are children of components, which a browser never reads as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from fintok_dashboard.figures import awaited, graph_config


def card(title: str, *children: Any, class_name: str = "") -> html.Section:
    """A box with a heading."""
    return html.Section([html.H2(title), *children], className=f"card {class_name}".strip())


def figure(identity: str, name: str, *, height: int | str, least: int = 0) -> html.Div:
    """A place for a figure, of its height (pixels, or CSS) from the start, so that nothing jumps when it comes.

    A card narrower than the `least` pixels of its title and legend scrolls.
    """
    style = {"height": f"{height}px" if isinstance(height, int) else height, "minWidth": f"{least}px"}
    graph = dcc.Graph(id=identity, figure=awaited(), config=graph_config(name), style=style, responsive=True)
    label: dict[str, Any] = {"aria-label": name.replace("-", " ")}
    return html.Div(graph, className="card figure", role="figure", **label)


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = (), empty: str = "") -> Any:
    """A small table; cells are texts or components, `right` the columns that are set flush right."""
    if not rows:
        return html.P(empty, className="soft")

    def of(column: int) -> str:
        return "number" if column in right else ""

    head = html.Thead(html.Tr([html.Th(text, className=of(k), scope="col") for k, text in enumerate(heads)]))
    body = html.Tbody([html.Tr([html.Td(cell, className=of(k)) for k, cell in enumerate(row)]) for row in rows])
    return html.Div(html.Table([head, body]), className="scroll")


def link(text: str, href: str) -> dcc.Link:
    """A link within the dashboard."""
    return dcc.Link(text, href=href)


def dot(colour: str) -> html.Span:
    """A spot of a regime's colour."""
    hidden: dict[str, Any] = {"aria-hidden": "true"}
    return html.Span(className="dot", style={"background": colour}, **hidden)
