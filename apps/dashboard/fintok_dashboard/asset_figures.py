"""Figures of one asset: its history, one patch of it, what speaks against a day, and its peers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from fintok.plots.counterfactual import patch_traces
from fintok_dashboard.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Ink,
    blank,
    hover_date,
    mark_train_end,
    message,
    moments,
    plain,
    price_axis,
    short,
    tell,
)
from fintok_dashboard.formats import moment, number
from fintok_dashboard.likeness import path_around, peers_of
from fintok_dashboard.resample import thin_line

if TYPE_CHECKING:
    from fintok.counterfactual import Counterfactual
    from fintok_dashboard.reading import Reading
    from fintok_dashboard.view import View

_POINTS = 1_600
_TOP_SCORE = 10.0  # of the axis: a wilder day must not flatten the others
_BEFORE, _AFTER = 30, 15  # rows of the peers' picture
SMALL, HISTORY, PEERS = 300, 400, 380  # heights


def price_and_score(reading: Reading, view: View, rows: slice, row: int, column: int, ink: Ink) -> go.Figure:
    """Price with alerts, and below it the score with the threshold that it would have to pass on each date."""
    panel, scores = reading.panel, reading.scores
    dates = moments(panel.dates)
    name, is_priced = plain(panel.assets[column]), panel.prices is not None
    noun = "price" if is_priced else "sum of returns"
    figure = blank(f"{name}: {noun} and score", ink, height=HISTORY, hovermode="closest")
    path = panel.prices[:, column] if panel.prices is not None else _sum_of(panel.returns[:, column])
    shown = rows.start + thin_line(path[rows], _POINTS)
    date = hover_date(panel.dates)
    hover = {"mode": "lines", "hovertemplate": f"{date}: %{{y:.5~g}}<extra></extra>"}
    line = {"width": 1.4, "color": ink.text}
    figure.add_trace(go.Scatter(x=dates[shown], y=path[shown], name=noun, line=line, yaxis="y2", **hover))
    alerts = reading.alarms.at(view.alarms).within(rows, np.array([column]))
    kinds = ((True, "alarm", VERMILION, "circle"), (False, "named check", ORANGE, "diamond"))
    for is_alarm, text, colour, symbol in kinds:
        at = alerts.row[alerts.is_alarm == is_alarm]
        figure.add_trace(
            go.Scatter(
                x=dates[at],
                y=path[at],
                mode="markers",
                marker={"size": 8, "color": colour, "symbol": symbol, "line": {"width": 1, "color": ink.card}},
                name=text,
                text=alerts.reason[alerts.is_alarm == is_alarm],
                hovertemplate=f"{date}: %{{text}}<extra></extra>",
                yaxis="y2",
            )
        )
    score = scores.score[:, column]
    shown = rows.start + thin_line(score[rows], _POINTS)
    line = {"width": 1, "color": ink.main}
    figure.add_trace(go.Scatter(x=dates[shown], y=score[shown].astype(np.float32), name="score", line=line, **hover))
    threshold = reading.alarms.thresholds(view.alarms)
    shown = rows.start + thin_line(threshold[rows], _POINTS // 2)
    figure.add_trace(
        go.Scatter(
            x=dates[shown],
            y=threshold[shown].astype(np.float32),
            name=f"threshold at {view.alarms:g} per 1,000",
            line={"width": 1.4, "color": VERMILION, "dash": "dot", "shape": "hv"},
            **hover,
        )
    )
    day, line = str(dates[row]), {"width": 1.5, "color": PURPLE}
    figure.add_shape(type="line", x0=day, x1=day, y0=0, y1=1, yref="paper", line=line, layer="below")
    figure.update_layout(
        yaxis={"domain": [0, 0.36], "title": {"text": "score"}, "nticks": 4},
        yaxis2={
            "domain": [0.42, 1],
            "title": {"text": noun},
            **(price_axis(path[rows], most=6) if is_priced else {"tickformat": "~g"}),
        },
        xaxis={"anchor": "y"},
    )
    mark_train_end(figure, panel.dates[rows], scores.train_end)
    highest = float(np.nanmax(np.append(score[rows], threshold[rows]), initial=1.0))
    figure.update_layout(yaxis={"range": [0, 1.05 * min(highest, _TOP_SCORE)]})
    if rows.start < rows.stop:
        figure.update_xaxes(range=[str(dates[rows.start]), str(dates[rows.stop - 1])])
    return figure


def patch(found: Counterfactual, ink: Ink) -> go.Figure:
    """The patch seen beside the one the model expected from the other assets and the past."""
    figure = blank("The patch seen, and the one expected", ink, height=SMALL)
    days = [moment(day)[5:] for day in found.dates]  # the year stands above
    seen, expected = patch_traces(found, days, ink.main, ink.text, ink.soft)
    figure.add_traces([seen, expected.update(name="expected ± 2 sd")])  # short: the legend is one line
    _mark_days(figure, days)
    figure.update_yaxes(tickformat=".1~%" if found.values == "prices" else "~g", nticks=6)
    _legend_below(figure, f"surprise {number(found.surprise)} nats, usually {number(found.usual)}")
    return figure


def statistics_bars(reading: Reading, row: int, column: int, ink: Ink) -> go.Figure:
    """Share of each statistic in the evidence."""
    title = "What speaks against the date"
    panel, scores = reading.panel, reading.scores
    if not scores.statistics:
        return message_for(title, "the scores came from a file, which holds no statistics", ink)
    found = scores.attribution(panel.dates[row], panel.assets[column]).statistics.iloc[::-1]
    if not np.isfinite(found["share"]).any():
        return message_for(title, "there is no score on this date", ink)
    figure = blank(title, ink, height=SMALL, margin={"l": 8, "r": 18, "t": 52, "b": 34})
    figure.add_trace(
        go.Bar(
            x=found["share"].to_numpy(dtype=np.float32),
            y=[plain(text) for text in found["meaning"]],
            orientation="h",
            marker={"color": ink.main},
            customdata=np.stack([found["value"], found["p_value"]], axis=1),
            hovertemplate="%{y}: %{x:.0%} of the evidence<br>"
            "value %{customdata[0]:.3g}, p %{customdata[1]:.2g}<extra></extra>",
        )
    )
    tell(figure, "share of the evidence")
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", nticks=5)
    figure.update_yaxes(tickfont={"size": 11}, showgrid=False)
    return figure


def day_shares(reading: Reading, row: int, column: int, ink: Ink) -> go.Figure:
    """Return and what the peers led to expect, on the last days, with each day's share of the difference."""
    title = "The return seen, and the one expected"
    panel, scores = reading.panel, reading.scores
    days = scores.attribution(panel.dates[row], panel.assets[column]).days
    if not scores.statistics:
        return message_for(title, "nothing is expected of these dates: a file of scores holds no peers' returns", ink)
    if not np.isfinite(days["return"]).any():
        return message_for(title, "there is no return on these dates", ink)
    if not np.isfinite(days["expected"]).any():
        return message_for(title, "too few dates before to say what its peers led to expect", ink)
    figure = blank(title, ink, height=SMALL)
    x = [moment(day)[5:] for day in days["date"].to_numpy()]  # the year stands above
    is_priced = panel.values == "prices"
    form = ":.2%" if is_priced else ":.4g"
    share = days["share"].to_numpy(dtype=np.float64)
    shade = np.nan_to_num(share)
    for name, values in (("return", days["return"]), ("expected", days["expected"])):
        opacity = 0.35 + 0.65 * shade / max(shade.max(), 1e-9) if name == "return" else 0.9
        figure.add_trace(
            go.Bar(
                x=x,
                y=np.asarray(np.expm1(values) if is_priced else values, dtype=np.float32),
                name=name,
                marker={"color": VERMILION if name == "return" else SKY, "opacity": opacity},
                customdata=share,
                hovertemplate=f"%{{x}}: {name} %{{y{form}}}, %{{customdata:.0%}} of the difference<extra></extra>",
            )
        )
    _mark_days(figure, x, step=3)
    figure.update_yaxes(tickformat=".1~%" if is_priced else "~g", nticks=6)
    _legend_below(figure, "by its peers' returns; stronger: more of the difference")
    return figure


def around(reading: Reading, row: int, column: int, ink: Ink) -> go.Figure:
    """The asset and its six nearest peers before and after the day."""
    panel = reading.panel
    name, day = plain(panel.assets[column]), moment(panel.dates[row])
    title = f"{name} and its peers around {day}"
    if not np.isfinite(panel.returns[max(row - _BEFORE, 0) : row + _AFTER + 1, column]).any():
        return message("there is no return on these dates", ink, height=PEERS, title=title)
    figure = blank(title, ink, height=PEERS)
    chosen = [*peers_of(panel, row, column).tolist(), column]
    is_relative = panel.values == "prices"
    returns = panel.returns[:, chosen]
    if not is_relative:  # units of their own: put on one scale by their usual size up to the day
        size = np.nanstd(returns[max(row - 500, 0) : row + 1], axis=0)
        returns = returns / np.where(size > 0, size, 1.0)
    rows, path = path_around(returns, row, _BEFORE, _AFTER)
    colours = (BLUE, ORANGE, GREEN, SKY, PURPLE, GREY)
    for place, asset in enumerate(chosen):
        own = asset == column
        values = np.expm1(path[:, place]) if is_relative else path[:, place]
        figure.add_trace(
            go.Scatter(
                x=moments(panel.dates[rows]),
                y=values.astype(np.float32),
                mode="lines",
                name=short(panel.assets[asset], 14),
                line={"width": 3 if own else 1.4, "color": ink.text if own else colours[place]},
                hovertemplate=f"{hover_date(panel.dates)}: %{{y:{'.1%' if is_relative else '.2f'}}}",
            )
        )
    figure.add_vline(x=str(moments(panel.dates)[row]), line={"width": 1, "dash": "dash", "color": GREY})
    figure.update_yaxes(tickformat=".1~%" if is_relative else "~g")
    _legend_below(figure)
    return figure


def _sum_of(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,) sum of the returns so far, NaN where there is none: before the first one it is not 0."""
    return np.where(np.isfinite(returns), np.nancumsum(returns), np.nan)


def message_for(title: str, text: str, ink: Ink) -> go.Figure:
    """A small figure that cannot be drawn, and why."""
    return message(text, ink, height=SMALL, title=title)


def _mark_days(figure: go.Figure, days: list[str], step: int = 1) -> None:
    """Every so many days named under the axis; an hour stands below its day: five fit a third of a window."""
    marked = days[::step]
    texts = [day.replace(" ", "<br>") for day in marked]
    figure.update_xaxes(type="category", tickfont={"size": 10}, showgrid=False, tickangle=0)
    figure.update_xaxes(tickvals=marked, ticktext=texts)


def _legend_below(figure: go.Figure, note: str = "") -> None:
    """The legend under the axis, and a note beside the title's line."""
    # a second line of ticks, of hours, needs room above the legend
    has_hours = any("<br>" in text for text in figure["layout"]["xaxis"]["ticktext"] or ())
    y, bottom = (-0.22, 68) if has_hours else (-0.14, 56)
    figure.update_layout(legend={"y": y, "yanchor": "top", "x": 0, "xanchor": "left"}, margin={"b": bottom})
    if note:
        tell(figure, note)
