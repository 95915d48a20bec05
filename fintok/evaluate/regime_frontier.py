"""Log score against switches a year: who tells more of tomorrow at the same persistence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from fintok.evaluate.log_score import ahead_by
from fintok.evaluate.market import Market
from fintok.evaluate.regime_scores import Scored
from fintok.evaluate.result import OURS

if TYPE_CHECKING:
    import pandas as pd

BUDGETS = (2.5, 5.0, 10.0, 25.0, float("inf"))  # switches a year
CLEAR = 2.0  # standard errors from which a difference is one


def best(scored: Sequence[Scored], budget: float) -> Scored | None:
    """The highest score at no more than ``budget`` switches a year; None where nothing is so persistent."""
    return max((one for one in scored if one.path.switches_a_year <= budget), key=lambda one: one.score, default=None)


def frontier_table(scored: Sequence[Scored]) -> pd.DataFrame:
    """A row a method: its best log score at each budget of switches a year; NaN where it switches more."""
    import pandas as pd

    rows = []
    for method in dict.fromkeys(one.method for one in scored):
        own = [one for one in scored if one.method == method]
        bests = {_heading(budget): best(own, budget) for budget in BUDGETS}
        rows.append({"method": method, **{name: one.score if one else np.nan for name, one in bests.items()}})
    return pd.DataFrame(rows)


def frontier_verdicts(scored: Sequence[Scored], market: Market) -> list[str]:
    """A sentence a budget: fintok's best beside the rivals' best, the difference with its standard error.

    Neighbouring budgets with the same two best share a sentence.
    """
    ours = [one for one in scored if one.method == OURS]
    rivals = [one for one in scored if one.method != OURS]
    counts, dates = np.isfinite(market.returns[market.cut :]).sum(axis=1), market.panel.dates[market.cut :]
    pairs = [(budget, best(ours, budget), best(rivals, budget)) for budget in BUDGETS]
    known = [(budget, own, other) for budget, own, other in pairs if own is not None and other is not None]
    sentences = []
    for _, group in groupby(known, key=lambda pair: (id(pair[1]), id(pair[2]))):
        (first, own, other), *more = group
        difference, error = ahead_by(own.daily, other.daily, counts, dates)
        verdict = standing(difference, error)
        others = [best([one for one in rivals if one.method == name], first) for name in {one.method for one in rivals}]
        beside = {one.description: ahead_by(own.daily, one.daily, counts, dates) for one in others if one is not None}
        sentences.append(
            f"Log score {_words(first, more[-1][0] if more else first)}: fintok {own.score:.4f} nats "
            f"({own.num_regimes} regimes, {own.setting}, {own.path.switches_a_year:.1f} switches), {verdict} the best "
            f"rival, {other.description}, {other.score:.4f} at {other.path.switches_a_year:.1f}; difference "
            f"{difference:+.4f} ± {error:.4f}{but_level(verdict, beside, 4)}."
        )
    return sentences


def standing(difference: float, error: float) -> str:
    """Where a difference with its standard error puts one beside the other, in words."""
    return "level with" if abs(difference) <= CLEAR * error else "ahead of" if difference > 0 else "behind"


def but_level(verdict: str, beside: Mapping[str, tuple[float, float]], digits: int) -> str:
    """What is to be added where fintok is ahead of the best rival, and yet level with one that scores less: the first
    by name of those in `beside`, differences with their errors."""
    level = [name for name in sorted(beside) if standing(*beside[name]) != "ahead of"]
    if verdict != "ahead of" or not level:
        return ""
    difference, error = beside[level[0]]
    return f"; but level with {level[0]}, {difference:+.{digits}f} ± {error:.{digits}f}"


def _heading(budget: float) -> str:
    return f"at most {budget:g} a year" if np.isfinite(budget) else "at any"


def _words(least: float, most: float) -> str:
    if not np.isfinite(least):
        return "at any persistence"
    more = "" if most == least else f", and up to {most:g}" if np.isfinite(most) else ", and at any"
    return f"at no more than {least:g} switches a year{more}"
