"""Faults that no detector here was made for: other shapes and other lengths than those of `fintok evaluate`.

    python tests/benchmarks/other_faults.py RUN --panel PANEL [--passes 3]

The scorer's alternatives (a burst of three times the usual move, a swap of 15 days, a drift of ten, a print that comes
back within a week) were chosen with the faults of `fintok evaluate` in view. These were written afterwards, by someone
else, and nothing was changed since. Prices, places, thresholds and rivals are those of `fintok evaluate`.
"""

import argparse
import platform
from functools import partial
from unittest.mock import patch

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import fintok
from fintok.anomaly import AnomalyScorer
from fintok.evaluate.anomalies import AFTER_TRAIN_END, Arena, _fit_rivals, _ours
from fintok.evaluate.detection import CHECKS_ALONE, SCORE_ALONE, thresholds
from fintok.evaluate.detection_tables import detector_table
from fintok.evaluate.result import OURS, rows_to_learn
from fintok.fault_kinds import Kind, Place, _drift, _others, _print, _sign, _times
from fintok.faults import plant_faults
from fintok.progress import track

Array = NDArray[np.float64]
Drawn = dict[int, Array]


def off_by(deviations: float, days: int) -> Kind:
    """A level that is wrong for some days and is put right."""
    return Kind(
        days + 1,
        _print(lambda place, rng: _sign(rng) * deviations * float(place.deviation[place.row, place.asset])),
    )


def earlier(place: Place, rows: int) -> Array:
    """(days,) the asset's returns so many rows before."""
    return place.returns[place.row - rows : place.row + place.days - rows, place.asset]


def turned_around(place: Place, rng: np.random.Generator) -> Drawn:
    return {place.asset: -place.own}


def smoothed(place: Place, rng: np.random.Generator) -> Drawn:
    return {place.asset: np.mean([earlier(place, rows) for rows in range(3)], axis=0)}


def late(place: Place, rng: np.random.Generator) -> Drawn:
    return {place.asset: earlier(place, 3).copy()}


def half_another(place: Place, rng: np.random.Generator) -> Drawn:
    others = _others(place, place.row + place.days)
    if not len(others):
        return {}
    other = place.returns[place.row : place.row + place.days, int(rng.choice(others))]
    return {place.asset: 0.5 * (place.own + other)}


def noisy(place: Place, rng: np.random.Generator) -> Drawn:
    return {place.asset: place.own + rng.standard_normal(place.days) * place.deviation[place.row, place.asset]}


def coarse(place: Place, rng: np.random.Generator) -> Drawn:
    """Prices on a grid of one and a half usual moves."""
    step, path = 1.5 * place.deviation[place.row, place.asset], np.concatenate([[0.0], np.cumsum(place.own)])
    rounded = np.round(path / step) * step
    rounded[-1] = path[-1]
    return {place.asset: np.diff(rounded)}


FAULTS = {
    "8 deviations off for nine days": off_by(8.0, 9),
    "4 deviations off for nine days": off_by(4.0, 9),
    "sign turned around, 15 days": Kind(15, turned_around),
    "three days late, 20 days": Kind(20, late),
    "mean of three days, 20 days": Kind(20, smoothed),
    "half another asset, 20 days": Kind(20, half_another),
    "noise of one deviation, 15 days": Kind(15, noisy),
    "on a coarse grid, 20 days": Kind(20, coarse),
    "volatility x3, 3 days": _times(3.0, 3),
    "volatility x1.8, 25 days": _times(1.8, 25),
    "drift of .35 deviations, 30 days": _drift(0.35, 30),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", help="folder of a model")
    parser.add_argument("--panel", required=True, help="prices that go on after its train_end")
    parser.add_argument("--passes", type=int, default=3, help="panels with faults, some 28 of a kind each (default 3)")
    arguments = parser.parse_args()
    bundle, panel = fintok.load(arguments.run), fintok.read_panel(arguments.panel)
    print(f"{panel}\n{platform.machine()}, numpy {np.__version__}, fintok {fintok.__version__}")
    cut = rows_to_learn(panel, bundle.train_end, 250, 250)
    scorer, rivals = AnomalyScorer(bundle).fit(panel), _fit_rivals(panel, cut)
    calm = dict(_ours(scorer.score(panel))) | {name: rival(panel) for name, rival in rivals.items()}
    arena = Arena(scorer, rivals, {name: thresholds(scores[cut:]) for name, scores in calm.items()}, cut)
    rows = range(cut + AFTER_TRAIN_END, panel.num_days)
    with patch.dict("fintok.faults._ALL", FAULTS):
        planted = [partial(plant_faults, panel, list(FAULTS), rows, seed=seed) for seed in range(arguments.passes)]
        contest = arena.hold(track(planted, "faults"), tuple(FAULTS))

    def best(kind: str) -> str:
        recall = {name: contest.recall(name, kind, 0) for name in rivals}
        name = max(recall, key=lambda one: recall[one])
        return f"{recall[name]:.2f} {name}"

    table = {
        kind: {
            "faults": int(contest.events([kind]).sum()),
            **{name: f"{contest.recall(name, kind, 0):.2f}" for name in (OURS, SCORE_ALONE, CHECKS_ALONE)},
            "best rival": best(kind),
        }
        for kind in FAULTS
    }
    print("caught at one false alarm per 1,000 asset-days")
    print(pd.DataFrame.from_dict(table, orient="index").to_string())
    print(detector_table(contest).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
