"""Rolling conformal p-values and an adaptive alarm level.

A static threshold set in quiet years fires dozens of times too often in a crash. Here a score is ranked among
all scores of the trailing 750 dates, and the level itself gives way when alarms run over budget (Gibbs and
Candes, 2021). What this promises is the long-run rate of alarms, not the rate on any one day.
"""

import numpy as np
from numpy.typing import NDArray

_BUCKET = 256  # ranks per bucket of the two-level count: the square root of a typical number of scores


def rolling_p_values(
    scores: NDArray[np.floating], *, days: int = 750, min_scores: int = 1000
) -> NDArray[np.float64]:
    """Conformal p-value of every score (T, A) among the scores of all assets on the `days` dates before it.

    p = (1 + number of earlier scores >= this one) / (1 + number of earlier scores), over the finite scores
    of rows t - days .. t - 1. Ties count as "at least as high", so p never overstates how strange a score
    is; the smallest p is 1 / (1 + number of earlier scores). NaN where the score is NaN, and on dates with
    fewer than `min_scores` earlier scores (with A assets, some min_scores / A dates from the start). Row t
    depends on rows up to t only, and permuting the assets permutes the p-values.

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
        np.add.at(flat, today, 1)
        np.add.at(totals, today // _BUCKET, 1)
        if day >= days:
            gone = ranks[day - days, finite[day - days]]
            np.subtract.at(flat, gone, 1)
            np.subtract.at(totals, gone // _BUCKET, 1)
    return p_values


def adaptive_levels(
    p_values: NDArray[np.floating], level: float, *, rate: float = 0.005, slack: float = 4.0
) -> NDArray[np.float64]:
    """The level to hold p-values (T, A) against on each date, so that alarms keep to `level` in the long run.

    Adaptive conformal inference, pooled over assets: level_{t+1} = level_t + rate * (level - share_t),
    where share_t is the share of assets with p <= level_t on day t; only days before t move level_t. `rate`
    is the paper's 0.005. The paper lets the level run below zero, where nothing can alarm, for as long as
    it takes to pay back; ours stays within level / slack and level * slack, so that a crash does not
    silence the years after it. Days without p-values leave the level as it is.
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
            current = min(max(current + rate * (level - share), level / slack), level * slack)
    return levels
