"""What all figures share: colours, fonts, and how much data a figure may carry.

A browser draws 250,000 heat-map cells or 5,000 points a line at once; more only makes it slow. Heat maps are
pooled by their maximum, so that an alert never vanishes between two pixels.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import plotly.graph_objects as go

MAX_CELLS = 250_000
MAX_POINTS = 5_000

# Okabe and Ito (2008): told apart under every common colour vision
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, GREY = "#56B4E9", "#CC79A7", "#8A8A8A"
CYCLE = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE)

_CALM_TO_STRESSED = np.array([[44, 107, 181], [120, 178, 221], [244, 193, 96], [200, 62, 44]], dtype=float)
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def regime_colours(num_regimes: int) -> tuple[str, ...]:
    """Blue for the calmest regime through amber to red for the most stressed one."""
    stops = np.linspace(0, 1, len(_CALM_TO_STRESSED))
    at = np.linspace(0, 1, num_regimes) if num_regimes > 1 else np.zeros(1)
    channels = [np.interp(at, stops, channel) for channel in _CALM_TO_STRESSED.T]
    return tuple(f"rgb({r:.0f},{g:.0f},{b:.0f})" for r, g, b in zip(*channels, strict=True))


def stepped_scale(colours: tuple[str, ...]) -> list[tuple[float, str]]:
    """A colour scale of K blocks, one a colour: for z in 0 .. K-1 with zmin -0.5 and zmax K-0.5."""
    edges = np.linspace(0, 1, len(colours) + 1)
    return [(float(edges[k + side]), colour) for k, colour in enumerate(colours) for side in (0, 1)]


def new_figure(title: str, *, height: int = 420, **layout: Any) -> "go.Figure":
    """An empty figure in the house style: transparent, so that it sits on a light or a dark page."""
    import plotly.graph_objects as go

    figure = go.Figure()
    style(figure, title, height=height, **layout)
    return figure


def style(figure: "go.Figure", title: str, *, height: int = 420, **layout: Any) -> "go.Figure":
    """Put the house style on a figure, in place, and hand it back."""
    figure.update_layout(
        template="none",
        title={"text": title, "x": 0, "xref": "paper", "xanchor": "left", "font": {"size": 16}},
        height=height,
        font={"family": _FONT, "size": 12, "color": "#6b7280"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        colorway=list(CYCLE),
        margin={"l": 64, "r": 24, "t": 64, "b": 48},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
        hoverlabel={"font": {"family": _FONT}},
    )
    figure.update_layout(**layout)
    line = "rgba(128,128,128,0.25)"
    figure.update_xaxes(gridcolor=line, linecolor=line, zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor=line, linecolor=line, zeroline=False, automargin=True, title={"standoff": 14})
    return figure


def mark_train_end(figure: "go.Figure", dates: NDArray[np.datetime64], train_end: np.datetime64) -> None:
    """A dashed line at train_end, when it lies within the dates: left of it the model has seen the days."""
    if len(dates) == 0 or not dates[0] <= train_end < dates[-1]:
        return
    moment = str(np.datetime_as_string(train_end, "s"))
    figure.add_shape(type="line", x0=moment, x1=moment, y0=0, y1=1, yref="paper", line={"dash": "dash", "color": GREY})
    figure.add_annotation(
        text="train end",
        x=moment,
        y=1,
        yref="paper",
        showarrow=False,
        xanchor="left",
        yanchor="top",
        font={"size": 11, "color": "white"},
        bgcolor="rgba(107,114,128,0.8)",
    )


def moments(dates: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Dates in the shortest form that a figure can carry: days where all are midnights, else seconds."""
    days = dates.astype("datetime64[D]")
    return days if np.array_equal(days, dates) else dates.astype("datetime64[s]")


def hover_date(dates: NDArray[np.datetime64]) -> str:
    """How a hover template writes x: the day, and the hour where some are no midnights."""
    return "%{x|%Y-%m-%d}" if moments(dates).dtype == "datetime64[D]" else "%{x|%Y-%m-%d %H:%M}"


def plain(text: str) -> str:
    """A text that Plotly's little markup shows as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short(name: str, limit: int = 24) -> str:
    """A name for the side of a figure, where long ones would take the picture's room: its start, and an ellipsis."""
    return plain(name if len(name) <= limit else f"{name[: limit - 1].rstrip()}…")


def thin(num_points: int, limit: int = MAX_POINTS) -> NDArray[np.intp]:
    """Evenly spaced indices, at most `limit`, the first and the last among them."""
    return np.unique(np.linspace(0, num_points - 1, min(num_points, limit)).round().astype(np.intp))


def pool_max(values: NDArray[np.floating], max_columns: int) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
    """Pool the columns of (R, C) by their maximum into at most `max_columns`; also the first column of each
    pool. NaN only where a whole pool is NaN."""
    starts = np.arange(0, values.shape[1], max(-(-values.shape[1] // max_columns), 1))
    filled = np.where(np.isnan(values), -np.inf, values)
    pooled = np.maximum.reduceat(filled, starts, axis=1)
    return np.where(np.isneginf(pooled), np.nan, pooled), starts
