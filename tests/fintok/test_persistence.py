from itertools import pairwise, product

import numpy as np
import pytest

from fintok.persistence import (
    allowed_switches,
    count_switches,
    decode_online,
    decode_with_hindsight,
    penalty_for_switches,
    probability_temperature,
)


def path_cost(distances, path, penalty):
    switches = sum(a != b for a, b in pairwise(path))
    return sum(distances[t, k] for t, k in enumerate(path)) + penalty * switches


def cheapest_path(distances, penalty):
    paths = product(range(distances.shape[1]), repeat=len(distances))
    return min(paths, key=lambda path: path_cost(distances, path, penalty))


@pytest.mark.parametrize("penalty", [0.0, 0.3, 1.0, 10.0])
def test_both_decoders_match_a_search_through_all_paths(penalty):
    distances = np.random.default_rng(4).random((7, 3))
    assert tuple(decode_with_hindsight(distances, penalty)) == cheapest_path(distances, penalty)
    online = [cheapest_path(distances[: t + 1], penalty)[-1] for t in range(7)]
    np.testing.assert_array_equal(decode_online(distances, penalty).labels, online)


def test_values_are_costs_of_the_cheapest_paths():
    distances, penalty = np.random.default_rng(1).random((5, 3)), 0.4
    values = decode_online(distances, penalty).values
    ends = [min(path_cost(distances, (*head, k), penalty) for head in product(range(3), repeat=4)) for k in range(3)]
    np.testing.assert_allclose(values[-1], np.array(ends) - min(ends))


def test_online_labels_do_not_change_when_days_are_added():
    distances = np.random.default_rng(0).random((200, 4))
    whole = decode_online(distances, 1.5)
    for length in (1, 50, 199):
        part = decode_online(distances[:length], 1.5)
        np.testing.assert_array_equal(part.labels, whole.labels[:length])
        np.testing.assert_array_equal(part.values, whole.values[:length])


def test_an_allowance_holds_the_path_to_it_and_stays_causal():
    rng = np.random.default_rng(0)
    state = np.repeat(rng.integers(3, size=600), 10)  # changes some 100 times in 1,500 days
    distances = (np.arange(3) != state[:, None]) + 0.1 * rng.random((6000, 3))
    allowance = np.full(6000, 1 / 100)
    free = decode_online(distances, 0.5)
    held = decode_online(distances, 0.5, allowance)
    assert np.count_nonzero(np.diff(free.labels)) > 350
    late = held.labels[1500:]
    assert 20 < np.count_nonzero(np.diff(late)) < 1.3 * 45
    assert held.penalties.min() == 0.5
    part = decode_online(distances[:2222], 0.5, allowance[:2222])
    for name in ("labels", "values", "penalties"):
        np.testing.assert_array_equal(getattr(part, name), getattr(held, name)[:2222])


def test_an_allowance_holds_the_path_however_small_its_first_penalty():
    rng = np.random.default_rng(0)
    state = np.repeat(rng.integers(3, size=2000), 10)
    distances = (np.arange(3) != state[:, None]) + 0.1 * rng.random((20000, 3))
    held = decode_online(distances, 1e-3, np.full(20000, 1 / 100))
    assert 70 < np.count_nonzero(np.diff(held.labels[10000:])) < 130


def test_the_first_day_is_no_switch():
    held = decode_online(np.tile([1.0, 0.0], (9, 1)), 0.5, np.zeros(9))
    np.testing.assert_array_equal(held.penalties, 0.5)


def test_a_path_within_its_allowance_keeps_its_penalty():
    distances = np.random.default_rng(0).random((300, 4))
    held = decode_online(distances, 50.0, np.full(300, 1.0))
    np.testing.assert_array_equal(held.penalties, 50.0)
    np.testing.assert_array_equal(held.labels, decode_online(distances, 50.0).labels)


def test_counts_agree_with_the_decoder_for_every_penalty():
    distances = np.random.default_rng(0).random((300, 4))
    penalties = np.array([0.0, 0.2, 1.0, 3.0])
    expected = [np.count_nonzero(np.diff(decode_online(distances, p).labels)) for p in penalties]
    np.testing.assert_array_equal(count_switches(distances, penalties), expected)


@pytest.mark.parametrize("target", [16, 20, 60, 1000])
def test_penalty_keeps_the_path_within_the_switches_asked_for(target):
    distances = np.random.default_rng(0).random((400, 3))
    penalty = penalty_for_switches(distances, target)
    assert count_switches(distances, np.array([penalty]))[0] <= target
    if target == 1000:
        assert penalty == 0.0
    if target == 20:  # and not much below: a smaller penalty would break the limit
        assert count_switches(distances, np.array([0.95 * penalty]))[0] > 10


def test_a_limit_that_no_penalty_can_hold_gives_the_fewest_switches():
    distances = np.random.default_rng(0).random((400, 3))
    fewest = count_switches(distances, np.array([1e9]))[0]
    assert fewest > 0  # the free start: which state leads the sums changes while they are young
    assert count_switches(distances, np.array([penalty_for_switches(distances, 0)]))[0] == fewest


def test_centres_that_are_all_alike_need_no_penalty():
    assert penalty_for_switches(np.ones((50, 3)), 0) == 0.0


def test_temperature_is_high_where_values_say_nothing_and_low_where_they_say_all():
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=500)
    telling = np.where(np.arange(2) == truth[:, None], 0.0, 1.0)
    silent = np.where(np.arange(2) == rng.integers(2, size=500)[:, None], 0.0, 1.0)
    assert probability_temperature(telling, truth) == pytest.approx(1 / 7)
    assert probability_temperature(silent, truth) > 5.0


def test_allowance_accrues_with_calendar_time_and_a_long_gap_counts_as_a_month():
    dates = np.array(["2020-01-01", "2020-01-02", "2020-01-05", "2021-01-05"], dtype="datetime64[ns]")
    np.testing.assert_allclose(allowed_switches(dates, 4.0) * 365.25 / 4.0, [0.0, 1.0, 3.0, 30.0])
