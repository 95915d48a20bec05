"""What anomaly scores catch: faults planted in the prices of a real panel, fintok beside the usual detectors.

    python tests/benchmarks/anomaly_faults.py RUN [--panel PANEL] [--passes 6] [--kinds swap decoupling]

RUN is a model folder, PANEL the bundled stocks where none is given. Each pass plants some 320 faults
(fintok.faults) after the run's train_end; none touches another. A fault is caught if its asset's score passes, on
one of its days, the threshold that the same detector passes on 5 (or 1) of 1,000 asset-days of the clean panel.
Average precision is over asset-days, the nine kinds together; the 20 rows after a fault are not judged, because
trailing windows still hold it. Delay is the median number of rows from the first wrong one to the first alarm, for
what is caught. hit@1: the faulty asset has the highest score of all assets over the fault's days. PyOD's and
scikit-learn's detectors take part where they are installed.
"""

import argparse
import platform
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy
import torch
from anomaly_rivals import RIVALS
from numpy.typing import NDArray

import fintok
from fintok.faults import KINDS, Fault, FaultyPanel, plant_faults
from fintok.panel import Panel
from fintok.sample import load_us20
from fintok.score_result import Scores

Array = NDArray[np.float64]

NINE = (  # one of each family: prints, actions, feeds, relations, distributions
    "spike 8",
    "decimal shift",
    "missed split",
    "FX leg slip",
    "stale",
    "swap",
    "decoupling",
    "volatility burst",
    "drift",
)
BUDGETS = (5.0, 1.0)  # false alarms per 1,000 asset-days
UNJUDGED = 20  # rows after a fault
CHECKED = 1000.0  # added to the score where a named check fires: above every score


class Verdict(NamedTuple):
    """What a detector reached on all passes."""

    recall: dict[str, tuple[float, ...]]  # by kind, at each budget
    precision: float  # average precision over the asset-days of the nine kinds
    delay: float  # rows, of what is caught at the first budget
    hit: float  # share of the nine kinds' faults whose asset stands first

    def mean(self, budget: int) -> float:
        """Mean recall over those of the nine kinds that were planted."""
        return float(np.mean([self.recall[kind][budget] for kind in NINE if kind in self.recall]))


def average_precision(scores: Array, labels: NDArray[np.bool_]) -> float:
    ordered = labels[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    return float(precision[ordered].mean())


def stands_first(scores: Array, fault: Fault, faults: Sequence[Fault]) -> bool:
    """The highest score on the fault's days belongs to it, other faulty assets of these days left aside."""
    last = fault.row + fault.days
    peak = scores[fault.row : last].max(axis=0)
    for other in faults:
        if other is not fault and other.row < last and fault.row < other.row + other.days + UNJUDGED:
            peak[[asset for asset in other.assets if asset not in fault.assets]] = -np.inf
    return int(peak.argmax()) in fault.assets


def judge(clean: Array, passes: list[Array], planted: list[FaultyPanel], cut: int) -> Verdict:
    """Compare scores (T, A) of the faulty panels with the clean panel's."""
    calm = clean[cut:][np.isfinite(clean[cut:])]
    thresholds = [np.quantile(calm, 1.0 - budget / 1000.0) for budget in BUDGETS]
    caught: dict[str, list[list[bool]]] = {}
    pooled_scores, pooled_labels, delays, hits = [], [], [], []
    for raw, (_, faults) in zip(passes, planted, strict=True):
        scores = np.where(np.isfinite(raw), raw, -np.inf)
        labels, judged = np.zeros(scores.shape, dtype=bool), np.isfinite(raw)
        judged[:cut] = False
        for fault in faults:
            rows, columns = slice(fault.row, fault.row + fault.days), list(fault.assets)
            judged[fault.row : fault.row + fault.days + UNJUDGED, columns] = False
            height = scores[rows][:, columns].max(axis=1)
            caught.setdefault(fault.kind, []).append([bool(height.max() > t) for t in thresholds])
            if fault.kind in NINE:
                judged[rows, columns] = True
                labels[rows, columns] = True
                hits.append(stands_first(scores, fault, faults))
                if height.max() > thresholds[0]:
                    delays.append(int((height > thresholds[0]).argmax()))
        pooled_scores.append(scores[judged])
        pooled_labels.append(labels[judged])
    recall = {kind: tuple(np.mean(found, axis=0)) for kind, found in caught.items()}
    precision = average_precision(np.concatenate(pooled_scores), np.concatenate(pooled_labels))
    return Verdict(recall, precision, float(np.median(delays)), float(np.mean(hits)))


def with_checks(scores: Scores) -> Array:
    by_check = scores.reason_codes > len(scores.statistics)
    return np.where(by_check, CHECKED + np.nan_to_num(scores.score), scores.score)


def alarms(scores: Scores) -> str:
    """Alarms per 1,000 asset-days after train_end, over all and in the spring of 2020."""

    def rate(days: NDArray[np.bool_]) -> float:
        calibrated = np.isfinite(scores.p_value[days]).sum()
        return 1000.0 * scores.is_alarm[days].sum() / calibrated if calibrated else float("nan")

    spring = (scores.dates >= np.datetime64("2020-02-01")) & (scores.dates < np.datetime64("2020-06-01"))
    after = ~scores.is_in_sample
    return f"{rate(after):.2f} overall, {rate(after & spring):.2f} in February to May 2020"


def print_tables(verdicts: dict[str, Verdict], kinds: Sequence[str]) -> None:
    most, least = (f"{budget:g}" for budget in BUDGETS)
    print(f"\n{'detector':26} {'recall @' + most:>10} {'@' + least:>6} {'AP':>6} {'delay':>6} {'hit@1':>6}")
    for name, verdict in verdicts.items():
        first, second = verdict.mean(0), verdict.mean(1)
        print(f"{name:26} {first:10.3f} {second:6.3f} {verdict.precision:6.3f} {verdict.delay:6.0f} {verdict.hit:6.2f}")
    for place, budget in enumerate(BUDGETS):
        print(f"\nrecall in % at {budget:g} false alarms per 1,000 asset-days")
        print(f"{'':18}" + "".join(f"{name[:11]:>13}" for name in verdicts))
        for kind in kinds:
            found = "".join(f"{100.0 * verdict.recall[kind][place]:13.0f}" for verdict in verdicts.values())
            print(f"{kind + (' *' if kind in NINE else ''):18}{found}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", help="a model folder")
    parser.add_argument("--panel", help="prices; the bundled stocks where none is given")
    parser.add_argument("--passes", type=int, default=6, help="panels with faults to draw (default 6)")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    arguments = parser.parse_args()
    panel = load_us20() if arguments.panel is None else fintok.read_panel(arguments.panel)
    bundle = fintok.load(arguments.run)
    cut = int((panel.dates <= bundle.train_end).sum())
    rows = range(cut + 50, panel.num_days)
    planted = [plant_faults(panel, arguments.kinds, rows, seed=seed) for seed in range(arguments.passes)]
    counts = [sum(fault.kind == kind for one in planted for fault in one.faults) for kind in arguments.kinds]
    print(f"{platform.machine()}, numpy {np.__version__}, scipy {scipy.__version__}, torch {torch.__version__}")
    print(f"fintok {fintok.__version__}; {panel}; judged after {np.datetime_as_string(bundle.train_end, unit='D')}")
    print(f"{len(planted)} passes, {min(counts)} to {max(counts)} faults a kind; * = of the nine kinds", flush=True)

    scorer = fintok.AnomalyScorer(bundle).fit(panel)
    clean = scorer.score(panel)
    print(f"fintok's alarms on the clean panel, budget 1 per 1,000: {alarms(clean)}", flush=True)
    faulty = [scorer.score(one.panel) for one in planted]
    verdicts = {
        "fintok": judge(with_checks(clean), [with_checks(one) for one in faulty], planted, cut),
        "fintok, score alone": judge(clean.score, [one.score for one in faulty], planted, cut),
    }

    def measured(detector: Callable[[Panel, int], Array]) -> Verdict:
        return judge(detector(panel, cut), [detector(one.panel, cut) for one in planted], planted, cut)

    verdicts.update({name: measured(detector) for name, detector in RIVALS.items()})
    print_tables(verdicts, arguments.kinds)


if __name__ == "__main__":
    main()
