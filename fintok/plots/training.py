"""Figures of a pretraining run: its losses, and the yardstick for the tokens."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fintok.plots.theme import BLUE, CYCLE, GREY, ORANGE, new_figure, style, thin

if TYPE_CHECKING:
    import plotly.graph_objects as go

_BAR_COLOURS = {"model": BLUE, "factor model": ORANGE, "marginal": GREY}


def training_curves(curves: Mapping[str, Mapping[str, ArrayLike]]) -> "go.Figure":
    """Loss by step, one panel per stage.

    `curves` maps each stage to its columns: "step" and one or more others, each of the same length; NaN
    where a term was not logged.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    stages = list(curves)
    figure = make_subplots(rows=1, cols=max(len(stages), 1), subplot_titles=stages or None, horizontal_spacing=0.07)
    style(figure, "Training", height=340, margin={"t": 96}, legend={"y": 1.14})
    for column, stage in enumerate(stages, start=1):
        terms = {name: np.asarray(values, dtype=float) for name, values in curves[stage].items()}
        steps = terms.pop("step", None)
        for place, (name, values) in enumerate(terms.items()):
            x = steps if steps is not None else np.arange(len(values), dtype=float)
            logged = np.flatnonzero(np.isfinite(values))
            if len(logged) == 0:
                continue
            shown = logged[thin(len(logged), 2000)]
            figure.add_trace(
                go.Scatter(
                    x=x[shown].astype(np.float32),
                    y=values[shown].astype(np.float32),
                    mode="lines",
                    name=name,
                    legendgroup=name,
                    showlegend=all(name not in curves[other] for other in stages[: column - 1]),
                    line={"width": 1.8, "color": CYCLE[place % len(CYCLE)]},
                ),
                row=1,
                col=column,
            )
        figure.update_xaxes(title={"text": "step"}, row=1, col=column)
    figure.update_yaxes(title={"text": "loss"}, col=1)
    return figure


def yardstick_bars(yardstick: Mapping[str, Mapping[str, float]]) -> "go.Figure":
    """Negative log-likelihood of the hidden tokens in nats, by mask and by predictor; lower is better.

    `yardstick` maps each mask ("assets", "forecast", "block" ...) to the figure of each predictor ("model",
    "marginal", "factor model").
    """
    import plotly.graph_objects as go

    figure = new_figure("Predicting hidden tokens: nats per token, lower is better", height=340)
    masks = list(yardstick)
    predictors = list(dict.fromkeys(name for figures in yardstick.values() for name in figures))
    for place, name in enumerate(predictors):
        values = [float(yardstick[mask].get(name, np.nan)) for mask in masks]
        figure.add_trace(
            go.Bar(
                x=masks,
                y=np.array(values, dtype=np.float32),
                name=name,
                marker={"color": _BAR_COLOURS.get(name, CYCLE[place % len(CYCLE)])},
                text=[f"{value:.2f}" if np.isfinite(value) else "" for value in values],
                textposition="outside",
                cliponaxis=False,
                hovertemplate=f"{name}, %{{x}}: %{{y:.3f}}<extra></extra>",
            )
        )
    figure.update_layout(barmode="group", bargap=0.3)
    figure.update_yaxes(title={"text": "nats per token"}, rangemode="tozero")
    figure.update_xaxes(showgrid=False, title={"text": "what is hidden"})
    return figure
