"""Figure of one patch: what an asset did beside what the model expected of it."""

from typing import TYPE_CHECKING

import numpy as np

from fintok.plots.theme import BLUE, GREY, VERMILION, moments, new_figure, plain

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from fintok.counterfactual import Counterfactual


def seen_and_expected(patch: "Counterfactual") -> "go.Figure":
    """Return of each day of a patch: seen, and expected with two standard deviations to either side."""
    import plotly.graph_objects as go

    title = f"{plain(patch.symbol)}: surprise {patch.surprise:.1f} nats, {patch.usual:.1f} usual"
    figure = new_figure(title, height=320)
    is_priced = patch.values == "prices"
    number = ":.2%" if is_priced else ":.4g"
    days = np.datetime_as_string(moments(patch.dates))
    low, expected, high = (patch.as_moves(patch.expected + far * patch.deviation) for far in (-2.0, 0.0, 2.0))
    figure.add_trace(
        go.Bar(
            x=days,
            y=patch.as_moves(patch.seen).astype(np.float32),
            width=0.5,
            marker={"color": [VERMILION if abs(far) > 2.0 else BLUE for far in patch.distance]},
            name="seen",
            customdata=patch.distance.astype(np.float32),
            hovertemplate=f"%{{x}}: %{{y{number}}} seen, %{{customdata:+.1f}} deviations off<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=days,
            y=expected.astype(np.float32),
            mode="markers",
            marker={"color": GREY, "size": 8, "symbol": "diamond"},
            error_y={
                "type": "data",
                "array": (high - expected).astype(np.float32),
                "arrayminus": (expected - low).astype(np.float32),
                "color": GREY,
            },
            name="expected, ± 2 deviations",
            hovertemplate=f"%{{x}}: %{{y{number}}} expected<extra></extra>",
        )
    )
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(tickformat=".1%" if is_priced else "~g", title={"text": "return"})
    return figure
