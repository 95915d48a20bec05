"""Figures of the Vocabulary: its words or codes as small pictures, and where one of them occurs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from fintok.plots.vocabulary import strokes
from fintok_dashboard.figures import (
    GREY,
    ORANGE,
    Ink,
    blank,
    message,
    plain,
    regime_colours,
    short,
    tell,
)
from fintok_dashboard.formats import percent
from fintok_dashboard.view import View

if TYPE_CHECKING:
    from fintok_dashboard.reading import Reading

_COLUMNS = 12
_SHOWN = 60  # pictures: the most used ones
SMALL = 290
LEAST_WIDTH = 860  # of the pictures: that of their numbers and shares


class Gallery(NamedTuple):
    """Pictures in their order: falling to rising, of the most used tokens."""

    tokens: NDArray[np.intp]  # (N,)
    share: NDArray[np.float64]  # (N,) of the panel's tokens in the range


def labels_of(reading: Reading, noun: str) -> NDArray[np.int32]:
    """(T, A) the word or code of every asset-day; -1 = none."""
    return reading.tokens.words if noun == "word" else reading.tokens.codes


def arrange_gallery(reading: Reading, noun: str, rows: slice) -> Gallery:
    """The tokens used most in a range, from falling to rising."""
    labels = labels_of(reading, noun)[rows]
    patches = reading.pictures[noun].patches
    counts = np.bincount(labels[labels >= 0], minlength=len(patches))
    most = np.argsort(-counts, kind="stable")[:_SHOWN]
    order = most[np.argsort(np.nan_to_num(patches[most]).sum(axis=1), kind="stable")]
    return Gallery(order, counts[order] / max(counts.sum(), 1))


def occurrences(reading: Reading, noun: str, token: int, rows: slice) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the panel where a token occurs in a range, by date."""
    row, column = np.nonzero(labels_of(reading, noun)[rows] == token)
    return row + rows.start, column


def pictures(reading: Reading, noun: str, gallery: Gallery, token: int, ink: Ink) -> go.Figure:
    """Small cumulative returns, all on one scale; the chosen one framed. Clicks carry the token's number."""
    count = len(gallery.tokens)
    num_rows = max(-(-count // _COLUMNS), 1)
    title = f"The {count} most used {noun}s, from falling to rising: number, share of all tokens, mean path"
    shown = blank(title, ink, height=62 + 64 * num_rows, margin={"l": 8, "r": 8, "t": 44, "b": 8}, showlegend=False)
    patches = np.nan_to_num(reading.pictures[noun].patches[gallery.tokens].astype(np.float64))
    paths = np.concatenate([np.zeros((count, 1)), np.cumsum(patches, axis=1)], axis=1)
    span = max(float(np.quantile(np.abs(paths).max(axis=1), 0.95)), 1e-9) if count else 1.0
    column, row = np.arange(count) % _COLUMNS, np.arange(count) // _COLUMNS
    hover = [f"{noun} {t}: {percent(s, 1)} of the tokens" for t, s in zip(gallery.tokens, gallery.share, strict=True)]
    shown.add_trace(
        go.Scatter(
            x=column + 0.5,
            y=-row.astype(float),
            mode="markers",
            marker={
                "symbol": "square",
                "size": 56,
                "color": "rgba(0,0,0,0)",
            },
            customdata=gallery.tokens.tolist(),  # a list: Dash hands on no element of a packed array
            text=hover,
            hovertemplate="%{text}<extra></extra>",
        )
    )
    x = column[:, None] + np.linspace(0.18, 0.82, paths.shape[1])[None, :]
    y = -row[:, None] - 0.06 + 0.33 * np.clip(paths / span, -1.0, 1.0)
    level = np.repeat((-row - 0.06)[:, None], 2, axis=1)
    shown.add_trace(strokes(x[:, [0, -1]], level, GREY, 0.8))
    for rising, colour in ((True, ink.main), (False, ORANGE)):
        these = (paths[:, -1] >= 0) == rising
        shown.add_trace(strokes(x[these], y[these], colour, 2.2))
    shown.add_trace(
        go.Scatter(
            x=column + 0.5,
            y=-row + 0.38,
            mode="text",
            text=[f"{t} · {percent(s, 1)}" for t, s in zip(gallery.tokens, gallery.share, strict=True)],
            textfont={"size": 11, "color": ink.soft},
            hoverinfo="skip",
        )
    )
    for place in np.flatnonzero(gallery.tokens == token):
        x0, y0 = float(column[place]), -float(row[place])
        edge = {"width": 1.5, "color": ink.text}
        shown.add_shape(type="rect", x0=x0 + 0.04, x1=x0 + 0.96, y0=y0 - 0.44, y1=y0 + 0.49, line=edge)
    shown.update_xaxes(visible=False, range=[0, _COLUMNS], fixedrange=True)
    shown.update_yaxes(visible=False, range=[-num_rows + 0.5, 0.55], fixedrange=True)
    return shown


def portrait(reading: Reading, noun: str, token: int, ink: Ink) -> go.Figure:
    """The mean path of one token, with its units."""
    row = reading.panel.row_noun
    path = np.append(0.0, np.cumsum(np.nan_to_num(reading.pictures[noun].patches[token].astype(np.float64))))
    shown = blank(f"{noun.capitalize()} {token}: mean path", ink, height=SMALL)
    shown.add_trace(
        go.Scatter(
            x=np.arange(len(path)),
            y=path.astype(np.float32),
            mode="lines+markers",
            line={"width": 2.4, "color": ink.main if path[-1] >= 0 else ORANGE},
            hovertemplate=f"after %{{x}} {row}s: %{{y:+.2f}}<extra></extra>",
        )
    )
    shown.add_hline(y=0.0, line={"width": 1, "color": GREY})
    tell(shown, f"in the asset's usual moves of a {row}")
    top = 1.15 * max(float(np.abs(path).max()), 1.0)
    shown.update_xaxes(title={"text": f"{row}s"}, dtick=1, showgrid=False)
    shown.update_yaxes(range=[-top, top], nticks=6, tickformat="+~g")
    return shown


def by_year(
    reading: Reading, noun: str, token: int, cells: tuple[NDArray[np.intp], NDArray[np.intp]], rows: slice, ink: Ink
) -> go.Figure:
    """Share of the tokens in each year."""
    title = f"{noun.capitalize()} {token} by year"
    years = reading.panel.dates[rows].astype("datetime64[Y]").astype(int) + 1970
    labels = labels_of(reading, noun)[rows]
    first = np.unique(years)
    total = np.bincount(years - first[0], weights=(labels >= 0).sum(axis=1), minlength=first[-1] - first[0] + 1)
    mine = np.bincount(years[cells[0] - rows.start] - first[0], minlength=len(total))
    shown = blank(title, ink, height=SMALL)
    kept = total > 0
    shown.add_trace(
        go.Bar(
            x=(first[0] + np.flatnonzero(kept)).astype(np.int32),
            y=(mine[kept] / total[kept]).astype(np.float32),
            marker={"color": ink.main},
            hovertemplate="%{x}: %{y:.2%} of the tokens<extra></extra>",
        )
    )
    tell(shown, "share of the year's tokens")
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if len(kept) <= 5 * step or step == 100)
    shown.update_xaxes(tickformat="d", tick0=0, dtick=step, showgrid=False)
    shown.update_yaxes(tickformat=".2~%", rangemode="tozero", nticks=5)
    return shown


def by_regime(
    reading: Reading, view: View, token: int, cells: tuple[NDArray[np.intp], NDArray[np.intp]], rows: slice, ink: Ink
) -> go.Figure:
    """How much more often than usual it occurs in each regime."""
    regimes = reading.regimes_for(view.regimes)
    title = f"{view.noun.capitalize()} {token} by regime"
    labels = regimes.labels[rows]
    known = (labels_of(reading, view.noun)[rows] >= 0).sum(axis=1)
    total = np.array([known[labels == k].sum() for k in range(regimes.num_regimes)])
    mine = np.bincount(np.maximum(regimes.labels[cells[0]], -1) + 1, minlength=regimes.num_regimes + 1)[1:]
    if not total.any():
        return message("no regime is known on these dates", ink, height=SMALL, title=title)
    share = mine / np.maximum(total, 1)
    shown = blank(title, ink, height=SMALL)
    shown.add_trace(
        go.Bar(
            x=[plain(name) for name in regimes.names],
            y=share.astype(np.float32),
            marker={"color": list(regime_colours(regimes.num_regimes))},
            customdata=mine,
            hovertemplate="%{x}: %{y:.2%} of the regime's tokens, %{customdata:,} times<extra></extra>",
        )
    )
    shown.add_hline(y=float(mine.sum() / total.sum()), line={"dash": "dot", "width": 1, "color": ink.text})
    tell(shown, "share of the regime's tokens; dotted: of all")
    shown.update_xaxes(showgrid=False, tickfont={"size": 10})
    shown.update_yaxes(tickformat=".2~%", rangemode="tozero", nticks=5)
    return shown


def by_asset(
    reading: Reading, noun: str, token: int, cells: tuple[NDArray[np.intp], NDArray[np.intp]], rows: slice, ink: Ink
) -> go.Figure:
    """The assets in which it is most frequent."""
    title = f"{noun.capitalize()} {token} by asset"
    total = (labels_of(reading, noun)[rows] >= 0).sum(axis=0)
    mine = np.bincount(cells[1], minlength=reading.panel.num_assets)
    share = np.where(total >= 20, mine / np.maximum(total, 1), 0.0)
    best = np.argsort(-share, kind="stable")[:12]
    best = best[share[best] > 0][::-1]
    if len(best) == 0:
        return message("it does not occur on these dates", ink, height=SMALL, title=title)
    shown = blank(title, ink, height=SMALL, margin={"l": 8, "r": 18, "t": 52, "b": 34})
    shown.add_trace(
        go.Bar(
            x=share[best].astype(np.float32),
            y=[plain(reading.panel.assets[a]) for a in best],
            orientation="h",
            marker={"color": ink.main},
            customdata=mine[best],
            hovertemplate="%{y}: %{x:.2%} of its tokens, %{customdata:,} times<extra></extra>",
        )
    )
    tell(shown, "share of the asset's tokens")
    shown.update_xaxes(tickformat=".2~%", rangemode="tozero", nticks=4)
    shown.update_yaxes(showgrid=False, tickfont={"size": 10}, type="category", ticks="")
    names = [reading.panel.assets[a] for a in best]
    shown.update_yaxes(tickvals=[plain(name) for name in names], ticktext=[short(name, 14) for name in names])
    return shown
