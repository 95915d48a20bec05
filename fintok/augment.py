"""Windows of return images as training samples, and their views: crops of assets and days, level jitter, masks.

A view never resizes (a day is a day) and never reverses time (volatility has an arrow). Assets are a set: a crop
takes any of them in any order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fintok.hints import HINTS, PARTITIONS, TAIL
from fintok.imaging import ReturnImages
from vision.data.loader import View
from vision.masks import MaskGenerator
from vision.nn.grid import PatchGrid

_SIZES = ("return", "market", "residual", "gap", "expected", "expected_market")  # asinh of units of the scale
_LOGARITHMS = ("volatility", "slow_volatility", "market_volatility", "range", "left_open")  # log of a share of it


class WindowDataset(Dataset[tuple[Tensor, Tensor | None]]):
    """Windows of an image, one for each last row in ``end_rows``: (C, A, W) values and (A, W) observed.

    Both are views of one array: a window costs no copy. ``values`` stand for those of the image, as with hints after
    its own channels (`fintok.hints.draw_hints`). An image of fewer than ``num_assets`` has others after them that are
    never observed.
    """

    def __init__(
        self,
        images: ReturnImages,
        days: int,
        end_rows: NDArray[np.integer],
        values: NDArray[np.float32] | None = None,
        num_assets: int = 0,
    ) -> None:
        values, observed = images.values if values is None else values, images.observed
        if images.num_assets < num_assets:
            spare = ((0, num_assets - images.num_assets), (0, 0))
            values, observed = np.pad(values, ((0, 0), *spare)), np.pad(observed, spare)
        self.values, self.observed = torch.from_numpy(values), torch.from_numpy(observed)
        self.days, self.end_rows = days, end_rows

    def __len__(self) -> int:
        return len(self.end_rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        stop = int(self.end_rows[index]) + 1
        days = slice(stop - self.days, stop)
        return self.values[:, :, days], self.observed[:, days]


class LevelJitter:
    """Scales all returns of a window by one log-normal factor, in every channel as its formula says.

    Markets were calmer, and wilder, than any training row: the models learn that the same shapes come at other
    levels.

    Parameters
    ----------
    channel_names : of the image.
    deviation : standard deviation of the factor's logarithm; 0 = off.
    """

    def __init__(self, channel_names: Sequence[str], deviation: float) -> None:
        self.deviation, self.channel_names = deviation, tuple(channel_names)
        self.sizes = [place for place, name in enumerate(channel_names) if name in _SIZES]
        self.logarithms = [place for place, name in enumerate(channel_names) if name in _LOGARITHMS]

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Image (C, A, W) -> the same array, changed in place; what is not observed stays 0."""
        if self.deviation > 0:
            shift = np.float32(rng.normal(0.0, self.deviation))
            for place in self.sizes:
                image[place] = np.arcsinh(np.exp(shift) * np.sinh(image[place]))
            for place in self.logarithms:
                image[place] += shift * (image[place] != 0.0)
        return image


class MaskedWindow:
    """One view of a window: some of its assets, level jitter, and a mask if asked for. For VQ-KD and BEiT v2.

    Parameters
    ----------
    num_assets : rows of the view.
    days, patch_days : columns of the view, and of a patch.
    jitter : of the level.
    mask : what hides patches; None = nothing is hidden.
    has_hints : the windows have the channels of hints, of which the view keeps three, see `_choose_hidden`.
    """

    def __init__(
        self,
        num_assets: int,
        days: int,
        patch_days: int,
        jitter: LevelJitter,
        mask: MaskGenerator | None = None,
        has_hints: bool = False,
    ) -> None:
        self.num_assets, self.days, self.jitter, self.mask, self.has_hints = num_assets, days, jitter, mask, has_hints
        self.channel_names = jitter.channel_names
        self.grid = PatchGrid.of(num_assets, days, (1, patch_days))
        self.num_masked = (0 if mask is None else mask.count(self.grid), 0)[: 2 if has_hints else 1]

    def __call__(self, image: Tensor, observed: Tensor | None, rng: np.random.Generator) -> Sequence[Sequence[View]]:
        assert observed is not None
        pixels, is_there = image.numpy(), observed.numpy()
        hidden = None if self.mask is None else self.mask(self.grid, rng)
        if hidden is None or not self.has_hints:
            chosen = draw_assets(is_there, self.num_assets, rng)
            view = pixels[:, chosen]
        else:
            view, chosen = self._choose_hidden(pixels, is_there, hidden, rng)
        views = [[_as_view(self.jitter(view, rng), is_there[chosen], hidden)]]
        return [*views, [self._draw(pixels, is_there, rng)]] if self.has_hints else views

    def _draw(self, image: NDArray[np.float32], observed: NDArray[np.bool_], rng: np.random.Generator) -> View:
        """The last patch of some assets, with returns as the hints have them: expected ones, and Student t's noise.

        Image (C + 4 R, A, W), observed (A, W) -> a view (C + 3, num_assets, patch_days).
        """
        days = slice(-self.grid.patch_width, None)
        own, partition = self._hints_begin(image), int(rng.integers(PARTITIONS))
        told = image[own:, :, days].reshape(PARTITIONS, -1, *image[0, :, days].shape)[partition]
        expected, market, left_open, group_of = told
        observed = observed[:, days]
        noise = rng.standard_t(TAIL, expected.shape).astype(np.float32) * np.float32(((TAIL - 2.0) / TAIL) ** 0.5)
        noise = noise * np.exp(left_open) * observed
        group, members = group_of[:, 0].astype(np.intp), np.zeros_like(noise)
        np.add.at(members, group, noise)  # of each group the sum of its noises
        of_market = members[group] / np.maximum(observed.sum(axis=0), 1, dtype=np.float32)
        chosen = draw_assets(observed, self.num_assets, rng)
        view = np.concatenate([image[:own, chosen, days], told[:-1, chosen]])
        view[self.channel_names.index("return")] = np.arcsinh(np.sinh(expected[chosen]) + noise[chosen])
        if "market" in self.channel_names:
            view[self.channel_names.index("market")] = np.arcsinh(np.sinh(market[chosen]) + of_market[chosen])
        return _as_view(self.jitter(view * observed[chosen], rng), observed[chosen], None)

    def _hints_begin(self, image: NDArray[np.float32]) -> int:
        """The first channel of the hints of all partitions, which follow the image's own."""
        return len(image) - PARTITIONS * (len(HINTS) + 1)

    def _choose_hidden(
        self,
        image: NDArray[np.float32],
        observed: NDArray[np.bool_],
        hidden: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Image (C + 4 R, A, W) -> the view's (C + 3, num_assets, W), and the places of its assets.

        Where the same rows are hidden in every column that hides any, but not all rows are, they take assets of one
        group, and the hint that is told of an asset rests on assets outside the group. Elsewhere hints are 0.
        """
        order = draw_assets(observed, len(observed), rng)
        own, partition = self._hints_begin(image), int(rng.integers(PARTITIONS))
        rows, columns = hidden.any(axis=1), hidden.any(axis=0)
        view = np.zeros((own + len(HINTS), self.num_assets, image.shape[-1]), dtype=np.float32)
        chosen = order[: self.num_assets]
        if not rows.all() and hidden[np.ix_(rows, columns)].all():
            *hints, group_of = image[own:].reshape(PARTITIONS, -1, *image.shape[1:])[partition]
            is_member = (group_of[order, 0] == group_of[order[0], 0]) & observed[order].any(axis=1)
            count = int(rows.sum())
            ranked = np.concatenate([order[is_member], order[~is_member]])  # members first
            shown = np.concatenate([order[~is_member], order[is_member]])
            shown = shown[~np.isin(shown, ranked[:count])]
            chosen = np.empty(self.num_assets, dtype=np.intp)
            chosen[rows], chosen[~rows] = ranked[:count], shown[: self.num_assets - count]
            view[own:] = [hint[chosen] for hint in hints] * np.isin(chosen, order[is_member])[:, None]
        view[:own] = image[:own, chosen]
        return view, chosen


class ReturnMultiCrop:
    """Two global crops, with masks, and smaller local ones of the same window, for iBOT.

    A global crop has ``num_assets`` rows and all days but a few; a local one half the assets and half the days.
    Each crop draws its own assets, days (in whole patches) and level.

    Parameters
    ----------
    num_assets, days, patch_days : of a global crop, and of a patch. The window must have at least ``days``.
    num_local : local crops.
    jitter : of the level.
    mask : of the global crops.
    """

    def __init__(
        self,
        num_assets: int,
        days: int,
        patch_days: int,
        num_local: int,
        jitter: LevelJitter,
        mask: MaskGenerator,
    ) -> None:
        self.patch_days, self.num_local, self.jitter, self.mask = patch_days, num_local, jitter, mask
        self.grid = PatchGrid.of(num_assets, days, (1, patch_days))
        self.local_grid = PatchGrid.of(
            max(1, num_assets // 2), max(1, days // patch_days // 2) * patch_days, (1, patch_days)
        )
        self.num_masked = (mask.count(self.grid), 0)[: 2 if num_local else 1]

    def __call__(self, image: Tensor, observed: Tensor | None, rng: np.random.Generator) -> Sequence[Sequence[View]]:
        assert observed is not None
        pixels, is_there = image.numpy(), observed.numpy()
        whole = [self._crop(pixels, is_there, self.grid, self.mask, rng) for _ in range(2)]
        local = [self._crop(pixels, is_there, self.local_grid, None, rng) for _ in range(self.num_local)]
        return [whole, local] if local else [whole]

    def _crop(
        self,
        image: NDArray[np.float32],
        observed: NDArray[np.bool_],
        grid: PatchGrid,
        mask: MaskGenerator | None,
        rng: np.random.Generator,
    ) -> View:
        assets = draw_assets(observed, grid.height, rng)
        spare = (observed.shape[1] - grid.width) // self.patch_days
        first = int(rng.integers(spare + 1)) * self.patch_days
        days = slice(first, first + grid.width)
        hidden = None if mask is None else np.zeros((grid.rows, grid.columns), dtype=np.bool_)
        if mask is not None and rng.random() >= 0.5:  # iBOT: half of the crops
            hidden = mask(grid, rng)
        return _as_view(self.jitter(image[:, assets, days], rng), observed[assets, days], hidden)


def draw_assets(observed: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Places of ``count`` different assets of observed (A, W), those with any observed day before the others."""
    is_there = np.asarray(observed.any(axis=1))
    return np.argsort(rng.random(len(is_there)) + ~is_there, kind="stable")[:count]


def _as_view(image: NDArray[np.float32], observed: NDArray[np.bool_], hidden: NDArray[np.bool_] | None) -> View:
    return torch.from_numpy(image), torch.from_numpy(observed), hidden
