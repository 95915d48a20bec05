"""The page of an evaluation: verdicts first, then each part's figures and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fintok.evaluate.result import Findings
from fintok.page import Page
from fintok.report_tables import day, facts_table, panel_facts

if TYPE_CHECKING:
    import pandas as pd

    from fintok.bundle import Bundle
    from fintok.panel import Panel

MAX_ROWS = 150  # of a table on the page; its file has them all

_PARTS = {
    "regimes": (
        "Regimes",
        "Labels of each day from fintok and from the usual rivals, all learned on the rows up to train end, none "
        "looking ahead. Each method has several settings; the best is picked on the judged days, for all alike.",
    ),
    "anomalies": (
        "Anomalies",
        "Faults are planted in the prices of the days after train end, and every detector is held to the same number "
        "of false alarms on the panel as it is.",
    ),
    "tokens": (
        "Tokens",
        "Tokens are hidden and predicted from the rest, on days after train end, beside predictors without a network.",
    ),
    "simulation": (
        "Simulated markets",
        "Markets that switch between two known states, so that the truth is known; the ceiling is the filter that "
        "knows all parameters, and no method without a look ahead can pass it.",
    ),
}
_HEADINGS = {
    "r2": "R²",
    "p value": "p",
    "nll": "NLL",
}
_GLOSSARY = [
    (
        "Log score",
        "Log density, in nats per asset-day, that the return of the next day had under a Student t fitted to the "
        "training days of the same regime. Higher is better; 0.01 is one per cent of likelihood a day and asset.",
    ),
    (
        "Switches a year",
        "How often the label changes. Labels that switch often can follow more; compare methods at the same number.",
    ),
    (
        "Frontier",
        "The best log score of a method's settings among those that switch at most so often; – where all switch more.",
    ),
    (
        "Mean rows, smallest share",
        "How many rows a spell of one regime lasts in the mean, and the share of days of the rarest regime: 0 where "
        "one that was learned never comes on the judged days.",
    ),
    (
        "±",
        "Standard error of a difference over blocks of 60 dates. Less than two of them is called level.",
    ),
    (
        "Shift p-value",
        "Share of circular shifts of the label path that score as well as the path itself: near 0, the timing of "
        "the labels matters and not only how often each regime comes.",
    ),
    (
        "Refit agreement",
        "Share of days that keep their regime when it is learned anew on more rows. The lowest counts: one refit "
        "that turns the labels over is enough to break what is built on them. Seeds: the same rows with other random "
        "starts.",
    ),
    (
        "Strategy",
        "Out of the market in the most volatile regime, in it otherwise. It describes the labels; it is no advice.",
    ),
]


def render(findings: Mapping[str, Findings], bundle: Bundle, panel: Panel) -> str:
    """The whole page as HTML."""
    after = panel.dates[panel.dates > bundle.train_end]
    judged = f"judged on {len(after):,} dates, {day(after[0])} to {day(after[-1])}"
    page = Page("fintok evaluation", f"{panel.source} · {panel.num_assets:,} assets · {judged}")
    page.section("Who won what", "In words, with the figures; the parts below show them in full.")
    for part, found in findings.items():
        if len(findings) > 1:
            page.heading(_PARTS[part][0])
        page.sentences(found.verdicts)
    for part, found in findings.items():
        page.section(*_PARTS[part])
        for caption, figure in found.figures.items():
            page.figure(figure, caption)
        for name, table in found.tables.items():
            page.heading(name.capitalize())
            page.table(readable(table.head(MAX_ROWS)))
            if len(table) > MAX_ROWS:
                page.paragraph(f"The first {MAX_ROWS} of {len(table):,} rows; {table_name(part, name)} has them all.")
    page.section("What was judged", "The model and the panel.")
    facts = {str(name): value for name, value in bundle.summary()["value"].items()}
    page.table(facts_table({"panel": panel_facts(panel), **facts}))
    page.section("How to read this page", "")
    page.definitions(_GLOSSARY)
    return page.render()


def table_name(part: str, name: str) -> str:
    """Of the file of a table."""
    return f"{part}_{name.replace(' ', '_')}.parquet"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text: each column with as many decimals as its numbers differ by, to about three digits."""
    import pandas as pd

    return pd.DataFrame({_heading(str(name)): _texts(list(table[name])) for name in table.columns})


def _heading(name: str) -> str:
    text = name.replace("_", " ")
    for short, long in _HEADINGS.items():
        text = text.replace(short, long)
    return text[:1].upper() + text[1:]


def _texts(values: list[Any]) -> list[str]:
    numbers = [float(value) for value in values if isinstance(value, float | np.floating) and np.isfinite(value)]
    if not numbers:
        return ["–" if isinstance(value, float) else _text(value) for value in values]
    spread = float(np.median(np.abs(np.array(numbers) - np.median(numbers))))  # blind to the odd one far off
    decimals = min(max(2 - math.floor(math.log10(spread)), 0), 4) if spread > 0.0 else 3
    return [f"{float(value):,.{decimals}f}" if np.isfinite(float(value)) else "–" for value in values]


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | np.integer) and not isinstance(value, bool) else str(value)
