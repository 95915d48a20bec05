"""Agreement of refits: matched by signature, at the worst of them."""

import numpy as np
import pandas as pd
import pytest

from fintok.evaluate import stability
from fintok.evaluate.market import Market
from fintok.evaluate.regime_rivals import Method
from tests.fintok.fake_bundle import make_panel, simulate_returns

CUT, NUM_DAYS = 500, 800


@pytest.fixture(scope="module")
def market():
    returns, states = simulate_returns(NUM_DAYS, 6, seed=4)
    return Market(make_panel(returns), 0, CUT), (states > 0).astype(np.int64)


def table_of(label, market, monkeypatch, learn_on=None):
    monkeypatch.setattr(stability, "NUMBERS", (2,))
    method = Method("fintok", None, lambda *arguments: {"usual": label(*arguments)}, "usual", learn_on=learn_on)
    return stability.stability_table([method], market, 0).iloc[-1]


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


def test_a_method_that_learns_on_has_a_row_for_that(market, monkeypatch):
    panel, states = market
    turned = states.copy()
    turned[:50] = 1 - turned[:50]

    def learn_on(market, k, ends, seed):
        return [turned if end == NUM_DAYS else states for end in ends]

    row = table_of(lambda _, k, rows, seed: states, panel, monkeypatch, learn_on)
    before_last = np.linspace(CUT, NUM_DAYS, stability.NUM_REFITS + 1).astype(int)[-2]
    assert (row["method"], row["seeds_min"]) == ("fintok, learning on", 1.0)
    assert row["refits_min"] == pytest.approx(1.0 - 50 / before_last)


def test_the_verdict_is_of_regimes_fitted_anew_as_the_rivals_are():
    table = pd.DataFrame(
        {
            "method": ["fintok", "fintok, learning on", "HMM, filtered"],
            "regimes": 2,
            "refits_mean": [0.9, 0.99, 0.97],
            "refits_min": [0.7, 0.98, 0.8],
        }
    )
    (sentence,) = stability.stability_verdicts(table)
    assert "fitted anew keep 0.900 of their days, 0.700 in the worst of 6 refits, no steadier than" in sentence
    assert "HMM, filtered, 0.970 and 0.800; those that learn on (RegimeLabeler.update) keep 0.990 and 0.980" in sentence
    table.loc[0, "refits_min"] = 0.81
    assert ", about as steady as the steadiest rival" in stability.stability_verdicts(table)[0]
    table.loc[0, "refits_mean"] = 0.98
    assert ", steadier than the steadiest rival" in stability.stability_verdicts(table)[0]
