"""Anomaly scores: how strange each asset's newest days are, given the other assets and its own past."""

from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from fintok.calibration import adaptive_levels, rolling_p_values
from fintok.checks import CHECKS, run_checks
from fintok.errors import InputError
from fintok.estimator import Estimator
from fintok.evidence import REASONS, Evidence, Surprises, gather, standard_tails
from fintok.score_result import Scores
from fintok.tails import MIN_SAMPLE, TailMap, combine, evidence

if TYPE_CHECKING:
    from fintok.panel import Panel

_TAIL_ROWS = 2500  # newest training rows that shape the tails: ten years, since a market's habits change


class SurpriseSource(Protocol):
    """What the scorer needs of a bundle."""

    @property
    def train_end(self) -> np.datetime64: ...

    def surprise(self, panel: "Panel") -> Surprises: ...


class AnomalyScorer(Estimator):
    """Scores each (date, asset) of a panel, using that date and earlier ones only.

    Statistics of the day beside the other assets, of the asset's last weeks and of the bundle's surprise
    (`fintok.evidence.gather`) are turned into tail probabilities with maps learned on training rows, and combined
    into one number, the score (`fintok.tails.combine`). The score's rolling conformal p-value, over all assets and
    the trailing 750 dates, is held against an adaptive level that keeps alarms at `alarms_per_1000` in the long
    run. Deterministic checks (`fintok.checks`) alert beside it, with their own reasons and outside that budget.

    Parameters
    ----------
    bundle
        A pretrained bundle.
    alarms_per_1000
        Alarms per 1,000 asset-days that the score may raise on ordinary data, in (0, 500].
    days
        Dates in the trailing calibration window.

    Attributes learned by `fit`
    ---------------------------
    tails_ (a TailMap per statistic), fitted_on_ ("panel", or "standard" without training rows).
    """

    def __init__(self, bundle: SurpriseSource, alarms_per_1000: float = 1.0, days: int = 750) -> None:
        self.bundle = bundle
        self.alarms_per_1000 = alarms_per_1000
        self.days = days

    def fit(self, panel: "Panel | None" = None, y: object = None) -> Self:
        """Learn how each statistic is distributed, from the 2,500 rows up to the bundle's `train_end` only.

        A statistic with fewer than 1,000 such values (or no panel) is taken to follow a Student-t that fits it on
        US stocks, so that a bundle scores any panel; the final p-values are calibrated on the scored panel's own
        past either way. `y` is ignored. Raises InputError for a parameter out of range.
        """
        self._check_parameters()
        self.tails_ = standard_tails()
        self.fitted_on_ = "standard"
        num_training = 0 if panel is None else int((panel.dates <= self.bundle.train_end).sum())
        if panel is not None and num_training:
            for name, values in self._evidence(panel).statistics.items():
                sample = values[max(num_training - _TAIL_ROWS, 0) : num_training]
                if np.isfinite(sample).sum() >= MIN_SAMPLE:
                    self.tails_[name] = TailMap.fit(sample)
                    self.fitted_on_ = "panel"
        return self

    def score(self, panel: "Panel") -> Scores:
        """Score every (date, asset) of a panel: see `Scores`.

        Scores are NaN where there is no token (not observed, or too little history); p-values start once the
        window holds 1,000 scores, and nothing alerts by score before that.
        """
        self._require_fit()
        found = self._evidence(panel)
        statistics = found.statistics
        p_each = np.stack([self.tails_[name](values) for name, values in statistics.items()])
        score = combine(p_each)
        p_value = rolling_p_values(score, days=self.days)
        levels = adaptive_levels(p_value, self.alarms_per_1000 / 1000.0)
        by_score = p_value <= levels[:, None]  # NaN compares as False
        reason = np.zeros(score.shape, dtype=np.uint8)  # 0 = no alert
        leading = evidence(p_each).argmax(axis=0)
        reason[by_score] = 1 + leading[by_score].astype(np.uint8)
        flags = run_checks(panel)
        for code, name in reversed(list(enumerate(CHECKS, start=1 + len(statistics)))):
            reason[flags[name]] = (
                code  # a check is more specific than a statistic, and the first check wins
            )
        return Scores(
            panel=panel,
            score=score,
            p_value=p_value,
            levels=levels,
            is_alarm=by_score,
            reason_codes=reason,
            reasons=("", *(REASONS[name] for name in statistics), *CHECKS),
            statistics=statistics,
            tails=dict(self.tails_),
            expected=found.expected,
            residual=found.residual,
            train_end=self.bundle.train_end,
        )

    def _evidence(self, panel: "Panel") -> Evidence:
        """The panel's evidence; the last panel's is kept: it is a pass of the network."""
        cached = self.__dict__.get("_last")
        if cached is None or cached[0] is not panel:
            cached = (panel, gather(self.bundle.surprise(panel), panel.returns))
            self._last = cached
        return cached[1]

    def _check_parameters(self) -> None:
        if not 0.0 < self.alarms_per_1000 <= 500.0:
            raise InputError(
                f"alarms_per_1000 must be above 0 and at most 500 alarms per 1,000 asset-days, "
                f"got {self.alarms_per_1000!r}"
            )
        if self.days < 20:
            raise InputError(f"days must be at least 20 dates of calibration, got {self.days!r}")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_last"}
