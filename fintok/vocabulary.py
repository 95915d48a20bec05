"""What the codes of a tokenizer look like in returns, and the coarser words they merge into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fintok.imaging import ReturnImages
from fintok.inference import Vocabulary

MIN_VARIANCE = 1e-3  # of asinh(return / scale): a code seen once has no spread of its own


def learn_vocabulary(
    panels: Sequence[tuple[ReturnImages, NDArray[np.int32]]], patch_days: int, num_codes: int, num_words: int
) -> Vocabulary:
    """Mean and variance of the channel "return" over the patches of each code, and words by Ward's method.

    Days of a patch that were not observed do not count; a day that no patch of a code saw has mean 0.

    Parameters
    ----------
    panels : of each its images of the training rows, and the codes (T, A) of the same rows, -1 = none.
    patch_days : P.
    num_codes, num_words : K, and how many words K codes are merged into.
    """
    counts = np.zeros(num_codes, dtype=np.int64)
    seen, mean, square = np.zeros((3, num_codes, patch_days))
    for images, codes in panels:
        code = codes[patch_days - 1 :].T
        counts += np.bincount(code[code >= 0], minlength=num_codes)
        for day in range(patch_days):  # a patch is a few days: this copies one of them at a time
            days = slice(day, images.num_days - patch_days + 1 + day)
            is_seen = (code >= 0) & images.observed[:, days]
            values = images.channel("return")[:, days][is_seen].astype(np.float64)
            seen[:, day] += np.bincount(code[is_seen], minlength=num_codes)
            mean[:, day] += np.bincount(code[is_seen], values, num_codes)
            square[:, day] += np.bincount(code[is_seen], values**2, num_codes)
    mean, square = mean / np.maximum(seen, 1.0), square / np.maximum(seen, 1.0)
    spread = np.maximum(square - mean**2, 0.0)
    usual = float(np.average(spread, weights=np.maximum(seen, 1e-9)))
    trust = seen / (seen + 10.0)  # shrunk to the usual spread, as if ten patches more had it
    variance = np.maximum(trust * spread + (1.0 - trust) * usual, MIN_VARIANCE)
    return Vocabulary(
        mean.astype(np.float32), variance.astype(np.float32), counts, merge_codes(mean, counts, num_words)
    )


def merge_codes(patches: NDArray[np.float64], counts: NDArray[np.integer], num_words: int) -> NDArray[np.int64]:
    """Word of each code, (K,): codes of like patches (K, P) merged by Ward's method, words ordered by their mean.

    Codes never seen in training join the word of the nearest code that was.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import cdist

    used = np.flatnonzero(counts > 0)
    if len(used) <= num_words:
        labels = np.arange(len(used))
    else:
        labels = fcluster(linkage(patches[used], "ward"), num_words, "maxclust") - 1
    mean = np.bincount(labels, patches[used].sum(1)) / np.bincount(labels)
    rank = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
    nearest = cdist(patches, patches[used]).argmin(1)
    return rank[labels][nearest].astype(np.int64)
