"""Regimes beside the usual rivals: all learn from the same rows up to train_end, all are judged on those after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fintok.evaluate.future import Foresight, foresight, targets
from fintok.evaluate.label_paths import DELAYS, strategy
from fintok.evaluate.log_score import ahead_by
from fintok.evaluate.market import Market
from fintok.evaluate.regime_frontier import but_level, frontier_table, frontier_verdicts, standing
from fintok.evaluate.regime_rivals import RIVALS, Labels, Method
from fintok.evaluate.regime_scores import Scored, score_methods, score_table
from fintok.evaluate.result import OURS, Findings, is_installed, left_out, rows_to_learn
from fintok.evaluate.stability import stability_table, stability_verdicts
from fintok.regimes import RegimeLabeler

if TYPE_CHECKING:
    import pandas as pd

    from fintok.bundle import Bundle
    from fintok.panel import Panel

SWITCHES = (2.0, 4.0, 12.0, 25.0)  # a year, asked of the labeler
USUAL_SWITCHES = 4.0  # its default
STRATEGY_NUMBERS = (2, 4)  # of regimes
FEWEST_TRAINING, FEWEST_JUDGED = 500, 250  # rows


def evaluate_regimes(bundle: Bundle, panel: Panel, *, seed: int = 0) -> Findings:
    """Judge the regimes of a bundle on a panel beside the rivals that are installed.

    Raises InputError for fewer than 500 labelled rows up to the bundle's train_end, or 250 after it.
    """
    forecast = bundle.forecast(panel)
    market = open_market(bundle, panel, forecast)
    rivals = [rival for rival in RIVALS if is_installed(rival.package)]
    methods = [*own_methods(bundle), *rivals]
    scored, failures = score_methods(methods, market, seed)
    stability = stability_table(methods, market, seed)
    foreseen = _foreseen(scored, market)
    usual = {method.name: method.usual for method in methods if method.usual}
    needs = {rival.name: rival.package for rival in RIVALS if rival.package}
    tables = {
        "frontier": frontier_table(scored),
        "stability": stability,
        "log score": score_table(scored),
        "future": _future(foreseen),
    }
    if market.is_relative:  # deviations are not money
        tables["strategy"] = _strategies(scored, usual, market)
    verdicts = [
        *frontier_verdicts(scored, market),
        *_future_verdicts(foreseen, market.panel.dates[market.cut :]),
        *stability_verdicts(stability),
        *failures,
        *left_out(needs),
    ]
    from fintok.plots.comparison import agreement_bars, frontier

    figures = {
        "Up and to the left is better: more said of the next day with fewer switches. Points are labellings, lines "
        "each method's best at that many switches or fewer.": frontier(
            tables["log score"], "log_score", "Log score of next-day returns, nats per asset-day"
        ),
        "The same for the volatility of the next 20 days: 1 would be known exactly, 0 is no better than its mean.": (
            frontier(tables["future"], "r2 volatility 20", "R² of the log volatility of the next 20 days")
        ),
        "Share of days that keep their regime when learned anew on more rows; the line reaches down to the worst.": (
            agreement_bars(stability)
        ),
    }
    return Findings(tables, figures, verdicts)


def open_market(bundle: Bundle, panel: Panel, forecast: NDArray[np.floating]) -> Market:
    """What the rivals see. Raises InputError where there is too little to learn from or to judge."""
    is_labelled = np.asarray(np.isfinite(forecast).all(axis=1))
    cut = rows_to_learn(panel, bundle.train_end, FEWEST_TRAINING, FEWEST_JUDGED, is_labelled)
    return Market(panel, int(is_labelled.argmax()), cut)


def own_methods(bundle: Bundle) -> list[Method]:
    """fintok's regimes as the rivals are: one method for each number of switches that is asked for."""

    def fitted(market: Market, num_regimes: int, rows: int, seed: int, switches: float) -> RegimeLabeler:
        labeler = RegimeLabeler(bundle, n_regimes=num_regimes, switches_per_year=switches, seed=seed)
        return labeler.fit(market.panel, until=market.panel.dates[rows - 1])

    def labels_of(labeler: RegimeLabeler, market: Market) -> Labels:
        return np.maximum(labeler.label(market.panel).carried, 0).astype(np.int64)

    def learn_on(market: Market, num_regimes: int, ends: Sequence[int], seed: int) -> list[Labels]:
        labeler = fitted(market, num_regimes, ends[0], seed, USUAL_SWITCHES)
        return [labels_of(labeler.update(market.panel, until=market.panel.dates[end - 1]), market) for end in ends]

    def asked(switches: float) -> Method:
        name = f"{switches:g} switches asked for"

        def label(market: Market, num_regimes: int, rows: int, seed: int) -> dict[str, Labels]:
            return {name: labels_of(fitted(market, num_regimes, rows, seed, switches), market)}

        is_usual = switches == USUAL_SWITCHES
        return Method(OURS, None, label, name if is_usual else None, learn_on=learn_on if is_usual else None)

    return [asked(switches) for switches in SWITCHES]


def _foreseen(scored: Sequence[Scored], market: Market) -> list[tuple[Scored, dict[str, Foresight]]]:
    """Each labelling with what it foresees, by target."""
    aims = targets(market)
    return [
        (one, {name: foresight(one.labels, aim, int(name.split()[-1]), market) for name, aim in aims.items()})
        for one in scored
    ]


def _future(foreseen: Sequence[tuple[Scored, dict[str, Foresight]]]) -> pd.DataFrame:
    """R² and rank correlation of each target, a row a labelling."""
    import pandas as pd

    rows = []
    for one, found in foreseen:
        row: dict[str, Any] = {**one.name, "switches_a_year": one.path.switches_a_year}
        row |= {f"r2 {name}": told.r_squared for name, told in found.items()}
        row |= {f"rank {name}": told.rank_correlation for name, told in found.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _future_verdicts(
    foreseen: Sequence[tuple[Scored, dict[str, Foresight]]], dates: NDArray[np.datetime64]
) -> list[str]:
    """A sentence a target, for 20 days: the best of fintok beside the best rival, the difference with its error.

    dates: (R,) of the rows after the cut, the last of which have no future yet.
    """
    sentences = []
    for target in ("volatility", "dispersion", "drawdown"):
        told = [(one, found[f"{target} 20"]) for one, found in foreseen]
        told = [pair for pair in told if np.isfinite(pair[1].r_squared)]
        if {pair[0].method == OURS for pair in told} != {True, False}:
            continue  # one asset has no dispersion
        own, ours = max((pair for pair in told if pair[0].method == OURS), key=lambda pair: pair[1].r_squared)
        other, best = max((pair for pair in told if pair[0].method != OURS), key=lambda pair: pair[1].r_squared)

        def lead(foreseen: Foresight, ours: Foresight = ours) -> tuple[float, float]:
            ones = np.ones(len(ours.daily), dtype=np.int64)
            return ahead_by(-ours.daily, -foreseen.daily, ones, dates[: len(ours.daily)])

        difference, error = lead(best)
        by_method: dict[str, tuple[Scored, Foresight]] = {}
        for one, found in sorted(told, key=lambda pair: pair[1].r_squared):
            if one.method != OURS:
                by_method[one.method] = (one, found)  # the highest comes last
        verdict = standing(difference, error)
        beside = {one.description: lead(found) for one, found in by_method.values()}
        log = "" if target == "drawdown" else "log "
        sentences.append(
            f"R² of the {log}{target} of the next 20 days: fintok {ours.r_squared:.3f} ({own.num_regimes} regimes, "
            f"{own.setting}), {verdict} the best rival, {other.description}, "
            f"{best.r_squared:.3f}; difference {difference:+.3f} ± {error:.3f}{but_level(verdict, beside, 3)}."
        )
    return sentences


def _strategies(scored: Sequence[Scored], usual: dict[str, str], market: Market) -> pd.DataFrame:
    """Out of the market in the most volatile regime, each method's usual setting; and always in it."""
    import pandas as pd

    always = np.ones(market.panel.num_days, dtype=bool)
    name = {"method": "always invested", "setting": "", "regimes": 1, "delay": 1}
    rows = [{**name, **strategy(always, 1, market)._asdict()}]
    for one in scored:
        if usual.get(one.method) == one.setting and one.num_regimes in STRATEGY_NUMBERS:
            is_held = one.labels < one.num_regimes - 1
            rows += [{**one.name, "delay": days, **strategy(is_held, days, market)._asdict()} for days in DELAYS]
    return pd.DataFrame(rows)
