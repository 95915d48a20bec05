"""Figures in the house style, in light and dark, and how a browser shows them."""

from __future__ import annotations

import textwrap
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from fintok.plots.theme import (
    BLUE,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    mark_train_end,
    moments,
    new_figure,
    plain,
    regime_colours,
    stepped_scale,
)
from fintok_dashboard.resample import STEPS_PER_UNIT, TOP_SCORE

__all__ = [
    "BLUE", "GREY", "ORANGE", "SKY", "VERMILION", "Ink", "blank", "graph_config", "ink_of", "mark_train_end",
    "message", "moments", "plain", "regime_colours", "score_bar", "spell_strip",
]  # fmt: skip


class Ink(NamedTuple):
    """Colours of a page that figures take up."""

    text: str
    soft: str
    card: str
    missing: str
    loud: str


_INKS = {
    "light": Ink("#1f2937", "#4b5563", "#ffffff", "rgba(120,120,120,0.22)", "#be2800"),
    "dark": Ink("#e5e7eb", "#aab2bf", "#182130", "rgba(150,150,150,0.28)", "#ffffff"),
}
_LINE = "rgba(128,128,128,0.25)"
_AXIS = {"gridcolor": _LINE, "linecolor": _LINE, "zeroline": False, "automargin": True, "title": {"standoff": 14}}
_NO_BUTTONS = ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"]
_TOP = 1.0 + TOP_SCORE * STEPS_PER_UNIT


def ink_of(theme: str | None) -> Ink:
    """The ink of a theme's name, light unless it is dark."""
    return _INKS["dark" if theme == "dark" else "light"]


def blank(title: str, ink: Ink, *, height: int | None, **layout: Any) -> go.Figure:
    """An empty figure; the card's colour is its ground, so that a picture of it can stand alone."""
    figure = new_figure(title)
    figure.update_layout(
        height=height,
        template={"layout": {"xaxis": _AXIS, "yaxis": _AXIS}},  # of every axis, those that come later too
        font={"color": ink.soft},
        title={
            "font": {"color": ink.text, "size": 15},
            "x": 0,
            "xref": "container",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 14, "l": 14},
        },
        paper_bgcolor=ink.card,
        margin={"l": 56, "r": 18, "t": 52, "b": 40},
        legend={"font": {"size": 11}},
        hoverlabel={"bgcolor": ink.card, "bordercolor": ink.soft, "font": {"color": ink.text, "size": 12}},
    )
    figure.update_layout(**layout)
    return figure


def message(text: str, ink: Ink, *, height: int, title: str = "") -> go.Figure:
    """A figure that says why there is nothing to draw."""
    figure = blank(title, ink, height=height)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    lines = "<br>".join(plain(line) for line in textwrap.wrap(text, 56))
    figure.add_annotation(text=lines, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    return figure


def graph_config(name: str) -> Any:
    """Of a figure's toolbar: a PNG of twice the size under a name that says what it shows."""
    return {
        "displaylogo": False,
        "responsive": True,
        "modeBarButtonsToRemove": _NO_BUTTONS,
        "toImageButtonOptions": {"format": "png", "filename": f"fintok-{name}", "scale": 2},
    }


def score_scale(ink: Ink) -> list[tuple[float, str]]:
    """Colours of quantised scores: grey where there is none, nothing for everyday ones, then blue to red."""

    def at(score: float) -> float:
        return (1.0 + score * STEPS_PER_UNIT) / _TOP

    edge = 0.5 / _TOP
    return [
        (0.0, ink.missing),
        (edge, ink.missing),
        (edge, "rgba(86,180,233,0)"),
        (at(1.0), "rgba(86,180,233,0)"),
        (at(2.5), "rgba(86,180,233,0.60)"),
        (at(4.0), "rgba(230,159,0,0.95)"),
        (1.0, "rgba(190,40,0,1)"),
    ]


def score_bar(ink: Ink) -> dict[str, Any]:
    """Arguments of a heat map of quantised scores."""
    ticks = [1, 2, 3, 4, 5, 6]
    return {
        "zmin": 0.0,
        "zmax": _TOP,
        "colorscale": score_scale(ink),
        "colorbar": {
            "title": {"text": "score", "side": "top"},
            "thickness": 10,
            "len": 0.5,
            "y": 0.4,
            "x": 1.005,
            "tickvals": [1 + tick * STEPS_PER_UNIT for tick in ticks],
            "ticktext": [*map(str, ticks[:-1]), "6+"],
            "outlinewidth": 0,
        },
    }


def spell_strip(labels: NDArray[np.integer], at: NDArray, names: tuple[str, ...], **arguments: Any) -> go.Heatmap:
    """The ribbon of regimes: a block a spell. `at` (T + 1,) are the edges of the rows on the horizontal axis."""
    starts = np.flatnonzero(np.diff(labels, prepend=labels[:1] - 1))
    spells = labels[starts]
    shown = np.array([*(plain(name) for name in names), "no forecast"], dtype=object)[spells]
    return go.Heatmap(
        x=np.append(at[starts], at[-1:]),
        y=np.array([0.0, 1.0]),
        z=np.where(spells >= 0, spells, np.nan)[None, :].astype(np.float32),
        text=shown[None, :],
        hovertemplate="%{text}<extra></extra>",
        colorscale=stepped_scale(regime_colours(len(names))),
        zmin=-0.5,
        zmax=len(names) - 0.5,
        showscale=False,
        **arguments,
    )
