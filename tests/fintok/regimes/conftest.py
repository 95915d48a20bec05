"""A panel with volatility states, and a labeler that was fitted to its first rows."""

import pytest

from fintok.regimes import RegimeLabeler
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns

TRAIN = 1400


@pytest.fixture(scope="module")
def panel():
    return make_panel(simulate_returns(2400, 8)[0])


@pytest.fixture(scope="module")
def bundle(panel):
    return FakeBundle(panel[:TRAIN])


@pytest.fixture(scope="module")
def labeler(bundle, panel):
    return RegimeLabeler(bundle, n_regimes=3).fit(panel)
