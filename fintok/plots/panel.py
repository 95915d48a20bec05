"""Figures of a panel before any model: its market, its coverage, what looks wrong in it."""

from typing import TYPE_CHECKING

import numpy as np

from fintok.moves import moves_of
from fintok.plots.theme import BLUE, CYCLE, GREY, MAX_POINTS, hover_date, moments, new_figure, plain, thin

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from fintok.health import PanelHealth
    from fintok.panel import Panel

_MAX_MARKS = 5000


def panel_overview(panel: "Panel") -> "go.Figure":
    """Cumulative equal-weight return, above the number of assets with a return on each date.

    Of a panel of returns it is in annual deviations (`fintok.moves.moves_of`).
    """
    import plotly.graph_objects as go

    figure = new_figure(f"{panel.num_assets:,} assets, {panel.num_days:,} {panel.row_noun}s", height=460)
    shown = thin(panel.num_days, MAX_POINTS) if panel.num_days else np.arange(0)
    dates = moments(panel.dates[shown])
    moves = moves_of(panel)
    path = np.nancumsum(moves.market)[shown].astype(np.float32)
    counts = panel.is_observed.sum(axis=1)[shown]
    figure.add_trace(go.Scatter(x=dates, y=path, mode="lines", line={"width": 1.3, "color": BLUE}, name="market"))
    figure.add_trace(
        go.Scatter(
            x=dates,
            y=counts,
            mode="lines",
            line={"width": 1.0, "color": GREY, "shape": "hv"},
            fill="tozeroy",
            name="assets with a return",
            yaxis="y2",
        )
    )
    figure.update_layout(
        yaxis={"domain": [0.36, 1.0], "title": {"text": moves.axis_title}},
        yaxis2={"domain": [0.0, 0.26], "title": {"text": "assets"}, "rangemode": "tozero"},
        xaxis={"anchor": "y2"},
    )
    return figure


def findings_map(health: "PanelHealth") -> "go.Figure":
    """Each finding as a mark at its date and asset, coloured by kind; at most 5,000 marks a kind."""
    import plotly.graph_objects as go

    panel, findings = health.panel, health.findings
    count = len(findings.row)
    title = f"{count:,} finding{'s' if count > 1 else ''}" if count else "Nothing looks wrong"
    figure = new_figure(title, height=int(np.clip(200 + 14 * panel.num_assets, 320, 1100)))
    names = np.array([*(plain(name) for name in panel.assets), "all assets"], dtype=object)
    for number, kind in enumerate(dict.fromkeys(findings.kind.tolist())):
        chosen = np.flatnonzero(findings.kind == kind)[:_MAX_MARKS]
        figure.add_trace(
            go.Scatter(
                x=moments(panel.dates)[findings.row[chosen]],
                y=names[findings.asset[chosen]],
                customdata=findings.days[chosen],
                mode="markers",
                marker={"size": 7, "color": CYCLE[number % len(CYCLE)], "symbol": number % 8},
                name=kind,
                cliponaxis=False,
                hovertemplate=f"%{{y}} {hover_date(panel.dates)}, rows: %{{customdata}}<extra>{kind}</extra>",
            )
        )
    figure.update_layout(yaxis={"type": "category"}, showlegend=True)  # one kind has a name, too
    if count:
        figure.update_xaxes(range=[str(date) for date in moments(panel.dates[[0, -1]])])
    return figure
