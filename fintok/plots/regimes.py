"""Figures of regimes: the ribbon over the market, probabilities, transitions, signatures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.plots.theme import (
    BLUE,
    GREY,
    MAX_POINTS,
    hover_date,
    mark_train_end,
    moments,
    new_figure,
    plain,
    regime_colours,
    stepped_scale,
    thin,
)

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from fintok.regime_result import Regimes


def regime_ribbon(regimes: "Regimes") -> "go.Figure":
    """Cumulative equal-weight market return over a background that shows the regime of every day.

    Of a panel of returns the line is in annual deviations (`fintok.moves.moves_of`).
    """
    import plotly.graph_objects as go

    figure = new_figure("Market regimes", height=440)
    dates, colours = regimes.dates, regime_colours(regimes.num_regimes)
    if len(dates) == 0:
        return figure
    edges = moments(np.append(dates, dates[-1]))
    hover = f"from {hover_date(dates)}: %{{text}}"
    figure.add_trace(spell_strip(regimes.carried, edges, regimes.names, hover=hover, opacity=0.45))
    for name, colour in zip(regimes.names, colours, strict=True):
        marker = {"symbol": "square", "size": 12, "color": colour, "opacity": 0.7}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=name))
    moves = regimes.moves
    path = np.nancumsum(moves.market)
    shown = thin(len(dates), MAX_POINTS)
    figure.add_trace(
        go.Scatter(
            x=moments(dates[shown]),
            y=path[shown].astype(np.float32),
            mode="lines",
            line={"width": 1.4, "color": "#4b5563"},
            name="market",
            meta="ink",  # the report draws such traces in the page's text colour
            hovertemplate=f"{hover_date(dates)}: %{{y:.2f}}<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_layout(
        yaxis={
            "title": {"text": moves.axis_title},
            "overlaying": "y2",  # the line lies on top
            "tickmode": "auto",
        },
        yaxis2={"range": [0, 1], "visible": False, "fixedrange": True},
    )
    mark_train_end(figure, dates, regimes.train_end)
    return figure


def spell_strip(
    labels: NDArray[np.integer], at: NDArray, names: Sequence[str], *, hover: str = "%{text}", opacity: float = 1.0
) -> "go.Heatmap":
    """The ribbon of regimes on the axis y2: a block a spell, of any length. `at` (T + 1,) are the edges of the rows
    of `labels` (T,) on the horizontal axis; -1 = no forecast.
    """
    import plotly.graph_objects as go

    starts = np.flatnonzero(np.diff(labels, prepend=labels[:1] - 1))
    spells = labels[starts]
    shown = np.array([*(plain(name) for name in names), "no forecast"], dtype=object)[spells]
    return go.Heatmap(
        x=np.append(at[starts], at[-1:]),
        y=np.array([0.0, 1.0]),
        z=np.where(spells >= 0, spells, np.nan)[None, :].astype(np.float32),
        text=shown[None, :],
        hovertemplate=f"{hover}<extra></extra>",
        colorscale=stepped_scale(regime_colours(len(names))),
        zmin=-0.5,
        zmax=len(names) - 0.5,
        showscale=False,
        opacity=opacity,
        yaxis="y2",
    )


def regime_probabilities(regimes: "Regimes") -> "go.Figure":
    """Causal probability of each regime, stacked to one."""
    import plotly.graph_objects as go

    figure = new_figure("Regime probabilities", height=320)
    rows = np.flatnonzero(regimes.labels >= 0)
    if len(rows) == 0:
        return figure
    rows = rows[thin(len(rows), 3000)]
    for k, colour in enumerate(regime_colours(regimes.num_regimes)):
        figure.add_trace(
            go.Scatter(
                x=moments(regimes.dates[rows]),
                y=regimes.probabilities[rows, k].astype(np.float32),
                stackgroup="all",
                mode="lines",
                line={"width": 0, "color": colour},
                fillcolor=colour,
                name=regimes.names[k],
                hovertemplate=f"{hover_date(regimes.dates)}: %{{y:.0%}}",
            )
        )
    figure.update_layout(legend={"traceorder": "normal"})
    figure.update_yaxes(range=[0, 1], tickformat=".0%", title={"text": "probability"})
    mark_train_end(figure, regimes.dates, regimes.train_end)
    return figure


def transition_heat_map(regimes: "Regimes") -> "go.Figure":
    """Share of rows on which a regime (row) is followed by another (column)."""
    import plotly.graph_objects as go

    matrix = regimes.transition_matrix
    names, noun = list(regimes.names), regimes.panel.row_noun
    figure = new_figure(f"From one {noun} to the next", height=150 + 62 * len(names))
    figure.add_trace(
        go.Heatmap(
            x=names,
            y=names,
            z=np.sqrt(matrix).astype(np.float32),  # the root keeps rare transitions visible
            text=[[f"{p:.1%}" if p > 0 else "–" for p in row] for row in matrix],
            texttemplate="%{text}",
            colorscale=[(0.0, "rgba(0,114,178,0.04)"), (1.0, "rgba(0,114,178,0.5)")],
            textfont={"color": "#4b5563"},
            meta="ink",
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate="%{y} → %{x}: %{text}<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed", title={"text": f"one {noun}"}, showgrid=False)
    figure.update_xaxes(title={"text": f"next {noun}"}, showgrid=False)
    return figure


def format_signature(signature: "pd.DataFrame", noun: str, *, is_relative: bool = True) -> "pd.DataFrame":
    """The signature table with readable headings and numbers as text; `noun`: what a row is.

    What is in returns reads as per cent a year, or where they are not relative (`Moves.is_relative`) as
    deviations, "own σ", 1 being an asset's own usual volatility.
    """
    import pandas as pd

    def percent(column: str, digits: int = 0) -> list[str]:
        return [f"{value:.{digits}%}" if np.isfinite(value) else "–" for value in signature[column]]

    def number(column: str, digits: int) -> list[str]:
        return [f"{value:,.{digits}f}" if np.isfinite(value) else "–" for value in signature[column]]

    def moves(column: str) -> list[str]:
        return percent(column, 1) if is_relative else number(column, 2)

    a_year = "p.a." if is_relative else "p.a., own σ"
    return pd.DataFrame(
        {
            "Regime": [f"{k} · {name}" for k, name in zip(signature.index, signature["name"], strict=True)],
            f"{noun}s".capitalize(): number("days", 0),
            "Share": percent("share", 1),
            f"Volatility {a_year}": moves("volatility"),
            f"Mean {a_year}": moves("mean"),
            "Correlation": number("correlation", 2),
            f"Dispersion {a_year}": moves("dispersion"),
            "Mean spell": number("mean_duration", 0),
            "Entries p.a.": number("switches_per_year", 1),
        }
    )


def score_by_number(table: "pd.DataFrame", chosen: int) -> "go.Figure":
    """Held-out log score by number of regimes (`fintok.choose_regimes`), with the error of its distance to the best."""
    import plotly.graph_objects as go

    figure = new_figure("What a day's regime tells of the next day", height=340)
    numbers = table.index.to_list()
    figure.add_trace(
        go.Scatter(
            x=numbers,
            y=table["log_score"].to_numpy(),
            error_y={"array": table["error"].to_numpy(), "color": GREY},
            mode="lines+markers",
            line={"color": BLUE},
            marker={"size": [14 if number == chosen else 8 for number in numbers], "color": BLUE},
            hovertemplate="%{x} regimes: %{y:.4f} nats<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_xaxes(dtick=1, title={"text": "regimes"})
    figure.update_yaxes(title={"text": "nats per asset-day"})
    return figure
