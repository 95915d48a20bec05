"""Market regimes: days whose pasts predict the same of what comes belong to the same regime."""

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fintok.errors import InputError
from fintok.estimator import Estimator, require_bundle
from fintok.features import Features, read_features
from fintok.panel import Panel, require_panel
from fintok.regime_match import carry_names
from fintok.regime_model import Days, Path, RegimeModel
from fintok.regime_result import Regimes
from fintok.regime_training import ROWS_PER_REGIME, Forecaster, Training, days_of, training_rows
from fintok.signature import mean_durations, regime_names, signature_table, transition_matrix
from fintok.spans import DateLike

if TYPE_CHECKING:
    import pandas as pd


class RegimeLabeler(Estimator):
    """Labels each date of a panel with a market regime, using that date and earlier ones only.

    `RegimeLabeler(bundle).fit(panel).predict(panel)` learns the regimes on the panel's own training rows,
    `RegimeLabeler(bundle).fit().predict(panel)`, which `fintok label` runs, on the bundle's; see `fit`.

    The bundle forecasts a distribution over codes for the coming week at every date. Its square roots, beside the size
    of moves to be expected (`fintok.expected_size`), are clustered and decoded into states that persist
    (`fintok.regime_model.RegimeModel`): the decoder waits only as long as the evidence is weak. Its penalty is the
    smallest at which the training path switches at most `switches_per_year` times per calendar year, and it rises,
    causally, while labels switch more often than that, so that they persist as asked on days and panels that the model
    has not seen. Regimes are numbered by the volatility of the market return in them: 0 is calmest.

    It takes features as well, as scikit-learn's clusterers do: a table (N, F) of finite numbers instead of a panel,
    a row a day in their order, on one scale, all of which `fit` learns from. `bundle` is then not asked; regimes are
    numbered by the mean of their centre, and `predict` and `predict_proba` answer with arrays.

    Parameters
    ----------
    bundle
        A pretrained bundle; None for features.
    n_regimes
        Number of regimes, at least 2. `fintok.choose_regimes` compares several.
    switches_per_year
        Persistence: the number of switches per calendar year that labels may have on average, at most.
    seed
        Seeds the k-means starts.

    Attributes learned by `fit`
    ---------------------------
    model_ (a RegimeModel), fitted_on_ ("panel", "bundle" or "features"), transition_matrix_ (K, K) day to day,
    durations_ (K,) mean spell in rows; but for features learned_until_ (the last date that the bundle or the regimes
    learned from: labels up to it are in-sample), names_ (K,) and signature_ (a DataFrame, one row per regime, over
    the training rows; correlation and dispersion are NaN when fitted without a panel); for features labels_ (N,) and
    n_features_in_.
    """

    def __init__(
        self,
        bundle: Forecaster | None = None,
        n_regimes: int = 4,
        switches_per_year: float = 4.0,
        seed: int = 0,
    ) -> None:
        self.bundle = bundle
        self.n_regimes = n_regimes
        self.switches_per_year = switches_per_year
        self.seed = seed

    def fit(
        self,
        panel: Any = None,
        y: object = None,
        *,
        until: DateLike | None = None,
        registry: "pd.DataFrame | None" = None,
    ) -> Self:
        """Learn the regimes from rows up to the bundle's `train_end`; later rows are not looked at.

        With no panel, or one with fewer than 500 labelled rows up to `train_end`, the bundle's own training
        forecast is used, so that a bundle labels any panel, and means the same by a number on each. On the
        panel that the bundle was trained on, fitting with and without it gives the same labels and
        probabilities; only the names and the signature say more with it (trends, correlation, dispersion).
        Any other panel with 500 such rows gets regimes of its own, which may lie elsewhere.

        `until` is another date to learn up to, for refits on newer rows of the panel; it must hold 500 labelled
        rows. `registry` is the `signature_` of an earlier fit: regimes that are alike in it keep its names
        (`fintok.match_regimes`). Neither is of features. `y` is ignored. Raises InputError for a parameter out of
        range or when there are too few training rows for `n_regimes`.
        """
        self._check_parameters()
        if panel is not None and not self._takes_panel(panel, is_fit=True):
            if until is not None or registry is not None:
                raise InputError("`until` and `registry` are of panels: cut the features before fit")
            return self._fit_features(read_features(self, panel, is_fit=True))
        training, fitted_on = self._training(panel, until)
        if len(training.market) < ROWS_PER_REGIME * self.n_regimes:
            raise InputError(
                f"{len(training.market)} training rows are too few for {self.n_regimes} regimes: "
                f"{ROWS_PER_REGIME} rows a regime are the least"
            )
        labels = self._learn(training.days, training.market)
        self.fitted_on_ = fitted_on
        market = training.market if fitted_on == "panel" else None  # another panel has trends of its own
        self.names_ = regime_names(labels, market, self.n_regimes)
        self._describe(labels, training)
        if registry is not None:
            self.names_ = carry_names(registry, self.signature_)
            self.signature_["name"] = self.names_
        return self

    def update(self, panel: Panel, *, until: DateLike | None = None) -> Self:
        """Learn on from the panel's rows after those learned from, up to `until` (the last one): regimes keep their
        numbers, their names and nearly all their days.

        Each new day joins the nearest regime, whose centre follows, until no new day changes; the signature is learned
        anew. Days that come in one call settle together: one call for a year gives slightly other regimes than twelve
        for its months (`fintok.walk_forward` fixes the stretches). Without new rows nothing changes. Raises InputError
        with fewer than 500 labelled rows of the panel up to `until`.
        """
        self._require_fit()
        require_panel(panel)
        self._takes_panel(panel)
        training = self._training(panel, panel.dates[-1] if until is None else until)[0]
        num_known = int((training.days.dates <= self._known_until).sum())
        if num_known < len(training.market):
            self.model_ = self.model_.update(training.days, num_known)
            self._describe(self._read_path(training.days), training)
        return self

    @overload
    def predict(self, panel: Panel) -> "pd.Series": ...

    @overload
    def predict(self, panel: "ArrayLike | pd.DataFrame") -> "NDArray[np.int64]": ...

    def predict(self, panel: Any) -> "pd.Series | NDArray[np.int64]":
        """Causal regime of each date: nullable integers, 0 = calmest; <NA> where there is no forecast yet.

        A label is known at the end of its day: act on it a day later, `held = regimes.shift(1).eq(0).fillna(False)`.
        Dates up to `learned_until_` are in sample. Dates have no time zone (those with a time of day are in UTC):
        join them with `returns.tz_localize(None)`. Each asset's moves are read in units of its own past. Of the assets
        that it learned from a bundle remembers what was before the panel's first row (`Bundle.recall`), so that one
        which begins later has nearly the same labels; of others give it all the history you have, always from the same
        first row.

        Of features (N, F): an array (N,); the path begins anew with the first of them.
        """
        if self._takes_panel(panel):
            return self.label(panel).to_series()
        return self._path_of_features(panel).labels

    @overload
    def predict_proba(self, panel: Panel) -> "pd.DataFrame": ...

    @overload
    def predict_proba(self, panel: "ArrayLike | pd.DataFrame") -> "NDArray[np.float64]": ...

    def predict_proba(self, panel: Any) -> "pd.DataFrame | NDArray[np.float64]":
        """Causal probabilities p_0 .. p_{K-1} of each date; NaN where there is no forecast yet.

        Of features (N, F): an array (N, K).
        """
        if self._takes_panel(panel):
            return self.label(panel).probabilities_frame()
        return self._path_of_features(panel).probabilities

    def smooth(self, panel: Panel) -> "pd.Series":
        """Regime of each date in hindsight of the whole panel (Viterbi). Looks ahead: to describe only."""
        self._require_fit()
        rows, days = self._days(panel)
        labels = np.full(len(rows), -1)
        labels[rows] = self.model_.hindsight(days)
        return self._result(panel, labels, np.full((len(rows), self.model_.num_regimes), np.nan)).to_series()

    def label(self, panel: Panel) -> Regimes:
        """Causal regimes and probabilities of a panel as one result object (summary, plot, tables).

        A panel that goes on where the last one ended costs what its new days cost.
        """
        require_panel(panel)
        self._takes_panel(panel)
        self._require_fit()
        rows, days = self._days(panel)
        labels = np.full(len(rows), -1)
        probabilities = np.full((len(rows), self.model_.num_regimes), np.nan)
        labels[rows], probabilities[rows] = self.model_.path(days)
        return self._result(panel, labels, probabilities)

    def forecast(self, panel: Panel) -> NDArray[np.floating]:
        """`Bundle.forecast` of the panel, (T, K): rows that were in the last one are not read again."""
        last = self.__dict__.get("_last")
        if last is None or last[1] is not self.bundle:
            last = (panel, self.bundle, self.source().forecast(panel))
        elif last[0] is not panel:
            same = panel.rows_in_common(last[0])
            read = self.source().forecast(panel, since=same)
            last = (panel, self.bundle, np.concatenate([last[2][:same], read[same:]]))
        self._last = last
        return last[2]

    def training(self, panel: Panel | None = None, until: DateLike | None = None) -> Training:
        """The rows that `fit(panel, until=until)` learns from."""
        return self._training(panel, until)[0]

    def _learn(self, days: Days, market: NDArray[np.floating] | None) -> NDArray[np.int64]:
        self.model_ = RegimeModel.learn(
            days,
            market,
            num_regimes=self.n_regimes,
            switches_per_year=self.switches_per_year,
            seed=self.seed,
        )
        return self._read_path(days)

    def _read_path(self, days: Days) -> NDArray[np.int64]:
        """Labels of the training rows, and how they follow each other."""
        labels = self.model_.path(days).labels
        self.transition_matrix_ = transition_matrix(labels, self.model_.num_regimes)
        self.durations_ = mean_durations(labels, self.model_.num_regimes)
        return labels

    def _describe(self, labels: NDArray[np.int64], training: Training) -> None:
        dates = training.days.dates
        self._known_until = dates[-1]  # of the regimes; the network may have learned from later rows
        self.learned_until_ = max(self.source().train_end, self._known_until)
        self.signature_ = signature_table(labels, self.names_, dates, training.market, training.returns)

    def _fit_features(self, features: Features) -> Self:
        if len(features.values) < self.n_regimes:
            raise InputError(f"{len(features.values)} sample(s) are too few for {self.n_regimes} regimes")
        self.labels_ = self._learn(Days(features.dates, features.values.astype(np.float32)), None)
        self.fitted_on_ = "features"
        return self

    def _path_of_features(self, table: Any) -> Path:
        values, dates = read_features(self, table, is_fit=False)
        return self.model_.path(Days(dates, values.astype(np.float32)))

    def _result(self, panel: Panel, labels: NDArray[np.integer], p: NDArray[np.float64]) -> Regimes:
        return Regimes(
            panel=panel,
            labels=labels,
            probabilities=p,
            names=self.names_,
            train_end=self.learned_until_,
            recall=self.source().recall(panel),
        )

    def source(self) -> Forecaster:
        """The bundle. Raises InputError where there is none, or a path."""
        require_bundle(self.bundle)
        if self.bundle is None:
            raise InputError("a RegimeLabeler without a bundle takes features: RegimeLabeler(bundle) reads panels")
        return self.bundle

    def _days(self, panel: Panel) -> tuple[NDArray[np.bool_], Days]:
        """The rows (T,) with a forecast, and what regimes are read from on them."""
        return days_of(panel, self.forecast(panel), self.source().recall(panel).past)

    def _training(self, panel: Panel | None, until: DateLike | None) -> tuple[Training, str]:
        return training_rows(self.source(), panel, until, self.forecast)

    def _check_parameters(self) -> None:
        if isinstance(self.n_regimes, bool) or not isinstance(self.n_regimes, Integral) or self.n_regimes < 2:
            raise InputError(f"n_regimes (--regimes) must be a whole number from 2 on, got {self.n_regimes!r}")
        if not isinstance(self.switches_per_year, Real) or not 0.0 <= self.switches_per_year < np.inf:
            raise InputError(f"switches_per_year (--switches) must be 0 or more, got {self.switches_per_year!r}")
        if not isinstance(self.seed, Integral) or self.seed < 0:
            raise InputError(f"seed must be a whole number from 0 on, got {self.seed!r}")


def require_labeler(labeler: object) -> None:
    """Raise InputError for anything else, as a bundle."""
    if not isinstance(labeler, RegimeLabeler):
        raise InputError(f"expected a RegimeLabeler, got a {type(labeler).__name__}: RegimeLabeler(bundle) makes one")
