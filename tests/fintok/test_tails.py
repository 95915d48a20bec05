import numpy as np
import pytest

from fintok.tails import TailMap, combine, evidence, shares


def test_tail_map_gives_the_tail_probabilities_of_its_sample():
    rng = np.random.default_rng(0)
    sample = rng.standard_t(4, 50_000)
    tail = TailMap.fit(sample)
    for value in (-1.0, 0.0, 1.0, 2.5):
        assert tail(np.array([value]))[0] == pytest.approx((sample >= value).mean(), rel=0.03)
    far = 8.0  # beyond the empirical part: P(t4 > 8) = 0.000659
    assert tail(np.array([far]))[0] == pytest.approx(0.000659, rel=0.3)


@pytest.mark.parametrize("draw", ["standard_normal", "standard_cauchy", "exponential"])
def test_tail_map_falls_strictly_in_the_tail_and_is_never_zero(draw):
    tail = TailMap.fit(getattr(np.random.default_rng(0), draw)(size=20_000))
    values = np.linspace(tail.threshold, tail.threshold + 200 * tail.scale, 500)
    p = tail(values)
    assert (np.diff(p) < 0).all()
    assert p[0] == pytest.approx(0.02, abs=1e-3)
    extreme = tail(np.array([1e30, np.nan]))
    assert 0 < extreme[0] < 1e-9 or draw == "standard_cauchy"
    assert extreme[0] > 0
    assert np.isnan(extreme[1])


def test_values_that_most_of_the_sample_shares_leave_the_tail_its_own_share():
    rng = np.random.default_rng(0)
    sample = np.where(rng.random(20_000) < 0.99, 0.0, np.abs(rng.standard_t(4, 20_000)))
    p = TailMap.fit(sample)(np.array([0.0, 1.0, 3.0]))
    assert p[0] == 1.0
    assert p[1] == pytest.approx((sample >= 1.0).mean(), rel=0.5)
    assert p[2] == pytest.approx((sample >= 3.0).mean(), rel=0.5)


def test_tail_map_of_a_constant_sample_is_defined():
    tail = TailMap.fit(np.ones(2000))
    np.testing.assert_allclose(tail(np.array([0.0, 1.0])), 1.0)
    assert tail(np.array([50.0]))[0] < 0.01


def test_standard_map_is_the_t_distribution_with_four_degrees():
    tail = TailMap.standard()
    # P(t4 > x) from tables
    for value, p in ((0.0, 0.5), (0.741, 0.25), (2.132, 0.05), (2.776, 0.025), (4.604, 0.005), (8.610, 0.0005)):
        assert tail(np.array([value]))[0] == pytest.approx(p, rel=0.1)


def test_standard_map_stretches_with_its_unit_and_moves_with_its_centre():
    x = np.linspace(-3, 40, 50)
    np.testing.assert_allclose(TailMap.standard(-2.0, 0.6)(0.6 * x - 2.0), TailMap.standard()(x))


def test_evidence_counts_the_zeros_and_is_none_where_there_is_no_probability():
    np.testing.assert_allclose(evidence(np.array([1.0, 0.01, 1e-300, 0.0, np.nan])), [0.0, 2.0, 300.0, 300.0, 0.0])


def test_the_strongest_speaks_and_those_that_agree_raise_it_a_little():
    alone = combine(np.array([[1e-4], [0.5], [0.9]]))[0]
    together = combine(np.array([[1e-4], [1e-4], [0.9]]))[0]
    assert alone == pytest.approx(4.0, abs=0.001)
    assert together == pytest.approx(4.0 * 2.0**0.25)
    assert combine(np.array([[1e-4], [1e-4], [1e-4]]))[0] > together


def test_one_very_small_p_value_is_not_drowned_nor_an_ordinary_one_held_against_it():
    assert combine(np.array([1e-200, 1.0, 1.0, 0.9, 1.0 - 1e-12])) == pytest.approx(200.0)


def test_missing_p_values_are_left_out():
    p = np.array([[1e-3, np.nan, np.nan], [np.nan, np.nan, 0.5]])
    found = combine(p)
    np.testing.assert_allclose(found[[0, 2]], [3.0, np.log10(2.0)])
    assert np.isnan(found[1])


def test_shares_sum_to_one_or_are_missing():
    found = shares(np.array([[1e-2, 1.0], [1e-2, 1.0], [np.nan, np.nan]]))
    np.testing.assert_allclose(found[:, 0], [0.5, 0.5, 0.0])
    assert np.isnan(found[:, 1]).all()


def test_the_tail_has_the_probability_weighted_moments_of_hosking_and_wallis():
    sample = np.random.default_rng(0).standard_t(4, 1500)
    tail = TailMap.fit(sample)
    excess = np.sort(sample[sample > tail.threshold] - tail.threshold)
    count = len(excess)
    first = excess.mean()
    second = sum((1.0 - (place - 0.35) / count) * excess[place - 1] for place in range(1, count + 1)) / count
    assert tail.shape == pytest.approx(2.0 - first / (first - 2.0 * second), rel=1e-9)
    assert tail.scale == pytest.approx(2.0 * first * second / (first - 2.0 * second), rel=1e-6)
