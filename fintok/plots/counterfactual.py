"""Figure of one patch: what an asset did beside what the model expected of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fintok.moves import as_shares
from fintok.plots.theme import BLUE, GREY, VERMILION, new_figure, plain
from fintok.report_tables import dates_as_text

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from fintok.counterfactual import Counterfactual


def seen_and_expected(patch: "Counterfactual") -> "go.Figure":
    """Return of each day of a patch: seen, and expected with two standard deviations to either side."""
    title = f"{plain(patch.symbol)}: surprise {patch.surprise:.1f} nats, {patch.usual:.1f} usual"
    figure = new_figure(title, height=320)
    figure.add_traces(list(patch_traces(patch, dates_as_text(patch.dates), BLUE, GREY, GREY)))
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(tickformat=".1%" if patch.values == "prices" else "~g", title={"text": "return"})
    return figure


def patch_traces(
    patch: "Counterfactual", days: Sequence[str], bars: str, points: str, errors: str
) -> "tuple[go.Bar, go.Scatter]":
    """What was seen as bars, red beyond two deviations, and what was expected as points, in three colours."""
    import plotly.graph_objects as go

    number = ":.2%" if patch.values == "prices" else ":.4g"
    low, expected, high = (as_shares(patch.expected + far * patch.deviation, patch.values) for far in (-2.0, 0.0, 2.0))
    return (
        go.Bar(
            x=days,
            y=as_shares(patch.seen, patch.values).astype(np.float32),
            width=0.5,
            marker={"color": [VERMILION if abs(far) > 2.0 else bars for far in patch.distance]},
            name="seen",
            customdata=patch.distance.astype(np.float32),
            hovertemplate=f"%{{x}}: %{{y{number}}} seen, %{{customdata:+.1f}} deviations off<extra></extra>",
        ),
        go.Scatter(
            x=days,
            y=expected.astype(np.float32),
            mode="markers",
            marker={"color": points, "size": 8, "symbol": "diamond"},
            error_y={
                "type": "data",
                "array": (high - expected).astype(np.float32),
                "arrayminus": (expected - low).astype(np.float32),
                "color": errors,
            },
            name="expected, ± 2 deviations",
            hovertemplate=f"%{{x}}: %{{y{number}}} expected<extra></extra>",
        ),
    )
