"""Figures of regimes: the market over them, what follows what, and how long they last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from fintok.plots.regimes import spell_strip
from fintok_dashboard.figures import (
    Ink,
    blank,
    hover_date,
    legend_of,
    mark_train_end,
    market_line,
    message,
    moments,
    plain,
    regime_colours,
    tell,
)
from fintok_dashboard.resample import thin_line
from fintok_dashboard.standing import spells_of

if TYPE_CHECKING:
    from fintok.regime_result import Regimes
    from fintok_dashboard.reading import Reading

_POINTS = 1_500
HISTORY, SMALL = 430, 330  # heights


def history(
    reading: Reading, regimes: Regimes, rows: slice, ink: Ink, *, title: str, height: int | None = HISTORY
) -> go.Figure:
    """The market over the ribbon of regimes, and the probabilities below."""
    if (regimes.labels[rows] < 0).all():
        return message("no regime is known on these dates", ink, height=height, title=title)
    shown = blank(title, ink, height=height)
    dates, date = moments(reading.panel.dates), hover_date(reading.panel.dates)
    edges = np.append(dates[rows], dates[rows.stop - 1 : rows.stop])
    shown.add_trace(spell_strip(regimes.labels[rows], edges, regimes.names, opacity=0.5))
    path, axis = market_line(reading, rows)
    points = thin_line(path, _POINTS)
    shown.add_trace(
        go.Scatter(
            x=dates[rows][points],
            y=path[points].astype(np.float32),
            mode="lines",
            line={"width": 1.4, "color": ink.text},
            hovertemplate=f"{date}: %{{y:,.4~g}}<extra></extra>",
        )
    )
    known = np.arange(rows.start, rows.stop)[regimes.labels[rows] >= 0]
    known = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), _POINTS)).astype(int))]
    for k, colour in enumerate(regime_colours(regimes.num_regimes)):
        shown.add_trace(
            go.Scatter(
                x=dates[known],
                y=regimes.probabilities[known, k].astype(np.float32),
                stackgroup="all",
                mode="lines",
                line={"width": 0, "color": colour},
                fillcolor=colour,
                name=plain(regimes.names[k]),
                hovertemplate=f"{date}: %{{y:.0%}}",
                yaxis="y3",
            )
        )
    shown.update_layout(
        yaxis={"domain": [0.36, 1.0], "overlaying": "y2", **axis},
        yaxis2={"domain": [0.36, 1.0], "range": [0, 1], "visible": False, "fixedrange": True},
        yaxis3={
            "domain": [0.0, 0.28],
            "range": [0, 1],
            "tickformat": ".0%",
            "nticks": 3,
            "title": {"text": "probability"},
        },
        xaxis={"anchor": "y3"},
        showlegend=False,
    )
    tell(shown, legend_of(regimes.names, regime_colours(regimes.num_regimes)))
    mark_train_end(shown, reading.panel.dates[rows], regimes.train_end)
    return shown


def transitions(regimes: Regimes, rows: slice, ink: Ink) -> go.Figure:
    """Which regime followed which, when one ended."""
    spell = spells_of(regimes.labels[rows]).regime
    count = np.zeros((regimes.num_regimes, regimes.num_regimes), dtype=int)
    here, there = spell[:-1], spell[1:]
    both = (here >= 0) & (there >= 0)
    np.add.at(count, (here[both], there[both]), 1)
    if not count.any():
        return message("no regime ended on these dates", ink, height=SMALL, title="When a regime ends, what follows")
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    names = [plain(name) for name in regimes.names]
    cells = [list(zip(*pair, strict=True)) for pair in zip(share, count, strict=True)]
    shown = blank("When a regime ends, what follows", ink, height=SMALL)
    shown.add_trace(
        go.Heatmap(
            x=names,
            y=names,
            z=share.astype(np.float32),
            text=[[f"{part:.0%} ({times})" if times else "–" for part, times in row] for row in cells],
            texttemplate="%{text}",
            textfont={"color": ink.text},
            colorscale=[(0.0, "rgba(0,114,178,0.04)"), (1.0, "rgba(0,114,178,0.6)")],
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate="%{y} → %{x}: %{text}<extra></extra>",
        )
    )
    shown.update_yaxes(autorange="reversed", showgrid=False, ticks="", title={"text": "ended"})
    shown.update_xaxes(showgrid=False, ticks="", tickangle=0, title={"text": "followed by (times)"})
    return shown


def durations(regimes: Regimes, rows: slice, ink: Ink) -> go.Figure:
    """How long the spells lasted, each one a point."""
    starts, lengths, spell = spells_of(regimes.labels[rows])
    title = "How long each spell lasted"
    if not (spell >= 0).any():
        return message("no regime is known on these dates", ink, height=SMALL, title=title)
    noun = f"{regimes.panel.row_noun}s"
    shown = blank(title, ink, height=SMALL, showlegend=False)
    dates = regimes.dates[rows]
    for k, colour in enumerate(regime_colours(regimes.num_regimes)):
        mine = np.flatnonzero(spell == k)
        shown.add_trace(
            go.Box(
                x=lengths[mine].astype(np.int32),
                name=plain(regimes.names[k]),
                boxpoints="all",
                jitter=0.5,
                pointpos=0,
                marker={"color": colour, "size": 6, "line": {"width": 0.5, "color": ink.text}},
                line={"color": ink.soft, "width": 1},
                fillcolor="rgba(128,128,128,0.12)",
                text=[f"from {np.datetime_as_string(dates[starts[s]], 'D')}" for s in mine],
                hovertemplate=f"%{{x}} {noun}, %{{text}}<extra></extra>",
            )
        )
    shown.update_xaxes(type="log", title={"text": noun}, tickformat=",d", dtick=1, minor={"dtick": "D1"})
    shown.update_yaxes(autorange="reversed", showgrid=False)
    return shown
