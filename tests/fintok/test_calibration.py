import numpy as np
import pytest

from fintok.calibration import (
    adaptive_levels,
    adjusted_p_values,
    calibrate,
    require_scores,
    rolling_p_values,
)
from fintok.errors import InputError


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
    np.testing.assert_array_equal(rolling_p_values(scores[:, order], days=100, min_scores=200), whole[:, order])


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


def test_scores_left_out_are_ranked_but_nothing_is_ranked_among_them():
    rng = np.random.default_rng(3)
    scores = rng.standard_normal((150, 4))
    scores[rng.random(scores.shape) < 0.1] = np.nan
    left_out = rng.random(scores.shape) < 0.2
    p = rolling_p_values(scores, days=40, min_scores=20, left_out=left_out)
    expected = naive_p_values(np.where(left_out, np.nan, scores), 40, 20)
    np.testing.assert_allclose(p[~left_out], expected[~left_out])
    day, asset = np.argwhere(left_out & np.isfinite(p))[-1]
    alone = np.where(left_out, np.nan, scores)
    alone[day, asset] = scores[day, asset]
    np.testing.assert_allclose(p[day, asset], naive_p_values(alone, 40, 20)[day, asset])


def test_an_error_marked_later_moves_later_p_values_and_levels_alone():
    scores = np.random.default_rng(4).standard_normal((400, 10))
    scores[250, 3] = 50.0
    marks = np.zeros(scores.shape, dtype=bool)
    marks[250, 3] = True
    one = np.array(["x"] * 10)
    before = calibrate(scores, 0.01, days=120, groups=one)
    after = calibrate(scores, 0.01, days=120, groups=one, left_out=marks)
    np.testing.assert_array_equal(after.p_values[:251], before.p_values[:251])
    np.testing.assert_array_equal(after.levels[:251], before.levels[:251])
    inside = slice(251, 371)  # the window that held it: one score fewer, and that one the highest
    fewer = (before.p_values[inside] * 1201 - 1) / 1200
    np.testing.assert_allclose(after.p_values[inside], fewer)
    np.testing.assert_array_equal(after.p_values[371:], before.p_values[371:])
    assert after.levels[251, 0] > before.levels[251, 0]  # an alarm that was none of the score's errors


def test_groups_are_calibrated_as_if_they_were_alone():
    scores = np.random.default_rng(5).standard_normal((600, 7))
    scores[:, 4:] *= 5.0
    groups = np.array(["calm"] * 4 + ["wild"] * 3)
    both = calibrate(scores, 0.01, days=500, groups=groups)
    for name in ("calm", "wild"):
        alone = calibrate(scores[:, groups == name], 0.01, days=500, groups=groups[groups == name])
        np.testing.assert_array_equal(both.p_values[:, groups == name], alone.p_values)
        np.testing.assert_array_equal(both.levels[:, groups == name], alone.levels)
        known = np.isfinite(alone.p_values)
        assert (alone.p_values <= alone.levels)[known].mean() == pytest.approx(0.01, rel=0.4)
    together = calibrate(scores, 0.01, days=500, groups=np.array(["all"] * 7))
    np.testing.assert_array_equal(together.p_values, rolling_p_values(scores, days=500))


def test_a_group_too_small_to_be_calibrated_is_refused():
    assets = ("A", "B", "C")
    with pytest.raises(InputError, match=r"group 'few' has 1 asset, 'B', 750 scores in 750 dates"):
        require_scores(np.array(["many", "few", "many"]), assets, 750)
    lacking = r"'other' \(symbols that the groups lack are one\) has 1 asset, 'C', 750 scores in 750 dates"
    with pytest.raises(InputError, match=lacking):  # a new listing, whose group nobody has given
        require_scores(np.array(["many", "many", "other"]), assets, 750)
    require_scores(np.array(["few", "few", "many", "many"]), ("A", "B", "C", "D"), 750)
    require_scores(np.array(["all"]), ("A",), 20)  # no groups: checks alert without p-values


def test_adjusted_p_values_are_those_of_the_textbook_and_a_missing_one_does_not_count():
    p = np.array([[0.01, 0.04, np.nan, 0.03, 0.5], [np.nan] * 5])
    expected = [0.04, 4 * 0.04 / 3, np.nan, 4 * 0.04 / 3, 0.5]  # of the four: ranks 1, 3, -, 2, 4
    np.testing.assert_allclose(adjusted_p_values(p)[0], expected)
    assert np.isnan(adjusted_p_values(p)[1]).all()


def test_discoveries_hold_their_share_of_false_ones():
    rng = np.random.default_rng(6)
    p = rng.random((3000, 40))
    p[:, :6] *= 0.001  # what is really there
    named = adjusted_p_values(p) <= 0.2
    false = named[:, 6:].sum(axis=1) / np.maximum(named.sum(axis=1), 1)
    assert 0.13 < false.mean() < 0.2  # q times the share of true nulls, 34 / 40
    assert named[:, :6].mean() > 0.9


def test_a_p_value_at_the_level_counts_as_an_alarm():
    assert adaptive_levels(np.full((2, 4), 0.25), 0.25)[1] < 0.25


def test_the_share_of_alarms_is_of_the_assets_that_have_a_p_value():
    p_values = np.full((2, 8), np.nan)
    p_values[0, :4] = 0.0, 1.0, 1.0, 1.0
    assert adaptive_levels(p_values, 0.01)[1] == pytest.approx(0.01 + 0.5 * 0.04 * (0.01 - 0.25))
    p_values[0, :4] = 1.0
    assert adaptive_levels(p_values, 0.4)[1] == pytest.approx(0.4 + 0.1 * 0.4)  # 1.6 expected: the fastest


@pytest.mark.parametrize("num_assets", [5, 20, 100])
def test_an_alarm_takes_half_the_level_however_many_assets_there_are(num_assets):
    p_values = np.ones((2, num_assets))
    p_values[0, 0] = 0.0
    level = adaptive_levels(p_values, 0.001)[1]
    assert level == pytest.approx(0.001 * (0.5 + 0.0005 * num_assets))


def test_a_spell_of_many_alarms_a_day_leaves_a_quarter_of_the_level():
    assert adaptive_levels(np.zeros((9, 50)), 0.001)[-1] == pytest.approx(0.00025)
