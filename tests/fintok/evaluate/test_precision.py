import numpy as np
import pytest

from fintok.evaluate.precision import average_precision, vus_pr


def test_average_precision_by_hand():
    scores = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    labels = np.array([True, False, True, False, False])
    assert average_precision(scores, labels) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert average_precision(-scores, labels) == pytest.approx((1 / 3 + 2 / 5) / 2)


def test_equal_scores_count_together_whatever_their_order():
    labels = np.array([True, False, False, False])
    assert average_precision(np.zeros(4), labels) == pytest.approx(0.25)
    assert average_precision(np.zeros(4), labels[::-1]) == pytest.approx(0.25)


def test_nothing_labelled_has_no_precision():
    assert np.isnan(average_precision(np.arange(3.0), np.zeros(3, bool)))
    assert np.isnan(vus_pr(np.ones((3, 1)), np.zeros((3, 1), bool), np.ones((3, 1), bool), 4))


def spans_of(weights):
    """[first, last] of every run above zero."""
    spans, row = [], 0
    while row < len(weights):
        if weights[row] > 0:
            last = row
            while last + 1 < len(weights) and weights[last + 1] > 0:
                last += 1
            spans.append((row, last))
            row = last
        row += 1
    return spans


def naive_volume(scores, labels, buffer):
    """Definition of the paper for one series, a loop over buffers, thresholds and events."""
    areas = []
    for width in range(buffer + 1):
        weights = labels.astype(float)
        for first, last in spans_of(labels):
            for row in range(len(labels)):
                away = max(first - row, row - last)
                if 0 < away <= width // 2:
                    weights[row] = max(weights[row], np.sqrt(1 - away / width))
        positives = (labels.sum() + weights.sum()) / 2
        events, before, area = spans_of(weights), 0.0, 0.0
        for threshold in sorted(set(scores), reverse=True):
            chosen = scores >= threshold
            hits = weights[chosen].sum()
            found = np.mean([chosen[first : last + 1].any() for first, last in events])
            recall = min(hits / positives, 1) * found
            area += (recall - before) * hits / chosen.sum()
            before = recall
        areas.append(area)
    return np.mean(areas)


@pytest.mark.parametrize("seed", range(4))
def test_the_volume_is_the_papers(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros(120, dtype=bool)
    for row in rng.integers(0, 110, 4):
        labels[row : row + int(rng.integers(1, 8))] = True
    scores = np.round(rng.normal(size=120) + 1.5 * labels, 1)  # with ties
    found = vus_pr(scores[:, None], labels[:, None], np.ones((120, 1), dtype=bool), 12)
    assert found == pytest.approx(naive_volume(scores, labels, 12))


def test_a_perfect_score_has_the_whole_volume_and_a_late_one_more_than_none():
    labels = np.zeros((200, 2), dtype=bool)
    labels[50:60, 0] = labels[120:130, 1] = True
    judged = np.ones_like(labels)
    assert vus_pr(labels.astype(float), labels, judged, 0) == pytest.approx(1.0)
    late = np.roll(labels, 6, axis=0).astype(float)
    assert vus_pr(late, labels, judged, 20) > 1.5 * vus_pr(late, labels, judged, 0)


def test_rows_that_are_not_judged_count_only_inside_a_buffer():
    rng = np.random.default_rng(0)
    labels = np.zeros((100, 1), dtype=bool)
    labels[40:45] = True
    scores, judged = rng.normal(size=(100, 1)), np.ones((100, 1), dtype=bool)
    judged[45:70] = False
    loud = scores.copy()
    loud[60:70] = 99.0
    assert vus_pr(loud, labels, judged, 10) == vus_pr(scores, labels, judged, 10)
    loud[46] = 99.0
    assert vus_pr(loud, labels, judged, 10) > vus_pr(scores, labels, judged, 10)
