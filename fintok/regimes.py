"""Market regimes: days whose pasts predict the same coming week belong to the same regime."""

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fintok.clustering import kmeans, squared_distances
from fintok.errors import InputError
from fintok.estimator import Estimator
from fintok.hellinger import causal_average, forecast_roots
from fintok.moves import moves_of
from fintok.persistence import (
    Decoded,
    allowed_switches,
    decode_online,
    decode_with_hindsight,
    penalty_for_switches,
    probability_temperature,
)
from fintok.regime_result import Regimes
from fintok.signature import (
    mean_durations,
    regime_names,
    rows_per_year,
    signature_table,
    transition_matrix,
    years_spanned,
)

if TYPE_CHECKING:
    import pandas as pd

    from fintok.panel import Panel

_ROWS_TO_FIT = 500  # two trading years: below this, a panel's own training rows do not settle the regimes


class Forecaster(Protocol):
    """What the labeler needs of a bundle."""

    @property
    def train_end(self) -> np.datetime64: ...

    @property
    def training_forecast(self) -> NDArray[np.floating]: ...  # (T_train, C)

    @property
    def training_dates(self) -> NDArray[np.datetime64]: ...  # (T_train,)

    @property
    def training_returns_market(self) -> NDArray[np.floating]: ...  # (T_train,)

    def forecast(self, panel: "Panel") -> NDArray[np.floating]: ...  # (T, C), NaN rows = not enough history


class _Training(NamedTuple):
    roots: NDArray[np.float32]  # (N, C)
    dates: NDArray[np.datetime64]  # (N,)
    market: NDArray[np.floating]  # (N,)
    returns: NDArray[np.floating] | None  # (N, A); None when only the bundle's own training rows are known


class RegimeLabeler(Estimator):
    """Labels each date of a panel with a market regime, using that date and earlier ones only.

    `RegimeLabeler(bundle).fit(panel).predict(panel)` learns the regimes on the panel's own training rows,
    `RegimeLabeler(bundle).fit().predict(panel)`, which `fintok label` runs, on the bundle's; see `fit`.

    The bundle forecasts a distribution over codes for the coming week at every date. Its square roots, of the
    last days (half-life one row) side by side with those of half a usual spell (a year over twice
    `switches_per_year`), are clustered on training rows (k-means): the longer a regime is to last, the more
    of the past it is a regime of. A jump-model decoder then makes the states persistent: it waits only as
    long as the evidence is weak. Its penalty is the smallest at which the training
    path switches at most `switches_per_year` times per calendar year, and it rises, causally, while labels
    switch more often than that, so that they persist as asked on days and panels that the model has not seen.
    Regimes are numbered by the volatility of the market return in them: 0 is calmest.

    Parameters
    ----------
    bundle
        A pretrained bundle.
    n_regimes
        Number of regimes, at least 2.
    switches_per_year
        Persistence: the number of switches per calendar year that labels may have on average, at most.
    seed
        Seeds the k-means starts.

    Attributes learned by `fit`
    ---------------------------
    centres_ (K, 2 C), half_spell_ in rows, penalty_ (the smallest), distance_scale_, temperature_, names_ (K,),
    transition_matrix_ (K, K) day to day, durations_ (K,) mean spell in rows, signature_ (a DataFrame, one row
    per regime, over the training rows; correlation and dispersion are NaN when fitted without a panel),
    fitted_on_ ("panel" or "bundle").
    """

    def __init__(
        self,
        bundle: Forecaster,
        n_regimes: int = 4,
        switches_per_year: float = 4.0,
        seed: int = 0,
    ) -> None:
        self.bundle = bundle
        self.n_regimes = n_regimes
        self.switches_per_year = switches_per_year
        self.seed = seed

    def fit(self, panel: "Panel | None" = None, y: object = None) -> Self:
        """Learn the regimes from rows up to the bundle's `train_end`; later rows are not looked at.

        With no panel, or one with fewer than 500 labelled rows up to `train_end`, the bundle's own training
        forecast is used, so that a bundle labels any panel, and means the same by a number on each. On the
        panel that the bundle was trained on, fitting with and without it gives the same labels and
        probabilities; only the names and the signature say more with it (trends, correlation, dispersion).
        Any other panel with 500 such rows gets regimes of its own, which may lie elsewhere.

        `y` is ignored. Raises InputError for a parameter out of range or when there are too few training rows
        for `n_regimes`.
        """
        self._check_parameters()
        training, self.fitted_on_ = self._training(panel)
        if len(training.roots) < 30 * self.n_regimes:
            raise InputError(
                f"{len(training.roots)} training days are too few for {self.n_regimes} regimes: "
                f"30 days a regime are the least"
            )
        num_years = years_spanned(training.dates)
        self.half_spell_ = rows_per_year(training.dates) / max(self.switches_per_year, 1.0 / num_years) / 2.0
        points = self._points(training.roots)
        clusters = kmeans(points, self.n_regimes, np.random.default_rng(self.seed))
        distances = squared_distances(points, clusters.centres)
        self.distance_scale_ = float((distances - distances.min(axis=1, keepdims=True)).mean())
        max_switches = self.switches_per_year * num_years
        smallest = max(1e-3 * self.distance_scale_, 1e-12)  # from zero the penalty could not adapt
        self.penalty_ = max(penalty_for_switches(distances, max_switches), smallest)
        labels = self._decode(distances, training.dates).labels
        order = self._calm_to_stressed(labels, clusters.labels, training.market)
        self.centres_ = clusters.centres[order]
        distances = distances[:, order]
        decoded = self._decode(distances, training.dates)
        labels = decoded.labels
        hindsight = decode_with_hindsight(distances, float(np.median(decoded.penalties)))
        self.temperature_ = probability_temperature(self._costs(decoded), hindsight)
        market = (
            training.market if self.fitted_on_ == "panel" else None
        )  # another panel has trends of its own
        self.names_ = regime_names(labels, market, self.n_regimes)
        self.transition_matrix_ = transition_matrix(labels, self.n_regimes)
        self.durations_ = mean_durations(labels, self.n_regimes)
        self.signature_ = signature_table(
            labels, self.names_, training.dates, training.market, training.returns
        )
        return self

    def predict(self, panel: "Panel") -> "pd.Series":
        """Causal regime of each date: nullable integers, 0 = calmest; <NA> where there is no forecast yet."""
        return self.label(panel).to_series()

    def predict_proba(self, panel: "Panel") -> "pd.DataFrame":
        """Causal probabilities p_0 .. p_{K-1} of each date; NaN where there is no forecast yet."""
        return self.label(panel).probabilities_frame()

    def smooth(self, panel: "Panel") -> "pd.Series":
        """Regime of each date in hindsight of the whole panel (Viterbi). Looks ahead: to describe only."""
        self._require_fit()
        rows, roots = forecast_roots(self._forecast(panel))
        labels = np.full(len(rows), -1)
        if len(roots):
            distances = self._distances(roots)
            penalties = self._decode(distances, panel.dates[rows]).penalties
            labels[rows] = decode_with_hindsight(distances, float(np.median(penalties)))
        return self._result(panel, labels, np.full((len(rows), self.n_regimes), np.nan)).to_series()

    def label(self, panel: "Panel") -> Regimes:
        """Causal regimes and probabilities of a panel as one result object (summary, plot, tables)."""
        self._require_fit()
        rows, roots = forecast_roots(self._forecast(panel))
        labels = np.full(len(rows), -1)
        probabilities = np.full((len(rows), len(self.centres_)), np.nan)
        if len(roots):
            decoded = self._decode(self._distances(roots), panel.dates[rows])
            labels[rows] = decoded.labels
            likelihood = np.exp(-self._costs(decoded) / self.temperature_)
            probabilities[rows] = likelihood / likelihood.sum(axis=1, keepdims=True)
        return self._result(panel, labels, probabilities)

    def _result(self, panel: "Panel", labels: NDArray[np.integer], p: NDArray[np.float64]) -> Regimes:
        return Regimes(
            panel=panel, labels=labels, probabilities=p, names=self.names_, train_end=self.bundle.train_end
        )

    def _points(self, roots: NDArray[np.float32]) -> NDArray[np.float32]:
        """Roots (N, C) -> what is clustered (N, 2 C): the last days, and half a spell, as they were on each day."""
        return np.concatenate([causal_average(roots, 1.0), causal_average(roots, self.half_spell_)], axis=1)

    def _distances(self, roots: NDArray[np.float32]) -> NDArray[np.float64]:
        return squared_distances(self._points(roots), self.centres_)

    def _decode(self, distances: NDArray[np.float64], dates: NDArray[np.datetime64]) -> Decoded:
        return decode_online(distances, self.penalty_, allowed_switches(dates, self.switches_per_year))

    def _costs(self, decoded: Decoded) -> NDArray[np.float64]:
        """Costs in units of the day's penalty and a usual distance; beyond one unit nothing more is lost."""
        return np.minimum(decoded.values / (decoded.penalties + self.distance_scale_)[:, None], 1.0)

    def _forecast(self, panel: "Panel") -> NDArray[np.floating]:
        """The panel's forecast; the last panel's is kept: it is a pass of the network."""
        cached = self.__dict__.get("_last")
        if cached is None or cached[0] is not panel:
            cached = (panel, self.bundle.forecast(panel))
            self._last = cached
        return cached[1]

    def _training(self, panel: "Panel | None") -> tuple[_Training, str]:
        bundle = self.bundle
        if panel is not None:
            num_training = int((panel.dates <= bundle.train_end).sum())
            if num_training >= _ROWS_TO_FIT:
                forecast = self._forecast(panel)[:num_training].astype(np.float16)  # as a bundle keeps its own
                rows, roots = forecast_roots(forecast)
                if rows.sum() >= _ROWS_TO_FIT:
                    part = panel[:num_training]
                    moves = moves_of(part)
                    return _Training(roots, part.dates[rows], moves.market[rows], moves.returns[rows]), "panel"
        rows, roots = forecast_roots(bundle.training_forecast)
        market = np.asarray(bundle.training_returns_market)[rows]
        return _Training(roots, bundle.training_dates[rows], market, None), "bundle"

    def _calm_to_stressed(
        self, labels: NDArray[np.integer], nearest: NDArray[np.integer], market: NDArray[np.floating]
    ) -> NDArray[np.intp]:
        """Clusters by volatility on the path; by nearest centre for one that it visits under 20 days."""
        volatilities = []
        for cluster in range(self.n_regimes):
            days = labels == cluster if (labels == cluster).sum() >= 20 else nearest == cluster
            moves = market[days & np.isfinite(market)]
            volatilities.append(moves.std() if len(moves) > 1 else 0.0)
        return np.argsort(volatilities, kind="stable")

    def _check_parameters(self) -> None:
        if isinstance(self.n_regimes, bool) or int(self.n_regimes) != self.n_regimes or self.n_regimes < 2:
            raise InputError(f"n_regimes must be a whole number from 2 on, got {self.n_regimes!r}")
        if not self.switches_per_year >= 0:
            raise InputError(f"switches_per_year must not be negative, got {self.switches_per_year!r}")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_last"}
