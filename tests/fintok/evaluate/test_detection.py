import numpy as np
import pytest

from fintok.evaluate.detection import BUDGETS, UNJUDGED, Contest, Detection, Truth, detect, thresholds
from fintok.evaluate.detection_tables import _sorted_out
from fintok.fault_kinds import KINDS
from fintok.faults import Fault, plant_faults
from tests.fintok.fake_bundle import make_panel, simulate_returns

SHAPE = (200, 5)
FAULTS = (Fault("drift", 60, 10, (1,)), Fault("swap", 65, 5, (2, 4)), Fault("stale", 120, 6, (0,)))


@pytest.fixture
def truth():
    return Truth(FAULTS, SHAPE, counted=("drift", "swap"))


def one_alarm(row, asset, height=9.0):
    scores = np.random.default_rng(0).uniform(size=SHAPE)
    scores[row, asset] = height
    return scores


def test_what_is_labelled_and_what_is_judged(truth):
    assert truth.labels.sum() == 10 + 2 * 5
    assert truth.judged[:60].all()
    assert truth.judged[60:70, 1].all()
    assert not truth.judged[70 : 70 + UNJUDGED, 1].any()
    assert not truth.judged[120:146, 0].any()  # its kind does not count
    assert truth.judged[120:146, 1].all()


def test_an_event_is_caught_by_an_alarm_on_one_of_its_days(truth):
    limits = np.array([2.0, 1.0])
    found = detect(limits, [one_alarm(63, 1)], [truth])
    np.testing.assert_array_equal(found.caught, [[True, False, False]] * 2)
    np.testing.assert_array_equal(found.delay[0], [3.0, np.nan, np.nan])
    assert not detect(limits, [one_alarm(70, 1)], [truth]).caught.any()  # a day too late
    assert detect(limits, [one_alarm(66, 4)], [truth]).caught[:, 1].all()  # the other one of the pair
    np.testing.assert_array_equal(detect(limits, [one_alarm(63, 1, 1.5)], [truth]).caught[:, 0], [False, True])


def test_the_rank_counts_assets_that_are_not_at_fault(truth):
    scores = np.zeros(SHAPE)
    scores[62] = [3.0, 2.0, 9.0, 2.5, 9.0]  # 2 and 4 are about to be swapped: they do not count against asset 1
    assert detect(np.ones(2), [scores], [truth]).rank[0] == 2
    scores[121] = [0.5, 0.7, 0.1, 0.1, 0.1]
    assert detect(np.ones(2), [scores], [truth]).rank[2] == 1


def test_one_score_for_the_whole_day_singles_out_nobody(truth):
    assert (detect(np.ones(2), [np.ones(SHAPE)], [truth]).rank == [2, 2, 4]).all()


def test_missing_scores_never_alarm(truth):
    found = detect(np.zeros(2), [np.full(SHAPE, np.nan)], [truth])
    assert not found.caught.any()
    assert np.isnan(found.delay).all()


def test_thresholds_are_passed_as_often_as_the_budgets_say():
    calm = np.random.default_rng(0).normal(size=(4000, 10))
    calm[::7] = np.nan
    shares = [1000 * np.mean(calm[np.isfinite(calm)] > limit) for limit in thresholds(calm)]
    np.testing.assert_allclose(shares, BUDGETS, atol=0.05)


def naive_rank(scores, fault, faults):
    rows = slice(fault.row, fault.row + fault.days)
    peak = scores[rows].max(axis=0)
    for other in faults:
        if other is not fault and other.row < rows.stop and fault.row < other.row + other.days + UNJUDGED:
            peak[[asset for asset in other.assets if asset not in fault.assets]] = -np.inf
    return (peak > peak[list(fault.assets)].max()).sum()


def test_many_events_agree_with_a_loop_over_them():
    panel = make_panel(simulate_returns(1200, 20)[0])
    planted = [plant_faults(panel, list(KINDS), range(400, 1150), seed=seed) for seed in range(2)]
    scores = [np.random.default_rng(seed).exponential(size=panel.returns.shape) for seed in range(2)]
    truths = [Truth(one.faults, panel.returns.shape, ("swap", "drift")) for one in planted]
    limits = np.array([5.0, 3.0])
    found = detect(limits, scores, truths)
    pairs = [(one, fault, two.faults) for one, two in zip(scores, planted, strict=True) for fault in two.faults]
    for number, (one, fault, faults) in enumerate(pairs):
        height = one[fault.row : fault.row + fault.days, list(fault.assets)].max(axis=1)
        np.testing.assert_array_equal(found.caught[:, number], height.max() > limits)
        if height.max() > limits[1]:
            assert found.delay[1, number] == (height > limits[1]).argmax()
        assert found.rank[number] == naive_rank(one, fault, faults)


def test_who_is_ahead_of_the_best_of_many_must_be_so_on_enough_events():
    rng = np.random.default_rng(0)
    rivals = {f"rival {number}": rng.random(40) < 0.5 for number in range(10)}

    def sorted_out(ours, rivals):
        found = {name: np.asarray(caught)[None] for name, caught in {"fintok": ours, **rivals}.items()}
        none = {"delay": np.zeros(0), "rank": np.zeros(0, int), "precision": 0.0, "volume": 0.0}
        detections = {name: Detection(caught=caught, **none) for name, caught in found.items()}
        return _sorted_out(Contest(("swap",) * len(ours), ("swap",), detections))

    assert sorted_out(rng.random(40) < 0.5, rivals).level == ["swap"]
    assert sorted_out(np.ones(40, bool), rivals).ahead[0].startswith("swap (100% against")
    assert sorted_out(np.zeros(40, bool), rivals).behind[0].startswith("swap (0% against")
    ours, lucky = np.arange(20) == 0, np.arange(20) >= 12  # eight events against one: p = .04
    assert sorted_out(ours, {"HMM": lucky}).behind
    assert sorted_out(ours, {"HMM": lucky, **{f"rival {n}": ours for n in range(9)}}).level == ["swap"]
    assert sorted_out(np.ones(3, bool), {"HMM": np.zeros(3, bool)}).level == ["swap"]  # three events tell nothing
