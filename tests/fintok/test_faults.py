from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fintok.errors import InputError
from fintok.fault_kinds import BAR_KINDS, KINDS, LADDERS, RUNGS
from fintok.faults import kinds_for, plant_faults
from fintok.panel import Panel
from fintok.trailing import trailing_moments
from tests.fintok.fake_bundle import make_panel, simulate_returns

ROWS = range(400, 1500)


@pytest.fixture(scope="module")
def panel():
    return make_panel(simulate_returns(1600, 30)[0])


@pytest.fixture(scope="module")
def faulty(panel):
    return plant_faults(panel, list(KINDS), ROWS, seed=0)


def only(panel, kind, seed=1):
    """One fault of a kind: (its place, wrong returns, right returns)."""
    planted = plant_faults(panel, [kind], ROWS, seed=seed, most=1)
    fault = planted.faults[0]
    rows = slice(fault.row, fault.row + fault.days)
    return planted, planted.panel.returns[rows][:, fault.assets[0]], panel.returns[rows][:, fault.assets[0]]


def test_every_kind_is_planted_equally_often(faulty):
    counts = [sum(fault.kind == kind for fault in faulty.faults) for kind in KINDS]
    assert min(counts) >= 3
    assert max(counts) - min(counts) <= 1
    assert all(fault.days == KINDS[fault.kind].days for fault in faulty.faults)


def test_returns_change_inside_the_faults_and_nowhere_else(panel, faulty):
    changed = ~np.isclose(faulty.panel.returns, panel.returns, atol=1e-10)
    inside = np.zeros_like(changed)
    for fault in faulty.faults:
        rows, columns = slice(fault.row, fault.row + fault.days), list(fault.assets)
        inside[rows, columns] = True
        assert changed[rows, fault.assets[0]].any(), fault
        assert changed[rows][:, columns].all(axis=1).any() or fault.kind == "peer substitution", fault
    assert not changed[~inside].any()
    assert not inside[: ROWS.start].any()
    assert not inside[ROWS.stop :].any()


def test_faults_of_an_asset_lie_apart_and_few_assets_are_at_fault_on_one_day(panel, faulty):
    few = panel.select(panel.assets[:4])
    crowded = [plant_faults(few, kinds, ROWS, seed=seed) for kinds in (list(KINDS), ["swap"]) for seed in range(3)]
    for planted in (faulty, *crowded):
        count = np.zeros(panel.num_days)
        ends: dict[int, int] = {}
        for fault in planted.faults:
            for asset in fault.assets:
                assert fault.row - ends.get(asset, -100) >= 30
                ends[asset] = fault.row + fault.days
                count[fault.row : fault.row + fault.days] += 1
        assert count.max() == 2


@pytest.mark.parametrize("kind", ["spike 4", "spike 8", "decimal shift", "unit x100", "FX leg slip", "stale"])
def test_a_price_that_comes_back_leaves_the_level_as_it_was(panel, kind):
    planted, wrong, right = only(panel, kind)
    fault = planted.faults[0]
    assert wrong.sum() == pytest.approx(right.sum(), abs=1e-9)
    after = planted.panel.prices[fault.row + fault.days :, fault.assets[0]]
    np.testing.assert_allclose(after, panel.prices[fault.row + fault.days :, fault.assets[0]], rtol=1e-9)


def test_sizes_are_what_the_names_say(panel):
    assert np.abs(np.subtract(*only(panel, "decimal shift")[1:]))[0] == pytest.approx(np.log(10))
    assert np.subtract(*only(panel, "missed dividend")[1:]) == pytest.approx([-0.03])
    _, wrong, right = only(panel, "volatility burst")
    np.testing.assert_allclose(wrong, 3 * right, atol=1e-10)
    _, wrong, _ = only(panel, "stale")
    np.testing.assert_allclose(wrong[:-1], 0.0, atol=1e-12)
    _, wrong, _ = only(panel, "partly stale")
    np.testing.assert_allclose(wrong[::2], 0.0, atol=1e-12)
    assert (wrong[1::2] != 0).all()


def test_relations_are_broken_as_the_names_say(panel):
    planted, wrong, _ = only(panel, "one-day lag")
    row, asset = planted.faults[0].row, planted.faults[0].assets[0]
    np.testing.assert_allclose(wrong, panel.returns[row - 1 : row + 19, asset], atol=1e-10)
    planted, wrong, right = only(panel, "swap")
    row, (_, other) = planted.faults[0].row, planted.faults[0].assets
    np.testing.assert_allclose(wrong, panel.returns[row : row + 15, other], atol=1e-10)
    np.testing.assert_allclose(planted.panel.returns[row : row + 15, other], right, atol=1e-10)
    planted, wrong, _ = only(panel, "decoupling")
    row, asset = planted.faults[0].row, planted.faults[0].assets[0]
    assert np.isin(wrong.round(9), panel.returns[row - 60 : row, asset].round(9)).all()
    planted, wrong, _ = only(panel, "peer substitution")
    row, (asset, peer) = planted.faults[0].row, planted.faults[0].assets
    size = trailing_moments(panel.returns, half_life=60, min_count=60).deviation[row]
    np.testing.assert_allclose(wrong, panel.returns[row : row + 15, peer] * size[asset] / size[peer], atol=1e-10)


@pytest.mark.parametrize("seed", range(6))
def test_a_recycled_ticker_shows_what_another_asset_did_before(panel, seed):
    planted, wrong, _ = only(panel, "recycled ticker", seed)
    row, (asset,) = planted.faults[0].row, planted.faults[0].assets
    [(first, other)] = np.argwhere(np.isclose(panel.returns, wrong[0], rtol=0.0, atol=1e-10))
    np.testing.assert_allclose(wrong, panel.returns[first : first + 40, other], atol=1e-10)
    assert other != asset
    assert row - 250 < first <= row - 80


def test_the_same_seed_plants_the_same_faults(panel, faulty):
    again = plant_faults(panel, list(KINDS), ROWS, seed=0)
    assert again.faults == faulty.faults
    np.testing.assert_array_equal(again.panel.prices, faulty.panel.prices)
    assert plant_faults(panel, list(KINDS), ROWS, seed=1).faults != faulty.faults


def test_faults_keep_away_from_missing_prices():
    returns, _ = simulate_returns(1200, 12)
    returns[:700, ::2] = np.nan  # start late
    prices = np.where(np.isfinite(returns), 100 * np.exp(np.nancumsum(returns, axis=0)), np.nan)
    panel = Panel.from_arrays(prices, np.arange(1200).astype("datetime64[D]"), [f"A{a}" for a in range(12)])
    faults = plant_faults(panel, list(KINDS), range(300, 1150), seed=0).faults
    assert faults
    assert all(asset % 2 or fault.row >= 951 for fault in faults for asset in fault.assets)


def test_every_rung_of_a_ladder_is_a_kind_that_can_be_planted(panel):
    names = [name for rungs in LADDERS.values() for name in rungs]
    assert set(names) <= {*KINDS, *RUNGS}
    assert set(RUNGS) <= set(names)
    faults = plant_faults(panel, list(RUNGS), ROWS, seed=0).faults
    assert {fault.kind for fault in faults} == set(RUNGS)


@pytest.fixture(scope="module")
def bars(panel):
    close = panel.prices
    fields = {"open": close, "high": 1.01 * close, "low": 0.98 * close, "close": close}
    fields["volume"] = np.full_like(close, 1e6)
    return Panel.from_arrays(close, panel.dates, panel.assets, fields=fields)


def test_bars_follow_a_wrong_price_and_volume_stays(bars):
    faulty = plant_faults(bars, ["unit x100", "missed split"], ROWS, seed=0).panel
    ratio = faulty.prices / bars.prices
    assert ratio.max() > 50
    for name in ("open", "high", "low", "close"):
        np.testing.assert_allclose(faulty.fields[name], bars.fields[name] * ratio, rtol=1e-6)
    np.testing.assert_array_equal(faulty.fields["volume"], bars.fields["volume"])


def test_faults_of_bars_leave_returns_alone(bars):
    faulty, faults = plant_faults(bars, list(BAR_KINDS), ROWS, seed=0)
    np.testing.assert_array_equal(faulty.returns, bars.returns)
    wrong = {"high below close": 0, "volume x1000": 0, "no volume": 0}
    for kind, row, days, (asset,) in faults:
        high, close = (faulty.fields[name][row : row + days, asset] for name in ("high", "close"))
        volume = faulty.fields["volume"][row : row + days, asset]
        spoilt = {"high below close": high < close, "volume x1000": volume == 1e9, "no volume": volume == 0}
        assert spoilt[kind].all()
        wrong[kind] += days
    assert (faulty.fields["high"] < faulty.fields["close"]).sum() == wrong["high below close"]
    assert (faulty.fields["volume"] != 1e6).sum() == wrong["volume x1000"] + wrong["no volume"]


def test_a_panel_is_asked_only_for_what_it_can_have(panel, bars):
    assert kinds_for(panel) == tuple(KINDS)
    assert kinds_for(bars) == (*KINDS, *BAR_KINDS)
    returns = Panel.from_arrays(panel.returns, panel.dates, panel.assets, values="returns")
    assert "drift" in kinds_for(returns)
    assert not {"swap", "missed split", "FX leg slip", "no volume"} & set(kinds_for(returns))
    faulty, faults = plant_faults(returns, kinds_for(returns), ROWS, seed=0)
    assert faulty.prices is None
    assert {fault.kind for fault in faults} == set(kinds_for(returns))


def test_assets_with_holidays_of_their_own_have_faults_in_their_own_rows(panel):
    """Two calendars, and an asset that was away for a month: no room near the gap."""
    returns = panel.returns.copy()
    returns[::9, :15], returns[4::13, 15:] = np.nan, np.nan
    returns[900:930, 3] = np.nan
    mixed = make_panel(returns)
    faulty, faults = plant_faults(mixed, list(KINDS), ROWS, seed=0)
    assert {fault.kind for fault in faults} == set(KINDS)
    np.testing.assert_array_equal(np.isfinite(faulty.returns), np.isfinite(mixed.returns))
    changed = np.isfinite(returns) & ~np.isclose(faulty.returns, mixed.returns, atol=1e-10)
    for fault in faults:
        rows, asset = slice(fault.row, fault.row + fault.days), fault.assets[0]
        assert np.isfinite(returns[[fault.row, fault.row + fault.days - 1], asset]).all()
        assert np.isfinite(returns[rows, asset]).sum() == KINDS[fault.kind].days
        assert changed[rows, asset].any(), fault
        assert asset != 3 or fault.row + fault.days + 30 <= 900 or fault.row >= 930 + 250, fault
        changed[rows, list(fault.assets)] = False
    assert not changed.any()


def test_a_kind_that_fits_nowhere_is_left_out_and_the_others_are_planted(panel, bars):
    volume = np.zeros_like(bars.fields["volume"])
    silent = replace(bars, fields={**bars.fields, "volume": volume})
    found = plant_faults(silent, ("spike 8", "volume x1000", "drift"), range(300, silent.num_days - 40), seed=0)
    counts = Counter(fault.kind for fault in found.faults)
    assert set(counts) == {"spike 8", "drift"}
    assert min(counts.values()) > 3
    alone = panel.select(panel.assets[:1])
    kinds = ("swap", "peer substitution", "recycled ticker", "stale")
    assert {fault.kind for fault in plant_faults(alone, kinds, ROWS, seed=0).faults} == {"stale"}


def test_what_cannot_be_planted_is_refused(panel):
    with pytest.raises(InputError, match="no fault 'gremlin'"):
        plant_faults(panel, ["gremlin"], ROWS, seed=0)
    with pytest.raises(InputError, match="no room"):
        plant_faults(panel, ["spike 8"], range(10, 40), seed=0)
    with pytest.raises(InputError, match="no room"):
        plant_faults(panel, ["filled forward"], range(400, 439), seed=0)  # it lasts 40 rows
    with pytest.raises(InputError, match="'no volume' is planted in 'volume' and 'close'"):
        plant_faults(panel, ["no volume"], ROWS, seed=0)
    returns = Panel.from_arrays(panel.returns, panel.dates, panel.assets, values="returns")
    with pytest.raises(InputError, match="'missed split' is planted in prices"):
        plant_faults(returns, ["missed split"], ROWS, seed=0)
