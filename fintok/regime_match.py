"""Which regime is which after a refit: numbers follow volatility, names follow the regime."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_LOGARITHMS, _LEVELS = ("volatility", "dispersion"), ("correlation",)
FARTHEST = 1.0  # spreads of the old regimes: a regime farther from all of them is a new one


class Match(NamedTuple):
    """The old regime that each new one continues."""

    regimes: NDArray[np.int64]  # (K_new,) number in the old table; -1 = a new one: none is left, or can be compared
    distances: NDArray[np.float64]  # (K_new,) between their signatures, in spreads of the old ones; NaN for -1


def match_regimes(old: "pd.DataFrame", new: "pd.DataFrame") -> Match:
    """Match two signatures (`RegimeLabeler.signature_`, `Regimes.summary()`) one to one, the sum of distances least.

    The distance is the root mean square, over log volatility, log dispersion and correlation, of the difference in
    spreads (standard deviations over the old regimes; Kuhn, 1955, for the assignment). What is NaN in one of two
    regimes is left out of their distance; two with nothing in common are no match. Mean returns play no part: they
    are mostly noise.
    """
    from scipy.optimize import linear_sum_assignment

    distances = _distances(_coordinates(old), _coordinates(new))
    is_pair = np.isfinite(distances)
    last_resort = 1.0 + distances[is_pair].sum()  # any pair that can be compared comes before one that cannot
    rows, columns = linear_sum_assignment(np.where(is_pair, distances, last_resort))
    regimes, found = np.full(len(distances), -1), np.full(len(distances), np.nan)
    regimes[rows] = np.where(is_pair[rows, columns], columns, -1)
    found[rows] = distances[rows, columns]
    return Match(regimes, found)


def drift(old: "pd.DataFrame", new: "pd.DataFrame") -> NDArray[np.float64]:
    """(K,) distances that the regimes of one signature have moved to in another of theirs, as of `match_regimes`."""
    return _distances(_coordinates(old), _coordinates(new)).diagonal()


def carry_names(registry: "pd.DataFrame", signature: "pd.DataFrame") -> tuple[str, ...]:
    """Names of the regimes of `signature`: the registry's where they match, else their own, made unique."""
    match = match_regimes(registry, signature)
    kept = [
        registry["name"].iloc[regime] if regime >= 0 and distance <= FARTHEST else None
        for regime, distance in zip(match.regimes, match.distances, strict=True)
    ]
    names, taken = [], {name for name in kept if name is not None}
    for name, own in zip(kept, signature["name"], strict=True):
        if name is None:
            name = (
                own
                if own not in taken
                else next(f"{own} ({number})" for number in range(2, len(kept) + 3) if f"{own} ({number})" not in taken)
            )
            taken.add(name)
        names.append(name)
    return tuple(names)


def _distances(old: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K_new, K_old) between coordinates (K, 3), over those that both regimes have; NaN where they share none."""
    spread = np.ma.masked_invalid(old).std(axis=0).filled(0.0)
    spread = np.where(spread > 1e-9, spread, 1.0)  # all alike, or known of a single regime: in its own units
    squares = ((new[:, None] - old[None]) / spread) ** 2
    shared = np.isfinite(squares).sum(axis=2)
    return np.where(shared > 0, np.sqrt(np.nansum(squares, axis=2) / np.maximum(shared, 1)), np.nan)


def _coordinates(signature: "pd.DataFrame") -> NDArray[np.float64]:
    missing = [name for name in (*_LOGARITHMS, *_LEVELS) if name not in getattr(signature, "columns", ())]
    if missing:
        raise InputError(f"a signature has a column {missing[0]!r}; give a labeler's signature_, or Regimes.summary()")
    logs = np.log(np.maximum(signature[list(_LOGARITHMS)].to_numpy(np.float64), 1e-12))
    return np.concatenate([logs, signature[list(_LEVELS)].to_numpy(np.float64)], axis=1)
