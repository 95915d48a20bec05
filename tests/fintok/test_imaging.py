"""ReturnImager: each channel against its formula, strict causality, symmetry over assets, missing data."""

import time

import numpy as np
import pytest

from fintok.errors import InputError
from fintok.imaging import BAR_CHANNELS, CHANNELS, ReturnImager
from fintok.panel import Panel

ALL = (*CHANNELS, *BAR_CHANNELS)
NUM_DAYS, NUM_ASSETS = 400, 8


def make_panel(seed: int = 0, num_days: int = NUM_DAYS) -> Panel:
    """Bars with gaps, a late start, an early end, an empty column and a constant price."""
    rng = np.random.default_rng(seed)
    moves = 0.01 * rng.standard_t(4, (num_days, NUM_ASSETS)) + 0.01 * rng.normal(size=(num_days, 1))
    prices = 50 * np.exp(np.cumsum(moves, axis=0))
    opens = prices * np.exp(rng.normal(0, 0.004, prices.shape))
    fields = {
        "open": opens,
        "high": np.maximum(opens, prices) * np.exp(np.abs(rng.normal(0, 0.004, prices.shape))),
        "low": np.minimum(opens, prices) * np.exp(-np.abs(rng.normal(0, 0.004, prices.shape))),
        "close": prices,
        "volume": rng.lognormal(10, 1, prices.shape),
    }
    prices = prices.copy()
    prices[rng.random(prices.shape) < 0.05] = np.nan
    prices[:150, 1] = prices[300:, 2] = prices[100:140, 3] = prices[:, 4] = np.nan
    prices[:, 5] = 7.0
    fields["volume"][200:220, 0] = np.nan
    dates = np.datetime64("2020-01-01") + np.arange(num_days)
    return Panel.from_arrays(prices, dates, [f"A{i}" for i in range(NUM_ASSETS)], fields=fields)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return make_panel()


@pytest.fixture(scope="module")
def images(panel):
    return ReturnImager(ALL).fit(panel).transform(panel)


def naive_scale(returns: np.ndarray) -> np.ndarray:
    scale = np.full(returns.shape, np.nan)
    for asset in range(returns.shape[1]):
        for row in range(len(returns)):
            past = returns[:row, asset][np.isfinite(returns[:row, asset])]
            if np.isfinite(returns[row, asset]) and len(past) >= 20 and np.abs(past).sum() > 0:
                scale[row, asset] = 1.2533 * np.abs(past).mean()
    return scale


def naive_decayed(values: np.ndarray, half_life: float) -> np.ndarray:
    """Mean of finite values up to each row, weights 0.5 ** (age / half_life)."""
    means = np.zeros(values.shape)
    for row in range(len(values)):
        weights = 0.5 ** ((row - np.arange(row + 1)) / half_life)[:, None] * np.isfinite(values[: row + 1])
        total = np.maximum(weights.sum(axis=0), 1e-300)
        means[row] = (weights * np.nan_to_num(values[: row + 1])).sum(axis=0) / total
    return means


def test_every_price_channel_equals_its_formula(panel, images):
    returns, scale = panel.returns, naive_scale(panel.returns)
    scaled = returns / scale
    observed = np.isfinite(scaled)
    market = np.array([row[np.isfinite(row)].mean() if np.isfinite(row).any() else 0.0 for row in scaled])[:, None]
    size = np.array([np.abs(row[np.isfinite(row)]).mean() if np.isfinite(row).any() else np.nan for row in scaled])
    beta = np.ones(scaled.shape)
    rank = np.zeros(scaled.shape)
    for row in range(len(scaled)):
        for asset in np.flatnonzero(observed[row]):
            past = observed[:row, asset]
            x, m = scaled[:row, asset][past], market[:row, 0][past]
            beta[row, asset] = ((x * m).sum() + 18) / ((m * m).sum() + 18)
            others = scaled[row][observed[row]]
            below, same = (others < scaled[row, asset]).sum(), (others == scaled[row, asset]).sum()
            rank[row, asset] = 2 * (below + (same - 1) / 2 + 0.5) / len(others) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = {
            "return": np.arcsinh(scaled),
            "volatility": np.log(np.maximum(1.2533 * naive_decayed(np.abs(returns), 10) / scale, 0.05)),
            "slow_volatility": np.log(np.maximum(1.2533 * naive_decayed(np.abs(returns), 126) / scale, 0.05)),
            "market": np.arcsinh(market) * np.ones(scaled.shape),
            "market_volatility": np.log(np.maximum(1.2533 * naive_decayed(size[:, None], 10), 0.05))
            * np.ones(scaled.shape),
            "rank": rank,
            "residual": np.arcsinh(scaled - beta * market),
        }
    np.testing.assert_array_equal(images.observed, observed.T)
    for name in CHANNELS:
        wanted = np.where(observed, expected[name], 0.0)
        np.testing.assert_allclose(images.channel(name).T, wanted, atol=2e-5, err_msg=name)
    np.testing.assert_allclose(images.scale.T, np.where(observed, scale, np.nan), rtol=1e-6)


def test_bar_channels_equal_their_formulas(panel, images):
    scale, observed = naive_scale(panel.returns), images.observed.T
    high, low, close, opened = (panel.fields[name].astype(float) for name in ("high", "low", "close", "open"))
    spread = np.log(np.maximum(np.log(high / low) / 1.6651 / scale, 0.05))
    np.testing.assert_allclose(images.channel("range").T[observed], spread[observed], atol=1e-4)
    gap = np.arcsinh((panel.returns - np.log(close / opened)) / scale)
    np.testing.assert_allclose(images.channel("gap").T[observed], gap[observed], atol=1e-4)
    volume = panel.fields["volume"].astype(float)
    usual = np.concatenate([np.full((1, NUM_ASSETS), np.nan), naive_decayed(volume, 126)[:-1]])
    relative = np.log(np.maximum(np.where(np.isfinite(volume), volume, 1) / usual, 0.05))
    known = observed & np.isfinite(volume)
    np.testing.assert_allclose(images.channel("volume").T[known], relative[known], atol=1e-4)
    assert (images.channel("volume").T[200:220, 0] == 0).all()


def test_a_volume_is_told_once_twenty_came_before_it(panel, images):
    volume = panel.fields["volume"].copy()
    volume[:220, 0] = np.nan
    later = Panel.from_arrays(panel.prices, panel.dates, panel.assets, fields={"volume": volume})
    assert images.observed[0, 239:241].all()
    assert np.flatnonzero(ReturnImager(("return", "volume")).transform(later).channel("volume")[0])[0] == 240


def test_a_bar_without_a_high_or_an_open_has_no_range_or_gap_and_the_others_keep_theirs():
    panel = make_panel()
    torn = {name: column.copy() for name, column in panel.fields.items()}
    torn["high"][250, 0] = torn["open"][260, 0] = np.nan
    holed = Panel.from_arrays(panel.prices, panel.dates, panel.assets, fields=torn)
    imager = ReturnImager(("return", "range", "gap"))
    whole, images = imager.transform(panel), imager.transform(holed)
    for name, row in (("range", 250), ("gap", 260)):
        assert images.channel(name)[0, row] == 0.0
        others = np.arange(NUM_DAYS) != row
        np.testing.assert_array_equal(images.channel(name)[:, others], whole.channel(name)[:, others])


def test_a_split_that_bars_leave_in_does_not_show_in_the_gap():
    panel = make_panel()
    halved = {name: column.copy() for name, column in panel.fields.items()}
    for name in ("open", "high", "low", "close"):
        halved[name][200:, 0] /= 2.0
    split = Panel.from_arrays(panel.prices, panel.dates, panel.assets, fields=halved)
    imager = ReturnImager(("return", "gap", "range"))
    np.testing.assert_allclose(imager.transform(split).values, imager.transform(panel).values, atol=1e-5)


@pytest.mark.parametrize("cut", [1, 2, 21, 22, 137, 300, 399])
def test_cutting_the_panel_changes_no_bit_before_the_cut(panel, images, cut):
    part = ReturnImager(ALL).transform(panel[:cut])
    assert part.values.tobytes() == np.ascontiguousarray(images.values[:, :, :cut]).tobytes()
    assert part.observed.tobytes() == np.ascontiguousarray(images.observed[:, :cut]).tobytes()
    assert part.scale.tobytes() == np.ascontiguousarray(images.scale[:, :cut]).tobytes()


@pytest.mark.parametrize("cut", [50, 250])
def test_noise_after_a_date_changes_no_bit_before_it(panel, images, cut):
    rng = np.random.default_rng(5)
    prices = panel.prices.copy()
    prices[cut:] = rng.uniform(1, 1000, prices[cut:].shape)
    fields = {name: column.copy() for name, column in panel.fields.items()}
    for column in fields.values():
        column[cut:] = rng.uniform(1, 1000, column[cut:].shape)
    other = ReturnImager(ALL).transform(Panel.from_arrays(prices, panel.dates, panel.assets, fields=fields))
    assert other.values[:, :, :cut].tobytes() == np.ascontiguousarray(images.values[:, :, :cut]).tobytes()


def test_permuting_assets_permutes_the_image(panel, images):
    order = np.random.default_rng(1).permutation(NUM_ASSETS)
    permuted = ReturnImager(ALL).transform(panel.select([panel.assets[i] for i in order]))
    np.testing.assert_allclose(permuted.values, images.values[:, order], atol=1e-6)
    np.testing.assert_array_equal(permuted.observed, images.observed[order])


def test_equal_returns_share_their_rank():
    returns = np.random.default_rng(0).normal(size=(40, 5))
    returns[30:] = 0.0
    panel = Panel.from_arrays(returns, np.datetime64("2020-01-01") + np.arange(40), "ABCDE", values="returns")
    np.testing.assert_array_equal(ReturnImager(("rank",)).transform(panel).values[0, :, 30:], 0.0)


def test_what_is_not_observed_is_zero_in_every_channel(images):
    assert (images.values[:, ~images.observed] == 0).all()
    assert np.isfinite(images.values).all()
    assert not images.observed[4].any()  # empty column
    assert not images.observed[5].any()  # constant price
    assert not images.observed[0, :21].any()  # the first price and twenty returns
    assert not images.observed[1, :170].any()
    assert not images.observed[2, 300:].any()
    assert not images.observed[3, 100:141].any()  # a gap, and the new start after it
    assert images.observed[3, 141:150].any()  # the scale survives the gap


def test_one_row_and_a_panel_of_missing_values_give_empty_images(panel):
    assert not ReturnImager().transform(panel[:1]).observed.any()
    empty = Panel.from_arrays(np.full((50, 2), np.nan), panel.dates[:50], "AB")
    assert not ReturnImager().transform(empty).observed.any()
    with pytest.raises(InputError, match="no asset has more than 20 returns that move"):
        ReturnImager().fit(empty)


def test_a_bar_channel_is_required_to_fit_and_empty_where_bars_are_missing(panel):
    closes = Panel.from_arrays(panel.prices, panel.dates, panel.assets, source="mine")
    with pytest.raises(InputError, match="mine: channel 'volume' needs a column 'volume'"):
        ReturnImager(("return", "volume")).fit(closes)
    assert (ReturnImager(("return", "volume")).transform(closes).channel("volume") == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": ("retrun",)}, "no channel 'retrun'; choose among return"),
        ({"channels": ()}, "expected one or more different names"),
        ({"channels": ("rank", "rank")}, "expected one or more different names"),
        ({"fast_days": 200.0}, "expected 0 < fast < slow"),
        ({"min_observations": 0}, "min_observations is 0"),
    ],
)
def test_wrong_parameters_are_refused(panel, arguments, message):
    with pytest.raises(InputError, match=message):
        ReturnImager(**arguments).fit(panel)


def test_the_image_names_its_parts(images):
    assert repr(images).startswith(f"ReturnImages({len(ALL)} channels x 8 assets x 400 days, ")
    assert images.values.flags["C_CONTIGUOUS"]
    assert images.values.dtype == np.float32
    assert (images.num_assets, images.num_days) == (NUM_ASSETS, NUM_DAYS)
    with pytest.raises(InputError, match="no channel 'colour'"):
        images.channel("colour")


def test_a_large_panel_takes_seconds():
    rng = np.random.default_rng(0)
    returns = 0.01 * rng.normal(size=(2500, 250))
    dates = np.datetime64("2000-01-01") + np.arange(len(returns))
    panel = Panel.from_arrays(returns, dates, [str(i) for i in range(250)], values="returns")
    ReturnImager().transform(panel[:50])  # import what is imported late
    start = time.process_time()
    ReturnImager().transform(panel)
    assert time.process_time() - start < 5.0  # a quarter of a second; a loop over assets or days takes minutes


def test_a_negative_volume_is_a_missing_one():
    rng = np.random.default_rng(0)
    returns, usual = 0.01 * rng.standard_normal((80, 3)), rng.lognormal(5.0, 1.0, (80, 3))
    dates = np.datetime64("2020-01-01") + np.arange(80)

    def channel(value):
        volume = usual.copy()
        volume[40, 0] = value
        panel = Panel.from_arrays(returns, dates, "ABC", values="returns", fields={"volume": volume})
        return ReturnImager(("return", "volume")).transform(panel).channel("volume")

    np.testing.assert_array_equal(channel(-5.0), channel(np.nan))
