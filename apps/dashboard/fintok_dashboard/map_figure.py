"""The figure of the Map: what a window shows of a view, drawn, and what was clicked or dragged in it."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from fintok.plots.regimes import spell_strip
from fintok_dashboard.figures import (
    Ink,
    blank,
    ink_of,
    legend_of,
    market_line,
    regime_colours,
    score_bar,
    short,
)
from fintok_dashboard.formats import plural
from fintok_dashboard.resample import MISSING, Grid, pool, strangest, thin_line
from fintok_dashboard.selection import Selection, select
from fintok_dashboard.ticks import date_ticks, name_ticks
from fintok_dashboard.view import View

if TYPE_CHECKING:
    from fintok_dashboard.reading import Reading

_HEAT = 0  # number of the trace
_KEPT = 4  # plans of a reading
_MARGIN = {"l": 76, "r": 64, "t": 38, "b": 30}
_NAME_LENGTH = 12  # letters that fit into the left margin
_DOMAINS = {"heat": (0.0, 0.775), "ribbon": (0.79, 0.82), "market": (0.845, 1.0)}
FRAME_HEIGHT = 178  # pixels of the window above and below the figure
_ONE_LINE = 640  # pixels of the heat map above which what stands over it fits into a line
_LINE_HEIGHT = 16
_PIXELS_A_COLUMN = 2.0
_MAX_MARKS = 200  # a browser draws each one as an element of its own


class Plan(NamedTuple):
    """What a window of a certain size shows of a view."""

    selection: Selection
    assets: np.ndarray  # columns of the panel, from the top row of the map down
    first: int  # place in the order of the top row
    grid: Grid
    width: int  # pixels of the heat map
    height: int


def plan(reading: Reading, view: View, size: dict[str, int] | None) -> Plan:
    """The cells of a view in a window of a size in pixels."""
    size = size or {}
    width = max(int(size.get("width", 1280)) - 40 - _MARGIN["l"] - _MARGIN["r"], 200)
    whole = max(int(size.get("height", 800)) - FRAME_HEIGHT, 420) - _MARGIN["t"] - _MARGIN["b"]
    height = int(whole * (_DOMAINS["heat"][1] - _DOMAINS["heat"][0]))
    names = ("start", "end", "group", "order", "top", "bottom")
    asked = (*(getattr(view, name) for name in names), width, height)
    found = reading.plans.get(asked)  # for each hover, click and drag
    if found is None:
        if len(reading.plans) >= _KEPT:
            reading.plans.clear()
        found = reading.plans[asked] = _plan(reading, view, width, height)
    return found


def _plan(reading: Reading, view: View, width: int, height: int) -> Plan:
    selection = select(reading, view)
    first = min(view.top or 0, len(selection.assets) - 1)
    last = len(selection.assets) if view.bottom is None else max(min(view.bottom + 1, len(selection.assets)), first + 1)
    assets = selection.assets[first:last]
    grid = pool(reading.quantised, assets, selection.rows, width=int(width / _PIXELS_A_COLUMN), height=height)
    return Plan(selection, assets, first, grid, width, height)


def heat_map(reading: Reading, view: View, plan: Plan, theme: str | None) -> go.Figure:
    """Market, ribbon and heat map over one axis that counts dates."""
    ink, rows, panel = ink_of(theme), plan.selection.rows, reading.panel
    row_size, column_size = plan.grid.rows[1] - plan.grid.rows[0], plan.grid.columns[1] - plan.grid.columns[0]
    heat = go.Heatmap(
        z=plan.grid.cells,
        x0=float(rows.start + (column_size - 1) / 2),
        dx=int(column_size),
        y0=float((row_size - 1) / 2),
        dy=int(row_size),
        hoverinfo="none",
        **score_bar(ink),
    )
    regimes = reading.regimes_for(view.regimes)
    edges = np.arange(rows.start, rows.stop + 1) - 0.5
    ribbon = spell_strip(regimes.labels[rows], edges, regimes.names)
    line, market_axis = _market_line(reading, rows, plan.width, ink)
    marks, num_alerts = _marks(reading, view, plan, ink)
    places, texts = date_ticks(panel.dates, rows, max(plan.width // 90, 2))
    names = name_ticks(len(plan.assets), plan.height)
    circles = "" if num_alerts <= _MAX_MARKS else f"the strangest {_MAX_MARKS} of "
    notes = [
        f"{plural(len(plan.assets), 'asset')} × {plural(rows.stop - rows.start, 'date')}",
        f"○ {circles}{plural(num_alerts, 'alert')} at {view.alarms:g} per 1,000",
        *(["grey: no score"] if bool((plan.grid.cells == MISSING).any()) else []),
        legend_of(regimes.names, regime_colours(regimes.num_regimes)),
    ]
    is_narrow = plan.width < _ONE_LINE
    more = _LINE_HEIGHT * (len(notes) - 1) if is_narrow else 0
    seen = int(np.searchsorted(panel.dates, reading.scores.train_end, side="right"))
    figure = blank(
        ("<br>" if is_narrow else "  ·  ").join(notes),
        ink,
        height=None,
        margin=_MARGIN | {"t": _MARGIN["t"] + more},
        showlegend=False,
        hovermode="closest",
        xaxis={
            "range": [rows.start - 0.5, rows.stop - 0.5],
            "tickvals": places,
            "ticktext": texts,
            "tickangle": 0,
            "showgrid": False,
            "anchor": "y",
            "ticks": "",
            "showspikes": True,
            "spikemode": "across",
            "spikethickness": 1,
            "spikedash": "dot",
            "spikecolor": ink.soft,
        },
        yaxis={
            "domain": _DOMAINS["heat"],
            "range": [len(plan.assets) - 0.5, -0.5],
            "tickvals": names,
            "ticktext": [short(panel.assets[plan.assets[k]], _NAME_LENGTH) for k in names],
            "tickfont": {"size": 10},
            "showgrid": False,
            "ticks": "",
        },
        yaxis2={"domain": _DOMAINS["ribbon"], "visible": False, "fixedrange": True, "anchor": "x"},
        yaxis3={
            "domain": _DOMAINS["market"],
            "fixedrange": True,
            "anchor": "x",
            "tickfont": {"size": 10},
            **market_axis,
            "title": {"text": "market", "font": {"size": 12}},
        },
        **(_train_end(seen - 0.5, ink) if rows.start < seen < rows.stop else {}),
    )
    figure.add_traces([heat, ribbon, line, marks])
    figure.update_xaxes(automargin=False).update_yaxes(automargin=False)  # the margins are given: no second layout
    font = {"size": 11 if is_narrow else 12, "color": ink.soft, "weight": 400}
    figure.update_layout(title={"font": font, "pad": {"t": 10 + more // 4}})
    return figure


def zoomed(reading: Reading, view: View, plan: Plan, moved: dict[str, Any]) -> View:
    """The view after somebody dragged, or reset the axes by the toolbar."""
    rows, dates = plan.selection.rows, reading.panel.dates
    if moved.get("xaxis.autorange") or moved.get("yaxis.autorange"):
        return replace(view, start=None, end=None, top=None, bottom=None)
    if "xaxis.range[0]" in moved:
        ends = sorted((float(moved["xaxis.range[0]"]), float(moved["xaxis.range[1]"])))
        first = int(np.clip(round(ends[0] + 0.5), 0, len(dates) - 1))
        last = int(np.clip(round(ends[1] - 0.5), first, len(dates) - 1))
        if (first, last) != (rows.start, rows.stop - 1):
            start, end = (dates[row].astype("datetime64[D]").astype(dt.date) for row in (first, last))
            view = replace(view, start=start if first else None, end=end if last < len(dates) - 1 else None)
    if "yaxis.range[0]" in moved:
        ends = sorted((float(moved["yaxis.range[0]"]), float(moved["yaxis.range[1]"])))
        top = plan.first + int(np.clip(round(ends[0] + 0.5), 0, len(plan.assets) - 1))
        bottom = plan.first + int(np.clip(round(ends[1] - 0.5), 0, len(plan.assets) - 1))
        if (top, bottom) != (plan.first, plan.first + len(plan.assets) - 1):
            view = replace(view, top=top, bottom=max(top, bottom))
    return view


def cell_at(reading: Reading, plan: Plan, event: dict[str, Any] | None) -> tuple[int, int] | None:
    """Row and column of the panel that an event of the heat map, or of an alert's mark, points to."""
    if not event or not event.get("points"):
        return None
    point = event["points"][0]
    if point.get("curveNumber") not in (_HEAT, 3):
        return None
    columns, places = plan.grid.columns, plan.grid.rows
    c = int(np.clip(np.searchsorted(columns, float(point["x"]) + 1e-6, side="right") - 1, 0, len(columns) - 2))
    r = int(np.clip(np.searchsorted(places, float(point["y"]) + 1e-6, side="right") - 1, 0, len(places) - 2))
    if point["curveNumber"] == _HEAT:
        days = slice(int(columns[c]), int(columns[c + 1]))
        assets = plan.assets[places[r] : places[r + 1]]
        return strangest(reading.scores.score, days, assets) or (days.stop - 1, int(assets[0]))
    return round(float(point["x"])), int(plan.assets[round(float(point["y"]))])


def _market_line(reading: Reading, rows: slice, width: int, ink: Ink) -> tuple[go.Scatter, dict[str, Any]]:
    path, axis = market_line(reading, rows, ticks=4)
    shown = thin_line(path, width)
    line = go.Scatter(
        x=(rows.start + shown).astype(np.int32),
        y=path[shown].astype(np.float32),
        mode="lines",
        line={"width": 1.3, "color": ink.text},
        hoverinfo="skip",
        yaxis="y3",
    )
    return line, axis


def _train_end(x: float, ink: Ink) -> dict[str, Any]:
    """Arguments of a layout with a dashed line at the end of the training rows."""
    line = {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"}
    name = {"text": "train end", "x": x, "y": 1, "yref": "paper", "xanchor": "right", "yanchor": "top"}
    return {
        "shapes": [{**line, "line": {"dash": "dash", "width": 1, "color": ink.soft}}],
        "annotations": [{**name, "showarrow": False, "font": {"size": 11}}],
    }


def _marks(reading: Reading, view: View, plan: Plan, ink: Ink) -> tuple[go.Scatter, int]:
    """A circle at each alert, the strangest ones where there are many; and how many alerts there are."""
    alerts = reading.alarms.at(view.alarms).within(plan.selection.rows, plan.assets)
    row, asset = alerts.row, alerts.asset
    if len(row) > _MAX_MARKS:
        height = np.nan_to_num(reading.scores.score[row, asset], nan=-1.0)
        keep = np.argsort(-height, kind="stable")[:_MAX_MARKS]
        row, asset = row[keep], asset[keep]
    place = np.zeros(reading.panel.num_assets, dtype=np.int32)
    place[plan.assets] = np.arange(len(plan.assets))
    circles = go.Scatter(
        x=row.astype(np.int32),
        y=place[asset],
        mode="markers",
        marker={"symbol": "circle-open", "size": 6, "color": ink.loud, "line": {"width": 1}},
        hoverinfo="none",
    )
    return circles, len(alerts.row)
