"""Tables and sentences of a contest of detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fintok.evaluate.detection import BUDGETS, CHECKS_ALONE, SCORE_ALONE, Contest, Flags
from fintok.evaluate.result import OURS
from fintok.fault_kinds import LADDERS

if TYPE_CHECKING:
    import pandas as pd

CLEARLY = 0.05  # p-value of a difference of recalls, below which it is one


def detector_table(contest: Contest) -> pd.DataFrame:
    """A row a detector, over the kinds that count: mean recall at each budget (at the first also with what the named
    checks catch beside it, whose few alarms on the clean panel come on top), average precision, VUS-PR, median rows to
    the first alarm where there was one (at the first budget), and how often the right asset is among the one or
    three with the highest scores."""
    import pandas as pd

    events = contest.events(contest.counted)
    rows = []
    for name, found in contest.found.items():
        delay = found.delay[0, events]
        delay = delay[np.isfinite(delay)]
        rows.append(
            {
                "detector": name,
                **{f"recall_at_{budget:g}": contest.mean_recall(name, place) for place, budget in enumerate(BUDGETS)},
                f"recall_at_{BUDGETS[0]:g}_with_checks": contest.mean_recall(name, 0, with_checks=True),
                "average_precision": found.precision,
                "vus_pr": found.volume,
                "delay_rows": float(np.median(delay)) if len(delay) else np.nan,
                "hit_at_1": float((found.rank[events] < 1).mean()),
                "hit_at_3": float((found.rank[events] < 3).mean()),
            }
        )
    return pd.DataFrame(rows)


def kind_table(contest: Contest, kinds: Sequence[str], budget: int) -> pd.DataFrame:
    """A row a kind of fault: how many were planted, whether it is of those that count, recall of each detector."""
    import pandas as pd

    return pd.DataFrame(
        {
            "kind": kind,
            "faults": int(contest.events([kind]).sum()),
            "counts": kind in contest.counted,
            **{name: contest.recall(name, kind, budget) for name in contest.found},
        }
        for kind in kinds
    )


def ladder_table(usual: Contest, others: Contest) -> pd.DataFrame:
    """A row a rung, from mild to harsh: family, rung, how many were planted, recall of each detector at one alarm."""
    import pandas as pd

    rows = []
    for family, names in LADDERS.items():
        for rung in names:
            contest = usual if rung in usual.kinds else others
            faults = int(contest.events([rung]).sum())
            if faults:
                recall = {name: contest.recall(name, rung, 0) for name in contest.found}
                rows.append({"family": family, "kind": rung, "faults": faults, **recall})
    return pd.DataFrame(rows)


def detection_verdicts(usual: Contest, others: Contest) -> list[str]:
    """Who caught most, on the whole and kind by kind; `others` has the milder and harsher faults."""
    table = detector_table(usual).set_index("detector")
    rivals = _rivals(usual)

    def beside(column: str, style: str) -> str:
        best = table.loc[rivals, column].astype(float).idxmax()
        return f"{table.loc[OURS, column]:{style}} against {table.loc[best, column]:{style}} ({best})"

    alone, checks = (table.loc[name, f"recall_at_{BUDGETS[0]:g}"] for name in (SCORE_ALONE, CHECKS_ALONE))
    standing, others_standing = _sorted_out(usual), _sorted_out(others)
    return [
        f"Of {len(usual.counted)} kinds of planted faults {OURS} catches, beside the best rival: "
        f"{beside('recall_at_1', '.0%')} at one false alarm per 1,000 asset-days ({alone:.0%} by its score alone, "
        f"{checks:.0%} by its named checks alone; with these checks beside the rivals: "
        f"{beside('recall_at_1_with_checks', '.0%')}), {beside('recall_at_5', '.0%')} at five.",
        f"Average precision is {beside('average_precision', '.2f')}, VUS-PR {beside('vus_pr', '.2f')}; the right "
        f"asset stands first in {beside('hit_at_1', '.0%')}.",
        f"{OURS} is clearly ahead of the best rival on {_listed(standing.ahead)}; behind on "
        f"{_listed(standing.behind)}; about level on {_listed(standing.level)}.",
        f"Of milder and harsher faults it is clearly ahead on {_listed(others_standing.ahead)}; behind on "
        f"{_listed(others_standing.behind)}.",
    ]


def _rivals(contest: Contest) -> list[str]:
    return [name for name in contest.found if name not in (OURS, SCORE_ALONE, CHECKS_ALONE)]


class _Standing(NamedTuple):
    """Kinds of faults by how fintok stands beside the rival that caught most of them."""

    ahead: list[str]  # clearly
    behind: list[str]  # clearly
    level: list[str]


def _sorted_out(contest: Contest) -> _Standing:
    """Kinds of a contest, the first two with the shares that were caught."""
    found = _Standing([], [], [])
    for kind in dict.fromkeys(contest.kinds):
        events = contest.events([kind])
        best = max(_rivals(contest), key=lambda name: contest.recall(name, kind, 0))
        ours, theirs = (contest.found[name].caught[0, events] for name in (OURS, best))
        is_ahead, tries = ours.mean() > theirs.mean(), len(_rivals(contest))  # one of them is best by luck alone
        if _sign_test(ours, theirs) * (1 if is_ahead else tries) >= CLEARLY:
            found.level.append(kind)
        else:
            text = f"{kind} ({ours.mean():.0%} against {theirs.mean():.0%}, {best})"
            (found.ahead if is_ahead else found.behind).append(text)
    return found


def _sign_test(ours: Flags, theirs: Flags) -> float:
    """p-value of two detectors catching equally many of the same events (E,): McNemar's, exact."""
    from scipy.stats import binomtest

    alone = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    return float(binomtest(alone[0], sum(alone)).pvalue) if sum(alone) else 1.0


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts) if parts else "none"
