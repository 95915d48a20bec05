"""The states behind the labels: what they are seen along, and how long they are asked to last."""

import numpy as np
import pytest

from fintok.regime_model import Days, RegimeModel, _calm_to_stressed


@pytest.mark.parametrize(("num_regimes", "num_axes"), [(2, 1), (3, 2), (4, 5), (5, 6)])
def test_points_are_seen_along_the_axes_and_half_spells_that_are_documented(num_regimes, num_axes):
    rng = np.random.default_rng(0)
    points = rng.random((800, 12)).astype(np.float32)
    dates = np.datetime64("2015-01-01", "ns") + np.arange(800) * np.timedelta64(1, "D")
    market = rng.standard_normal(800)
    model = RegimeModel.learn(Days(dates, points), market, num_regimes=num_regimes, switches_per_year=5.0, seed=0)
    assert model.axes.shape == (num_axes, 12)
    assert model.half_spell == pytest.approx(365.25 / 5.0 / 2.0, rel=2e-3)


def simulate(num_days=900, num_codes=12, seed=0):
    """Two states that last, seen through noise: the days, and the market's moves."""
    rng = np.random.default_rng(seed)
    state = (np.arange(num_days) // 60) % 2
    points = (rng.random((num_days, num_codes)) + state[:, None] * np.linspace(0, 2, num_codes)).astype(np.float32)
    dates = np.datetime64("2015-01-01", "ns") + np.arange(num_days) * np.timedelta64(1, "D")
    return Days(dates, points), rng.standard_normal(num_days) * (1 + 2 * state)


def learn(days, market):
    return RegimeModel.learn(days, market, num_regimes=2, switches_per_year=8.0, seed=0)


def test_a_regime_that_the_path_visits_on_few_days_has_the_volatility_of_those_nearest_to_it():
    nearest = np.repeat([0, 1, 2], 40)
    market = np.tile([-1.0, 1.0], 60) * np.array([2.0, 3.0, 1.0])[nearest]
    path = np.zeros(120, dtype=int)
    path[80:99] = 1
    assert _calm_to_stressed(path, nearest, market, 3).tolist() == [2, 0, 1]
    path[99] = 1  # 20 days, all of them calm
    assert _calm_to_stressed(path, nearest, market, 3).tolist() == [1, 2, 0]


def test_an_update_moves_each_centre_to_the_mean_of_its_days_old_and_new():
    days, market = simulate()
    before = learn(days.of(slice(600)), market[:600])
    after = before.update(days, 600)
    features = before.features(days)[600:].astype(np.float64)
    nearest = np.argmin(((features[:, None] - after.centres) ** 2).sum(axis=2), axis=1)
    for regime in range(2):
        new = features[nearest == regime]
        total = before.counts[regime] * before.centres[regime] + new.sum(axis=0)
        np.testing.assert_allclose(after.centres[regime], total / (before.counts[regime] + len(new)), rtol=1e-6)
        assert after.counts[regime] == before.counts[regime] + len(new)
    assert after.counts.sum() == 900
    np.testing.assert_array_equal(after.axes, before.axes)


def test_an_update_keeps_the_decoder_which_answers_a_path_that_switches_more():
    days, market = simulate()
    before = learn(days.of(slice(600)), market[:600])
    points = days.points.copy()
    points[600:] += np.random.default_rng(1).standard_normal(points[600:].shape).astype(np.float32)
    noisy = Days(days.dates, points)
    after = before.update(noisy, 600)
    for part in ("penalty", "distance_scale", "temperature", "half_spell"):
        assert getattr(after, part) == getattr(before, part)
    switches = (np.diff(after.path(noisy).labels) != 0).sum()
    assert switches <= 8.0 * 900 / 365.25 + 1


def test_an_update_without_new_days_keeps_the_centres():
    days, market = simulate()
    model = learn(days, market)
    np.testing.assert_allclose(model.update(days, len(days.points)).centres, model.centres)


def test_a_size_that_was_known_would_stand_beside_the_points_with_three_times_their_spread():
    days, market = simulate()
    predictors = np.random.default_rng(1).standard_normal((900, 3)).astype(np.float32)
    predictors[1:, 0] = predictors[:-1, 1]  # the second tells the size of the next day
    sized = Days(days.dates, days.points, predictors)
    model = learn(sized, market)
    assert model.size is not None
    seen, beside = model.features(sized), learn(days, market).features(days)
    np.testing.assert_array_equal(seen[:, :-1], beside)
    assert seen[:, -1].std() == pytest.approx(3.0 * np.sqrt(beside.var(axis=0).sum()), rel=2e-3)
    assert abs(np.corrcoef(seen[:, -1], predictors[:, 1])[0, 1]) > 0.99
    assert model.centres.shape == (2, 3)


def test_states_that_only_sizes_show_are_found():
    rng = np.random.default_rng(2)
    state = (np.arange(900) // 60) % 2
    dates = np.datetime64("2015-01-01", "ns") + np.arange(900) * np.timedelta64(1, "D")
    predictors = (state[:, None] + 0.3 * rng.standard_normal((900, 2))).astype(np.float32)
    blind = Days(dates, rng.random((900, 12)).astype(np.float32))
    market = rng.standard_normal(900) * (1 + 2 * state)
    labels = learn(blind._replace(predictors=predictors), market).path(blind._replace(predictors=predictors)).labels
    assert (labels == state).mean() > 0.9
    assert (learn(blind, market).path(blind).labels == state).mean() < 0.75
