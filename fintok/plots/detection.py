"""Figures of a contest of detectors: what each caught, and how often each spoke without cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fintok.plots.theme import BLUE, CYCLE, GREY, new_figure, plain, style

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

_NONE_TO_ALL = [(0.0, "rgba(86,180,233,0.05)"), (0.5, "rgba(86,180,233,0.75)"), (1.0, "rgba(0,90,160,1)")]


def recall_map(table: pd.DataFrame) -> go.Figure:
    """Recall by kind (row) and detector (column), from a table with a row a kind and a column a detector."""
    import plotly.graph_objects as go

    detectors = [name for name in table.columns if name not in ("kind", "faults", "counts")]
    values = np.asarray(table[detectors], dtype=np.float32)
    figure = new_figure("Planted faults caught", height=190 + 22 * len(table), margin={"t": 150, "l": 140})
    figure.update_layout(title={"y": 1.0, "yanchor": "top", "pad": {"t": 12}})  # above the names of the detectors
    figure.add_trace(
        go.Heatmap(
            x=[plain(name) for name in detectors],
            y=[plain(kind) for kind in table["kind"]],
            z=values,
            zmin=0.0,
            zmax=1.0,
            colorscale=_NONE_TO_ALL,
            colorbar={"title": {"text": "recall"}, "thickness": 12, "tickformat": ".0%"},
            text=[[f"{100 * value:.0f}" if np.isfinite(value) else "" for value in row] for row in values],
            texttemplate="%{text}",
            hovertemplate="%{y}, %{x}: %{z:.0%}<extra></extra>",
            xgap=1,
            ygap=1,
        )
    )
    figure.update_xaxes(side="top", showgrid=False, tickangle=-30)
    figure.update_yaxes(autorange="reversed", showgrid=False, dtick=1)
    return figure


def alarm_lines(table: pd.DataFrame) -> go.Figure:
    """Alarms per 1,000 asset-days by year, a line a detector; its other periods are left to the table."""
    import plotly.graph_objects as go

    years = table[table["period"].str.fullmatch(r"\d{4}")]
    figure = new_figure("Alarms per 1,000 asset-days, by year", height=360, legend={"y": -0.2, "x": 0.5})
    figure.update_layout(legend={"xanchor": "center", "yanchor": "top"})
    for place, name in enumerate(table.columns[2:]):
        is_ours = place == 0
        figure.add_trace(
            go.Scatter(
                x=[int(year) for year in years["period"]],
                y=np.asarray(years[name], dtype=np.float32),
                mode="lines+markers",
                name=plain(name),
                line={"width": 3.0 if is_ours else 1.3, "color": BLUE if is_ours else _shade(place)},
                marker={"size": 7 if is_ours else 4},
                hovertemplate=f"{plain(name)}, %{{x}}: %{{y:.2f}}<extra></extra>",
            )
        )
    figure.update_xaxes(showgrid=False, tickformat="d", dtick=max(1, -(-len(years) // 16)))
    figure.update_yaxes(title={"text": "alarms"}, rangemode="tozero")
    return figure


def recall_by_severity(table: pd.DataFrame) -> go.Figure:
    """Recall from mild to harsh, a small picture a family: fintok, and the best of the others at each rung."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    families = list(dict.fromkeys(table["family"]))
    detectors = [name for name in table.columns if name not in ("family", "kind", "faults")]
    ours = detectors[0]
    rivals = [name for name in detectors if not name.startswith(ours)]
    num_rows = max(-(-len(families) // 4), 1)
    figure = make_subplots(rows=num_rows, cols=4, subplot_titles=families or None, vertical_spacing=0.5 / num_rows)
    height = 230 * num_rows - 82
    legend = {"y": 1.0 + 26.0 / height}  # above the names of the pictures, however many rows there are
    style(figure, "From mild to harsh", height=192 + height, margin={"t": 96, "b": 96}, legend=legend)
    for place, family in enumerate(families):
        rungs = table[table["family"] == family]
        lines = {ours: (rungs[ours], BLUE), "best of the others": (rungs[rivals].max(axis=1), GREY)}
        for name, (recall, colour) in lines.items():
            line = go.Scatter(
                x=[plain(rung) for rung in rungs["kind"]],
                y=np.asarray(recall, dtype=np.float32),
                mode="lines+markers",
                name=name,
                legendgroup=name,
                showlegend=place == 0,
                line={"color": colour, "width": 2.0},
                hovertemplate="%{x}: %{y:.0%}",
            )
            figure.add_trace(line, row=place // 4 + 1, col=place % 4 + 1)
    figure.update_yaxes(range=[-0.03, 1.03], tickformat=".0%")
    figure.update_xaxes(tickfont={"size": 10}, tickangle=30)
    return figure


def _shade(place: int) -> str:
    return CYCLE[place % len(CYCLE)] if place < len(CYCLE) else GREY
