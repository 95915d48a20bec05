"""Figures in the house style, in light and dark, and how a browser shows them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from fintok.plots.theme import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    hover_date,
    mark_train_end,
    moments,
    new_figure,
    plain,
    regime_colours,
    short,
)
from fintok_dashboard.resample import STEPS_PER_UNIT, TOP_SCORE

if TYPE_CHECKING:
    from fintok_dashboard.reading import Reading

__all__ = [
    "BLUE", "GREEN", "GREY", "ORANGE", "PURPLE", "SKY", "VERMILION", "Ink", "awaited", "blank", "graph_config",
    "hover_date", "ink_of", "legend_of", "mark_train_end", "market_line", "message", "moments", "plain", "price_axis",
    "regime_colours", "score_bar", "short", "tell",
]  # fmt: skip


class Ink(NamedTuple):
    """Colours of a page that figures take up."""

    text: str
    soft: str
    card: str
    missing: str
    loud: str
    main: str  # lines and bars that stand for one thing


_INKS = {
    "light": Ink("#1f2937", "#4b5563", "#ffffff", "rgba(120,120,120,0.22)", "#be2800", BLUE),
    "dark": Ink("#e5e7eb", "#aab2bf", "#182130", "rgba(150,150,150,0.28)", "#ffffff", SKY),
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
    own = {
        "height": height,
        "template": {"layout": {"xaxis": _AXIS, "yaxis": _AXIS}},  # of every axis, those that come later too
        "font": {"color": ink.soft},
        "title": {
            "text": title,
            "font": {"color": ink.text, "size": 15, "weight": 600},
            "x": 0,
            "xref": "container",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 13, "l": 12},
        },
        "paper_bgcolor": ink.card,
        "margin": {"l": 56, "r": 18, "t": 52, "b": 40},
        "legend": {"font": {"size": 11}},
        "hoverlabel": {"bgcolor": ink.card, "bordercolor": ink.soft, "font": {"color": ink.text, "size": 12}},
    }
    # one figure of plain dicts: each update of a figure that exists takes Plotly milliseconds
    return go.Figure(layout=_merged(_merged(_house_layout(), own), layout))


@cache
def _house_layout() -> dict[str, Any]:
    return new_figure("").to_plotly_json()["layout"]


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both, at every depth; what is above wins."""
    deeper = {
        name: _merged(below[name], value)
        for name, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(name), dict)
    }
    return {**below, **above, **deeper}


def message(text: str, ink: Ink, *, height: int | None, title: str = "") -> go.Figure:
    """A figure that says why there is nothing to draw."""
    figure = blank(title, ink, height=height)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    lines = "<br>".join(plain(line) for line in textwrap.wrap(text, 56))
    figure.add_annotation(text=lines, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    return figure


def awaited() -> dict[str, Any]:
    """What stands in a figure's place until it comes."""
    clear, hidden = "rgba(0,0,0,0)", {"visible": False}
    note = {"text": "one moment …", "showarrow": False, "font": {"color": GREY}}
    ground = {"paper_bgcolor": clear, "plot_bgcolor": clear}
    return {"data": [], "layout": {"xaxis": hidden, "yaxis": hidden, "annotations": [note], **ground}}


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
        (at(1.5), "rgba(86,180,233,0)"),
        (at(3.0), "rgba(86,180,233,0.60)"),
        (at(4.2), "rgba(230,159,0,0.95)"),
        (1.0, "rgba(190,40,0,1)"),
    ]


def score_bar(ink: Ink) -> dict[str, Any]:
    """Arguments of a heat map of quantised scores."""
    ticks = [2, 3, 4, 5, 6]
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


def tell(figure: go.Figure, text: str) -> None:
    """A second line under the title, in small letters."""
    title = figure["layout"]["title"]["text"]
    line = f'<span style="font-size:12px;font-weight:400">{text}</span>'
    # two lines stand half a line higher than one
    figure.update_layout(title={"text": f"{title}<br>{line}", "pad": {"t": 24}}, margin={"t": 70})


def legend_of(names: Sequence[str], colours: Sequence[str]) -> str:
    """Names of regimes behind spots of their colours, for a title."""
    spots = [f'<span style="color:{c}">■</span> {plain(name)}' for name, c in zip(names, colours, strict=True)]
    return "  ".join(spots)


def price_axis(prices: NDArray[np.floating], *, most: int = 9) -> dict[str, Any]:
    """Arguments of an axis of prices: logarithmic where they have doubled, with at most so many ticks."""
    known = prices[np.isfinite(prices) & (prices > 0.0)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (1.0, 1.0)
    if high < 2.0 * low:
        return {"type": "linear", "tickmode": "auto", "nticks": min(most, 6), "tickformat": ",~g"}
    if high < 5.0 * low:
        ticks = _round_ticks(low, high, most)
        return {"type": "log", "tickmode": "array", "tickvals": ticks, "tickformat": ",~g"}
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for digits in (range(1, 10), (1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**decade for decade in decades for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    return {"type": "log", "tickmode": "array", "tickvals": ticks, "tickformat": ",~g"}


def _round_ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two numbers, at most so many."""
    finest = 10.0 ** np.floor(np.log10(high - low) - 1.0)
    step = next(s for s in (finest * k for k in (1, 2, 5, 10, 20, 50, 100)) if high // s - low // s <= most)
    return [float(step * k) for k in range(int(np.ceil(low / step)), int(high // step) + 1)]


def market_line(reading: Reading, rows: slice, *, ticks: int = 6) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """The market over some rows, and arguments of its axis: an index that begins at 100, equal weights; for a panel
    of returns, which have units of their own, their sum in usual annual deviations."""
    path = np.nancumsum(reading.market)[rows]
    if reading.panel.values != "prices":
        return path, {"title": {"text": "sum of moves"}, "tickmode": "auto", "nticks": ticks}
    index = 100.0 * np.exp(path - path[:1])
    return index, {"title": {"text": "market index"}, **price_axis(index, most=ticks)}
