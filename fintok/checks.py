"""Deterministic checks of market data: faults that have a name and need no model.

Every check answers (T, A) booleans and is causal: row t uses rows up to t only. They stand beside the learned
score as named reasons, in the order of `CHECKS`: the first that fires is the one reported.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.channels import NORMAL_SCALE
from fintok.hashing import mixed
from fintok.trailing import STILL, median_of_day, trailing_moments

if TYPE_CHECKING:
    from fintok.panel import Panel

Flags = NDArray[np.bool_]

_ROUNDING = 1e-4  # relative: quotes rounded to cents on one side of a bar and not on the other
_STALE_CHANCE = 1e-5  # a run of unchanged prices is stale when chance gives it less than this
_MIN_UNCHANGED_SHARE = 0.02  # an asset is never taken to repeat its price on fewer days than this
_STALE_WINDOW = 10
_SAME_RETURN_DAYS = 10
_FAR_BEYOND = 12.0  # in standard deviations of the asset's own trailing returns
_VOLUME_FACTOR, _VOLUME_DEVIATIONS = 50.0, 6.0  # of its own trailing volume, in either direction
_SPLIT_RATIOS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
_DECIMAL_RATIOS = (10.0, 100.0)


def is_not_positive(panel: "Panel") -> Flags:
    """A bar's open, high, low or close at or below zero; a panel refuses such prices themselves."""
    flags = np.zeros(panel.returns.shape, dtype=bool)
    if panel.values != "prices":  # returns of futures and spreads may come with prices of any sign
        return flags
    for name in ("open", "high", "low", "close"):
        if name in panel.fields:
            flags |= panel.fields[name] <= 0.0  # NaN compares as False
    return flags


def is_out_of_order(panel: "Panel") -> Flags:
    """A bar whose high lies below its open, close or low, or whose low lies above one of them.

    Only the bar's own columns are compared with each other (an adjusted close lives on another scale), with a
    tolerance of one basis point. A missing column is left out.
    """
    fields = {name: panel.fields.get(name) for name in ("open", "high", "low", "close")}
    flags = np.zeros(panel.returns.shape, dtype=bool)
    high, low = fields["high"], fields["low"]
    for name in ("open", "close", "low"):
        other = fields[name]
        if high is not None and other is not None:
            flags |= high < other - _ROUNDING * np.abs(other)
    for name in ("open", "close"):
        other = fields[name]
        if low is not None and other is not None:
            flags |= low > other + _ROUNDING * np.abs(other)
    return flags


def is_stale(panel: "Panel") -> Flags:
    """Prices that stand still more often than an asset that usually moves does by chance.

    With q the share of days on which the asset did not move (half-life of 250 observed or missing rows, up
    to the day before, never below 2 %), n unchanged days in a row are stale once q^n < 1e-5: three days for a
    liquid stock, ten for one that stands still on three days in ten. So are k of the last ten observed
    days, running to the day itself, once that has a chance below 1e-5: a price that is refreshed every other
    day. An asset needs 20 returns before, and must have moved in them: a constant price is not stale, it just
    does not move. Days without a return neither break nor lengthen a run.
    """
    returns = panel.returns
    observed = np.isfinite(returns)
    unchanged = observed & (np.abs(returns) < STILL)
    still = np.cumsum(unchanged, axis=0)
    run = still - np.maximum.accumulate(np.where(observed & ~unchanged, still, 0), axis=0)
    share = trailing_moments(np.where(observed, unchanged, np.nan), half_life=250, min_count=20).mean
    rows = np.arange(len(returns))[:, None]
    start = np.maximum.accumulate(np.where(unchanged & (run == 1), rows, 0), axis=0)
    share_before = np.take_along_axis(share, start, axis=0)
    chance = run * np.log(np.clip(share_before, _MIN_UNCHANGED_SHARE, 1.0))
    is_run = unchanged & (share_before < 0.9) & (chance < np.log(_STALE_CHANCE))
    return is_run | _is_often_unchanged(unchanged, observed, share)


def _is_often_unchanged(unchanged: Flags, observed: Flags, share: NDArray[np.float64]) -> Flags:
    """Too many of the last ten rows unchanged, this one among them, for the share (T, A) of ten rows before."""
    from scipy.stats import binom

    flags = np.zeros(unchanged.shape, dtype=bool)
    if len(unchanged) <= _STALE_WINDOW:
        return flags
    still, known = np.cumsum(unchanged, axis=0), np.cumsum(observed, axis=0)
    count = still[_STALE_WINDOW:] - still[:-_STALE_WINDOW]
    days = known[_STALE_WINDOW:] - known[:-_STALE_WINDOW]
    usual = share[1 : 1 - _STALE_WINDOW]  # before the first of the ten rows
    day, asset = np.nonzero(unchanged[_STALE_WINDOW:] & (count >= 3) & (usual < 0.9))  # NaN compares as False
    found = (count[day, asset], days[day, asset], np.maximum(usual[day, asset], _MIN_UNCHANGED_SHARE))
    flags[_STALE_WINDOW + day, asset] = binom.sf(found[0] - 1, found[1], found[2]) < _STALE_CHANCE
    return flags


def is_duplicate(panel: "Panel") -> Flags:
    """Two columns whose last ten moves are the same, or in proportion: both are flagged on the days they move.

    The same return, or the same multiple of it (a hedged or leveraged copy): returns are compared to ten
    decimals, and the ratios of each to the one before to eight digits. Days on which both stand still or are
    missing neither count nor break the run; one that is missing for one of the two starts it anew.
    """
    returns = panel.returns
    moved = np.where(np.abs(returns) > 1e-9, returns, np.nan)
    ratio = np.full(returns.shape, np.nan)
    ratio[1:] = moved[1:] / moved[:-1]
    scale = 10.0 ** np.floor(np.log10(np.abs(np.where(np.isfinite(ratio), ratio, 1.0))))
    return _runs_alike(moved.round(10)) | _runs_alike((ratio / scale).round(8) * scale)


def _runs_alike(rounded: NDArray[np.float64]) -> Flags:
    """Columns whose last ten finite values, row and number, are those of another; rows up to each alone count.

    Ten values are compared as the sum of their hashes, and sums are sorted: no pair of columns is looked at.
    """
    flags = np.zeros(rounded.shape, dtype=bool)
    asset, row = np.nonzero(np.isfinite(rounded).T)
    if len(row) < 2 * _SAME_RETURN_DAYS:
        return flags
    sums = np.cumsum(_hash(row, rounded[row, asset]), dtype=np.uint64)
    run = sums.copy()
    run[_SAME_RETURN_DAYS:] -= sums[:-_SAME_RETURN_DAYS]
    first = np.maximum(np.arange(len(row)) - _SAME_RETURN_DAYS + 1, 0)
    ends = np.flatnonzero((asset[first] == asset) & (np.arange(len(row)) - first == _SAME_RETURN_DAYS - 1))
    _, which, times = np.unique(run[ends], return_inverse=True, return_counts=True)
    found = ends[times[which] > 1]
    flags[row[found], asset[found]] = True
    return flags


def _hash(row: NDArray[np.intp], value: NDArray[np.float64]) -> NDArray[np.uint64]:
    """64 bits of a row and a number."""
    return mixed(value.view(np.uint64) + row.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def is_decimal_shift(panel: "Panel") -> Flags:
    """A price that jumps by a factor of ten or a hundred: a misplaced decimal, or another unit, of one asset or all."""
    return _jumps_by(panel, _DECIMAL_RATIOS, panel.returns)


def is_unadjusted_split(panel: "Panel") -> Flags:
    """A price that jumps by a small split ratio, 3:2 to 8:1 or the reverse, and the market does not. Suspected only."""
    return _jumps_by(panel, _SPLIT_RATIOS, panel.returns - np.nan_to_num(median_of_day(panel.returns)))


def _jumps_by(panel: "Panel", ratios: tuple[float, ...], moves: NDArray[np.float64]) -> Flags:
    """Moves (T, A) far beyond the asset's scale, by one of these ratios, either way: they themselves or the returns."""
    returns = panel.returns
    if panel.values != "prices":
        return np.zeros(returns.shape, dtype=bool)
    scale = NORMAL_SCALE * trailing_moments(np.abs(returns), half_life=63, min_count=20).mean
    flags = (np.abs(moves) > _FAR_BEYOND * scale) & (scale > 0.0)
    tolerance = np.clip(2.5 * scale[flags], 0.005, 0.05)  # the day's ordinary move rides on top of the jump
    sizes = np.abs([returns[flags], moves[flags]])
    distance = np.min([np.abs(sizes - np.log(ratio)) for ratio in ratios], axis=(0, 1))
    flags[flags] = distance <= tolerance
    return flags


def is_jump_of_all(panel: "Panel") -> Flags:
    """Prices that jump together, and otherwise differ as on any day: another unit or currency of the whole file.

    The median move is 12 of its usual deviations, and the usual distance from it less than twice that of days before
    (half-life of 63 rows, 20 at least); in a crash assets scatter (three times in March 2020, six in October 1987).
    Assets that did not go along, and dates of fewer than five, are not flagged.
    """
    returns = panel.returns
    if panel.values != "prices":
        return np.zeros(returns.shape, dtype=bool)
    market = median_of_day(returns)  # NaN compares as False
    own = np.abs(returns - market)
    spread = median_of_day(own)
    usual, usual_spread = (trailing_moments(np.abs(x), half_life=63, min_count=20).mean for x in (market, spread))
    is_jump = (np.abs(market) > _FAR_BEYOND * NORMAL_SCALE * usual) & (usual > 0.0) & (spread < 2.0 * usual_spread)
    return is_jump & (own < 0.5 * np.abs(market))


def is_without_volume(panel: "Panel") -> Flags:
    """No volume on a day on which the price moves, of an asset that has volume on 49 of 50 such days.

    The share is of days before (half-life of 250 rows), 20 at least. A volume that is missing is not one of 0.
    """
    volume = panel.fields.get("volume")
    if volume is None:
        return np.zeros(panel.returns.shape, dtype=bool)
    moves = np.isfinite(panel.returns) & (np.abs(panel.returns) > STILL) & np.isfinite(volume)
    share = trailing_moments(np.where(moves, volume == 0.0, np.nan), half_life=250, min_count=20).mean
    return moves & (volume == 0.0) & (share < 0.02)  # NaN compares as False


def is_volume_out_of_scale(panel: "Panel") -> Flags:
    """A volume fifty times its usual size or a fiftieth of it, and far beyond its usual ups and downs: another unit.

    Usual is the mean of log volume on days before (half-life of 63 rows), 20 at least, far is 6 standard deviations.
    """
    volume = panel.fields.get("volume")
    if volume is None:
        return np.zeros(panel.returns.shape, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(volume > 0.0, np.log(volume, dtype=np.float64), np.nan)
    usual = trailing_moments(size, half_life=63, min_count=20)
    return np.abs(size - usual.mean) > np.maximum(np.log(_VOLUME_FACTOR), _VOLUME_DEVIATIONS * usual.deviation)


CHECKS: dict[str, Callable[["Panel"], Flags]] = {
    "price not positive": is_not_positive,
    "high and low out of order": is_out_of_order,
    "volume out of scale": is_volume_out_of_scale,
    "no volume": is_without_volume,
    "possible decimal shift": is_decimal_shift,
    "possible unadjusted split": is_unadjusted_split,
    "all prices jump alike": is_jump_of_all,
    "stale price": is_stale,
    "duplicate of another column": is_duplicate,
}


def run_checks(panel: "Panel") -> dict[str, Flags]:
    """All checks by the reason they give, most specific first: (T, A) booleans each."""
    return {reason: check(panel) for reason, check in CHECKS.items()}
