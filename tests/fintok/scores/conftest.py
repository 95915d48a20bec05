"""A panel with faults, and the scores of a scorer that was fitted to its first rows."""

import numpy as np
import pytest

from fintok.anomaly import AnomalyScorer
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns

TRAIN = 1200


def faulty_returns():
    """Ordinary returns with one fault of each kind after the training rows."""
    returns, _ = simulate_returns(2400, 10)
    returns[1500, 1] += 0.25  # a jump of its own
    returns[1700:1708, 2] = 0.0  # stale
    returns[1900, 3] -= np.log(2.0)  # a missed split
    returns[300, 4] += 0.3  # a fault in sample
    return returns


@pytest.fixture(scope="module")
def panel():
    return make_panel(faulty_returns())


@pytest.fixture(scope="module")
def bundle(panel):
    return FakeBundle(panel[:TRAIN])


@pytest.fixture(scope="module")
def scorer(bundle, panel):
    return AnomalyScorer(bundle).fit(panel)


@pytest.fixture(scope="module")
def scores(scorer, panel):
    return scorer.score(panel)


def reason_at(scores, row, asset):
    return scores.reasons[scores.reason_codes[row, asset]]
