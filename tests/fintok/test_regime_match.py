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
