"""Do regimes mean the same after a refit on more rows, and from another random start?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.evaluate.market import Market
from fintok.evaluate.regime_rivals import Method, calm_to_stressed
from fintok.evaluate.result import OURS
from fintok.progress import track
from fintok.regime_match import match_regimes
from fintok.signature import signature_table

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = (2, 4)  # of regimes
NUM_REFITS = 6  # evenly spaced over the judged rows
SEEDS = 3
LEARNING_ON = ", learning on"


def stability_table(methods: Sequence[Method], market: Market, seed: int) -> pd.DataFrame:
    """A row for each method's usual setting: agreement, mean and minimum, over refits and over seeds.

    Refits learn from all rows up to dates spaced evenly over the judged rows; neighbours are compared on the rows
    that both have learned from. Seeds are compared in pairs, on the judged rows. Regimes are matched by signature:
    volatility, dispersion and correlation. A method that can learn on instead (``RegimeLabeler.update``) has a second
    row for that.
    """
    import pandas as pd

    ends = np.linspace(market.cut, market.panel.num_days, NUM_REFITS + 1).astype(int).tolist()
    usual = [(method, k) for method in methods if method.usual and method.is_learned for k in NUMBERS]
    rows = []
    for method, num_regimes in track(usual, "refits"):
        try:
            refits = [_labels(method, market, num_regimes, end, seed) for end in ends]
            starts = [refits[0], *(_labels(method, market, num_regimes, market.cut, seed + k) for k in range(1, SEEDS))]
            paths = {method.name: refits}
            if method.learn_on is not None:
                paths[method.name + LEARNING_ON] = [
                    calm_to_stressed(labels, market, end)
                    for labels, end in zip(method.learn_on(market, num_regimes, ends, seed), ends, strict=True)
                ]
        except (ValueError, np.linalg.LinAlgError):  # a library's fit on odd data
            continue
        judged = slice(market.cut, None)
        alike = [_agreement(one, other, judged, num_regimes, market) for one, other in combinations(starts, 2)]
        for name, path in paths.items():
            kept = [
                _agreement(one, other, slice(market.first, end), num_regimes, market)
                for (one, other), end in zip(pairwise(path), ends, strict=False)
            ]
            rows.append(
                {
                    "method": name,
                    "setting": method.usual,
                    "regimes": num_regimes,
                    "refits_mean": np.mean(kept),
                    "refits_min": np.min(kept),
                    "seeds_mean": np.mean(alike),
                    "seeds_min": np.min(alike),
                }
            )
    return pd.DataFrame(rows)


def stability_verdicts(table: pd.DataFrame) -> list[str]:
    """A sentence a number of regimes."""
    rows, sentences = table.to_dict("records"), []
    for num_regimes in NUMBERS:
        part = [row for row in rows if row["regimes"] == num_regimes]
        ours = {row["method"]: row for row in part if row["method"] in (OURS, OURS + LEARNING_ON)}
        rivals = [row for row in part if row["method"] not in ours]
        if len(ours) < 2 or not rivals:
            continue
        anew, on = ours[OURS], ours[OURS + LEARNING_ON]
        other = max(rivals, key=itemgetter("refits_min"))
        is_steadier = [anew[share] > other[share] for share in ("refits_mean", "refits_min")]
        verdict = (
            "steadier than" if all(is_steadier) else "about as steady as" if any(is_steadier) else "no steadier than"
        )
        sentences.append(
            f"{num_regimes} regimes fitted anew keep {anew['refits_mean']:.3f} of their days, "
            f"{anew['refits_min']:.3f} in the worst of {NUM_REFITS} refits, {verdict} the steadiest rival, "
            f"{other['method']}, {other['refits_mean']:.3f} and {other['refits_min']:.3f}; those that learn on "
            f"(RegimeLabeler.update) keep {on['refits_mean']:.3f} and {on['refits_min']:.3f}."
        )
    return sentences


def _labels(method: Method, market: Market, num_regimes: int, rows: int, seed: int) -> NDArray[np.int64]:
    labels = method.label(market, num_regimes, rows, seed)[str(method.usual)]
    return calm_to_stressed(labels, market, rows)


def _agreement(
    one: NDArray[np.integer], other: NDArray[np.integer], rows: slice, num_regimes: int, market: Market
) -> float:
    """Share of the rows with the same regime, the regimes of ``other`` matched to those of ``one`` by signature."""
    names, dates = tuple(str(k) for k in range(num_regimes)), market.panel.dates[rows]
    old, new = (
        signature_table(labels[rows], names, dates, market.move[rows], market.returns[rows]) for labels in (one, other)
    )
    return float((one[rows] == match_regimes(old, new).regimes[other[rows]]).mean())
