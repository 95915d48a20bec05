"""Figures of anomaly scores: the heat map of all of them, and the strangest events one by one."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.moves import deviations
from fintok.plots.theme import (
    BLUE,
    GREY,
    MAX_CELLS,
    VERMILION,
    hover_date,
    mark_train_end,
    moments,
    new_figure,
    plain,
    pool_max,
    short,
    style,
)
from fintok.report_tables import dates_as_text
from fintok.signature import market_return

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from fintok.attribution import Attribution
    from fintok.score_result import Scores

_MAX_ROWS = 60  # assets a heat map can show with readable names
_MAX_MARKS = 1500
_ROWS_BEFORE = 60  # of an event's picture; a third as many follow the peak
_SCORE_CAP = 6.0  # one in a million: stranger than that needs no further shade
_SCORE_FLOOR = 1.0  # one in ten: everyday, left blank
_CLEAR_TO_STRANGE = [
    (0.0, "rgba(86,180,233,0)"),
    (0.3, "rgba(86,180,233,0.55)"),
    (0.6, "rgba(230,159,0,0.95)"),
    (1.0, "rgba(190,40,0,1)"),
]


def score_heat_map(scores: "Scores", *, max_columns: int = 900) -> "go.Figure":
    """Scores by asset (row) and date (column), with a mark at the peak of each alert event.

    With more than 60 assets, those with the highest single scores are shown. Dates are pooled by maximum.
    """
    import plotly.graph_objects as go

    chosen = _strangest_assets(scores.score)
    names = [scores.assets[a] for a in chosen]
    shown_names = [plain(name) for name in names]
    is_all = len(chosen) == len(scores.assets)
    title = "Anomaly scores" + ("" if is_all else f", the {len(chosen)} strangest of {len(scores.assets):,} assets")
    figure = new_figure(title, height=int(np.clip(170 + 15 * len(chosen), 300, 1400)))
    if len(scores.dates) == 0 or len(chosen) == 0:
        return figure
    columns = min(max_columns, MAX_CELLS // max(len(chosen), 1))
    pooled, starts = pool_max(scores.score[:, chosen].T, columns)
    pooled_rows = int(starts[1]) if len(starts) > 1 else 1
    cell = "score" if pooled_rows == 1 else f"highest score of {pooled_rows} {scores.panel.row_noun}s from then"
    figure.add_trace(
        go.Heatmap(
            x=moments(scores.dates[starts]),
            y=shown_names,
            z=pooled.astype(np.float32),
            zmin=_SCORE_FLOOR,
            zmax=_SCORE_CAP,
            colorscale=_CLEAR_TO_STRANGE,
            colorbar={
                "title": {"text": "score"},
                "thickness": 12,
                "tickvals": [1, 2, 3, 4, 5, 6],
                "ticktext": ["≤ 1", "2", "3", "4", "5", "6+"],
            },
            hovertemplate=f"%{{y}}, {hover_date(scores.dates)}: {cell} %{{z:.1f}}<extra></extra>",
        )
    )
    events = scores.events()
    events = events[events["symbol"].isin(names)].head(_MAX_MARKS)
    if len(events):
        figure.add_trace(
            go.Scatter(
                x=moments(np.asarray(events["peak"])),
                y=[plain(symbol) for symbol in events["symbol"]],
                mode="markers",
                marker={"size": 5, "color": VERMILION, "symbol": "circle-open", "line": {"width": 1.2}},
                text=list(events["reason"]),
                name="alert",
                hovertemplate=f"%{{y}}, {hover_date(scores.dates)}: %{{text}}<extra></extra>",
                showlegend=True,
            )
        )
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, tickfont={"size": 10})
    figure.update_yaxes(tickvals=shown_names, ticktext=[short(name) for name in names])
    ends = [str(day) for day in moments(scores.dates[[0, -1]])]
    figure.update_xaxes(showgrid=False, range=ends)
    mark_train_end(figure, scores.dates, scores.train_end)
    return figure


def _strangest_assets(score: NDArray[np.floating]) -> NDArray[np.intp]:
    """Columns to show, in panel order: all, or the 60 with the highest scores."""
    peak = np.where(np.isnan(score), -np.inf, score).max(axis=0, initial=-np.inf)
    return np.sort(np.argsort(-peak, kind="stable")[:_MAX_ROWS])


def top_events(scores: "Scores", *, num_events: int = 6) -> "pd.DataFrame":
    """The strangest events, from the days that the model has not seen where there are any."""
    events = scores.events()
    new = events.loc[~events["in_sample"].to_numpy()]
    return (new if len(new) else events).iloc[:num_events]


def event_windows(scores: "Scores", *, num_events: int = 6) -> "go.Figure":
    """The strangest events as small price pictures: the asset against the market's mean, event shaded.

    Each picture starts at 0, 60 rows before the peak, and ends 20 rows after it. It is in
    per cent, or for a panel of returns (which may be differences of anything) in deviations of the asset's own:
    1 is its usual move of one row.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    events = top_events(scores, num_events=num_events).to_dict("records")
    num_rows = max(-(-len(events) // 2), 1)
    peaks = dates_as_text(np.array([event["peak"] for event in events], dtype="datetime64[ns]"))
    titles = [
        f"<b>{short(event['symbol'])}</b> · {peak} · {event['reason']}"
        for event, peak in zip(events, peaks, strict=True)
    ]
    figure = make_subplots(
        rows=num_rows,
        cols=2,
        subplot_titles=titles or None,
        horizontal_spacing=0.08,
        vertical_spacing=min(0.34 / num_rows, 0.2),
    )
    height = 230 * num_rows
    style(
        figure,
        "The strangest events",
        height=136 + height,
        margin={"t": 96, "l": 56, "r": 24, "b": 40},
        legend={"y": 1.0 + 26.0 / height},  # above the names of the pictures, however many rows there are
    )
    is_priced = scores.panel.values == "prices"
    returns = scores.panel.returns if is_priced else deviations(scores.panel)
    market, returns = np.nan_to_num(market_return(returns)), np.nan_to_num(returns)
    value = ":.1%" if is_priced else ":.1f"
    for place, event in enumerate(events):
        peak = int(np.searchsorted(scores.dates, event["peak"].to_datetime64()))
        window = slice(max(peak - _ROWS_BEFORE, 0), min(peak + _ROWS_BEFORE // 3, len(returns)))
        asset = scores.assets.index(event["symbol"])
        paths = {"market": (market[window], GREY), "asset": (returns[window, asset], BLUE)}
        for name, (moves, colour) in paths.items():
            line = go.Scatter(
                x=moments(scores.dates[window]),
                y=(np.expm1(np.cumsum(moves)) if is_priced else np.cumsum(moves)).astype(np.float32),
                mode="lines",
                name=name,
                legendgroup=name,
                showlegend=place == 0,
                line={"width": 1.6, "color": colour},
                hovertemplate=f"{hover_date(scores.dates)}: %{{y{value}}}",
            )
            figure.add_trace(line, row=place // 2 + 1, col=place % 2 + 1)
        axis = "" if place == 0 else str(place + 1)
        half_row = (scores.dates[window][-1] - scores.dates[window][0]) / max(2 * (window.stop - window.start - 1), 1)
        figure.add_shape(
            type="rect",
            xref=f"x{axis}",
            yref=f"y{axis} domain",
            x0=str(event["start"].to_datetime64() - half_row),
            x1=str(event["end"].to_datetime64() + half_row),
            y0=0,
            y1=1,
            fillcolor=VERMILION,
            opacity=0.25,
            line={"width": 0},
        )
    figure.update_annotations(font={"size": 12})
    figure.update_yaxes(tickformat=".2~%" if is_priced else "~g")
    figure.update_xaxes(nticks=5)
    return figure


def evidence_shares(found: "Attribution") -> "go.Figure":
    """Share of the combined evidence by statistic, the largest on top; no bars where there is no score."""
    import plotly.graph_objects as go

    table = found.statistics.iloc[::-1]
    date = dates_as_text(found.days["date"].to_numpy())[-1]
    figure = new_figure(f"What speaks against {plain(found.symbol)} on {date}", height=110 + 28 * len(table))
    figure.add_trace(
        go.Bar(
            x=table["share"].to_numpy(dtype=np.float32),
            y=list(table["meaning"]),
            orientation="h",
            marker={"color": BLUE},
            customdata=np.stack([table["value"], table["p_value"]], axis=1),
            hovertemplate="%{y}: %{x:.0%}<br>value %{customdata[0]:.3g}, p %{customdata[1]:.2g}<extra></extra>",
        )
    )
    figure.update_xaxes(title={"text": "share of the evidence"}, tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(showgrid=False, automargin=True)
    return figure


def alarm_rates(scores: "Scores") -> "go.Figure":
    """Alarms by score per 1,000 asset-days in each calendar year, beside the budget, a dotted line."""
    import plotly.graph_objects as go

    years = scores.dates.astype("datetime64[Y]")
    first = np.unique(years)
    calibrated = np.isfinite(scores.p_value).sum(axis=1)
    alarms = scores.is_alarm.sum(axis=1)
    place = np.searchsorted(first, years)
    total = np.bincount(place, weights=calibrated, minlength=len(first))
    rate = 1000.0 * np.bincount(place, weights=alarms, minlength=len(first)) / np.maximum(total, 1.0)
    shown = total > 0
    labels, budget = first[shown].astype(np.int64) + 1970, scores.alarms_per_1000
    has_line = len(labels) > 0 and np.isfinite(budget)
    legend = f" (dotted: the budget, {budget:g})" if has_line else ""
    figure = new_figure(f"Alarms per 1,000 asset-{scores.panel.row_noun}s, by year{legend}", height=280)
    figure.add_trace(
        go.Bar(
            x=labels,
            y=rate[shown].astype(np.float32),
            marker={"color": BLUE},
            hovertemplate="%{x}: %{y:.2f}<extra></extra>",
        )
    )
    if has_line:
        figure.add_hline(y=budget, line={"dash": "dot", "color": VERMILION, "width": 2})
    figure.update_xaxes(showgrid=False, tickformat="d", dtick=max(1, -(-len(labels) // 16)))
    figure.update_yaxes(title={"text": "alarms"}, rangemode="tozero")
    return figure
