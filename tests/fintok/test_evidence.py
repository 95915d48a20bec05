import numpy as np
import pytest

from fintok.evidence import REASONS, TailMap, cauchy_combination, statistics_of
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns


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


def test_tail_map_of_a_constant_sample_is_defined():
    tail = TailMap.fit(np.ones(2000))
    np.testing.assert_allclose(tail(np.array([0.0, 1.0])), 1.0)
    assert tail(np.array([50.0]))[0] < 0.01


def test_standard_map_is_the_t_distribution_with_four_degrees():
    tail = TailMap.standard()
    # P(t4 > x) from tables
    for value, p in (
        (0.0, 0.5),
        (0.741, 0.25),
        (2.132, 0.05),
        (2.776, 0.025),
        (4.604, 0.005),
        (8.610, 0.0005),
    ):
        assert tail(np.array([value]))[0] == pytest.approx(p, rel=0.1)


def test_standard_map_stretches_with_its_unit():
    x = np.linspace(-3, 40, 50)
    np.testing.assert_allclose(TailMap.standard(0.6)(0.6 * x), TailMap.standard()(x))


def test_a_move_of_the_whole_market_is_no_jump():
    returns = 0.01 * np.random.default_rng(0).standard_normal((400, 8))
    returns[300] -= 0.2
    returns[310, 4] -= 0.2
    panel = make_panel(returns)
    jump = statistics_of(FakeBundle(panel[:200]).surprise(panel), returns)["jump"]
    assert jump[300].max() < 5.0
    assert jump[310, 4] > 15.0


def test_statistics_that_need_no_other_asset_exist_with_a_few():
    returns = 0.01 * np.random.default_rng(0).standard_normal((400, 3))
    panel = make_panel(returns)
    statistics = statistics_of(FakeBundle(panel[:200]).surprise(panel), returns)
    assert np.isfinite(statistics["jump"][200:]).all()
    assert np.isnan(statistics["distance"]).all()


def test_cauchy_combination_is_calibrated_for_dependent_and_independent_p_values():
    rng = np.random.default_rng(0)
    independent = rng.random((5, 400_000))
    copies = np.repeat(independent[:1], 5, axis=0)
    for p in (independent, copies):
        assert (cauchy_combination(p) < 0.01).mean() == pytest.approx(0.01, rel=0.1)


def test_cauchy_combination_matches_its_formula_and_leaves_out_nan():
    p = np.array([0.01, 0.3, 0.9])
    expected = 0.5 - np.arctan(np.tan((0.5 - p) * np.pi).mean()) / np.pi
    found = cauchy_combination(
        np.array([[0.01, 0.01, np.nan], [0.3, np.nan, np.nan], [0.9, np.nan, np.nan]])
    )
    assert found[0] == pytest.approx(expected)
    assert found[1] == pytest.approx(0.01)
    assert np.isnan(found[2])


def test_one_very_small_p_value_is_not_drowned():
    assert cauchy_combination(np.array([1e-200, 1.0, 1.0, 0.9, 1.0])) == pytest.approx(5e-200, rel=1e-6)


def test_statistics_are_causal_and_missing_where_there_is_no_token():
    returns, _ = simulate_returns(500, 5)
    returns[:200, 2] = np.nan  # starts late
    returns[300:310, 3] = np.nan  # a gap
    panel = make_panel(returns)
    bundle = FakeBundle(panel[:300])
    whole = statistics_of(bundle.surprise(panel), panel.returns)
    assert tuple(whole) == tuple(REASONS)
    for name, values in whole.items():
        assert values.dtype == np.float32
        assert not np.isfinite(values[:200, 2]).any()
        assert not np.isfinite(values[300:310, 3]).any()
        assert np.isfinite(values[450:]).all(), name
        part = statistics_of(bundle.surprise(panel[:350]), panel.returns[:350])[name]
        np.testing.assert_array_equal(part, values[:350], err_msg=name)


def test_each_statistic_answers_to_its_own_fault():
    returns, _ = simulate_returns(1500, 8)
    returns[:] = 0.01 * np.random.default_rng(0).standard_normal(returns.shape)
    returns[1000, 1] += 0.08  # a jump
    returns[1100:1105, 2] *= 4.0  # a burst
    returns[1200:1210, 3] += 0.013  # a drift
    panel = make_panel(returns)
    statistics = statistics_of(FakeBundle(panel[:900]).surprise(panel), returns)
    for name in ("jump", "residual"):
        assert statistics[name][900:].argmax() == np.ravel_multi_index((100, 1), (600, 8))
    assert statistics["energy"][1100:1107, 2].max() > 2.0
    assert statistics["drift"][1205:1212, 3].max() > 3.0
    assert np.abs(np.nanmedian(statistics["energy"])) < 0.5
