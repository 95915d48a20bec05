"""Tables of the report: data frames of readable text."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from fintok.panel import Panel


def events_table(events: "pd.DataFrame", noun: str) -> "pd.DataFrame":
    """Events as `Scores.events` gives them; `noun`: what a row of the panel is."""
    import pandas as pd

    ends = np.array(dates_as_text(events[["start", "end"]].to_numpy("datetime64[ns]").ravel()))
    spans = [
        first if first == last else f"{first} to {last}" for first, last in zip(ends[::2], ends[1::2], strict=True)
    ]
    return pd.DataFrame(
        {
            "Asset": events["symbol"],
            f"{noun}s".capitalize(): spans,
            "Alerts": [f"{value:,}" for value in events["alerts"]],
            "Score": [f"{value:.1f}" if np.isfinite(value) else "–" for value in events["score"]],
            "p-value": [_probability(value) for value in events["p_value"]],
            "Reason": events["reason"],
        }
    )


def _probability(p: float) -> str:
    if not np.isfinite(p):
        return "–"
    return f"{p:.5f}" if p >= 5e-6 else "< 0.00001"


def summary_table(summary: "pd.DataFrame", noun: str) -> "pd.DataFrame":
    """Periods as `Scores.summary` gives them; `noun`: what a row of the panel is."""
    import pandas as pd

    return pd.DataFrame(
        {
            "Period": [name.replace("_", " ") for name in summary.index],
            f"Asset-{noun}s": [f"{value:,.0f}" for value in summary["asset_days"]],
            "Alerts": [f"{value:,.0f}" for value in summary["alerts"]],
            "By score": [f"{value:,.0f}" for value in summary["by_score"]],
            "By check": [f"{value:,.0f}" for value in summary["by_check"]],
            "Alarms per 1,000": [f"{v:.2f}" if np.isfinite(v) else "–" for v in summary["alarms_per_1000"]],
        }
    )


def panel_facts(panel: "Panel") -> dict[str, Any]:
    """What a reader wants to know of a panel first."""
    observed = float(np.isfinite(panel.returns).mean()) if panel.returns.size else 0.0
    return {
        "source": panel.source,
        "assets": panel.num_assets,
        "dates": panel.num_days,
        "values": panel.values,
        "observed share": f"{observed:.1%}",
    }


def facts_table(facts: Mapping[str, Any]) -> "pd.DataFrame":
    """A row a fact; nested mappings are flattened, their keys joined with dots."""
    import pandas as pd

    rows: list[tuple[str, str]] = []

    def collect(prefix: str, mapping: Mapping[str, Any]) -> None:
        for key, value in mapping.items():
            if isinstance(value, Mapping):
                collect(f"{prefix}{key}.", value)
            else:
                rows.append((f"{prefix}{key}", _value(value)))

    collect("", facts)
    return pd.DataFrame(rows, columns=["What", "Value"])


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, np.datetime64):
        return day(value)
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return f"{value:,.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_value(part) for part in value)
    return str(value)


def dates_as_text(moments: NDArray[np.datetime64]) -> list[str]:
    """Dates, all with their time of day where any has one: among hours midnight is one like the others."""
    texts = [str(text).replace("T", " ") for text in np.datetime_as_string(moments, "m")]
    return [text[:10] for text in texts] if all(text.endswith(" 00:00") for text in texts) else texts


def day(moment: np.datetime64) -> str:
    """The date, with the time of day where there is one."""
    text = str(np.datetime_as_string(moment, "m"))
    return text.removesuffix("T00:00").replace("T", " ")
