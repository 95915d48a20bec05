"""The usual ways to tell regimes: each learns from the rows before a cut and labels every day from its own past.

One fit may answer with several labellings, by setting: the more a method smooths, the less it switches, so that
methods can be compared at equal persistence.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.channels import decayed_mean
from fintok.evaluate.market import Market

if TYPE_CHECKING:
    from hmmlearn.hmm import GaussianHMM  # pyright: ignore[reportMissingImports]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

PENALTIES = (1.0, 0.003, 0.03, 0.1, 0.3, 3.0, 10.0)  # of the jump model, the usual one first
VOLATILITY_HALF_LIVES = (5.0, 10.0, 30.0, 90.0)  # rows
_CALM = 1e-2  # usual days, added before a logarithm: a day without moves is not minus infinity
SMOOTHINGS = (0.0, 5.0, 20.0)  # half-lives of an HMM's filtered probabilities, rows
EXPECTED_HALF_LIVES = (0.0, 2.0, 5.0, 10.0, 20.0)  # of the expected size
EXPECTED_MARGINS = (0.0, 0.1, 0.2, 0.3, 0.45, 0.6)  # standard deviations by which it has to cross a bound
TURBULENCE_HALF_LIVES = (5.0, 20.0, 60.0)
ABSORPTION_SHIFT = (15, 250)  # rows: the mean of the last over that of the year before, as in the paper
AVERAGE_ROWS = 200  # of the moving-average rule
MARGIN_DAYS = 3.0  # usual moves by which a price has to cross the average, in the slower version of the rule


class Method(NamedTuple):
    """A way to tell regimes."""

    name: str
    package: str | None
    """What it needs, as it is imported; None for what fintok computes itself."""
    label: Callable[[Market, int, int, int], dict[str, Labels]]
    """(market, number of regimes, rows to learn from, seed) -> labels (T,) from 0, by setting; nothing where the
    method has no such number of regimes. Labels before row ``market.first`` mean nothing."""
    usual: str | None
    """The setting that stands for the method where one is enough; None where another one does."""
    is_learned: bool = True
    """False for a rule without anything to learn: a refit is the same."""
    learn_on: Callable[[Market, int, Sequence[int], int], list[Labels]] | None = None
    """(market, number of regimes, rows to learn from one after the other, seed) -> labels (T,) after each, of one model
    that keeps its regimes; None where a method can only be fitted anew."""


def volatility_quantiles(market: Market, num_regimes: int, rows: int, seed: int) -> dict[str, Labels]:
    return {
        f"half-life {days:g}": _quantiles(market.volatility(days), num_regimes, market.first, rows)
        for days in VOLATILITY_HALF_LIVES
    }


def expected_quantiles(market: Market, num_regimes: int, rows: int, seed: int) -> dict[str, Labels]:
    """Of the regression that stands beside the codes in fintok's regimes: what it tells by itself, also where it has to
    cross a bound by a margin before the regime changes, since fintok's labels persist, too."""
    expected = market.expected_size(rows)
    return {
        _smoothness(days) + (f", margin of {margin:g}" if margin else ""): _quantiles(
            _smoothed(expected, days), num_regimes, market.first, rows, margin
        )
        for days in EXPECTED_HALF_LIVES
        for margin in EXPECTED_MARGINS
    }


def turbulence_quantiles(market: Market, num_regimes: int, rows: int, seed: int) -> dict[str, Labels]:
    turbulence = market.turbulence(rows)
    return {
        f"half-life {days:g}": _quantiles(_smoothed(turbulence, days), num_regimes, market.first, rows)
        for days in TURBULENCE_HALF_LIVES
    }


def absorption_quantiles(market: Market, num_regimes: int, rows: int, seed: int) -> dict[str, Labels]:
    level = market.absorption
    short, long = (_trailing_mean(level, rows) for rows in ABSORPTION_SHIFT)
    shift = (short - long) / np.sqrt(_trailing_mean((level - long) ** 2, ABSORPTION_SHIFT[1]) + 1e-12)
    return {
        name: _quantiles(values, num_regimes, market.first, rows)
        for name, values in (("level", level), ("shift", shift))
    }


def moving_average(market: Market, num_regimes: int, rows: int, seed: int) -> dict[str, Labels]:
    """Regime 1 while the equal-weight market stands below its mean of the last 200 days (Faber, 2007)."""
    if num_regimes != 2:
        return {}
    level = np.nancumsum(market.move)
    gap = level - _trailing_mean(level, AVERAGE_ROWS)
    margin = MARGIN_DAYS * float(np.nanstd(market.move[market.first : rows]))
    crossings = np.flatnonzero(np.abs(gap) > margin)
    last = np.searchsorted(crossings, np.arange(len(gap)), side="right") - 1  # the latest crossing so far
    held = np.where(last >= 0, gap[crossings[np.maximum(last, 0)]] if len(crossings) else 0.0, 0.0)
    return {
        "plain": (gap < 0).astype(np.int64),
        f"margin of {MARGIN_DAYS:g} usual days": (held < 0).astype(np.int64),
    }


def hidden_markov(market: Market, num_regimes: int, rows: int, seed: int) -> dict[str, Labels]:
    """Gaussian HMM on the day's log mean |return| (hmmlearn), filtered: its own `predict` looks ahead."""
    from hmmlearn.hmm import GaussianHMM  # pyright: ignore[reportMissingImports]

    raw = log_size(market, rows)[:, None]
    training = raw[: rows - market.first]
    starts = [GaussianHMM(num_regimes, "full", n_iter=100, random_state=3 * seed + k) for k in range(3)]
    with quiet():
        best = max((start.fit(training) for start in starts), key=lambda fit: fit.score(training))
        filtered = filter_states(best, raw)
    return {_smoothness(days): _whole(_smoothed(filtered, days).argmax(axis=1), market.first) for days in SMOOTHINGS}


def log_size(market: Market, rows: int) -> Array:
    """(T - first,) log mean |return| of each day from row ``first`` on, for returns of any size alike.

    What keeps still days finite is a share of the median day up to ``rows``.
    """
    size = market.size.to_numpy()[market.first :]
    usual = float(np.median(size[: rows - market.first]))
    return np.log(size + max(_CALM * usual, 1e-12))


def filter_states(model: GaussianHMM, observations: Array) -> Array:
    """Probability (T, K) of each state of a fitted HMM on each day, given the days up to it alone."""
    from scipy.special import logsumexp

    log_likelihood = model._compute_log_likelihood(observations)
    with np.errstate(divide="ignore"):
        transition, state = np.log(model.transmat_), np.log(model.startprob_) + log_likelihood[0]
    states = np.empty_like(log_likelihood)
    states[0] = state - logsumexp(state)
    for day, row in enumerate(log_likelihood[1:], start=1):
        state = np.logaddexp.reduce(states[day - 1][:, None] + transition, axis=0) + row
        states[day] = state - logsumexp(state)
    return np.exp(states)


def gaussian_mixture(market: Market, num_regimes: int, rows: int, seed: int) -> dict[str, Labels]:
    """Of log mean |return| smoothed over 5, 20 and 60 days (scikit-learn)."""
    from sklearn.mixture import GaussianMixture  # pyright: ignore[reportMissingImports]

    smooth = market.smooth_size(rows).to_numpy()
    with quiet():
        mixture = GaussianMixture(num_regimes, n_init=3, random_state=seed).fit(smooth[: rows - market.first])
    return {"plain": _whole(mixture.predict(smooth), market.first)}


def jump_model(penalty: float) -> Callable[[Market, int, int, int], dict[str, Labels]]:
    """Of the same features, decoded online (jumpmodels; Shu, Yu and Mulvey, 2024)."""

    def label(market: Market, num_regimes: int, rows: int, seed: int) -> dict[str, Labels]:
        from jumpmodels.jump import JumpModel  # pyright: ignore[reportMissingImports]

        smooth = market.smooth_size(rows)
        training, size = smooth.iloc[: rows - market.first], market.size.iloc[market.first : rows]
        model = JumpModel(num_regimes, jump_penalty=penalty, random_state=seed, n_init=5)
        with quiet():
            labels = model.fit(training, size, sort_by="vol").predict_online(smooth)
        return {f"penalty {penalty:g}": _whole(np.asarray(labels), market.first)}

    return label


RIVALS = (
    Method("volatility quantiles", None, volatility_quantiles, "half-life 10"),
    Method("HAR quantiles", None, expected_quantiles, "smoothed over 10 days"),
    *(
        Method(
            "jump model, online", "jumpmodels", jump_model(penalty), "penalty 1" if penalty == PENALTIES[0] else None
        )
        for penalty in PENALTIES
    ),
    Method("HMM, filtered", "hmmlearn", hidden_markov, "plain"),
    Method("Gaussian mixture", "sklearn", gaussian_mixture, "plain"),
    Method("turbulence", None, turbulence_quantiles, "half-life 20"),
    Method("absorption ratio", None, absorption_quantiles, "level"),
    Method("200-day rule", None, moving_average, "plain", is_learned=False),
)


def calm_to_stressed(labels: Labels, market: Market, rows: int) -> Labels:
    """The same regimes, numbered by the market's volatility in them on rows up to ``rows``: 0 is the calmest.

    A regime of fewer than 20 such days keeps its place at the end that its number says.
    """
    seen, move = labels[market.first : rows], market.move[market.first : rows]
    num_regimes = int(labels[market.first :].max()) + 1
    sizes = [move[(seen == k) & np.isfinite(move)] for k in range(num_regimes)]
    spread = np.array([days.std() if len(days) >= 20 else np.nan for days in sizes])
    spread = np.where(np.isfinite(spread), spread, np.inf)
    place = np.empty(num_regimes, dtype=np.int64)
    place[np.argsort(spread, kind="stable")] = np.arange(num_regimes)
    answer = labels.copy()
    answer[market.first :] = place[labels[market.first :]]
    return answer


def _quantiles(values: Array, num_regimes: int, first: int, rows: int, margin: float = 0.0) -> Labels:
    """Labels by the quantiles of rows ``first`` to ``rows``; a day without a value is in the calmest.

    With a margin, in their standard deviations, a label stays until a bound of its regime is passed by so much.
    """
    known = values[first:rows]
    bounds = np.nanquantile(known, np.arange(1, num_regimes) / num_regimes)
    values = np.where(np.isfinite(values), values, -np.inf)
    labels = np.searchsorted(bounds, values).astype(np.int64)
    if margin:
        slack = margin * float(np.nanstd(known))
        low, high = (np.searchsorted(bounds, values + shift) for shift in (-slack, slack))
        for day in range(1, len(labels)):
            last = labels[day - 1]
            labels[day] = last if low[day] <= last <= high[day] else labels[day]
    return labels


def _smoothed(values: Array, half_life: float) -> Array:
    """Decayed mean of values (T, ...) up to each row; with a half-life of 0 they themselves."""
    if half_life == 0.0:
        return values
    columns = values.reshape(len(values), -1)
    return decayed_mean(columns, np.ones(columns.shape, dtype=bool), half_life).reshape(values.shape)


def _smoothness(days: float) -> str:
    return f"smoothed over {days:g} days" if days else "plain"


def _trailing_mean(values: Array, rows: int) -> Array:
    """Mean of each row and the ``rows`` - 1 before it, of fewer at the start; NaN takes no weight."""
    import pandas as pd

    return np.asarray(pd.Series(values).rolling(rows, min_periods=1).mean())


def _whole(labels: NDArray[np.integer], first: int) -> Labels:
    return np.concatenate([np.zeros(first, dtype=np.int64), labels.astype(np.int64)])


@contextmanager
def quiet() -> Iterator[None]:
    """Libraries whose fits do not converge say so at every one of them."""
    logger = logging.getLogger("hmmlearn")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
