"""Figures of the learned vocabulary: what its words look like, and how evenly they are used."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.plots.theme import BLUE, GREY, MAX_POINTS, ORANGE, new_figure, thin
from fintok.usage import usage_of

if TYPE_CHECKING:
    import plotly.graph_objects as go


class TokenPictures(NamedTuple):
    """The words of a bundle with what they mean in returns."""

    patches: NDArray[np.floating]  # (W, days) mean return of each day of the patch, in the asset's own scales
    counts: NDArray[np.integer]  # (W,) how often each one occurs in the training rows


def vocabulary_gallery(vocabulary: TokenPictures, *, num_shown: int = 40) -> "go.Figure":
    """The most used words as small pictures of cumulative return, ordered from falling to rising.

    All pictures share one vertical scale, so a violent word looks violent. Blue ends up, orange ends down.
    """
    import plotly.graph_objects as go

    patches = np.nan_to_num(np.asarray(vocabulary.patches, dtype=float))
    counts = np.asarray(vocabulary.counts)
    used = np.flatnonzero(counts > 0)
    order = used[np.argsort(-counts[used], kind="stable")][:num_shown]
    order = order[np.argsort(patches[order].sum(axis=1), kind="stable")]
    num_columns = 8
    num_rows = max(-(-len(order) // num_columns), 1)
    figure = new_figure(f"The {len(order)} most used words", height=100 + 96 * num_rows)
    if len(order) == 0:
        return figure
    paths = np.concatenate([np.zeros((len(order), 1)), np.cumsum(patches[order], axis=1)], axis=1)
    span = max(float(np.quantile(np.abs(paths).max(axis=1), 0.95)), 1e-9)
    column, row = np.arange(len(order)) % num_columns, np.arange(len(order)) // num_columns
    x = column[:, None] + np.linspace(0.1, 0.9, paths.shape[1])[None, :]
    y = -row[:, None] + 0.36 * np.clip(paths / span, -1.0, 1.0)
    level = np.repeat(-row[:, None].astype(float), 2, axis=1)
    figure.add_trace(strokes(x[:, [0, -1]], level, GREY, 0.8, "no change"))
    rising = paths[:, -1] >= 0
    for name, colour, these in (("ends higher", BLUE, rising), ("ends lower", ORANGE, ~rising)):
        figure.add_trace(strokes(x[these], y[these], colour, 2.2, name))
    share = counts[order] / counts.sum()
    moves = np.abs(np.diff(paths, axis=1)).mean(axis=1)
    figure.add_trace(
        go.Scatter(
            x=(column + 0.5).astype(np.float32),
            y=(-row + 0.45).astype(np.float32),
            mode="text",
            text=[f"{code} · {part:.1%}" for code, part in zip(order, share, strict=True)],
            textfont={"size": 10},
            hovertext=[f"mean move of a row {move:.2f} scales" for move in moves],
            hoverinfo="text",
            showlegend=False,
        )
    )
    figure.update_xaxes(visible=False, range=[0, num_columns], fixedrange=True)
    figure.update_yaxes(visible=False, range=[-num_rows + 0.5, 0.62], fixedrange=True)
    figure.update_layout(margin={"l": 8, "r": 8, "t": 72, "b": 8})
    return figure


def strokes(
    x: NDArray[np.floating], y: NDArray[np.floating], colour: str, width: float, name: str | None = None
) -> "go.Scatter":
    """Many short lines as one trace: each row of (n, points) is a stroke, NaN lifts the pen between them."""
    import plotly.graph_objects as go

    lift = np.full((len(x), 1), np.nan)
    return go.Scatter(
        x=np.hstack([x, lift]).ravel().astype(np.float32),
        y=np.hstack([y, lift]).ravel().astype(np.float32),
        mode="lines",
        line={"width": width, "color": colour},
        name=name,
        hoverinfo="skip",
    )


def codebook_usage(counts: NDArray[np.integer]) -> "go.Figure":
    """How often each code is used, most used first, on a log scale; the title gives usage and perplexity."""
    import plotly.graph_objects as go

    counts = np.sort(np.asarray(counts, dtype=float))[::-1]
    share = counts / max(counts.sum(), 1.0)
    positive = share[share > 0]
    title = f"{len(positive):,} of {len(counts):,} codes used · perplexity {usage_of(counts).perplexity:,.0f}"
    figure = new_figure(title, height=300)
    shown = thin(len(counts), MAX_POINTS) if len(counts) else np.empty(0, dtype=int)
    figure.add_trace(
        go.Scatter(
            x=(shown + 1).astype(np.int32),
            y=np.where(share[shown] > 0, 100.0 * share[shown], np.nan).astype(np.float32),
            mode="lines",
            line={"color": BLUE, "width": 2},
            name="share",
            hovertemplate="code at rank %{x}: %{y:.3~g} %<extra></extra>",
        )
    )
    if len(counts):
        even = 100.0 / len(counts)
        line = {"dash": "dot", "color": GREY}
        figure.add_shape(type="line", x0=1, x1=len(counts), y0=even, y1=even, line=line)
        figure.add_annotation(
            text="all equally often",
            x=1,
            xref="paper",
            xanchor="right",
            y=float(np.log10(even)),  # annotations on a log axis are placed by exponent
            yanchor="bottom",
            showarrow=False,
        )
    wide = len(positive) > 0 and positive[0] > 30.0 * positive[-1]
    figure.update_yaxes(
        type="log",
        dtick=1 if wide else "D2",  # decades, or 1, 2 and 5 within them
        tickformat="~g",
        title={"text": "share of codes seen, %"},  # a suffix is left out at every tick between decades
    )
    figure.update_xaxes(title={"text": "rank of the code"})
    return figure
