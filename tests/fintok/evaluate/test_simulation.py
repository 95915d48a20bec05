"""Simulated switching: the moments, the ceiling of the filter, the score."""

import numpy as np
import pytest

from fintok.evaluate import simulation
from fintok.evaluate.simulation import (
    DEVIATION,
    HISTORY,
    JUDGED,
    OWN_DEVIATION,
    Judged,
    balanced_accuracy,
    evaluate_simulation,
    simulate,
)
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns


@pytest.mark.parametrize("degrees", [np.inf, 5.0])
def test_tails_change_no_variance(degrees):
    world = simulate(20, degrees, np.random.default_rng(0))
    calm = world.panel.returns[world.states == 0]
    calm = calm[np.isfinite(calm).all(axis=1)]
    expected = np.sqrt(DEVIATION[0] ** 2 * (1.0 + 0.4**2 / 3) + OWN_DEVIATION**2)  # betas even in 0.6 to 1.4
    assert calm.std() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("degrees", "ceiling"), [(np.inf, 0.945), (5.0, 0.914)])
def test_the_ceiling_is_the_published_one(degrees, ceiling):
    rng = np.random.default_rng(1)
    worlds = [simulate(1, degrees, rng) for _ in range(20)]
    found = [balanced_accuracy(world.ceiling[-JUDGED:], world.states[-JUDGED:]) for world in worlds]
    assert np.mean(found) == pytest.approx(ceiling, abs=0.02)


def test_each_state_comes_in_training_and_after():
    rng = np.random.default_rng(2)
    for _ in range(10):
        states = simulate(1, np.inf, rng).states
        assert np.bincount(states[HISTORY:-JUDGED]).min() >= 20
        assert np.bincount(states[-JUDGED:]).min() >= 20


def test_balanced_accuracy_is_the_mean_over_states():
    assert balanced_accuracy(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])) == pytest.approx((2 / 3 + 1) / 2)


def test_the_part_judges_fintok_and_rivals_beside_the_ceiling(monkeypatch):
    monkeypatch.setattr(simulation, "PATHS", {1: 2})
    monkeypatch.setattr(simulation, "RIVALS", [rival for rival in simulation.RIVALS if rival.package is None])
    panel = make_panel(simulate_returns(300, 3)[0])
    found = evaluate_simulation(FakeBundle(panel), panel)
    table = found.tables["balanced accuracy"]
    assert {"ceiling", "fintok", "volatility quantiles"} <= set(table["method"])
    assert table["balanced_accuracy"].between(0.0, 1.0).all()
    assert len(found.verdicts) == 2
    assert "the ceiling is" in found.verdicts[0]
    assert " ± " in found.verdicts[0]


def test_a_difference_within_its_error_over_the_paths_is_level():
    cell = {"tails": "Gaussian", "assets": 1, "setting": "x"}
    rows = [{**cell, "method": name, "balanced_accuracy": 0.8} for name in ("ceiling", "fintok", "HMM")]

    def said(*ours):
        paths = {"fintok": ours, "HMM": (0.8, 0.8, 0.8, 0.8)}
        found = {("Gaussian", 1, name, "x"): [Judged(value, 1.0) for value in values] for name, values in paths.items()}
        return simulation._verdicts(rows, found)[0]

    assert ", level with the best rival" in said(0.7, 0.92, 0.72, 0.9)
    assert ", ahead of the best rival" in said(0.85, 0.86, 0.85, 0.84)
    assert ", behind the best rival" in said(0.75, 0.74, 0.75, 0.76)


def test_regimes_are_learned_from_the_simulated_past_whatever_the_bundle_was_trained_on(monkeypatch):
    monkeypatch.setattr(simulation, "PATHS", {1: 1})
    monkeypatch.setattr(simulation, "RIVALS", [rival for rival in simulation.RIVALS if rival.package is None])
    returns = simulate_returns(600, 3)[0]
    early, late = make_panel(returns, start="1980-01-01"), make_panel(9.0 * returns, start="2013-01-01")
    tables = [evaluate_simulation(FakeBundle(panel), panel).tables["balanced accuracy"] for panel in (early, late)]
    assert tables[0].equals(tables[1])
