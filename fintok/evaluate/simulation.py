"""Simulated markets that switch between two states: how much of the truth do labels find, learned from its past?

The chain and the moments of Nystrup, Lindstrom and Madsen (2020), after Hardy (2001): a calm and a stressed state
of daily returns, Gaussian or Student t. One asset, or twenty whose common market switches. The ceiling is the
filter that knows all parameters and calls a day stressed where it is likelier so than usual, which is the best that
balanced accuracy allows without looking ahead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.evaluate.market import Market
from fintok.evaluate.regime_frontier import standing
from fintok.evaluate.regime_rivals import RIVALS, calm_to_stressed
from fintok.evaluate.regimes import own_methods
from fintok.evaluate.result import OURS, Findings, is_installed, left_out
from fintok.panel import Panel
from fintok.progress import track
from fintok.standard_error import of_few

if TYPE_CHECKING:
    from fintok.bundle import Bundle

Array = NDArray[np.float64]

MEAN = np.array([0.000615, -0.000785])  # of a day, calm and stressed
DEVIATION = np.array([0.007759, 0.017396])
TRANSITION = np.array([[0.9979, 0.0021], [0.0120, 0.9880]])
DEGREES = 5.0  # of the Student t
OWN_DEVIATION = 0.015  # of each of many assets, beside the market
HISTORY, TRAINING, JUDGED = 100, 1000, 1000  # rows
FEWEST = 20  # days that each state must have, in training and after: else there is nothing to find
PATHS = {1: 40, 20: 16}  # markets simulated, by number of assets


class SwitchingMarket(NamedTuple):
    """A simulated panel and its truth."""

    panel: Panel
    states: NDArray[np.int64]  # (T,) 1 = stressed
    ceiling: NDArray[np.int64]  # (T,) what the filter that knows all parameters calls each day


class Judged(NamedTuple):
    """Labels of one market, on its judged rows."""

    accuracy: float  # balanced
    switches: float


def evaluate_simulation(bundle: Bundle, panel: Panel, *, seed: int = 0) -> Findings:
    """Balanced accuracy of causal labels with two regimes, fintok and rivals, on simulated markets.

    ``panel`` is not looked at: the network is the bundle's, the regimes are learned from each market's own past.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    worlds = [(num, tails) for num, paths in PATHS.items() for tails in ("Gaussian", "Student t") for _ in range(paths)]
    found: dict[tuple[str, int, str, str], list[Judged]] = {}
    for num_assets, tails in track(worlds, "simulated markets"):
        world = simulate(num_assets, DEGREES if tails == "Student t" else np.inf, rng)
        for (method, setting), labels in _labellings(bundle, world, seed).items():
            accuracy = balanced_accuracy(labels[-JUDGED:], world.states[-JUDGED:])
            switches = float((np.diff(labels[-JUDGED:]) != 0).sum())
            found.setdefault((tails, num_assets, method, setting), []).append(Judged(accuracy, switches))
    rows = [
        {
            "tails": tails,
            "assets": num_assets,
            "method": method,
            "setting": setting,
            "balanced_accuracy": np.mean([one.accuracy for one in values]),
            "lowest": np.min([one.accuracy for one in values]),
            "switches_in_1000_rows": np.mean([one.switches for one in values]),
        }
        for (tails, num_assets, method, setting), values in found.items()
    ]
    table = pd.DataFrame(rows)
    needs = {rival.name: rival.package for rival in RIVALS if rival.package}
    return Findings({"balanced accuracy": table}, {}, [*_verdicts(rows, found), *left_out(needs)])


def simulate(num_assets: int, degrees: float, rng: np.random.Generator) -> SwitchingMarket:
    """A market of ``num_assets`` with Student-t tails of ``degrees``, infinite for a Gaussian one."""
    num_rows = HISTORY + TRAINING + JUDGED
    states = _draw_states(num_rows, rng)
    while min(np.bincount(part, minlength=2).min() for part in (states[HISTORY:-JUDGED], states[-JUDGED:])) < FEWEST:
        states = _draw_states(num_rows, rng)
    beta = rng.uniform(0.6, 1.4, num_assets) if num_assets > 1 else np.ones(1)
    own = OWN_DEVIATION if num_assets > 1 else 0.0
    normal = DEVIATION[states][:, None] * rng.standard_normal((num_rows, 1)) * beta
    normal += own * rng.standard_normal((num_rows, num_assets))
    if np.isfinite(degrees):  # one draw of the tails a day: a multivariate Student t of the same covariance
        normal *= np.sqrt((degrees - 2.0) / rng.chisquare(degrees, (num_rows, 1)))
    returns = MEAN[states][:, None] * beta + normal
    dates = np.busday_offset("2010-01-01", np.arange(num_rows), roll="forward").astype("datetime64[ns]")
    prices = 100.0 * np.exp(np.cumsum(returns, axis=0))
    names = [f"S{asset:02d}" for asset in range(num_assets)]
    panel = Panel.from_arrays(prices, dates, names, source="simulated switching")
    return SwitchingMarket(panel, states, _filter(returns, beta, own, degrees))


def balanced_accuracy(labels: NDArray[np.integer], states: NDArray[np.integer]) -> float:
    """Mean over the states of the share of their days that are called so."""
    return float(np.mean([(labels[states == state] == state).mean() for state in np.unique(states)]))


def _labellings(bundle: Bundle, world: SwitchingMarket, seed: int) -> dict[tuple[str, str], NDArray[np.int64]]:
    forecast, cut = bundle.forecast(world.panel), HISTORY + TRAINING
    first = int(np.flatnonzero(np.isfinite(forecast).all(axis=1))[0])
    market = Market(world.panel, max(first, HISTORY), cut)
    rivals = [rival for rival in RIVALS if is_installed(rival.package)]
    answer = {("ceiling", "knows all parameters"): world.ceiling}
    for method in [*own_methods(bundle), *rivals]:
        for setting, labels in method.label(market, 2, cut, seed).items():
            answer[method.name, setting] = calm_to_stressed(labels, market, cut)
    return answer


def _verdicts(rows: list[dict[str, Any]], found: Mapping[tuple[str, int, str, str], Sequence[Judged]]) -> list[str]:
    """A sentence a kind of market: the best of fintok beside the best rival, on the same paths."""
    sentences = []
    for tails, num_assets in dict.fromkeys((row["tails"], row["assets"]) for row in rows):
        part = [row for row in rows if (row["tails"], row["assets"]) == (tails, num_assets)]
        ceiling = next(row for row in part if row["method"] == "ceiling")
        own = max((row for row in part if row["method"] == OURS), key=lambda row: row["balanced_accuracy"])
        rivals = [row for row in part if row["method"] not in (OURS, "ceiling")]
        other = max(rivals, key=lambda row: row["balanced_accuracy"])
        pair = [found[tails, num_assets, row["method"], row["setting"]] for row in (own, other)]
        ahead = np.array([one.accuracy - two.accuracy for one, two in zip(*pair, strict=True)])
        error = of_few(len(ahead)) * float(ahead.std(ddof=1)) / len(ahead) ** 0.5
        sentences.append(
            f"Simulated switching, {num_assets} asset{'s' if num_assets > 1 else ''}, {tails}: balanced accuracy of "
            f"fintok {own['balanced_accuracy']:.3f} ({own['setting']}), {standing(float(ahead.mean()), error)} the "
            f"best rival, {other['method']} ({other['setting']}), {other['balanced_accuracy']:.3f}; difference "
            f"{ahead.mean():+.3f} ± {error:.3f}; the ceiling is {ceiling['balanced_accuracy']:.3f}."
        )
    return sentences


def _draw_states(num_rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    states, draws = np.zeros(num_rows, dtype=np.int64), rng.random(num_rows)
    for row in range(1, num_rows):
        before = states[row - 1]
        states[row] = before if draws[row] < TRANSITION[before, before] else 1 - before
    return states


def _filter(returns: Array, beta: Array, own: float, degrees: float) -> NDArray[np.int64]:
    """Forward filter with the true parameters: stressed where that is likelier than its share of all days."""
    num_assets = len(beta)
    log_density = np.empty((len(returns), 2))
    for state in range(2):
        covariance = DEVIATION[state] ** 2 * np.outer(beta, beta) + own**2 * np.eye(num_assets)
        error = returns - MEAN[state] * beta
        square = np.einsum("ta,ab,tb->t", error, np.linalg.inv(covariance), error)
        tail = 0.5 * square
        if np.isfinite(degrees):
            tail = 0.5 * (degrees + num_assets) * np.log1p(square / (degrees - 2.0))
        log_density[:, state] = -0.5 * np.linalg.slogdet(covariance)[1] - tail
    prior = TRANSITION[0, 1] / (TRANSITION[0, 1] + TRANSITION[1, 0])
    share = np.array([1.0 - prior, prior])
    stressed = np.zeros(len(returns), dtype=np.int64)
    for row, log_likelihood in enumerate(log_density):
        share = share @ TRANSITION * np.exp(log_likelihood - log_likelihood.max())
        share /= share.sum()
        stressed[row] = share[1] > prior
    return stressed
