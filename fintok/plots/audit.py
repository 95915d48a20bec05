"""The figure of a look-ahead audit."""

from typing import TYPE_CHECKING

import numpy as np

from fintok.plots.theme import GREEN, VERMILION, new_figure
from fintok.report_tables import dates_as_text

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from fintok.audit_result import Audit


def changed_shares(audit: "Audit") -> "go.Figure":
    """Share of the cells that changed, reading by date: green where none did."""
    import plotly.graph_objects as go

    table = audit.to_pandas()
    table["date"] = dates_as_text(table["date"].to_numpy())
    table["share"] = table["changed"] / table["cells"]
    shares = table.pivot(index="what", columns="date", values="share").loc[table["what"].unique()[::-1]]
    figure = new_figure("Cells that changed with their future", height=120 + 28 * len(shares))
    figure.add_trace(
        go.Heatmap(
            x=shares.columns.to_list(),
            y=shares.index.to_list(),
            z=shares.to_numpy(dtype=np.float32),
            colorscale=[(0.0, GREEN), (1e-9, "#f4c160"), (1.0, VERMILION)],
            zmin=0.0,
            zmax=1.0,
            xgap=2,
            ygap=2,
            showscale=False,
            hovertemplate="%{y}, kept to %{x}: %{z:.2%} changed<extra></extra>",
        )
    )
    figure.update_xaxes(type="category", title={"text": "rows kept up to"})
    return figure
