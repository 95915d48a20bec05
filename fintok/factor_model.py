"""The rival of the masked model on hidden assets: a linear factor model, drawn and tokenised.

Regressions on the visible assets, those of `fintok.hints`, say what each hidden return should be; residuals have
Student t's tails and the scale of their recent past. How probable that makes a token is found by drawing paths. The
rival has the means that the masked model is told: correlations go on learning after ``train_end``, and the channel
"market" is the mean of the visible assets' returns and of the drawn ones. That residuals are larger on days when those
of the visible assets are is left to the masked model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from fintok.bundle import Bundle
from fintok.channels import decayed_mean
from fintok.hints import HIDDEN_COLUMNS, TAIL
from fintok.imaging import ReturnImages
from fintok.inference import reading
from fintok.progress import track

RESIDUAL_HALF_LIFE = 20.0  # days, of the residuals' scale
HITS = 2  # draws of a true code that are waited for: .8 nats of noise a token, half of what tokens differ by
FIRST_DRAWS, MOST_DRAWS = 200, 6_400
PATCHES_AT_ONCE = 40_000  # so that the memory of a tokenizer does not grow with the panel

Array = NDArray[np.float64]
Draw = Callable[[NDArray[np.intp], int], NDArray[np.int64]]


def factor_model_nll(
    bundle: Bundle,
    images: ReturnImages,
    codes: NDArray[np.integer],
    ends: NDArray[np.int64],
    groups: Sequence[NDArray[np.int64]],
    expected: Array,
    seed: int,
) -> Array:
    """NLL (nats) of the codes (T, A) of the last two patches up to each of the rows ``ends`` (W,), hidden group by
    group, where the scaled returns (T, A) are expected: (W,), the sum over the tokens that are there."""
    back = np.arange(HIDDEN_COLUMNS - 1, -1, -1) * bundle.config.imaging.patch_days
    paths = _Paths(bundle, images, expected, np.random.default_rng(seed))
    with reading(bundle.tokenizer):
        found = [
            [
                np.nansum(log_probabilities(partial(paths.draw, int(end), one), codes[end - back][:, one].T.ravel()))
                for one in groups
            ]
            for end in track(list(ends), "factor model")
        ]
    return -np.sum(found, axis=1)


class _Paths:
    """Codes of hidden assets as a regression draws them."""

    def __init__(self, bundle: Bundle, images: ReturnImages, expected: Array, rng: np.random.Generator) -> None:
        self.bundle, self.images, self.expected, self.rng = bundle, images, expected, rng
        self.days = HIDDEN_COLUMNS * bundle.config.imaging.patch_days
        self.x, self.observed = _scaled_returns(images), images.observed.T
        square = np.square(self.x - expected)
        self.scale = np.sqrt(decayed_mean(square, self.observed, RESIDUAL_HALF_LIFE)) + 1e-4
        self.channels = bundle.config.tokenizer.channels
        places = [images.channel_names.index(name) for name in self.channels]
        self.sources = torch.from_numpy(images.values[places])

    def draw(self, end: int, hidden: NDArray[np.int64], asked: NDArray[np.intp], count: int) -> NDArray[np.int64]:
        """Codes (count, asked) of as many paths of the ``hidden`` assets up to row ``end``; ``asked`` are places among
        their patches, asset by asset."""
        rows = slice(end - self.days + 1, end + 1)
        mean, there = self.expected[rows][:, hidden], self.observed[rows][:, hidden]
        noise = self.rng.standard_t(TAIL, (count, *mean.shape)) * np.sqrt((TAIL - 2.0) / TAIL)
        drawn = np.where(there, mean + noise * self.scale[end - self.days, hidden], 0.0)  # (count, days, hidden)
        visible = self.x[rows].sum(axis=1) - self.x[rows][:, hidden].sum(axis=1)
        market = (visible + drawn.sum(axis=2)) / np.maximum(self.observed[rows].sum(axis=1), 1)
        asset, column = np.divmod(asked, HIDDEN_COLUMNS)
        by_patch = (count, HIDDEN_COLUMNS, self.days // HIDDEN_COLUMNS)
        changed = {
            "return": drawn.transpose(0, 2, 1).reshape(count, len(hidden), *by_patch[1:])[:, asset, column],
            "market": market.reshape(by_patch)[:, column],
        }  # (count, asked, days of a patch)
        days = rows.start + np.arange(self.days).reshape(by_patch[1:])[column]  # (asked, days of a patch)
        assets = hidden[asset][:, None]
        at_once = max(1, PATCHES_AT_ONCE // len(asked))
        codes = [
            self._codes({name: part[first : first + at_once] for name, part in changed.items()}, assets, days)
            for first in range(0, count, at_once)
        ]
        return np.concatenate(codes)

    def _codes(
        self, changed: dict[str, Array], assets: NDArray[np.int64], days: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Codes (n, asked) of the patches at assets (asked, 1) and days (asked, days of a patch), n times with other
        scaled returns (n, asked, days of a patch) in some channels."""
        num_paths = len(changed["return"])
        image = self.sources[:, assets, days].expand(num_paths, -1, -1, -1).clone()
        for name, values in changed.items():
            if name in self.channels:
                image[:, self.channels.index(name)] = torch.from_numpy(np.arcsinh(values).astype(np.float32))
        seen = torch.from_numpy(self.images.observed[assets, days]).expand(num_paths, -1, -1)
        tokenizer = self.bundle.tokenizer
        codes = tokenizer.codebook.assign(tokenizer.task(tokenizer.encoder(image, seen).patches))
        return codes[..., 0].numpy()


def log_probabilities(draw: Draw, wanted: NDArray[np.integer]) -> Array:
    """Log probability (N,) of the ``wanted`` values (N,) under distributions that can only be drawn from; NaN where one
    is negative.

    With N draws until the K-th that is met, digamma(K) - digamma(N) is without bias (inverse binomial sampling, van
    Opheusden, Acerbi and Ma, 2020), where the logarithm of a share of so many draws is too low. What `MOST_DRAWS` do
    not meet so often has the share of its hits and half a one: below some 3e-4 that is too high (by .35 nats at 1e-4,
    by 2.1 at 1e-5), in favour of the model that is drawn from.

    draw : (places (a,), count) -> draws (count, a).
    """
    from scipy.special import digamma

    hits, taken = np.zeros(wanted.shape, np.int64), np.ones(wanted.shape, np.int64)
    num_draws, count = 0, FIRST_DRAWS
    while num_draws < MOST_DRAWS and len(asked := np.flatnonzero((hits < HITS) & (wanted >= 0))):
        count = min(count, MOST_DRAWS - num_draws)
        met = hits[asked] + np.cumsum(draw(asked, count) == wanted[asked], axis=0)
        taken[asked] = num_draws + (met >= HITS).argmax(axis=0) + 1
        hits[asked] = met[-1]
        num_draws += count
        count *= 2
    rare = np.log((hits + 0.5) / MOST_DRAWS)
    found = np.where(hits >= HITS, digamma(HITS) - digamma(taken), rare)
    return np.where(wanted >= 0, found, np.nan)


def _scaled_returns(images: ReturnImages) -> Array:
    """(T, A), 0 where not observed."""
    return np.sinh(images.channel("return").T.astype(np.float64))
