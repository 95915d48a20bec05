import time

import numpy as np
import pytest

from fintok.calibration import adaptive_levels, rolling_p_values


def naive_p_values(scores, days, min_scores):
    p = np.full(scores.shape, np.nan)
    for t in range(len(scores)):
        past = scores[max(t - days, 0) : t]
        past = past[np.isfinite(past)]
        if len(past) < min_scores:
            continue
        for a in range(scores.shape[1]):
            if np.isfinite(scores[t, a]):
                p[t, a] = (1 + (past >= scores[t, a]).sum()) / (1 + len(past))
    return p


@pytest.mark.parametrize("num_assets", [1, 7])
def test_p_values_match_the_definition_with_ties_and_nan(num_assets):
    rng = np.random.default_rng(0)
    scores = np.round(rng.standard_normal((120, num_assets)) * 3) / 3  # many ties
    scores[rng.random(scores.shape) < 0.1] = np.nan
    scores[5, 0] = np.inf  # not a score
    expected = naive_p_values(scores, 40, 20)
    np.testing.assert_allclose(rolling_p_values(scores, days=40, min_scores=20), expected)


def test_p_values_match_the_definition_over_many_buckets():
    scores = np.random.default_rng(1).standard_normal((80, 60))
    expected = naive_p_values(scores, 30, 500)
    np.testing.assert_allclose(rolling_p_values(scores, days=30, min_scores=500), expected)


def test_a_record_gets_the_smallest_p_and_the_start_gets_none():
    scores = np.random.default_rng(0).random((100, 20))
    scores[90, 3] = 5.0
    p = rolling_p_values(scores, days=750, min_scores=1000)
    assert np.isnan(p[:50]).all()
    assert np.isfinite(p[50:]).all()
    assert p[90, 3] == 1 / (1 + 90 * 20)


def test_p_values_depend_on_earlier_rows_only_and_follow_a_permutation():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((300, 8))
    whole = rolling_p_values(scores, days=100, min_scores=200)
    np.testing.assert_array_equal(rolling_p_values(scores[:211], days=100, min_scores=200), whole[:211])
    noisy = scores.copy()
    noisy[211:] = 100 * rng.standard_normal(noisy[211:].shape)
    np.testing.assert_array_equal(rolling_p_values(noisy, days=100, min_scores=200)[:211], whole[:211])
    order = rng.permutation(8)
    np.testing.assert_array_equal(
        rolling_p_values(scores[:, order], days=100, min_scores=200), whole[:, order]
    )


def test_alarms_on_exchangeable_scores_keep_to_the_level():
    p = rolling_p_values(np.random.default_rng(0).standard_normal((4000, 20)))
    assert (p <= 0.01)[50:].mean() == pytest.approx(0.01, rel=0.1)
    levels = adaptive_levels(p, 0.01)
    assert (p <= levels[:, None])[50:].mean() == pytest.approx(0.01, rel=0.1)


def test_the_level_gives_way_in_a_crash_and_comes_back():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((4000, 20))
    scores[2000:2060] *= 2.5
    p = rolling_p_values(scores)
    levels = adaptive_levels(p, 0.001)
    static = (p <= 0.001)[2000:2060].mean()
    adaptive = (p <= levels[:, None])[2000:2060].mean()
    assert adaptive < 0.6 * static
    assert levels[2060] < 0.0006
    assert np.median(levels[3000:]) == pytest.approx(0.001, rel=0.3)
    assert levels.min() >= 0.001 / 4
    assert levels.max() <= 0.001 * 4


def test_the_level_of_a_day_does_not_know_the_day():
    p = np.random.default_rng(0).random((200, 5))
    whole = adaptive_levels(p, 0.05)
    changed = p.copy()
    changed[120:] = 0.0
    np.testing.assert_array_equal(adaptive_levels(changed, 0.05)[:121], whole[:121])
    assert adaptive_levels(changed, 0.05)[121] < whole[121]


def test_days_without_p_values_leave_the_level_alone():
    np.testing.assert_array_equal(adaptive_levels(np.full((5, 3), np.nan), 0.01), np.full(5, 0.01))


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1])
def test_a_level_that_is_no_probability_is_refused(level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        adaptive_levels(np.ones((2, 2)), level)


def test_five_hundred_assets_take_seconds():
    scores = np.random.default_rng(0).standard_normal((1000, 500))
    started = time.perf_counter()
    rolling_p_values(scores)
    assert time.perf_counter() - started < 7.0  # a third of the days of twelve years, on a busy machine
