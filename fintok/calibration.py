"""Rolling conformal p-values and an adaptive alarm level.

A static threshold set in quiet years fires dozens of times too often in a crash. Here a score is ranked among
all scores of the trailing 750 dates, and the level itself gives way when alarms run over budget (Gibbs and
Candes, 2021). What this promises is the long-run rate of alarms, not the rate on any one day.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.groups import OTHER

MIN_SCORES = 1000  # below which a p-value could not come near one in a thousand
_BUCKET = 256  # ranks per bucket of the two-level count: the square root of a typical number of scores
_RATE = 0.5  # at which the level moves, for one alarm expected a day: an alarm halves the level
_FASTEST = 0.1  # rate where many alarms are expected
_SLACK = 4.0  # times the level asked for, and its share: how far it moves


class Calibration(NamedTuple):
    """Scores as p-values, and the level that each is held against; (T, A), each row from rows up to it."""

    p_values: NDArray[np.float64]  # NaN where there is no score, or no calibration yet
    levels: NDArray[np.float64]


def calibrate(
    scores: NDArray[np.floating],
    level: float,
    *,
    days: int,
    groups: NDArray[np.str_],
    left_out: NDArray[np.bool_] | None = None,
) -> Calibration:
    """Rolling p-values and adaptive levels of scores (T, A), within each group of assets (A,) by itself.

    What is `left_out` (T, A) gets a p-value, but takes no part in those of later dates, and does not move the level.
    """
    p_values, levels = np.full(scores.shape, np.nan), np.full(scores.shape, level)
    left_out = np.zeros(scores.shape, dtype=bool) if left_out is None else left_out
    for name in np.unique(groups):
        columns = np.flatnonzero(groups == name)
        p = rolling_p_values(scores[:, columns], days=days, left_out=left_out[:, columns])
        p_values[:, columns] = p
        levels[:, columns] = adaptive_levels(np.where(left_out[:, columns], np.nan, p), level)[:, None]
    return Calibration(p_values, levels)


def require_scores(groups: NDArray[np.str_], assets: tuple[str, ...], days: int) -> None:
    """Raise InputError for a group of assets so small that `days` dates never hold the 1,000 scores of a p-value.

    Assets without groups are taken however few they are: checks alert without p-values.
    """
    names, counts = np.unique(groups, return_counts=True)
    if len(names) > 1 and counts.min() * days < MIN_SCORES:
        from fintok.columns import listed

        name, count = str(names[counts.argmin()]), counts.min()
        of = " (symbols that the groups lack are one)" if name == OTHER else ""
        raise InputError(
            f"group {name!r}{of} has {count} asset{'' if count == 1 else 's'}, "
            f"{listed([asset for asset, group in zip(assets, groups, strict=True) if group == name])}, "
            f"{count * days} scores in {days} dates, and its p-values need {MIN_SCORES:,}: put them into a larger group"
        )


def rolling_p_values(
    scores: NDArray[np.floating],
    *,
    days: int = 750,
    min_scores: int = MIN_SCORES,
    left_out: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Conformal p-value of every score (T, A) among the scores of all assets on the `days` dates before it.

    p = (1 + number of earlier scores >= this one) / (1 + number of earlier scores), over the finite scores
    of rows t - days .. t - 1. Ties count as "at least as high", so p never overstates how strange a score
    is; the smallest p is 1 / (1 + number of earlier scores). NaN where the score is NaN, and on dates with
    fewer than `min_scores` earlier scores (with A assets, some min_scores / A dates from the start). Row t
    depends on rows up to t only, and permuting the assets permutes the p-values. Scores that are `left_out` (T, A)
    are ranked on their own day and are no part of any later one.

    Days are taken one after the other (the window slides), assets together: counts of ranks are kept in
    buckets of 256, so a day costs one cumulative sum over buckets and one look into a bucket per asset.
    """
    scores = np.asarray(scores, dtype=np.float64)
    num_days, num_assets = scores.shape
    p_values = np.full((num_days, num_assets), np.nan)
    finite = np.isfinite(scores)
    # Order is all that counts, so the scores' ranks can stand for them (ties share one).
    ranks = np.zeros((num_days, num_assets), dtype=np.int64)
    ranks[finite] = np.unique(scores[finite], return_inverse=True)[1]
    num_buckets = int(ranks.max(initial=0)) // _BUCKET + 1
    kept = finite if left_out is None else finite & ~left_out
    counts = np.zeros((num_buckets, _BUCKET), dtype=np.int32)
    flat = counts.reshape(-1)
    totals = np.zeros(num_buckets, dtype=np.int64)
    places = np.arange(_BUCKET)
    for day in range(num_days):
        today = ranks[day, finite[day]]
        num_scores = int(totals.sum())
        if num_scores >= min_scores and len(today):
            bucket, place = today // _BUCKET, today % _BUCKET
            in_higher_buckets = num_scores - np.cumsum(totals)
            in_bucket = np.where(places >= place[:, None], counts[bucket], 0).sum(axis=1)
            p_values[day, finite[day]] = (1.0 + in_higher_buckets[bucket] + in_bucket) / (1.0 + num_scores)
        joins = ranks[day, kept[day]]
        np.add.at(flat, joins, 1)
        np.add.at(totals, joins // _BUCKET, 1)
        if day >= days:
            gone = ranks[day - days, kept[day - days]]
            np.subtract.at(flat, gone, 1)
            np.subtract.at(totals, gone // _BUCKET, 1)
    return p_values


def adaptive_levels(p_values: NDArray[np.floating], level: float) -> NDArray[np.float64]:
    """The level to hold p-values (T, A) against on each date, so that alarms keep to `level` in the long run.

    Adaptive conformal inference, pooled over assets: level_{t+1} = level_t + rate (level - share_t), where share_t is
    the share of the day's N assets with p <= level_t; only days before t move level_t. The paper has one rate, for
    one series. The share of many assets is a better count, so ours is half the alarms expected of a day, level N / 2,
    and at most 0.1: an alarm takes half the level away, days without any give it back at the pace of the budget. The
    paper lets the level run below zero, where nothing can alarm, for as long as it takes to pay back; ours stays
    within a quarter of the level and four times it, so that a crash does not silence the years after it. Days without
    p-values leave the level as it is.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level!r}")
    levels = np.empty(len(p_values))
    counts = np.isfinite(p_values).sum(axis=1)
    current = level
    for day, (row, count) in enumerate(zip(p_values, counts, strict=True)):
        levels[day] = current
        if count:
            share = np.count_nonzero(row <= current) / count  # NaN compares as False
            rate = min(_RATE * level * count, _FASTEST)
            current = min(max(current + rate * (level - share), level / _SLACK), level * _SLACK)
    return levels


def adjusted_p_values(p_values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Benjamini and Hochberg's (1995) adjusted p-values within each row of (T, A); NaN stays and does not count.

    With m p-values in a row, that of rank i becomes the least of m p / j over the ranks j >= i: a row's cells with
    an adjusted p-value of at most q hold a share of false ones of at most q on average.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, axis=1, kind="stable")  # NaN last
    ordered = np.take_along_axis(p_values, order, axis=1)
    count = np.isfinite(p_values).sum(axis=1, keepdims=True)
    scaled = ordered * count / np.arange(1, p_values.shape[1] + 1)
    least = np.fmin.accumulate(scaled[:, ::-1], axis=1)[:, ::-1]
    adjusted = np.empty_like(p_values)
    np.put_along_axis(adjusted, order, np.where(np.isnan(ordered), np.nan, least), axis=1)
    return adjusted
