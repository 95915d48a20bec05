"""The rows that regimes are learned from: a panel's own, or those of the bundle."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fintok.channels import Past
from fintok.errors import InputError
from fintok.expected_size import size_predictors
from fintok.hellinger import forecast_roots
from fintok.memory import Recall
from fintok.moves import moves_of
from fintok.panel import Panel, require_panel
from fintok.regime_model import Days
from fintok.spans import DateLike, rows_until

ROWS_TO_FIT = 500  # two trading years: below this, a panel's own training rows do not settle the regimes
ROWS_PER_REGIME = 30


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

    @property
    def training_sizes(self) -> NDArray[np.float32]: ...  # (T_train, P) `size_predictors`

    def forecast(self, panel: Panel, since: int = 0) -> NDArray[np.floating]: ...  # (T, C), NaN rows = no history

    def recall(self, panel: Panel) -> Recall: ...


class Training(NamedTuple):
    """The rows that regimes are learned from."""

    days: Days
    market: NDArray[np.floating]  # (N,)
    returns: NDArray[np.floating] | None  # (N, A); None when only the bundle's own training rows are known


def training_rows(
    bundle: Forecaster,
    panel: Panel | None,
    until: DateLike | None,
    forecast: Callable[[Panel], NDArray[np.floating]],
) -> tuple[Training, str]:
    """Rows up to a date, None = the bundle's `train_end`, and whose they are: "panel" or "bundle".

    They are the panel's where it has 500 that are labelled, else the bundle's. `forecast` is the bundle's (T, C) of a
    panel. Raises InputError where `until` is given and the panel has too few.
    """
    if panel is not None:
        require_panel(panel)
        count = rows_until(panel.dates, bundle.train_end if until is None else until)
        found = _rows_of(panel, forecast(panel)[:count], bundle.recall(panel).past) if count >= ROWS_TO_FIT else None
        if found is not None and len(found.market) >= ROWS_TO_FIT:
            return found, "panel"
    if until is not None:
        if panel is None:
            raise InputError("`until` is a date of a panel's: fit(panel, until=…)")
        raise InputError(
            f"fewer than {ROWS_TO_FIT} labelled rows up to {str(until).split('T')[0]} to learn regimes from: "
            "choose a later date, or a panel with a longer past"
        )
    rows, roots = forecast_roots(bundle.training_forecast)
    days = Days(bundle.training_dates[rows], roots, bundle.training_sizes[rows])
    return Training(days, np.asarray(bundle.training_returns_market)[rows], None), "bundle"


def days_of(panel: Panel, forecast: NDArray[np.floating], past: Past | None) -> tuple[NDArray[np.bool_], Days]:
    """The rows (T,) of a panel that have a forecast (T, C), and what regimes are read from on them.

    `past` is what the bundle remembers from before the panel.
    """
    rows, roots = forecast_roots(forecast)
    return rows, Days(panel.dates[rows], roots, size_predictors(panel, past)[rows])


def _rows_of(panel: Panel, forecast: NDArray[np.floating], past: Past | None) -> Training:
    part = panel[: len(forecast)]
    rows, days = days_of(part, forecast.astype(np.float16), past)  # as a bundle keeps its own
    moves = moves_of(part)
    return Training(days, moves.market[rows], moves.returns[rows])
