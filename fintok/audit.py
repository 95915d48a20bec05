"""Look-ahead audit: what is said of a date must be the same whatever comes after it."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fintok.anomaly import AnomalyScorer
from fintok.audit_result import Audit, Finding, LookAheadError
from fintok.errors import InputError
from fintok.estimator import require_bundle
from fintok.panel import Panel, require_panel
from fintok.regimes import RegimeLabeler
from fintok.spans import rows_until
from vision.train.progress import LineReporter

if TYPE_CHECKING:
    from fintok.bundle import Bundle

__all__ = ["Audit", "LookAheadError", "another_future", "audit"]

_FUTURE_ROWS = 60  # rows of noise that stand where the future was, a quarter of a year; after them the panel ends
_LOUD = 3.0  # times an asset's own deviation: a future that no scale can overlook


def audit(
    bundle: Bundle,
    panel: Panel,
    *,
    cuts: int = 5,
    seed: int = 0,
    labeler: RegimeLabeler | None = None,
    scorer: AnomalyScorer | None = None,
) -> Audit:
    """Replace what follows a date by noise, read the panel anew, and compare with the reading of the whole panel.

    Everything is read from scratch each time: codes, words, surprise, forecast, and regimes and scores by
    estimators that are fitted on the changed panel. Every cell up to the date must be the same to the last bit.
    The noise is a quarter of a year long, and after it the panel ends: a statistic of the whole panel shows as
    well as one of the next days. Time: about `cuts` / 2 + 1 readings of the panel.

    Parameters
    ----------
    cuts : dates to try, spread at random over the dates from `train_end` on. Earlier ones are what the
        model and the estimators were fitted on, so that they may well depend on each other.
    seed : draws dates and noise.
    labeler, scorer : estimators of your own, as configured; by default `RegimeLabeler(bundle)` and
        `AnomalyScorer(bundle)`. They are copied, never fitted themselves.

    Raises InputError for what is no bundle or panel, fewer than one cut, and when the panel has no row after
    `train_end` to change.
    """
    require_bundle(bundle)
    require_panel(panel)
    rng = np.random.default_rng(seed)
    rows = _rows_to_cut(panel, bundle.train_end, cuts, rng)
    estimators = (labeler or RegimeLabeler(bundle), scorer or AnomalyScorer(bundle))
    changed = [another_future(panel, row, rng) for row in rows]
    readings = _read_all(bundle, [panel, *changed], estimators)
    whole = next(readings)
    found = []
    for row, reading in zip(rows, readings, strict=True):
        date = panel.dates[row]
        found += [_compare(name, date, whole[name][: row + 1], part[: row + 1]) for name, part in reading.items()]
    return Audit(findings=tuple(found), dates=panel.dates)


def another_future(panel: Panel, row: int, rng: np.random.Generator) -> Panel:
    """The panel up to and including a row, then at most 60 rows of noise on the panel's own dates.

    Returns are three times as large as the asset's own so far, and independent; prices follow them; bars are
    those of earlier days at random. Assets that had no return yet are all listed at once.
    """
    past = slice(0, row + 1)
    later = panel.dates[row + 1 : row + 1 + _FUTURE_ROWS]
    returns = panel.returns[past]
    size = np.array([_deviation(column) for column in returns.T])
    usual = float(np.median(size[size > 0.0])) if (size > 0.0).any() else 0.01
    scale = np.where(size > 0.0, size, usual)
    noise = _LOUD * scale * rng.standard_normal((len(later), panel.num_assets))
    prices = None
    if panel.prices is not None:
        last = np.array([_last_known(column) for column in panel.prices[past].T])
        prices = np.concatenate([panel.prices[past], last * np.exp(np.cumsum(noise, axis=0))])
    drawn = rng.integers(0, row + 1, len(later))
    return replace(
        panel,
        returns=np.concatenate([returns, noise]),
        dates=panel.dates[: row + 1 + len(later)],
        prices=prices,
        fields={name: np.concatenate([column[past], column[drawn]]) for name, column in panel.fields.items()},
    )


def _read_all(
    bundle: Bundle, panels: list[Panel], estimators: tuple[RegimeLabeler, AnomalyScorer]
) -> Iterator[dict[str, NDArray[Any]]]:
    """The reading of each panel; a line about every ten seconds says how many dates are read and what is left."""
    total = sum(panel.num_days for panel in panels)
    reporter, done = LineReporter("audit, dates read", total, 0, sys.stderr), 0
    for panel in panels:
        yield _read(bundle, panel, estimators)
        done += panel.num_days
        reporter.show(done, {})


def _read(bundle: Bundle, panel: Panel, estimators: tuple[RegimeLabeler, AnomalyScorer]) -> dict[str, NDArray[Any]]:
    """Everything that is said of a panel, (T, ...) each."""
    labeler, scorer = copy.copy(estimators[0]), copy.copy(estimators[1])  # without what they have read
    labeler.set_params(bundle=bundle)
    scorer.set_params(bundle=bundle)
    tokens = bundle.tokenize(panel)
    regimes, scores = labeler.fit(panel).label(panel), scorer.fit(panel).score(panel)
    return {
        "code": tokens.codes,
        "word": tokens.words,
        "surprise": tokens.surprise,
        "forecast": bundle.forecast(panel),
        "regime": regimes.labels,
        "probability": regimes.probabilities,
        "score": scores.score,
        "p_value": scores.p_value,
        "alert": scores.alert,
        "reason": scores.reason_codes,
    }


def _compare(name: str, date: np.datetime64, one: NDArray[Any], other: NDArray[Any]) -> Finding:
    """Cells that differ; NaN equals NaN, and a number that comes or goes is an infinite change."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    differs = (one != other) & ~(np.isnan(one) & np.isnan(other))
    size = np.abs(one[differs] - other[differs])
    rows = np.flatnonzero(differs.reshape(len(differs), -1).any(axis=1))
    return Finding(
        what=name,
        date=date,
        cells=one.size,
        changed=int(differs.sum()),
        largest_change=float(np.where(np.isnan(size), np.inf, size).max()) if len(size) else 0.0,
        first_row=int(rows[0]) if len(rows) else -1,
    )


def _rows_to_cut(panel: Panel, train_end: np.datetime64, cuts: int, rng: np.random.Generator) -> list[int]:
    """Last row to keep at each cut: one at random from each of as many equal stretches."""
    if not isinstance(cuts, Integral) or cuts < 1:
        raise InputError(f"cuts is {cuts!r}, expected a whole number of dates to try, at least 1")
    if panel.num_days == 0:
        raise InputError(f"{panel.source}: the panel has no rows")
    first = max(rows_until(panel.dates, train_end) - 1, 0)
    if first >= panel.num_days - 1:
        raise InputError(
            f"{panel.source} ends on {panel.dates[-1].astype('datetime64[D]')}, and the model was trained to "
            f"{train_end.astype('datetime64[D]')}: an audit needs later rows; give a panel that goes on after it"
        )
    edges = np.linspace(first, panel.num_days - 1, min(cuts, panel.num_days - 1 - first) + 1).astype(int)
    return [int(rng.integers(low, high)) for low, high in pairwise(edges)]


def _deviation(column: NDArray[np.float64]) -> float:
    known = column[np.isfinite(column)]
    return float(known.std()) if len(known) else 0.0


def _last_known(column: NDArray[np.float64]) -> float:
    known = column[np.isfinite(column)]
    return float(known[-1]) if len(known) else 100.0
