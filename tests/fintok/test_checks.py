import numpy as np
import pytest

from fintok.checks import (
    CHECKS,
    is_decimal_shift,
    is_duplicate,
    is_jump_of_all,
    is_not_positive,
    is_out_of_order,
    is_stale,
    is_unadjusted_split,
    is_volume_out_of_scale,
    is_without_volume,
    run_checks,
)
from fintok.panel import Panel
from tests.fintok.fake_bundle import make_panel, permuted, with_noise_after


def quiet_returns(num_days=400, num_assets=8, seed=0):
    return 0.01 * np.random.default_rng(seed).standard_normal((num_days, num_assets))


def test_ordinary_data_raises_no_flag():
    for flags in run_checks(make_panel(quiet_returns())).values():
        assert not flags.any()


def test_fat_tails_and_a_market_crash_are_no_splits():
    rng = np.random.default_rng(0)
    returns = 0.012 * rng.standard_t(3, (2000, 20))
    returns[1000] -= 0.42  # everything falls by a third, which is log 1.5
    panel = make_panel(returns)
    assert not is_unadjusted_split(panel)[1000].any()
    assert is_unadjusted_split(panel).mean() < 1e-4


@pytest.mark.parametrize("ratio", [2.0, 3.0, 1.5, 0.5, 4.0])
def test_a_missed_split_is_found_on_its_day(ratio):
    returns = quiet_returns()
    returns[300, 2] -= np.log(ratio)
    flags = is_unadjusted_split(make_panel(returns))
    assert flags[300, 2]
    assert flags.sum() == 1


@pytest.mark.parametrize("ratio", [10.0, 100.0, 0.1, 0.01])
def test_a_decimal_shift_is_found_both_when_it_comes_and_when_it_goes(ratio):
    returns = quiet_returns()
    returns[300, 2] += np.log(ratio)
    returns[301, 2] -= np.log(ratio)
    flags = is_decimal_shift(make_panel(returns))
    np.testing.assert_array_equal(np.argwhere(flags), [[300, 2], [301, 2]])


def test_a_missed_split_is_found_on_a_day_on_which_the_market_moves():
    returns = quiet_returns()
    returns[300] -= 0.06
    returns[300, 2] -= np.log(2.0)
    assert is_unadjusted_split(make_panel(returns))[300, 2]


@pytest.mark.parametrize("num_shifted", [3, 5, 8])
def test_a_decimal_shift_of_most_assets_is_found_in_each_of_them(num_shifted):
    returns = quiet_returns()
    returns[300, :num_shifted] += np.log(100.0)
    np.testing.assert_array_equal(
        np.argwhere(is_decimal_shift(make_panel(returns))), [[300, asset] for asset in range(num_shifted)]
    )


@pytest.mark.parametrize("num_jumping", [15, 20])
def test_another_currency_of_nearly_all_prices_is_found_and_a_crash_is_none(num_jumping):
    returns = quiet_returns(num_assets=20)
    returns[300, :num_jumping] += np.log(1.3)
    scattered = returns.copy()
    scattered[300] += 0.05 * np.random.default_rng(1).standard_normal(20)
    flags = is_jump_of_all(make_panel(returns))
    np.testing.assert_array_equal(np.argwhere(flags), [[300, asset] for asset in range(num_jumping)])
    assert not is_jump_of_all(make_panel(scattered)).any()


def test_the_same_move_is_ordinary_for_a_wild_asset():
    returns = quiet_returns()
    returns[:, 2] *= 20.0
    returns[300, 2] = -np.log(2.0)
    assert not is_unadjusted_split(make_panel(returns)).any()


def test_a_stale_run_is_flagged_from_its_third_day_to_its_end():
    returns = quiet_returns()
    returns[200:210, 4] = 0.0
    flags = is_stale(make_panel(returns))
    np.testing.assert_array_equal(np.flatnonzero(flags[:, 4]), np.arange(202, 210))
    assert flags.sum() == 8


def test_a_holiday_inside_neither_breaks_nor_lengthens_a_run():
    returns = quiet_returns()
    returns[200:206, 4] = [0.0, 0.0, np.nan, 0.0, np.nan, 0.0]
    assert np.flatnonzero(is_stale(make_panel(returns))[:, 4]).tolist() == [203, 205]


def test_a_price_refreshed_every_other_day_is_stale():
    returns = quiet_returns()
    returns[200:212:2, 4] = 0.0
    assert np.flatnonzero(is_stale(make_panel(returns))[:, 4]).tolist() == [208, 210]
    returns[:, 4] = np.where(np.random.default_rng(1).random(400) < 0.2, 0.0, returns[:, 4])
    assert not is_stale(make_panel(returns)).any()  # for one that often does it is nothing


def test_an_asset_that_often_stands_still_needs_a_longer_run():
    returns = quiet_returns(1000)
    rng = np.random.default_rng(1)
    returns[rng.random(1000) < 0.3, 4] = 0.0
    returns[900:920, 4] = 0.0
    flags = is_stale(make_panel(returns))[:, 4]
    assert not flags[:900].any()
    assert 6 <= np.flatnonzero(flags)[0] - 900 <= 13
    assert flags[919]


def test_a_constant_price_is_not_stale_but_one_that_stopped_moving_is():
    returns = quiet_returns()
    returns[:, 1] = 0.0
    returns[300:, 2] = 0.0
    flags = is_stale(make_panel(returns))
    assert not flags[:, 1].any()
    assert flags[302:, 2].all()


def test_two_columns_with_the_same_returns_are_both_flagged_after_ten_days():
    returns = quiet_returns()
    returns[200:, 5] = returns[200:, 1]
    returns[205, [1, 5]] = np.nan
    returns[206, [1, 5]] = 0.0
    flags = is_duplicate(make_panel(returns))
    assert np.flatnonzero(flags.any(axis=0)).tolist() == [1, 5]
    assert np.flatnonzero(flags[:, 1])[0] == 211  # ten returns that are known and not zero
    np.testing.assert_array_equal(flags[:, 1], flags[:, 5])


def test_a_scaled_copy_is_a_duplicate_as_well():
    returns = quiet_returns()
    returns[200:, 5] = -2.0 * returns[200:, 1]
    returns[300:, 6] = 0.3 * returns[300:, 2] + 1e-4 * np.sign(returns[300:, 3])  # alike, not the same
    flags = is_duplicate(make_panel(returns))
    assert np.flatnonzero(flags.any(axis=0)).tolist() == [1, 5]
    assert np.flatnonzero(flags[:, 1])[0] == 210  # ten ratios: one return more


def test_a_duplicate_is_found_on_the_tenth_day_though_others_tie_with_it():
    returns = np.round(quiet_returns(), 3)  # coarse: many columns have the same return on a day
    returns[200:, 5] = returns[200:, 1]
    returns[200:206, 3] = returns[200:206, 1]  # a third one agrees at first
    whole = is_duplicate(make_panel(returns))
    for cut in range(205, 230):
        np.testing.assert_array_equal(is_duplicate(make_panel(returns[:cut])), whole[:cut])
    moves = np.flatnonzero(returns[200:, 1]) + 200
    assert np.flatnonzero(whole[:, 5])[0] == moves[9]


def test_of_three_copies_none_is_flagged_before_its_tenth_move():
    returns = quiet_returns()
    returns[:, [3, 4]] = returns[:, [2, 2]]
    flags = is_duplicate(make_panel(returns))
    assert not flags[:9].any()
    assert flags[9:, [2, 3, 4]].all()


def test_a_day_missing_for_one_of_two_copies_starts_the_run_anew():
    returns = quiet_returns()
    returns[200:, 5] = returns[200:, 1]
    returns[220, 5] = np.nan
    flags = is_duplicate(make_panel(returns))
    assert flags[209:220, 1].all()
    assert not flags[220:230, [1, 5]].any()
    assert flags[230:, 5].all()


def test_columns_that_agree_now_and_then_are_no_duplicates():
    returns = quiet_returns()
    returns[::3, 5] = returns[::3, 1]
    returns[::2, 2:4] = 0.0
    assert not is_duplicate(make_panel(returns)).any()


def bars(num_days=30, num_assets=3):
    close = 100.0 + np.arange(num_days)[:, None] + np.zeros((1, num_assets))
    return {"open": close - 0.5, "high": close + 1.0, "low": close - 1.0, "close": close.copy()}


@pytest.mark.parametrize(
    ("name", "value"), [("high", 110.9), ("low", 111.6), ("open", 113.5), ("close", 108.0), ("low", 113.0)]
)
def test_a_bar_out_of_order_is_found(name, value):
    fields = bars()
    fields[name][12, 1] = value
    panel = make_panel(quiet_returns(30, 3), fields=fields)
    np.testing.assert_array_equal(np.argwhere(is_out_of_order(panel)), [[12, 1]])


def test_bars_allow_for_rounding_missing_values_and_missing_columns():
    fields = bars()
    fields["high"][5, 0] = fields["close"][5, 0] * (1 - 5e-5)
    fields["high"][6, 0] = np.nan
    fields["high"] = np.minimum(fields["high"], 500.0)
    assert not is_out_of_order(make_panel(quiet_returns(30, 3), fields=fields)).any()
    assert not is_out_of_order(make_panel(quiet_returns(30, 3))).any()


def test_a_bar_at_or_below_zero_is_found_in_prices_but_not_in_returns():
    fields = bars()
    fields["low"][3, 2] = 0.0
    fields["open"][4, 1] = -5.0
    returns = quiet_returns(30, 3)
    assert np.argwhere(is_not_positive(make_panel(returns, fields=fields))).tolist() == [[3, 2], [4, 1]]
    panel = make_panel(returns)
    differences = Panel(returns - 1.0, panel.dates, panel.assets, None, {}, "returns", "differences")
    assert not any(flags.any() for name, flags in run_checks(differences).items() if "stale" not in name)


def traded(seed=0, num_days=200, num_assets=3):
    """Returns, and volumes that vary by a factor of about two."""
    volume = np.exp(12.0 + 0.5 * np.random.default_rng(seed).standard_normal((num_days, num_assets)))
    return quiet_returns(num_days, num_assets), volume.astype(np.float32)


@pytest.mark.parametrize("factor", [1000.0, 1e-3])
def test_a_volume_in_another_unit_is_found_and_a_busy_day_is_not(factor):
    returns, volume = traded()
    volume[120, 1] *= factor
    volume[150, 2] *= 20.0
    flags = is_volume_out_of_scale(make_panel(returns, fields={"volume": volume}))
    np.testing.assert_array_equal(np.argwhere(flags), [[120, 1]])


def test_no_volume_on_a_day_that_moves_is_found_but_for_an_asset_that_is_often_without():
    returns, volume = traded()
    volume[100:102, 0] = 0.0
    volume[::10, 1] = 0.0
    volume[100, 2], volume[120, 2], returns[120, 2] = np.nan, 0.0, 0.0
    flags = is_without_volume(make_panel(returns, fields={"volume": volume}))
    np.testing.assert_array_equal(np.argwhere(flags), [[100, 0], [101, 0]])


def test_checks_of_volume_are_causal_and_need_one():
    returns, volume = traded()
    volume[90, 0] *= 1000.0
    volume[120:125, 1] = 0.0
    panel = make_panel(returns, fields={"volume": volume})
    for check in (is_volume_out_of_scale, is_without_volume):
        assert check(panel).any()
        np.testing.assert_array_equal(check(panel[:121]), check(panel)[:121])
        assert not check(make_panel(returns)).any()


def test_every_check_is_causal_and_follows_a_permutation():
    returns = quiet_returns(500, 9)
    returns[100:110, 0] = 0.0
    returns[150:, 1] = returns[150:, 2]
    returns[200, 3] -= np.log(2.0)
    returns[210, 4] += np.log(10.0)
    returns[300:330, 5] = np.nan
    returns[400] += np.log(1.3)
    panel = make_panel(returns)
    order = np.random.default_rng(0).permutation(9)
    for name, check in CHECKS.items():
        whole = check(panel)
        for length in (104, 165, 201, 401, 499):
            np.testing.assert_array_equal(check(panel[:length]), whole[:length], err_msg=name)
            noisy = check(with_noise_after(panel, length - 1))
            np.testing.assert_array_equal(noisy[:length], whole[:length], err_msg=name)
        np.testing.assert_array_equal(check(permuted(panel, order)), whole[:, order], err_msg=name)
    assert sum(flags.any() for flags in run_checks(panel).values()) == 5


def test_one_asset_and_an_empty_column_are_defined():
    returns = quiet_returns(100, 2)
    returns[:, 1] = np.nan
    for panel in (make_panel(returns), make_panel(returns[:, :1])):
        for flags in run_checks(panel).values():
            assert flags.shape == panel.returns.shape
            assert not flags.any()


def test_days_of_a_stale_run_do_not_excuse_its_later_days():
    returns = 0.01 * np.random.default_rng(0).standard_normal((40, 2))
    returns[25:29, 0] = 0.0
    returns[25:34:2, 1] = 0.0  # five of ten days
    flags = is_stale(make_panel(returns))
    assert np.flatnonzero(flags[:, 0]).tolist() == [27, 28]
    assert np.flatnonzero(flags[:, 1]).tolist() == [33]
