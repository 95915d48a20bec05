"""What a linear model expects of hidden assets."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fintok import hints
from fintok.augment import LevelJitter, MaskedWindow, WindowDataset
from fintok.hints import draw_hints, group_hints
from fintok.imaging import CHANNELS, ReturnImager, ReturnImages
from fintok.panel import Panel
from vision.masks import AxisMask, BlockMask, ForecastMask

NUM_DAYS, WINDOW, PATCH = 400, 25, 5
NAMES = ["A", "B", "AB", "C", "late", "D"]  # AB moves as A and B together
GROUPS = [np.array([2, 3]), np.array([0, 4]), np.array([1, 5])]
CHANNEL = CHANNELS.index("return")


@pytest.fixture(scope="module")
def images() -> ReturnImages:
    rng = np.random.default_rng(0)
    returns = 0.01 * rng.standard_normal((NUM_DAYS, len(NAMES))) + 0.005 * rng.standard_normal((NUM_DAYS, 1))
    returns[:, 2] = returns[:, 0] + returns[:, 1]
    returns[:300, 4] = np.nan
    dates = np.datetime64("2020-01-01") + np.arange(NUM_DAYS)
    return ReturnImager(CHANNELS).transform(Panel.from_arrays(returns, dates, NAMES, values="returns"))


@pytest.fixture(scope="module")
def told(images):
    return group_hints(images, GROUPS, WINDOW, PATCH)


@pytest.fixture(scope="module")
def holed(images) -> ReturnImages:
    """Every asset misses one day in seven, C 80 days on end as well; one return is of fifty scales."""
    observed = images.observed & (np.random.default_rng(2).random(images.observed.shape) < 0.85)
    observed[3, 250:330] = False
    values = images.values.copy()
    values[CHANNEL, 0, 320] = np.arcsinh(50.0)
    observed[0, 320] = True
    return replace(images, observed=observed, values=np.where(observed, values, np.float32(0.0)))


@pytest.fixture(scope="module")
def told_holed(holed):
    return group_hints(holed, GROUPS, WINDOW, PATCH)


DAYS, KNOWN = range(360, 381), 336  # one regression, and the rows that it knows
HIDDEN, VISIBLE = np.array([2, 3]), np.array([0, 1, 4, 5])


def returns_of(images: ReturnImages) -> np.ndarray:
    """(A, T) over the slow scale, 0 where not observed."""
    return np.where(images.observed, np.sinh(images.values[CHANNEL].astype(np.float64)), 0.0)


def correlations_before(images: ReturnImages, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlations and deviations by the rows before one, added up row by row."""
    x = returns_of(images)
    products, weights, count = np.zeros((3, 6, 6))
    for row in range(last):
        weight = 0.5 ** ((last - 1 - row) / 250.0)
        held = np.clip(x[:, row], -8, 8)
        products += weight * np.outer(held, held)
        there = np.outer(images.observed[:, row], images.observed[:, row])
        weights += weight * there
        count += there
    deviation = np.sqrt(np.diag(products) / np.diag(weights))
    correlation = products / weights / np.outer(deviation, deviation) * count**2 / (count**2 + 100.0**2)
    np.fill_diagonal(correlation, 1.003)
    return correlation, deviation


def test_a_hint_is_a_regression_on_the_visible_assets_before_the_window(holed, told_holed):
    x, (correlation, deviation) = returns_of(holed), correlations_before(holed, KNOWN)
    slopes = correlation[np.ix_(HIDDEN, VISIBLE)] @ np.linalg.inv(correlation[np.ix_(VISIBLE, VISIBLE)])
    for day in DAYS:
        there = holed.observed[HIDDEN, day]
        mean = (slopes @ (x[VISIBLE, day] / deviation[VISIBLE]) * deviation[HIDDEN])[there]
        np.testing.assert_allclose(told_holed[0, HIDDEN[there], day], np.arcsinh(mean), rtol=1e-4)
        market = (x[VISIBLE, day].sum() + mean.sum()) / holed.observed[:, day].sum()
        np.testing.assert_allclose(told_holed[1, HIDDEN[there], day], np.arcsinh(market), rtol=1e-4)


def test_an_asset_that_is_not_observed_is_told_nothing(holed, told_holed):
    assert not told_holed[:, ~holed.observed].any()


def test_what_is_left_open_is_the_recent_size_of_the_residuals_and_the_unrest_of_the_day(holed, told_holed):
    x, weight = returns_of(holed), 0.5 ** (np.arange(60) / 20.0)
    means = hints._means(x, holed.observed, GROUPS, WINDOW, 0)
    for day in DAYS:
        rows = np.arange(day - 2 * PATCH, day - 2 * PATCH - 60, -1)  # nothing of the two patches that may be hidden
        for group, unrest in zip(GROUPS, means.unrest, strict=True):
            more = unrest[day] / np.average(unrest[rows], weights=weight * (unrest[rows] > 0.0))
            visible = np.delete(holed.observed[:, day], group).sum()
            for asset in group[holed.observed[group, day]]:
                there = holed.observed[asset, rows]
                square = (x - means.expected)[asset, rows] ** 2
                size = np.sqrt((weight * square)[there].sum() / weight[there].sum())
                wanted = np.log(size) + visible / (visible + 15.0) * np.log(more)
                np.testing.assert_allclose(told_holed[2, asset, day], wanted, rtol=1e-4)


def test_the_unrest_of_a_day_is_that_of_the_visible_assets_observed_then(holed):
    x, (correlation, deviation) = returns_of(holed), correlations_before(holed, KNOWN)
    found = hints._regression(np.arange(6), correlation, deviation, np.isin(np.arange(6), HIDDEN))
    means = hints._means(x, holed.observed, GROUPS, WINDOW, 0)
    for day in DAYS:
        left = np.abs(found.unrest @ x[VISIBLE, day])[holed.observed[VISIBLE, day]]
        np.testing.assert_allclose(means.unrest[0, day], left.mean(), rtol=1e-4)


def test_unrest_is_what_visible_assets_do_not_expect_of_each_other():
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((4, 4))
    correlations = mix @ mix.T + np.eye(4)
    deviation = np.sqrt(np.diag(correlations))
    correlations /= np.outer(deviation, deviation)
    is_hidden = np.array([False, True, False, False])
    found = hints._regression(np.arange(4), correlations, deviation, is_hidden)
    visible = np.array([0, 2, 3])
    z = rng.standard_normal(3)
    for place in range(3):
        others = np.delete(visible, place)
        slopes = correlations[visible[place], others] @ np.linalg.inv(correlations[np.ix_(others, others)])
        left = 1.0 - slopes @ correlations[others, visible[place]]
        wanted = (z[place] - slopes @ np.delete(z, place)) / np.sqrt(left)
        np.testing.assert_allclose((found.unrest @ (z * deviation[visible]))[place], wanted)


def test_a_sum_of_visible_assets_is_told_nearly_whole_and_an_unknown_asset_not_at_all(images, told):
    days = slice(200, NUM_DAYS)
    assert np.corrcoef(told[0, 2, days], images.values[CHANNEL, 2, days])[0, 1] > 0.98
    assert told[2, 2, -1] < -0.8 < told[2, 2, 100]  # AB is believed as a pair of half-known correlations, so far
    assert not told[:, 4, :300].any()  # never seen before
    assert told[:, 4, 360:].any()


def test_what_is_hidden_has_no_part_in_its_own_hint(images, told):
    day = 360
    values = images.values.copy()
    values[CHANNEL, GROUPS[0], day - 2 * PATCH + 1 :] += 1.0
    other = group_hints(replace(images, values=values), GROUPS, WINDOW, PATCH)
    np.testing.assert_array_equal(other[:, GROUPS[0], day], told[:, GROUPS[0], day])
    assert (other[:2, GROUPS[1], day] != told[:2, GROUPS[1], day]).all()


@pytest.mark.parametrize("row", [130, 273, 325, 399])  # C comes back after the third of them, among days told at once
def test_rows_to_come_change_no_bit_of_a_hint(holed, told_holed, row):
    values, observed = holed.values[:, :, :row], holed.observed[:, :row]
    part = replace(holed, values=values, observed=observed, dates=holed.dates[:row])
    np.testing.assert_array_equal(group_hints(part, GROUPS, WINDOW, PATCH), told_holed[:, :, :row])


def test_reading_the_newest_rows_gives_the_hints_of_the_whole_panel(images, told):
    part = group_hints(images, GROUPS, WINDOW, PATCH, since=333)
    np.testing.assert_array_equal(part[:, :, 333:], told[:, :, 333:])
    assert not part[:, :, :333].any()


def test_an_asset_that_has_ended_leaves_the_regressions_as_if_it_had_never_been(images):
    """C is B with a little noise, until it is delisted: thereafter B alone tells of AB."""
    rng = np.random.default_rng(1)
    values, observed = images.values.copy(), images.observed.copy()
    values[CHANNEL, 5] = values[CHANNEL, 1] + 0.02 * rng.standard_normal(NUM_DAYS)
    observed[5, 300:] = False
    values[:, 5, 300:] = 0.0
    never = observed.copy()
    never[5] = False
    month_later = slice(300 + 2 * 21, NUM_DAYS)
    ended = group_hints(replace(images, values=values, observed=observed), GROUPS[:1], WINDOW, PATCH)
    without = group_hints(replace(images, values=values, observed=never), GROUPS[:1], WINDOW, PATCH)
    assert np.abs(ended[0, 2, 200:300] - without[0, 2, 200:300]).max() > 0.01
    np.testing.assert_allclose(ended[:2, :4, month_later], without[:2, :4, month_later], atol=1e-6)


def test_where_everybody_is_hidden_nothing_is_told(images):
    assert not group_hints(images, [np.arange(len(NAMES))], WINDOW, PATCH).any()


def test_pairs_without_common_days_still_give_a_regression(images):
    observed = images.observed.copy()
    observed[0, ::2], observed[1, 1::2] = False, False
    observed[2, : NUM_DAYS // 2], observed[3, NUM_DAYS // 2 :] = False, False
    told = group_hints(replace(images, observed=observed), GROUPS, WINDOW, PATCH)
    assert np.isfinite(told).all()
    assert np.abs(told[0]).max() < 5.0


@pytest.fixture(scope="module")
def hinted(images):
    return draw_hints(images, 3, WINDOW, PATCH, np.random.default_rng(0))


@pytest.fixture(scope="module")
def drawn(images, hinted):
    return hinted[len(CHANNELS) :].reshape(hints.PARTITIONS, 4, len(NAMES), NUM_DAYS)


def view(images, hinted, mask, seed):
    """The view (C + 3, 4, W), hidden (4, columns), and the places of its assets."""
    dataset = WindowDataset(images, WINDOW, np.array([380]), hinted)
    make = MaskedWindow(4, WINDOW, PATCH, LevelJitter((*CHANNELS, *hints.HINTS), 0.0), mask, has_hints=True)
    [[(image, _, hidden)], _] = make(*dataset[0], np.random.default_rng(seed))
    whole = torch.from_numpy(images.values[:, :, 356:381])
    places = [int((whole[CHANNEL] == row).all(dim=1).nonzero()[0, 0]) for row in image[CHANNEL]]
    return image, hidden, np.array(places)


def test_partitions_have_groups_of_one_size(images, hinted, drawn):
    np.testing.assert_array_equal(hinted[: len(CHANNELS)], images.values)
    groups = drawn[:, -1].astype(int)
    assert (groups == groups[:, :, :1]).all()  # of an asset, on all days
    assert all(np.array_equal(np.bincount(partition), [2, 2, 2]) for partition in groups[:, :, 0])
    assert len({tuple(partition) for partition in groups[:, :, 0]}) > 1


@pytest.mark.parametrize("seed", range(8))
def test_rows_hidden_together_are_of_a_group_and_are_told_of_by_the_others(images, hinted, drawn, seed):
    image, hidden, places = view(images, hinted, AxisMask("rows", 0.5, last=2), seed)
    rows = hidden.any(axis=1)
    assert len(set(places)) == 4
    found = [
        number
        for number, partition in enumerate(drawn[:, -1, :, 0])
        if len(set(partition[places[rows]])) == 1
        and np.array_equal(image[-3:, rows], drawn[number, :-1][:, places[rows], 356:381])
    ]
    assert found


def test_an_asset_from_outside_the_group_is_not_told_of(images, hinted):
    image, hidden, _ = view(images, hinted, AxisMask("rows", 0.75, last=2), 0)
    told = image[-3, :, -1].numpy()[hidden.any(axis=1)] != 0
    assert told.sum() == 2  # a group has two: the third hidden asset is shown to them


@pytest.mark.parametrize("mask", [ForecastMask(1), BlockMask(0.4, min_patches=2)])
def test_other_masks_are_given_no_hints(images, hinted, mask):
    for seed in range(6):
        image, hidden, _ = view(images, hinted, mask, seed)
        rows, columns = hidden.any(axis=1), hidden.any(axis=0)
        if rows.all() or not hidden[np.ix_(rows, columns)].all():
            assert image.shape[0] == len(CHANNELS) + 3
            assert not image[-3:].any()
            return
    pytest.fail("no mask of the kind was drawn")


@pytest.mark.parametrize("day", [358, 359, 360])  # fits of neighbouring days are made together
def test_no_regression_knows_anything_of_its_window(images, told, day):
    values = images.values.copy()
    values[CHANNEL, GROUPS[0], day - WINDOW + 1 :] += 1.0
    other = group_hints(replace(images, values=values), GROUPS, WINDOW, PATCH)
    np.testing.assert_array_equal(other[:2, GROUPS[0], day], told[:2, GROUPS[0], day])


def test_correlations_that_are_none_have_their_eigenvalues_raised_to_the_ridge():
    sums = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    weights = np.full((3, 3), 1e6)
    found, _ = hints._Relations(sums * weights, weights, weights).correlations()
    values, vectors = np.linalg.eigh(sums + 0.003 * np.eye(3))
    assert values.min() < 0.0
    wanted = sum(max(value, 0.003) * np.outer(axis, axis) for value, axis in zip(values, vectors.T, strict=True))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_drawn_view_has_the_hints_means_and_the_noise_of_the_whole_group_in_its_market(images, hinted, drawn):
    """Return and market of the last patch are drawn, the rest is the window's; groups are those of one partition."""
    channels = (*CHANNELS, *hints.HINTS)
    window = WindowDataset(images, WINDOW, np.array([380]), hinted)[0]
    make = MaskedWindow(len(NAMES), WINDOW, PATCH, LevelJitter(channels, 0.0), ForecastMask(1), has_hints=True)
    days, sizes = slice(376, 381), []
    for seed in range(200):
        _, [(image, observed, hidden)] = make(*window, np.random.default_rng(seed))
        assert hidden is None
        assert image.shape == (len(channels), len(NAMES), PATCH)
        assert observed.all()
        image = image.double().numpy()
        own = {name: image[place] for place, name in enumerate(channels)}
        order = [int(np.flatnonzero((images.values[2, :, days] == row).all(axis=1))[0]) for row in image[2]]
        (group, *_) = [
            partition[-1, order, 0] for partition in drawn if np.array_equal(image[-3:], partition[:-1, order, days])
        ]
        noise = np.sinh(own["return"]) - np.sinh(own["expected"])
        shared = np.sinh(own["market"]) - np.sinh(own["expected_market"])
        of_group = np.stack([noise[group == number].sum(axis=0) / len(NAMES) for number in group])
        np.testing.assert_allclose(shared, of_group, atol=1e-5)
        np.testing.assert_array_equal(own["volatility"], images.values[CHANNELS.index("volatility"), order, days])
        sizes.append(noise / np.exp(own["left_open"]))
    assert 0.9 < np.std(sizes) < 1.1
    assert np.abs(np.mean(sizes)) < 0.05
