"""What codes mean: mean and spread of the patches that have them."""

import numpy as np

from fintok.imaging import ReturnImages
from fintok.vocabulary import learn_vocabulary


def test_the_variance_of_a_code_is_shrunk_as_if_ten_patches_more_had_the_usual_one():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((1, 2, 41)).astype(np.float32)
    codes = np.full((41, 2), -1, np.int32)
    codes[4:] = rng.integers(0, 3, (37, 2))
    codes[20, 0] = 3  # a code of one patch; 4 occurs nowhere
    dates = np.datetime64("2020-01-01") + np.arange(41)
    images = ReturnImages(values, np.ones((2, 41), bool), dates, ("A", "B"), ("return",), np.ones((2, 41), np.float32))
    found = learn_vocabulary([(images, codes)], 5, 5, 2)
    counts, spread = np.zeros(5), np.zeros((5, 5))
    for code in range(4):
        ends = np.argwhere(codes == code)
        patches = np.stack([values[0, asset, day - 4 : day + 1] for day, asset in ends])
        counts[code], spread[code] = len(patches), patches.var(axis=0)
    usual = (counts * spread.mean(axis=1)).sum() / counts.sum()
    wanted = (counts[:, None] * spread + 10.0 * usual) / (counts[:, None] + 10.0)
    np.testing.assert_allclose(found.patch_variance, np.maximum(wanted, 1e-3), rtol=1e-4)
    np.testing.assert_array_equal(found.counts, counts)


def test_days_that_were_not_observed_are_no_returns_of_zero():
    rng = np.random.default_rng(0)
    observed = np.arange(3000) % 7 < 5
    values = (rng.standard_normal((1, 1, 3000)) * observed).astype(np.float32)
    codes = np.where(observed, 0, -1).astype(np.int32)[:, None]
    codes[:4] = -1
    dates = np.datetime64("2010-01-01") + np.arange(3000)
    images = ReturnImages(values, observed[None], dates, ("A",), ("return",), np.ones((1, 3000), np.float32))
    found = learn_vocabulary([(images, codes)], 5, 1, 1)
    np.testing.assert_allclose(found.patch_variance, 1.0, atol=0.15)
