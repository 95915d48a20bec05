"""Anomaly scores beside the usual detectors: faults planted in the panel's own prices, after train_end only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.anomaly import AnomalyScorer
from fintok.calibration import calibrate
from fintok.evaluate.alarms import alarm_table, alarm_verdicts, fixed_threshold_alarms, wild_months
from fintok.evaluate.anomaly_rivals import RIVALS, WARM_UP, Detector
from fintok.evaluate.detection import CHECKS_ALONE, SCORE_ALONE, Contest, Truth, detect, thresholds
from fintok.evaluate.detection_tables import detection_verdicts, detector_table, kind_table, ladder_table
from fintok.evaluate.result import OURS, Findings, is_installed, left_out, rows_to_learn
from fintok.fault_kinds import BAR_KINDS, KINDS, RUNGS
from fintok.faults import FaultyPanel, kinds_for, plant_faults
from fintok.groups import OTHER
from fintok.progress import track

if TYPE_CHECKING:
    import pandas as pd

    from fintok.bundle import Bundle
    from fintok.panel import Panel
    from fintok.score_result import Scores

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

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
CHECKED = 1000.0  # added to the score where a named check fires: above every score
MOST_PASSES = 20
AFTER_TRAIN_END = 50  # rows before the first fault
FEWEST_TRAINING, FEWEST_JUDGED = 250, 250  # rows


def evaluate_anomalies(bundle: Bundle, panel: Panel, *, seed: int = 0, events: int = 100) -> Findings:
    """Judge the scores of a bundle on a panel beside the rivals that are installed.

    Parameters
    ----------
    events
        Faults of each kind, at least, as far as twenty passes over the panel have room for them; a third as many of
        each that is milder or harsher than the usual one.

    Raises InputError for fewer than 250 rows up to the bundle's train_end, or 250 after it.
    """
    cut = rows_to_learn(panel, bundle.train_end, FEWEST_TRAINING, FEWEST_JUDGED)
    scorer = AnomalyScorer(bundle).fit(panel)  # it keeps its readings: of a panel with faults it reads the rest
    clean = scorer.score(panel)
    rivals = _fit_rivals(panel, cut)
    calm = dict(_ours(clean))
    calm |= {name: rivals[name](panel) for name in track(list(rivals), "rivals")}
    arena = Arena(scorer, rivals, {name: thresholds(scores[cut:]) for name, scores in calm.items()}, cut)

    kinds, planted = _plant(panel, kinds_for(panel), cut, events, seed)
    rungs, others_planted = _plant(panel, kinds_for(panel, tuple(RUNGS)), cut, -(-events // 3), seed)
    usual = arena.hold(track(planted, "faults"), tuple(kind for kind in NINE if kind in kinds))
    others = arena.hold(track(others_planted, "mild and harsh faults"), rungs)
    tables = {
        "detectors": detector_table(usual),
        "recall by kind": kind_table(usual, kinds, budget=0),
        "recall by kind at 5": kind_table(usual, kinds, budget=1),
        "recall by severity": ladder_table(usual, others),
        **_alarms(clean, calm, cut, scorer),
    }
    from fintok.plots.detection import alarm_lines, recall_by_severity, recall_map

    figures = {
        "Share of the planted faults that are caught, in per cent, when each detector may raise one false alarm per "
        "1,000 asset-days.": recall_map(tables["recall by kind"]),
        "The same for faults from mild to harsh.": recall_by_severity(tables["recall by severity"]),
        "Alarms without any planted fault: fintok adapts its level, the others keep the threshold of the training "
        "rows.": alarm_lines(tables["alarms"]),
    }
    verdicts = [
        *detection_verdicts(usual, others),
        *alarm_verdicts(
            tables["alarms"], tables["alarms calibrated alike"], scorer.alarms_per_1000, wild_months(panel, cut)
        ),
        *_not_planted(panel, {*usual.kinds}),
        *left_out({name: rival.package for name, rival in RIVALS.items() if rival.package}),
    ]
    return Findings(tables, figures, verdicts)


def with_checks(scores: Scores) -> Array:
    """(T, A) scores, above all others where a named check fires."""
    by_check = scores.is_check
    return np.where(by_check, CHECKED + np.nan_to_num(scores.score), scores.score)


def _ours(scores: Scores) -> Iterator[tuple[str, Array]]:
    """What fintok says, (T, A) each: score and checks, the score, and the checks alone."""
    yield OURS, with_checks(scores)
    yield SCORE_ALONE, scores.score
    yield CHECKS_ALONE, np.where(np.isfinite(scores.panel.returns), scores.is_check.astype(np.float64), np.nan)


def _fit_rivals(panel: Panel, cut: int) -> dict[str, Detector]:
    """Those that are installed, and for which the panel has the column."""
    training = panel[:cut]
    return {
        name: rival.fit(training)
        for name, rival in RIVALS.items()
        if is_installed(rival.package) and (rival.field is None or rival.field in panel.fields)
    }


def _plant(
    panel: Panel, kinds: Sequence[str], cut: int, events: int, seed: int
) -> tuple[tuple[str, ...], Sequence[Callable[[], FaultyPanel]]]:
    """The kinds that find room, and as many panels as it takes to have `events` of each, each made when it is asked
    for: they are large."""
    rows = range(cut + AFTER_TRAIN_END, panel.num_days)
    counts = Counter(fault.kind for fault in plant_faults(panel, kinds, rows, seed=seed).faults)
    passes = min(-(-events // min(counts.values())), MOST_PASSES)
    planted = [partial(plant_faults, panel, kinds, rows, seed=seed + number) for number in range(passes)]
    return tuple(kind for kind in kinds if kind in counts), planted


class Arena:
    """Detectors that are ready, and the thresholds that each passes on the panel without faults."""

    def __init__(
        self, scorer: AnomalyScorer, rivals: Mapping[str, Detector], limits: Mapping[str, Array], cut: int
    ) -> None:
        self.scorer, self.rivals, self.limits, self.cut = scorer, rivals, limits, cut

    def hold(self, planted: Iterable[Callable[[], FaultyPanel]], counted: tuple[str, ...]) -> Contest:
        """Let every detector score every panel; what is kept is the scores from row `cut` on."""
        scores: dict[str, list[Array]] = {name: [] for name in self.limits}
        truths: list[Truth] = []
        for make in planted:
            panel, faults = make()
            moved = [fault._replace(row=fault.row - self.cut) for fault in faults]
            truths.append(Truth(moved, (panel.num_days - self.cut, panel.num_assets), counted))
            for name, found in self._scores(panel):
                scores[name].append(found)
        kinds = tuple(kind for truth in truths for kind in truth.kinds)
        found = {name: detect(self.limits[name], each, truths) for name, each in scores.items()}
        return Contest(kinds, counted, found)

    def _scores(self, panel: Panel) -> Iterator[tuple[str, Array]]:
        """(detector, scores of the rows from `cut` on)."""
        ours = self.scorer.score(panel)
        yield from ((name, found[self.cut :]) for name, found in _ours(ours))
        start = max(self.cut - WARM_UP, 0)
        for name, detector in self.rivals.items():
            yield name, detector(panel[start:])[self.cut - start :]


def _alarms(clean: Scores, calm: Mapping[str, Array], cut: int, scorer: AnomalyScorer) -> dict[str, pd.DataFrame]:
    """Of fintok as it is used, and of the rivals: with a threshold that is set once, and calibrated as fintok is."""
    fixed, alike = ({OURS: (clean.is_alarm, np.isfinite(clean.p_value))} for _ in range(2))
    per_1000, one_class = scorer.alarms_per_1000, np.full(len(clean.assets), OTHER)
    for name, scores in calm.items():
        if name not in (OURS, SCORE_ALONE, CHECKS_ALONE):
            fixed[name] = fixed_threshold_alarms(scores, cut, per_1000), np.isfinite(scores)
            p_value, levels = calibrate(scores, per_1000 / 1000.0, days=scorer.days, groups=one_class)
            alike[name] = p_value <= levels, np.isfinite(p_value)
    tables = {"alarms": fixed, "alarms calibrated alike": alike}
    return {name: alarm_table(clean.panel, cut, alarms) for name, alarms in tables.items()}


def _not_planted(panel: Panel, planted: Collection[str]) -> list[str]:
    """A sentence on the kinds of faults that the panel cannot have, and one on those without room."""
    possible = kinds_for(panel)
    missing = [kind for kind in (*KINDS, *BAR_KINDS) if kind not in possible]
    roomless = [kind for kind in possible if kind not in planted]
    why = "has no prices" if panel.prices is None else "has no bars (high, close, volume)"
    return [
        f"Not planted, because {reason}: {', '.join(kinds)}."
        for reason, kinds in ((f"the panel {why}", missing), ("no place was found", roomless))
        if kinds
    ]
