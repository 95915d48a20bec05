"""The states behind the labels: what they are seen along, and how long they are asked to last."""

import numpy as np
import pytest

from fintok.regime_model import RegimeModel


@pytest.mark.parametrize(("num_regimes", "num_axes"), [(2, 1), (3, 2), (4, 5), (5, 6)])
def test_points_are_seen_along_the_axes_and_half_spells_that_are_documented(num_regimes, num_axes):
    rng = np.random.default_rng(0)
    points = rng.random((800, 12)).astype(np.float32)
    dates = np.datetime64("2015-01-01", "ns") + np.arange(800) * np.timedelta64(1, "D")
    market = rng.standard_normal(800)
    model = RegimeModel.learn(points, dates, market, num_regimes=num_regimes, switches_per_year=5.0, seed=0)
    assert model.axes.shape == (num_axes, 12)
    assert model.half_spell == pytest.approx(365.25 / 5.0 / 2.0, rel=2e-3)
