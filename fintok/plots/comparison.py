"""Figures of an evaluation: fintok beside the rivals."""

from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.plots.theme import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, new_figure

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

_OTHERS = (ORANGE, GREEN, VERMILION, PURPLE, SKY, "#8C564B", "#5D6D7E")
_SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star", "hexagon")
_OURS = "fintok"
_LEFT = 0.1  # switches a year that a log axis begins with: fewer, and none, are drawn there


def method_colours(methods: list[str]) -> dict[str, str]:
    """Blue for fintok, grey for one regime, other colours in turn."""
    colours, number = {}, 0
    for name in methods:
        if name == _OURS or name == "one regime":
            colours[name] = BLUE if name == _OURS else GREY
        else:
            colours[name] = _OTHERS[number % len(_OTHERS)]
            number += 1
    return colours


def frontier(table: "pd.DataFrame", column: str, title: str) -> "go.Figure":
    """A measure (higher is better) against switches a year: a point a labelling, a line each method's frontier.
    A method has a colour and a symbol of its own; one whose labellings all lie below the axis says so.

    `table` has the columns method, setting, regimes, switches_a_year and `column`.
    """
    import plotly.graph_objects as go

    below = {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.16, "yanchor": "top"}  # nine names need the width
    figure = new_figure(title, height=560, legend=below, margin={"l": 64, "r": 24, "t": 56, "b": 110})
    rows = [row for row in table.to_dict("records") if np.isfinite(row[column]) and row["method"] != "one regime"]
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    colours = method_colours(methods)
    right = max((row["switches_a_year"] for row in rows), default=1.0)
    right = max(right, _LEFT) * 1.15
    shown = _upper(np.array([row[column] for row in rows]))
    for place, method in enumerate(methods):
        part = sorted((row for row in rows if row["method"] == method), key=itemgetter("switches_a_year"))
        x = np.array([max(row["switches_a_year"], _LEFT) for row in part])
        y = np.array([row[column] for row in part])
        best = np.maximum.accumulate(y)
        width = 3.5 if method == _OURS else 1.4
        line = {"color": colours[method], "width": width, "shape": "hv"}
        figure.add_trace(
            go.Scatter(
                x=np.append(x, right),
                y=np.append(best, best[-1]),
                mode="lines",
                line=line,
                legendgroup=method,
                showlegend=False,
                hoverinfo="skip",
            )
        )
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="markers",
                marker={
                    "color": colours[method],
                    "size": 9 if method == _OURS else 7,
                    "symbol": _SYMBOLS[place % len(_SYMBOLS)],
                },
                text=[f"{row['regimes']} regimes, {row['setting']}" for row in part],
                customdata=np.array([row["switches_a_year"] for row in part]),
                hovertemplate=f"{method}, %{{text}}<br>%{{y:.4f}} at %{{customdata:.1f}} a year<extra></extra>",
                name=method if shown is None or y.max() >= shown[0] else f"{method} (below)",
                legendgroup=method,
            )
        )
    ticks = [_LEFT, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
    figure.update_xaxes(type="log", title={"text": "regime switches a year"})
    figure.update_xaxes(tickvals=ticks, ticktext=[f"≤ {_LEFT}", *map(str, ticks[1:])])
    figure.update_yaxes(title={"text": title.split(",")[0]}, range=shown)
    return figure


def _upper(values: NDArray[np.floating]) -> list[float] | None:
    """A range for the better half of the values and as much below it; None for no values. Few lie far off."""
    if len(values) == 0:
        return None
    high, middle, low = float(values.max()), float(np.median(values)), float(values.min())
    bottom = max(low, middle - 1.5 * (high - middle))
    margin = 0.06 * (high - bottom) or 0.01
    return [bottom - margin, high + margin]


def agreement_bars(table: "pd.DataFrame") -> "go.Figure":
    """Agreement of refits: mean as a bar, minimum as a mark; a group a method, a bar a number of regimes."""
    import plotly.graph_objects as go

    figure = new_figure("Days that keep their regime in a refit on more rows", height=380)
    rows = table.to_dict("records")
    for place, num_regimes in enumerate(sorted({row["regimes"] for row in rows})):
        part = [row for row in rows if row["regimes"] == num_regimes]
        lowest = np.array([row["refits_min"] for row in part])
        mean = np.array([row["refits_mean"] for row in part])
        figure.add_trace(
            go.Bar(
                x=[row["method"] for row in part],
                y=mean,
                name=f"{num_regimes} regimes",
                marker={"color": (BLUE, SKY, GREEN)[place % 3]},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": np.zeros(len(part)),
                    "arrayminus": mean - lowest,
                    "color": GREY,
                },
                customdata=lowest,
                hovertemplate="%{x}: %{y:.3f}, lowest %{customdata:.3f}<extra></extra>",
            )
        )
    figure.update_layout(barmode="group", bargap=0.3)
    figure.update_yaxes(range=[0, 1.02], title={"text": "share of days"})
    figure.update_xaxes(showgrid=False)
    return figure
