import numpy as np
import pandas as pd
import pytest

from fintok import match_regimes
from fintok.errors import InputError
from fintok.regime_match import carry_names


def table(volatility, correlation=None, names="abcdef"):
    volatility = np.asarray(volatility)
    count = len(volatility)
    return pd.DataFrame(
        {
            "name": list(names[:count]),
            "volatility": volatility,
            "dispersion": np.nan if correlation is None else 0.1,
            "correlation": np.nan if correlation is None else correlation,
        }
    )


def test_regimes_are_matched_by_log_volatility_in_spreads_of_the_old_ones():
    match = match_regimes(table([0.1, 0.2, 0.4]), table([0.22, 0.09, 0.4]))
    np.testing.assert_array_equal(match.regimes, [1, 0, 2])
    spread = np.log([0.1, 0.2, 0.4]).std()
    np.testing.assert_allclose(match.distances, np.abs(np.log([1.1, 0.9, 1.0])) / spread)


def test_correlation_tells_apart_what_volatility_does_not():
    old = table([0.15, 0.16, 0.4], [0.2, 0.6, 0.5])
    match = match_regimes(old, table([0.15, 0.16, 0.4], [0.6, 0.2, 0.5]))
    np.testing.assert_array_equal(match.regimes, [1, 0, 2])
    without = match_regimes(old, table([0.15, 0.16, 0.4]))
    np.testing.assert_array_equal(without.regimes, [0, 1, 2])


def signature(volatility, dispersion, correlation):
    columns = {"volatility": volatility, "dispersion": dispersion, "correlation": correlation}
    return pd.DataFrame({"name": list("abcdef"[: len(volatility)]), **columns})


NAN = np.nan
WITH_ONE_EMPTY = signature([0.1, 0.15, 0.2, NAN], [0.2, 0.25, 0.3, NAN], [0.1, 0.3, 0.5, NAN])
SHIFTED = signature([0.05, 0.1, 0.15, 0.2], [0.1, 0.2, 0.25, 0.3], [0.0, 0.1, 0.3, 0.5])


def test_an_old_regime_without_numbers_changes_nothing_for_the_others():
    match, without = match_regimes(WITH_ONE_EMPTY, SHIFTED), match_regimes(WITH_ONE_EMPTY[:3], SHIFTED)
    np.testing.assert_array_equal(without.regimes, [-1, 0, 1, 2])
    np.testing.assert_array_equal(match.regimes, without.regimes)
    np.testing.assert_allclose(match.distances, [NAN, 0.0, 0.0, 0.0], atol=1e-9)


def test_a_regime_that_nothing_compares_is_new_and_inherits_no_name():
    match = match_regimes(SHIFTED, WITH_ONE_EMPTY)
    np.testing.assert_array_equal(match.regimes, [1, 2, 3, -1])
    assert np.isnan(match.distances[3])
    assert carry_names(SHIFTED, WITH_ONE_EMPTY) == ("b", "c", "d", "d (2)")
    nothing = match_regimes(SHIFTED, signature([NAN] * 4, [NAN] * 4, [NAN] * 4))
    np.testing.assert_array_equal(nothing.regimes, [-1] * 4)


def test_distances_are_those_of_the_loop_over_what_both_regimes_have():
    rng = np.random.default_rng(0)
    old, new = (rng.uniform(0.05, 0.6, (4, 3)) for _ in range(2))
    old[1, 2] = new[0, 1] = new[2, 0] = NAN
    match = match_regimes(signature(*old.T), signature(*new.T))
    one, other = (np.column_stack([np.log(values[:, :2]), values[:, 2]]) for values in (old, new))
    for regime, distance in enumerate(match.distances):
        before = match.regimes[regime]
        terms = [
            ((other[regime, k] - one[before, k]) / np.nanstd(one[:, k])) ** 2
            for k in range(3)
            if np.isfinite(other[regime, k] - one[before, k])
        ]
        assert distance == pytest.approx(np.sqrt(np.mean(terms)))


def test_a_number_known_of_one_regime_alone_pairs_nobody_else():
    old = signature([0.1, 0.2, 0.4], [0.1] * 3, [0.3, NAN, NAN])
    match = match_regimes(old, signature([0.1, 0.2, 0.4], [0.1] * 3, [0.32, NAN, NAN]))
    np.testing.assert_array_equal(match.regimes, [0, 1, 2])
    assert match.distances[0] < 0.1


def test_a_table_of_something_else_is_refused():
    with pytest.raises(InputError, match="a signature has a column 'volatility'"):
        match_regimes(pd.DataFrame({"a": [1.0]}), pd.DataFrame({"a": [1.0]}))


def test_a_regime_too_many_has_no_predecessor():
    match = match_regimes(table([0.1, 0.4]), table([0.1, 0.2, 0.4]))
    np.testing.assert_array_equal(match.regimes, [0, -1, 1])
    assert np.isnan(match.distances[1])


@pytest.mark.parametrize(
    ("volatility", "own", "expected"),
    [
        ([0.1, 0.2, 0.4], "xyz", ("a", "b", "c")),
        ([0.1, 0.2, 0.4, 0.3], "xyzw", ("a", "b", "c", "w")),
        ([0.1, 0.2, 0.4, 0.3], "xyza", ("a", "b", "c", "a (2)")),
        ([0.1, 0.2, 2.0], "xyz", ("a", "b", "z")),
    ],
)
def test_names_follow_the_regime_and_a_new_one_has_its_own(volatility, own, expected):
    assert carry_names(table([0.1, 0.2, 0.4]), table(volatility, names=own)) == expected
