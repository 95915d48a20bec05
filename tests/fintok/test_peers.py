import numpy as np
import pytest

from fintok import peers
from fintok.peers import PeerRows, PeerView, peer_view
from tests.fintok.fake_bundle import simulate_returns

BLOCK = 21


def correlated(num_days=400, num_assets=6, seed=0):
    """Normal returns with one strong factor and betas that differ, and sizes that differ more."""
    rng = np.random.default_rng(seed)
    betas, sizes = np.linspace(0.4, 1.6, num_assets), np.geomspace(0.005, 0.03, num_assets)
    return sizes * (betas * rng.standard_normal((num_days, 1)) + 0.5 * rng.standard_normal((num_days, num_assets)))


def two_groups(num_days=900, seed=1):
    """Assets 0 to 2 follow one factor and 3 to 5 another."""
    rng = np.random.default_rng(seed)
    factors = np.repeat(rng.standard_normal((num_days, 2)), 3, axis=1)
    return np.geomspace(0.005, 0.03, 6) * (factors + 0.4 * rng.standard_normal((num_days, 6)))


def naive_precision(scaled, first_row):
    """Inverse of the correlations before a block, pair by pair and day by day."""
    num_assets = scaled.shape[1]
    held = np.clip(scaled, -4, 4)
    weight = 0.5 ** ((first_row - 1 - np.arange(first_row)) / 500)

    def total(a, b):
        both = np.isfinite(scaled[:first_row, a]) & np.isfinite(scaled[:first_row, b])
        products = np.where(both, held[:first_row, a] * held[:first_row, b], 0.0)
        return (weight * products).sum(), (weight * both).sum()

    deviation = [np.sqrt(np.divide(*total(a, a))) for a in range(num_assets)]
    correlation = np.eye(num_assets)
    for a in range(num_assets):
        for b in range(num_assets):
            if a != b:
                product, days = total(a, b)
                pair = (product / deviation[a] / deviation[b] + 60 * 0.3) / (days + 60)
                correlation[a, b] = 0.9 * pair
    return np.linalg.inv(correlation)


@pytest.fixture(scope="module")
def returns():
    values = correlated()
    values[100:130, 2] = np.nan
    return values


@pytest.fixture(scope="module")
def view(returns):
    return peer_view(returns)


def test_what_is_expected_is_the_conditional_mean_given_the_others(view):
    row = 15 * BLOCK + 4
    scaled = view.scaled
    assert np.abs(scaled[row] - np.median(scaled[row])).max() < 4.0  # nothing is held back
    precision = naive_precision(scaled, 15 * BLOCK)
    for asset in range(6):
        others = [b for b in range(6) if b != asset]
        covariance = np.linalg.inv(precision)
        weights = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, asset])
        assert view.expected[row, asset] == pytest.approx(weights @ scaled[row, others])


def test_a_swap_is_judged_by_the_two_assets_given_all_others(view):
    """The naive ratios of each pair, day by day."""
    scaled, size, deviation = view.scaled, view.size, view.deviation
    last = 16 * BLOCK - 1

    def told(row, a, b):
        precision = naive_precision(scaled, row // BLOCK * BLOCK)
        others = [c for c in range(6) if c not in (a, b)]
        q, z = precision[np.ix_([a, b], [a, b])], np.clip(scaled[row], -4, 4)
        mean = -np.linalg.solve(q, precision[np.ix_([a, b], others)] @ z[others])[0]
        spread = deviation[row, a] ** 2 * precision[a, a]  # times what the correlations alone would give
        scale = 2.0 * spread * np.linalg.inv(q)[0, 0]
        shown, exchanged = z[a] - mean, z[b] * size[row, b] / size[row, a] - mean
        return 1.5 * np.log((scale + shown**2) / (scale + exchanged**2))

    def tally(a, b):
        return sum(told(row, a, b) for row in range(last - 14, last + 1))

    for asset in (0, 3):
        pairs = [(tally(asset, b), tally(b, asset)) for b in range(6) if b != asset]
        counts = [np.mean(pair) if min(pair) > -1.0 else min(pair) for pair in pairs]
        assert view.swapped[last, asset] == pytest.approx(max(counts) - np.log(5), abs=2e-3)


def test_a_swap_is_noticed_on_both_and_one_strange_asset_accuses_nobody():
    returns = two_groups()
    swapped, frozen = returns.copy(), returns.copy()
    swapped[700:715, [1, 4]] = returns[700:715, [4, 1]]
    frozen[700:715, 1] = 0.0
    reading = peer_view(swapped).swapped[714]
    assert sorted(np.argsort(reading)[-2:]) == [1, 4]
    assert reading[[1, 4]].min() > 4.0
    assert peer_view(frozen).swapped[714, [0, 2, 3, 4, 5]].max() < 0.0


def test_pairs_judged_in_parts_are_judged_alike(returns, view, monkeypatch):
    monkeypatch.setattr(peers, "_PAIRS", 4)
    np.testing.assert_array_equal(peer_view(returns).swapped, view.swapped)


def test_residuals_have_about_unit_size_and_a_planted_one_stands_out():
    returns = correlated(800)
    returns[700, 3] += 0.3
    residual = peer_view(returns).residual
    assert np.nanstd(residual[300:690]) == pytest.approx(1.0, abs=0.25)
    assert np.nanargmax(np.abs(residual[300:])) == np.ravel_multi_index((400, 3), (500, 6))


def test_a_crash_of_all_is_expected_and_one_wild_peer_is_not_believed():
    returns = correlated()
    returns[300] -= 0.2 * np.nanstd(returns, axis=0) / 0.01  # twenty deviations
    returns[310, 0] += 1.0
    view = peer_view(returns)
    assert np.abs(view.residual[300]).max() < 3.0
    assert np.abs(view.expected[310, 1:]).max() < 4.0


def test_the_asset_itself_plays_no_part_in_what_is_expected_of_it():
    returns = correlated()
    changed = returns.copy()
    changed[300, 1] = 0.5
    one, other = peer_view(returns), peer_view(changed)
    assert other.expected[300, 1] == pytest.approx(one.expected[300, 1])
    assert other.level[300, 1] == pytest.approx(one.level[300, 1])
    assert np.abs(other.expected[300, 2] - one.expected[300, 2]) > 0.1


def test_one_wrong_print_does_not_set_the_scale_of_the_weeks_after_it():
    returns = correlated()
    changed = returns.copy()
    changed[300, 1] += np.log(100.0)
    changed[301, 1] -= np.log(100.0)
    np.testing.assert_allclose(peer_view(changed).size[302:, 1], peer_view(returns).size[302:, 1], rtol=0.15)


def test_every_field_is_causal_bit_for_bit_and_follows_a_permutation(returns, view):
    order = np.random.default_rng(0).permutation(6)
    shuffled = peer_view(returns[:, order])
    for length in (30, 105, 211, 399):
        for name, part in zip(PeerView._fields, peer_view(returns[:length]), strict=True):
            np.testing.assert_array_equal(part, getattr(view, name)[:length], err_msg=name)
    for name, values in zip(PeerView._fields, shuffled, strict=True):
        np.testing.assert_allclose(values, getattr(view, name)[:, order], rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("length", [1, 20, 21, 105, 333, 399, 400])
def test_rows_known_from_before_spare_their_blocks_and_change_nothing(returns, view, length, monkeypatch):
    asked, inverse = [], peers._inverse
    monkeypatch.setattr(peers, "_inverse", lambda *args: asked.append(1) or inverse(*args))
    earlier = PeerRows(view.expected[:length], view.swapped[:length].astype(np.float32))
    found = peer_view(returns, earlier)
    for name, values in zip(PeerView._fields, found, strict=True):
        np.testing.assert_array_equal(values.astype(np.float32), getattr(view, name).astype(np.float32), err_msg=name)
    blocks, first = -(-400 // 21), length // 21
    assert len(asked) == blocks - max(first - 1, 0)


def test_missing_returns_have_no_reading_and_one_asset_or_an_empty_column_is_defined(view):
    assert np.isnan(view.scaled[100:130, 2]).all()
    assert np.isnan(view.swapped[100:130, 2]).all()
    assert np.isfinite(view.residual[100:, [0, 1, 3, 4, 5]]).all()
    returns, _ = simulate_returns(200, 3)
    returns[:, 2] = np.nan
    for values in (returns, returns[:, :1]):
        found = peer_view(values)
        assert np.isfinite(found.residual[100:, 0]).all()
        assert np.isnan(found.scaled[:, 2:]).all()
    np.testing.assert_array_equal(peer_view(returns[:, :1]).expected[100:], 0.0)
    assert peer_view(returns[:0]).scaled.shape == (0, 3)


def test_the_inverse_of_what_is_no_correlation_is_that_of_the_clipped_one():
    sums = np.array([[1.0, 0.99, -0.99], [0.99, 1.0, 0.99], [-0.99, 0.99, 1.0]])
    weights = np.full((3, 3), 1e9)
    found = peers._inverse(sums * weights, weights, np.ones(3, dtype=bool))
    values, vectors = np.linalg.eigh(0.9 * sums + 0.1 * np.eye(3))
    assert values.min() < 0.05
    wanted = sum(np.outer(axis, axis) / max(value, 0.05) for value, axis in zip(values, vectors.T, strict=True))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_an_asset_that_has_ended_has_no_weight_with_the_others():
    returns = correlated(500)
    returns[300:, 5] = np.nan
    months_later = slice(300 + 2 * 21, 500)
    found = peer_view(returns).expected[months_later, :5]
    wanted = peer_view(np.delete(returns, 5, axis=1)).expected[months_later]
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_the_pairs_of_assets_show_how_far_they_are(monkeypatch):
    shown = []
    monkeypatch.setattr(peers, "track", lambda items, name: shown.append((name, len(items))) or items)
    peer_view(np.random.default_rng(0).standard_normal((100, 3)))
    assert shown == [("peers", 5)]  # blocks of 21 rows
