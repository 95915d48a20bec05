import numpy as np
import pytest

from fintok.evidence import REASONS, gather, standard_tails
from fintok.tails import TailMap, evidence
from fintok.trailing import trailing_moments
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns

FAULT = 1000  # row


def market(seed=0, num_days=1200, num_assets=10):
    """Normal returns: even and odd assets follow a factor each, which makes four fifths of their variance."""
    rng = np.random.default_rng(seed)
    factors = np.resize(rng.standard_normal((2, num_days)), (num_assets, num_days)).T
    return 0.01 * (factors + 0.5 * rng.standard_normal((num_days, num_assets)))


def statistics(returns):
    panel = make_panel(returns)
    return gather(FakeBundle(panel[:900]).surprise(panel), returns).statistics


def heights(returns, days):
    """Evidence of each statistic on the planted asset within some days, loudest first.

    The fake bundle's surprise is left out: it answers to everything.
    """
    found, answer = statistics(returns), {}
    for name in REASONS:
        if name != "surprise":
            tail = TailMap.fit(found[name][300:FAULT])
            answer[name] = evidence(tail(found[name][FAULT : FAULT + days, 1])).max()
    return dict(sorted(answer.items(), key=lambda item: -item[1]))


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("jump", 1),
        ("rebound", 4),
        ("burst", 7),
        ("quiet", 15),
        ("decoupled", 15),
        ("lagged", 15),
        ("drift", 10),
        ("swapped", 15),
    ],
)
def test_each_fault_is_called_by_its_name(name, days):
    returns = market()
    clean, rows = returns.copy(), slice(FAULT, FAULT + days)
    match name:
        case "jump":
            returns[FAULT, 1] += 0.06
        case "rebound":
            returns[[FAULT, FAULT + 3], 1] += [0.04, -0.04]
        case "burst":
            returns[rows, 1] *= 3.0
        case "quiet":
            returns[rows, 1] *= 0.2
        case "decoupled":
            returns[rows, 1] = np.random.default_rng(1).permutation(clean[600:900, 1])[:days]
        case "lagged":
            returns[rows, 1] = clean[FAULT - 1 : FAULT + days - 1, 1]
        case "drift":
            returns[rows, 1] += 0.012
        case "swapped":
            returns[rows, 1], returns[rows, 4] = clean[rows, 4], clean[rows, 1]
    found = heights(returns, days)
    # a burst, or three weeks without the peers, has jumps in it that come back
    assert name in list(found)[: 2 if name in ("burst", "decoupled") else 1]
    assert found[name] > 3.0


def test_a_move_of_the_whole_market_is_no_jump():
    returns = market()
    returns[FAULT] -= 0.2
    returns[FAULT + 10, 4] -= 0.2
    jump = statistics(returns)["jump"]
    assert jump[FAULT].max() < 3.0
    assert jump[FAULT + 10, 4] > 15.0


def test_a_storm_that_everyone_is_in_is_no_burst():
    returns = market()
    returns[FAULT : FAULT + 7] *= 3.0
    together = statistics(returns)["burst"][FAULT + 6, 1]
    returns = market()
    returns[FAULT : FAULT + 7, 1] *= 3.0
    assert statistics(returns)["burst"][FAULT + 6, 1] > together + 2.0


def test_prices_that_stand_still_are_left_to_the_checks():
    returns = market()
    returns[FAULT : FAULT + 15, 1] = 0.0
    quiet = statistics(returns)["quiet"]
    assert np.isnan(quiet[FAULT + 10, 1])
    assert np.isfinite(quiet[FAULT + 10, 2])


def test_expected_is_a_return_and_the_residual_what_is_left_of_it():
    returns = market()
    panel = make_panel(returns)
    found = gather(FakeBundle(panel[:900]).surprise(panel), returns)
    explained = 1.0 - ((returns - found.expected)[300:] ** 2).mean() / (returns[300:] ** 2).mean()
    assert 0.6 < explained < 0.8  # four fifths of the variance are shared, and four others tell it well
    assert np.corrcoef(found.residual[300:, 0], (returns - found.expected)[300:, 0])[0, 1] > 0.95


def test_a_few_assets_have_every_statistic():
    returns = market(num_assets=3)
    for name, values in statistics(returns).items():
        assert np.isfinite(values[300:]).all(), name


def test_the_standard_maps_cry_no_wolf_where_nothing_is_wrong():
    tails = standard_tails()
    for name, values in statistics(market()).items():
        if name != "surprise":
            assert (tails[name](values[300:]) < 0.01).mean() < 0.05, name


def test_statistics_are_causal_and_missing_where_there_is_no_token():
    returns, _ = simulate_returns(500, 5)
    returns[:200, 2] = np.nan  # starts late
    returns[300:310, 3] = np.nan  # a gap
    panel = make_panel(returns)
    bundle = FakeBundle(panel[:300])
    whole = gather(bundle.surprise(panel), panel.returns).statistics
    part = gather(bundle.surprise(panel[:350]), panel.returns[:350]).statistics
    assert tuple(whole) == tuple(REASONS)
    for name, values in whole.items():
        assert values.dtype == np.float32
        assert not np.isfinite(values[:200, 2]).any()
        assert not np.isfinite(values[300:310, 3]).any()
        assert np.isfinite(values[450:]).all(), name
        np.testing.assert_array_equal(part[name], values[:350], err_msg=name)


@pytest.fixture(scope="module")
def told():
    """Returns, what a bundle says of them, and the evidence."""
    returns = market(num_days=700)
    panel = make_panel(returns)
    says = FakeBundle(panel[:500]).surprise(panel)
    return returns, says, gather(says, returns)


def test_drift_is_the_sum_of_ten_residuals_of_at_most_two_deviations(told):
    found = told[2]
    for row in (400, 555, 699):
        wanted = abs(np.clip(found.residual[row - 9 : row + 1, 3], -2.0, 2.0).sum()) / np.sqrt(10.0)
        assert found.statistics["drift"][row, 3] == pytest.approx(wanted, rel=1e-5)


def test_a_rebound_is_the_lesser_of_a_residual_and_the_largest_opposite_one_of_five_days(told):
    found = told[2]
    for row in range(400, 460):
        now, before = found.residual[row, 2], found.residual[row - 5 : row, 2]
        wanted = max((min(abs(now), abs(then)) for then in before if now * then < 0.0), default=0.0)
        assert found.statistics["rebound"][row, 2] == pytest.approx(wanted, rel=1e-5)


def test_surprise_is_half_the_code_up_to_three_and_the_distance_less_the_median_of_the_day(told):
    _, says, found = told
    far = np.log(says.distance.astype(np.float64))
    is_told = np.isfinite(far).any(axis=1)
    far[is_told] -= np.nanmedian(far[is_told], axis=1, keepdims=True)
    past = trailing_moments(far, half_life=60, min_count=60)
    code = (says.surprise - says.expected) / says.deviation
    assert np.nanmax(code) > 3.0
    wanted = 0.5 * np.minimum(code, 3.0) + np.nan_to_num((far - past.mean) / past.deviation)
    known = np.isfinite(found.statistics["surprise"])
    np.testing.assert_allclose(found.statistics["surprise"][known], wanted[known], rtol=1e-4, atol=1e-4)


def test_a_day_that_everyone_is_in_raises_nobodys_distance(told):
    returns, says, found = told
    is_loud = np.arange(len(returns))[:, None] == 650
    louder = says._replace(distance=np.where(is_loud, 50.0 * says.distance, says.distance))
    again = gather(louder, returns).statistics["surprise"]
    np.testing.assert_allclose(again[650], found.statistics["surprise"][650], rtol=1e-4, atol=1e-5)
