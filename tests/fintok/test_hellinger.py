import numpy as np

from fintok.hellinger import causal_average, forecast_roots


def test_average_matches_its_definition_and_is_causal():
    values = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    whole = causal_average(values, 4.0)
    weights = 0.5 ** ((30 - np.arange(31)) / 4.0)
    np.testing.assert_allclose(whole[30], weights @ values[:31] / weights.sum(), rtol=1e-5)
    np.testing.assert_array_equal(causal_average(values[:31], 4.0), whole[:31])
    np.testing.assert_array_equal(causal_average(values, 0.0), values)


def test_roots_leave_out_days_without_forecast():
    forecast = np.array([[np.nan, np.nan], [0.25, 0.75], [1.0, 0.0]], dtype=np.float32)
    rows, values = forecast_roots(forecast)
    np.testing.assert_array_equal(rows, [False, True, True])
    np.testing.assert_allclose(values, [[0.5, 0.75**0.5], [1.0, 0.0]])
