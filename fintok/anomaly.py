"""Anomaly scores: how strange each asset's newest days are, given the other assets and its own past."""

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, NamedTuple, Self, overload

import numpy as np
from numpy.typing import NDArray

from fintok.calibration import calibrate, require_scores
from fintok.cells import marked_cells
from fintok.checks import CHECKS, run_checks
from fintok.errors import InputError
from fintok.estimator import Estimator, require_bundle
from fintok.evidence import REASONS, Evidence, gather, standard_tails
from fintok.features import read_features
from fintok.groups import group_names
from fintok.panel import Panel
from fintok.readings import RESTATED, Readings, SurpriseSource
from fintok.score_result import Scores
from fintok.spans import rows_until
from fintok.tails import MIN_SAMPLE, TailMap, combine

_TAIL_ROWS = 2500  # newest training rows that shape the tails: ten years, since a market's habits change


class _Last(NamedTuple):
    """What was made of the last panel, for the next: set as one, so that threads never mix those of two panels."""

    readings: Readings
    found: Evidence | None = None  # None where the readings come from a file
    bundle: SurpriseSource | None = None  # that was asked
    tolerance: float = 0.0  # mean moves by which returns may differ from those of the readings


class AnomalyScorer(Estimator):
    """Scores each (date, asset) of a panel, using that date and earlier ones only.

    Statistics of the day beside the other assets, of the asset's last weeks and of the bundle's surprise
    (`fintok.evidence.gather`) are turned into tail probabilities with maps learned on training rows, and combined
    into one number, the score (`fintok.tails.combine`). The score's rolling conformal p-value, over all assets and
    the trailing 750 dates, is held against an adaptive level that keeps alarms at `alarms_per_1000` in the long
    run. Deterministic checks (`fintok.checks`) alert beside it, with their own reasons and outside that budget.

    It takes features as well, as scikit-learn's outlier detectors do: a table (N, F) of finite numbers instead of a
    panel. `bundle` is then not asked: each column's distance from its median takes the place of the statistics, and
    `score` answers with an array (N,), higher = stranger.

    Parameters
    ----------
    bundle
        A pretrained bundle; None for features.
    alarms_per_1000
        Alarms per 1,000 asset-days that the score may raise on ordinary data, in (0, 500].
    days
        Dates in the trailing calibration window, which must hold 1,000 scores: of a single asset, 1,000 dates or more.
    groups
        Class of each symbol, a mapping, a pandas Series, or a table or file with columns symbol and group: p-values and
        level of an asset come from its own class, so that each keeps to the budget. Symbols without one form the
        class "other". None: all assets together.

    Attributes learned by `fit`
    ---------------------------
    tails_ (a TailMap per statistic or column), fitted_on_ ("panel", "standard" without training rows, or
    "features"); for features centre_ and spread_ (F,), median and mean distance from it, and n_features_in_.
    """

    def __init__(
        self,
        bundle: SurpriseSource | None = None,
        alarms_per_1000: float = 1.0,
        days: int = 750,
        groups: Any = None,
    ) -> None:
        self.bundle = bundle
        self.alarms_per_1000 = alarms_per_1000
        self.days = days
        self.groups = groups

    def fit(self, panel: Any = None, y: object = None, *, errors: object = None) -> Self:
        """Learn how each statistic is distributed, from the 2,500 rows up to the bundle's `train_end` only.

        A statistic with fewer than 1,000 such values (or no panel) is taken to follow a Student-t that fits it on
        US stocks, so that a bundle scores any panel; the final p-values are calibrated on the scored panel's own
        past either way. Features are learned from all rows. `errors` marks cells that are not learned from (see
        `score`). `y` is ignored. Raises InputError for a parameter out of range.
        """
        self._check_parameters()
        if panel is not None and not self._takes_panel(panel, is_fit=True):
            return self._fit_features(read_features(self, panel, is_fit=True).values)
        self.tails_ = standard_tails()
        self.fitted_on_ = "standard"
        num_training = 0 if panel is None else rows_until(panel.dates, self.source().train_end)
        if panel is not None and num_training:
            rows = slice(max(num_training - _TAIL_ROWS, 0), num_training)
            is_right = slice(None) if errors is None else ~marked_cells(errors, panel)[rows]
            for name, values in self._evidence(panel).statistics.items():
                sample = values[rows][is_right]
                if np.isfinite(sample).sum() >= MIN_SAMPLE:
                    self.tails_[name] = TailMap.fit(sample)
                    self.fitted_on_ = "panel"
        return self

    @overload
    def score(self, panel: Panel, y: object = None, *, errors: object = None) -> Scores: ...

    @overload
    def score(self, panel: Any, y: object = None) -> NDArray[np.float64]: ...

    def score(self, panel: Any, y: object = None, *, errors: object = None) -> Scores | NDArray[np.float64]:
        """Score every (date, asset) of a panel: see `Scores`. Of features (N, F): an array (N,). `y` is ignored.

        `errors` is a table (pandas, polars, pyarrow or a path) of cells known to be wrong, with columns date and
        symbol, and where there is a column `verdict`, "data error" in it: they are scored, but do not count among
        the scores that later days are ranked with, nor against the alarm budget.

        A panel that goes on where the last one ended costs what its new days cost: rows that are the same are not
        read by the network again, and the scores are those of the whole panel scored at once.

        Scores are NaN where there is no token (not observed, or too little history); p-values start once the
        window holds 1,000 scores, and nothing alerts by score before that.
        """
        if not self._takes_panel(panel):
            return self._score_features(read_features(self, panel, is_fit=False).values)
        self._require_fit()
        self._check_parameters()
        groups = group_names(self.groups, panel.assets)
        require_scores(groups, panel.assets, self.days)
        left_out = None if errors is None else marked_cells(errors, panel)
        found = self._evidence(panel)
        statistics = found.statistics
        p_each = np.stack([self.tails_[name](values) for name, values in statistics.items()])
        score = combine(p_each)
        p_value, levels = calibrate(
            score,
            self.alarms_per_1000 / 1000.0,
            days=self.days,
            groups=groups,
            left_out=left_out,
        )
        by_score = p_value <= levels  # NaN compares as False
        reason = np.zeros(score.shape, dtype=np.uint8)  # 0 = no alert
        leading = np.where(np.isnan(p_each), 1.0, p_each).argmin(axis=0)
        reason[by_score] = 1 + leading[by_score].astype(np.uint8)
        flags = run_checks(panel)
        for code, name in reversed(list(enumerate(CHECKS, start=1 + len(statistics)))):
            reason[flags[name]] = code  # a check is more specific than a statistic, and the first check wins
        return Scores(
            panel=panel,
            score=score,
            p_value=p_value,
            levels=levels,
            is_alarm=by_score,
            alarms_per_1000=self.alarms_per_1000,
            reason_codes=reason,
            reasons=("", *(REASONS[name] for name in statistics), *CHECKS),
            statistics=statistics,
            tails=dict(self.tails_),
            expected=found.expected,
            residual=found.residual,
            train_end=self.source().train_end,
        )

    def source(self) -> SurpriseSource:
        """The bundle. Raises InputError where there is none, or a path."""
        require_bundle(self.bundle)
        if self.bundle is None:
            raise InputError("an AnomalyScorer without a bundle takes features: AnomalyScorer(bundle) reads panels")
        return self.bundle

    def _fit_features(self, values: NDArray[np.float64]) -> Self:
        self.centre_ = np.median(values, axis=0)
        spread = np.abs(values - self.centre_).mean(axis=0)
        self.spread_ = np.where(spread > 0.0, spread, 1.0)  # a constant column: any other value is far
        far = np.abs(values - self.centre_) / self.spread_
        self.tails_ = {str(column): TailMap.fit(far[:, column]) for column in range(far.shape[1])}
        self.fitted_on_ = "features"
        return self

    def _score_features(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        far = np.abs(values - self.centre_) / self.spread_
        return combine(np.stack([tail(far[:, column]) for column, tail in enumerate(self.tails_.values())]))

    @property
    def readings(self) -> Readings | None:
        """The bundle's readings of the last panel; None before there is one."""
        last: _Last | None = self.__dict__.get("_last")
        return None if last is None else last.readings

    def go_on_from(self, readings: Readings) -> Self:
        """Take over readings of an earlier day, from a file (`fintok.readings.open_readings`): what they hold is not
        read again, where the panel's returns are the same to a thousandth of the asset's mean move."""
        self._last = _Last(readings, tolerance=RESTATED)
        return self

    def _evidence(self, panel: Panel) -> Evidence:
        """The panel's evidence, kept with what it was made from: the network reads only rows that are new."""
        last: _Last | None = self.__dict__.get("_last")
        if last is not None and last.found is not None and last.readings.panel is panel and last.bundle is self.bundle:
            return last.found
        bundle = self.source()
        readings = Readings.of(bundle, panel) if last is None else last.readings.extended(bundle, panel, last.tolerance)
        found = gather(readings, panel.returns, readings.peers)
        self._last = _Last(replace(readings, peers=found.peers), found, bundle)
        return found

    def _check_parameters(self) -> None:
        if not isinstance(self.alarms_per_1000, Real) or not 0.0 < self.alarms_per_1000 <= 500.0:
            raise InputError(
                f"alarms_per_1000 must be above 0 and at most 500 alarms per 1,000 asset-days, "
                f"got {self.alarms_per_1000!r}"
            )
        if not isinstance(self.days, Integral) or self.days < 20:
            raise InputError(f"days must be a whole number of dates of calibration, at least 20, got {self.days!r}")
