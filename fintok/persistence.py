"""Persistent states: the jump model's decoder, forward only (causal) and with hindsight.

Shu, Yu and Mulvey (2024) and Nystrup, Lindstrom and Madsen (2020): a path of states pays its distances to the
centres plus a penalty for every switch. Decoded forward, the state of day t is the end of the cheapest path
over days up to t; with the whole sample at hand, it is the middle of the cheapest path over all days.
Both are recursions over days, each step waiting for the one before: O(T K), numpy over the K states.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_RATE = 0.15  # of the logarithm of the penalty, a switch
_MOST = 1e6  # times the penalty given, which may be a thousandth of a usual distance


class Decoded(NamedTuple):
    """A causal decoding."""

    labels: NDArray[np.int64]  # (T,) end of the cheapest path over days up to t
    values: NDArray[np.float64]  # (T, K) cost of the cheapest path that ends in k, less the smallest of the K
    penalties: NDArray[np.float64]  # (T,) the penalty of each day


def decode_online(
    distances: NDArray[np.float64],
    penalty: float,
    allowance: NDArray[np.floating] | None = None,
) -> Decoded:
    """Causal decoding of distances (T, K): V_t(k) = d_t(k) + min(V_{t-1}(k), min_j V_{t-1}(j) + penalty).

    min_j over j != k with the penalty added is the same as over all j, since staying is never dearer than
    leaving and coming back. The smallest value is taken off each day, which changes no comparison and keeps
    numbers small. Ties go to the lower state.

    With an `allowance` (T,), the number of switches that may happen in each row, the penalty answers the path:
    its logarithm rises by 0.15 with every switch and falls by 0.15 times the allowance of every row, never
    below the penalty given nor beyond a million times it, so that on any data, in the long run, the path switches
    no more often than allowed. Only rows before t move the penalty of row t.
    """
    values = np.empty_like(distances)
    penalties = np.empty(len(distances))
    value = np.zeros(distances.shape[1])
    drift, bound, before = 0.0, math.log(_MOST), -1
    for day, cost in enumerate(distances):
        penalties[day] = current = penalty * math.exp(drift)
        value = cost + np.minimum(value, current)  # value's minimum is 0, so min_j + penalty is the penalty
        value -= value.min()
        values[day] = value
        if allowance is not None:
            state = int(value.argmin())
            has_switched = before not in (-1, state)
            drift = min(max(drift + _RATE * (has_switched - float(allowance[day])), 0.0), bound)
            before = state
    return Decoded(values.argmin(axis=1), values, penalties)


def decode_with_hindsight(distances: NDArray[np.float64], penalty: float) -> NDArray[np.int64]:
    """The cheapest path over the whole sample (Viterbi): (T,) states. Looks ahead by nature."""
    num_days, num_states = distances.shape
    came_from = np.empty((num_days, num_states), dtype=np.int64)
    own = np.arange(num_states)
    value = np.zeros(num_states)
    for day, cost in enumerate(distances):
        came_from[day] = np.where(value <= penalty, own, value.argmin())
        value = cost + np.minimum(value, penalty)
        value -= value.min()
    labels = np.empty(num_days, dtype=np.int64)
    state = int(value.argmin())
    for day in range(num_days - 1, -1, -1):
        labels[day] = state
        state = int(came_from[day, state])
    return labels


def count_switches(distances: NDArray[np.float64], penalties: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number of switches of the causal path under each of P penalties: (P,), in one pass over the days."""
    value = np.zeros((len(penalties), distances.shape[1]))
    switches = np.zeros(len(penalties), dtype=np.int64)
    cap = penalties[:, None]
    before: NDArray[np.intp] | None = None
    for cost in distances:
        value = cost + np.minimum(value, cap)
        value -= value.min(axis=1, keepdims=True)
        state = value.argmin(axis=1)
        if before is not None:
            switches += state != before
        before = state
    return switches


def penalty_for_switches(distances: NDArray[np.float64], max_switches: float) -> float:
    """The smallest penalty whose causal path over distances (T, K) switches at most `max_switches` times.

    The count falls with the penalty, though not strictly, so the search takes the smallest penalty that holds
    together with all larger ones tried: two passes of 49 penalties each, the second between two of the first.
    The end of the cheapest path also moves, unpaid, while the first days of the sample are weighed against
    each other; where not even the largest penalty holds for that reason, its own count becomes the limit.
    """
    scale = float((distances - distances.min(axis=1, keepdims=True)).mean())
    if scale <= 0.0:  # all centres alike: no path ever switches
        return 0.0
    grid = np.concatenate([[0.0], scale * np.geomspace(1e-2, 1e5, 48)])
    high = grid[-1]
    for _ in range(2):
        counts = count_switches(distances, grid)
        fails = np.flatnonzero(counts > max(max_switches, counts[-1]))
        if len(fails) == 0:
            return float(grid[0])
        low, high = grid[fails[-1]], grid[fails[-1] + 1]
        grid = np.linspace(low, high, 49)
    return float(high)


def allowed_switches(dates: NDArray[np.datetime64], switches_per_year: float) -> NDArray[np.float64]:
    """Switches that may happen in each row, by the time since the row before; a long gap counts as a month."""
    steps = np.diff(dates, prepend=dates[:1]) / np.timedelta64(1, "D")
    return switches_per_year * np.minimum(steps, 30.0) / 365.25


def probability_temperature(costs: NDArray[np.float64], hindsight: NDArray[np.integer]) -> float:
    """The temperature at which softmax(-costs / temperature) best predicts the path seen in hindsight.

    Temperature scaling (Guo et al., 2017): p_t(k) then reads "how likely will the whole-sample path call day t
    regime k". Costs (T, K) are in units of a day's penalty and distance; the coolest temperature tried lets
    one unit count as seven nats, so that no p falls to 0.
    """
    rows = np.arange(len(costs))
    losses = []
    temperatures = np.geomspace(1 / 7, 10, 40)
    for temperature in temperatures:
        logits = -costs / temperature  # the largest logit is 0: no overflow
        losses.append((np.log(np.exp(logits).sum(axis=1)) - logits[rows, hindsight]).mean())
    return float(temperatures[int(np.argmin(losses))])
