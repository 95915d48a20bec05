"""What one part of an evaluation leaves: tables, figures, and who won what in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Item = TypeVar("Item")


class Findings(NamedTuple):
    """Of one part: regimes, anomalies or tokens.

    A table's name is a few words in lower case ("log score"): it heads the table on the page, and with the part in
    front it names the file, ``regimes_log_score.parquet``. Its columns are plain names, nothing is in the index,
    and numbers are numbers: the page rounds them.
    """

    tables: dict[str, pd.DataFrame]
    figures: dict[str, go.Figure]
    """By caption, a sentence or two: what to see in it. The first is the part's main figure."""
    verdicts: list[str]
    """Sentences with figures in them: who won, who lost, by how much, and which rivals were left out."""


class Progress(Protocol):
    """Iterates over work and shows where it stands: `fintok.progress.track`."""

    def __call__(self, items: Sequence[Item], description: str) -> Iterator[Item]: ...


def left_out(needs: Mapping[str, str]) -> list[str]:
    """A sentence for each rival (name -> package it needs, as it is imported) that cannot take part."""
    return [
        f'{rival} is left out, because {package} is not installed: pip install "fintok[peers]"'
        for rival, package in needs.items()
        if find_spec(package) is None
    ]
