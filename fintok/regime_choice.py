"""How many regimes: each number is learned and judged on training rows, a later stretch at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.evaluate.log_score import ahead_by, densities
from fintok.files import as_polars
from fintok.progress import track
from fintok.regime_model import RegimeModel
from fintok.regime_training import ROWS_PER_REGIME, Training
from fintok.regimes import RegimeLabeler, require_labeler
from fintok.signature import spell_lengths, years_spanned
from fintok.spans import DateLike
from fintok.split import Split, walk_forward

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    import polars as pl

    from fintok.panel import Panel

CANDIDATES = (2, 3, 4, 5, 6)
_STRETCHES = 5  # of the second half of the training rows: learned before each, judged on it
_PURGE_ROWS = 20  # left out before each, four patches: what is learned from has no part in what is judged
_LEAST_SHARE = 0.02  # of the judged days in the rarest regime: five days a year
_LEAST_AGREEMENT = 0.8  # of neighbouring refits, at worst


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RegimeChoice:
    """Numbers of regimes compared. Built by `fintok.choose_regimes`, which states the rule."""

    n_regimes: int
    """The number chosen."""
    table: "pd.DataFrame"
    """One row per number: log_score (nats per asset-day), behind (the best score less this one), error (standard
    error of that), agreement_mean and agreement_min of neighbouring refits, smallest_share, switches_per_year."""
    reason: str
    """Why, in a sentence."""

    def __repr__(self) -> str:
        return f"RegimeChoice({self.reason})"

    def summary(self) -> "pd.DataFrame":
        """The table."""
        return self.table.copy()

    def plot(self) -> "go.Figure":
        """Log score by number of regimes, with the error of its distance to the best."""
        from fintok.plots.regimes import score_by_number

        return score_by_number(self.table, self.n_regimes)

    def to_pandas(self) -> "pd.DataFrame":
        """The table, the number of regimes as a column."""
        return self.table.reset_index()

    def to_polars(self) -> "pl.DataFrame":
        """The same for polars."""
        return as_polars(self.to_pandas())


class _Judged(NamedTuple):
    """A number of regimes on the judged days of all stretches."""

    days: NDArray[np.float64]  # (R,) log density of the day's returns given the regime of the day before, summed
    counts: NDArray[np.int64]  # (R,) returns of the day
    dates: NDArray[np.datetime64]  # (R,)
    figures: dict[str, float]


def choose_regimes(
    labeler: RegimeLabeler,
    panel: "Panel | None" = None,
    *,
    candidates: Sequence[int] | None = None,
    until: DateLike | None = None,
) -> RegimeChoice:
    """The number of regimes that tells most of the next day, on the rows that `fit(panel, until=until)` learns from.

    Each number is learned on the first half of those rows and judged on the tenth that follows, then learned on that
    as well, and so on, 20 rows being left out in between. What is judged is the log density of the next day's returns
    (of the panel's assets, or without a panel of the market) under a Student t per regime fitted to the earlier rows.

    The rule: of the numbers whose rarest regime has 2 % of the judged days, and whose refits agree on 80 % of the
    days at worst, the smallest that is not behind the best of them by more than one standard error (over blocks of 60
    days). If no number qualifies, all are considered.

    Candidates are 2 to 6 unless given, as far as 30 rows a regime reach in the first half. The labeler is not changed;
    its `n_regimes` plays no part. Raises InputError for a candidate out of range, or with too few rows for it.
    """
    require_labeler(labeler)
    training = labeler.training(panel, until)
    num_rows = len(training.market)
    half = num_rows // 2 - _PURGE_ROWS
    most = max(half, 0) // ROWS_PER_REGIME
    if isinstance(candidates, Integral):
        raise InputError(f"candidates is {candidates}, expected several numbers of regimes, as [2, 3, 4]")
    given = [n for n in CANDIDATES if n <= max(most, 2)] if candidates is None else list(candidates)
    if not given or not all(isinstance(number, Integral) and number >= 2 for number in given):
        raise InputError(f"candidates are {given}, expected numbers of regimes from 2 on")
    numbers = sorted(set(given))
    if numbers[-1] > most:
        raise InputError(
            f"{num_rows} training rows are too few to judge {numbers[-1]} regimes: "
            f"{2 * (ROWS_PER_REGIME * numbers[-1] + _PURGE_ROWS)} are the least"
        )
    size = -(-(num_rows - half - _PURGE_ROWS) // _STRETCHES)
    splits = list(walk_forward(num_rows, train_rows=half, test_rows=size, purge=_PURGE_ROWS, expanding=True))
    work = [(number, split) for number in numbers for split in splits]
    paths = [_path(labeler, training, number, split) for number, split in track(work, "numbers of regimes")]
    judged = {
        number: _judge(paths[place * len(splits) :][: len(splits)], splits, training, number)
        for place, number in enumerate(numbers)
    }
    return _choose(judged)


def _path(labeler: RegimeLabeler, training: Training, number: int, split: Split) -> NDArray[np.int64]:
    """Labels of the rows up to the end of the stretch, by a model of the rows before it."""
    model = RegimeModel.learn(
        training.days.of(split.train),
        training.market[split.train],
        num_regimes=number,
        switches_per_year=labeler.switches_per_year,
        seed=labeler.seed,
    )
    return model.path(training.days.of(slice(split.test.stop))).labels


def _judge(paths: list[NDArray[np.int64]], splits: list[Split], training: Training, number: int) -> _Judged:
    returns = training.market[:, None] if training.returns is None else training.returns
    returns = np.asarray(returns, dtype=np.float64)
    days, counts = [], []
    for labels, split in zip(paths, splits, strict=True):
        known, end = split.train.stop, split.test.stop
        found = densities(labels, returns[:end], 0, known)
        days.append(found.of_days(labels[known - 1 : -1])[split.test.start - known :])
        counts.append(found.counts[split.test.start - known :])
    whole = np.concatenate([labels[split.test] for labels, split in zip(paths, splits, strict=True)])
    learned = [split.train.stop for split in splits[:-1]]
    pairs = zip(pairwise(paths), learned, strict=True)
    agreements = [float((one[:end] == other[:end]).mean()) for (one, other), end in pairs]
    dates = np.concatenate([training.days.dates[split.test] for split in splits])
    figures = {
        "agreement_mean": float(np.mean(agreements)),
        "agreement_min": float(np.min(agreements)),
        "smallest_share": float(np.bincount(whole, minlength=number).min() / len(whole)),
        "switches_per_year": (len(spell_lengths(whole)[0]) - 1) / years_spanned(dates),
    }
    return _Judged(np.concatenate(days), np.concatenate(counts), dates, figures)


def _choose(judged: dict[int, _Judged]) -> RegimeChoice:
    import pandas as pd

    score = {number: float(one.days.sum() / max(one.counts.sum(), 1)) for number, one in judged.items()}
    sound = [
        number
        for number, (*_, figures) in judged.items()
        if figures["smallest_share"] >= _LEAST_SHARE and figures["agreement_min"] >= _LEAST_AGREEMENT
    ]
    best = max(sound or judged, key=lambda number: score[number])
    behind = {n: ahead_by(judged[best].days, one.days, one.counts, one.dates) for n, one in judged.items()}
    chosen = min(number for number in sound or judged if behind[number][0] <= behind[number][1])
    rows = {
        number: {"log_score": score[number], "behind": behind[number][0], "error": behind[number][1], **one.figures}
        for number, one in judged.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("regimes")
    if not sound:
        among = ", though no number has frequent regimes and steady refits"
    else:
        among = "" if len(sound) == len(judged) else ", of the numbers with frequent regimes and steady refits"
    if chosen == best:
        reason = f"{chosen} regimes tell most of the next day{among}"
    else:
        short, error = behind[chosen]
        reason = (
            f"{chosen} regimes are the fewest within a standard error of the best, {best}: "
            f"{short:.4f} ± {error:.4f} nats behind{among}"
        )
    return RegimeChoice(n_regimes=chosen, table=table, reason=reason)
