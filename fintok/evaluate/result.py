"""What one part of an evaluation leaves: tables, figures, and who won what in words."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.spans import rows_until

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from fintok.panel import Panel

OURS = "fintok"  # in tables of methods


class Findings(NamedTuple):
    """Of one part: regimes, anomalies, tokens or simulation.

    A table's name is a few words in lower case ("log score"): it heads the table on the page, and with the part in
    front it names the file, ``regimes_log_score.parquet``. Its columns are plain names, nothing is in the index,
    and numbers are numbers: the page rounds them.
    """

    tables: dict[str, pd.DataFrame]
    figures: dict[str, go.Figure]
    """By caption, a sentence or two: what to see in it. The first is the part's main figure."""
    verdicts: list[str]
    """Sentences with figures in them: who won, who lost, by how much, and which rivals were left out."""


def rows_to_learn(
    panel: Panel,
    train_end: np.datetime64,
    fewest_training: int,
    fewest_judged: int,
    is_labelled: NDArray[np.bool_] | None = None,
) -> int:
    """Rows up to train_end. Raises InputError where too few of them, or of the labelled ones (T,), are there to learn
    from, or too few after them to judge."""
    cut, date = rows_until(panel.dates, train_end), np.datetime_as_string(train_end, unit="D")
    training, what = (cut, "rows") if is_labelled is None else (int(is_labelled[:cut].sum()), "labelled rows")
    if training < fewest_training:
        raise InputError(
            f"{panel.source}: {training} {what} up to the model's train_end, {date}; the rivals learn from these and "
            f"need {fewest_training}: give a panel with a longer past"
        )
    if panel.num_days - cut < fewest_judged:
        raise InputError(
            f"{panel.source}: {panel.num_days - cut} rows after the model's train_end, {date}; {fewest_judged} are "
            "the least to judge by: train with an earlier --train-end, or give a panel that goes on longer"
        )
    return cut


def is_installed(package: str | None) -> bool:
    """Whether a package is there, by the name it is imported as; None asks for none."""
    return package is None or find_spec(package) is not None


def left_out(needs: Mapping[str, str]) -> list[str]:
    """A sentence for each rival (name -> package it needs, as it is imported) that cannot take part."""
    return [
        f'{rival} is left out, because {package} is not installed: pip install "fintok[peers]"'
        for rival, package in needs.items()
        if not is_installed(package)
    ]
