import numpy as np
import pytest

from fintok.trailing import TrailingMean, trailing_moments, trailing_sum


def test_moments_match_the_weighted_sums_over_earlier_rows():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((60, 2))
    values[10:20, 1] = np.nan
    found = trailing_moments(values, half_life=7.0, min_count=5)
    for row, column in ((5, 0), (33, 1), (59, 1)):
        age = row - np.arange(row)
        weight = np.where(np.isfinite(values[:row, column]), 0.5 ** (age / 7.0), 0.0)
        past = np.nan_to_num(values[:row, column])
        mean = (weight * past).sum() / weight.sum()
        variance = (weight * past**2).sum() / weight.sum() - mean**2
        assert found.mean[row, column] == pytest.approx(mean)
        assert found.deviation[row, column] == pytest.approx(np.sqrt(variance))
    assert np.isnan(found.mean[:5]).all()
    assert np.isfinite(found.mean[5:]).all()


@pytest.mark.parametrize("value", [0.0, 2e-4, 13.8, 1e9])
def test_equal_values_have_no_deviation(value):
    values = np.full((2000, 1), value)
    values[1900] *= 1.001
    found = trailing_moments(values, half_life=60.0, min_count=20)
    assert np.isnan(found.deviation[:20]).all()
    assert (found.deviation[20:1901] == 0.0).all()
    assert (found.deviation[1901:] > 0.0).all() or value == 0.0


def test_a_row_does_not_see_itself_or_later_rows():
    values = np.random.default_rng(0).standard_normal((50, 3))
    whole = trailing_moments(values, half_life=10.0, min_count=3)
    changed = values.copy()
    changed[30:] = 1e6
    part = trailing_moments(changed, half_life=10.0, min_count=3)
    np.testing.assert_array_equal(part.mean[:31], whole.mean[:31])


def test_a_mean_fed_a_few_rows_at_a_time_has_the_same_bits():
    values = np.random.default_rng(0).standard_normal((50, 3))
    values[10:20, 1] = np.nan
    trailing = TrailingMean(3, half_life=10.0, min_count=3)
    found = [trailing.add(part) for part in np.split(values, [0, 0, 1, 22, 22, 49])]
    np.testing.assert_array_equal(np.concatenate(found), trailing_moments(values, half_life=10.0, min_count=3).mean)


def test_sum_is_standardised_by_the_root_of_its_count():
    values = np.array([[1.0], [2.0], [np.nan], [4.0], [5.0]])
    found = trailing_sum(values, rows=3, min_count=2)[:, 0]
    np.testing.assert_allclose(found, [np.nan, 3 / 2**0.5, np.nan, 6 / 2**0.5, 9 / 2**0.5])
