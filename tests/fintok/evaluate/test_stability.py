"""Agreement of refits: matched by signature, at the worst of them."""

import numpy as np
import pytest

from fintok.evaluate import stability
from fintok.evaluate.market import Market
from fintok.evaluate.regime_rivals import Method
from fintok.progress import track
from tests.fintok.fake_bundle import make_panel, simulate_returns

CUT, NUM_DAYS = 500, 800


@pytest.fixture(scope="module")
def market():
    returns, states = simulate_returns(NUM_DAYS, 6, seed=4)
    return Market(make_panel(returns), 0, CUT), (states > 0).astype(np.int64)


def table_of(label, market, monkeypatch):
    monkeypatch.setattr(stability, "NUMBERS", (2,))
    method = Method("fintok", None, lambda *arguments: {"usual": label(*arguments)}, "usual")
    return stability.stability_table([method], market, 0, track).iloc[0]


def test_a_refit_that_only_renumbers_its_regimes_agrees(market, monkeypatch):
    panel, states = market
    row = table_of(lambda _, k, rows, seed: states if rows == CUT else 1 - states, panel, monkeypatch)
    assert row["refits_mean"] == row["refits_min"] == row["seeds_min"] == 1.0


def test_one_refit_that_turns_days_over_is_the_minimum(market, monkeypatch):
    panel, states = market
    turned = states.copy()
    turned[:100] = 1 - turned[:100]
    row = table_of(lambda _, k, rows, seed: turned if rows == NUM_DAYS else states, panel, monkeypatch)
    before_last = np.linspace(CUT, NUM_DAYS, stability.NUM_REFITS + 1).astype(int)[-2]
    assert row["refits_min"] == pytest.approx(1.0 - 100 / before_last)
    assert row["refits_mean"] == pytest.approx(1.0 - 100 / before_last / stability.NUM_REFITS)


def test_seeds_are_compared_on_the_judged_days(market, monkeypatch):
    panel, states = market
    turned = states.copy()
    turned[CUT : CUT + 30] = 1 - turned[CUT : CUT + 30]
    row = table_of(lambda _, k, rows, seed: turned if seed == 2 else states, panel, monkeypatch)
    assert row["refits_min"] == 1.0
    assert row["seeds_min"] == pytest.approx(0.9)
    assert row["seeds_mean"] == pytest.approx((1.0 + 0.9 + 0.9) / 3)
