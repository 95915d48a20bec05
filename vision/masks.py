"""Mask generators: which patches of one image are hidden, in exact numbers, so that shapes after most of them are
static.

Each takes a grid and a numpy generator, the only source of randomness, and returns (rows, columns) bool, True
= hidden; ``count(grid)`` is how many that are, or for the two kinds that vary, the most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vision.nn.grid import PatchGrid

Hidden = NDArray[np.bool_]


class MaskGenerator(Protocol):
    """What every generator here is."""

    def count(self, grid: PatchGrid) -> int:
        """Hidden patches on ``grid``: exact, or the most there can be."""
        ...

    def __call__(self, grid: PatchGrid, rng: np.random.Generator) -> Hidden:
        """Draw one mask (rows, columns) bool, True = hidden."""
        ...


@dataclass(frozen=True)
class RandomMask:
    """Patches at random (MAE: ratio .75, which keeps ``int(N · (1 − ratio))``)."""

    ratio: float

    def __post_init__(self) -> None:
        _check_ratio(self, "ratio", self.ratio)

    def count(self, grid: PatchGrid) -> int:
        return _share(self.ratio, grid.num_patches)

    def __call__(self, grid: PatchGrid, rng: np.random.Generator) -> Hidden:
        hidden = np.zeros((grid.rows, grid.columns), dtype=np.bool_)
        _top_up(hidden, self.count(grid), rng)
        return hidden


@dataclass(frozen=True)
class BlockMask:
    """Rectangular blocks until the number is reached (BEiT, Bao et al. 2022, Algorithm 1).

    As BEiT v2 it then tops up at random to exactly the number (v1 may stop short). BEiT hides 75 of 196 with
    blocks of at least 16; iBOT's least block is ``(min(rows, columns) // 3) ** 2``, DINOv2's 4. A side of a
    block is shorter than the grid's, as in the official code, except where that is 1; on a grid of one or two rows
    (columns) it is then one patch high (wide), whatever aspect is drawn. Areas run from the least block to what is
    missing, either way round: once less than a least block is missing, the areas tried lie above it, and what fits
    is what overlaps earlier blocks, as in the code of BEiT v2 and iBOT.
    """

    ratio: float
    min_patches: int = 16
    min_aspect: float = 0.3  # blocks have an aspect between this and its inverse, log-uniform
    attempts: int = 10  # to place one block

    def __post_init__(self) -> None:
        _check_ratio(self, "ratio", self.ratio)
        if self.min_patches < 1 or not 0 < self.min_aspect <= 1 or self.attempts < 1:
            raise ValueError(f"{self}: expected min_patches >= 1, min_aspect in (0, 1] and attempts >= 1")

    def count(self, grid: PatchGrid) -> int:
        return _share(self.ratio, grid.num_patches)

    def __call__(self, grid: PatchGrid, rng: np.random.Generator) -> Hidden:
        return self.draw(grid, self.count(grid), rng)

    def draw(self, grid: PatchGrid, number: int, rng: np.random.Generator) -> Hidden:
        """Blocks that hide exactly ``number`` patches."""
        hidden = np.zeros((grid.rows, grid.columns), dtype=np.bool_)
        while (missing := number - int(hidden.sum())) > 0:
            if not self._place_block(hidden, missing, rng):
                break
        _top_up(hidden, number, rng)
        return hidden

    def _place_block(self, hidden: Hidden, missing: int, rng: np.random.Generator) -> bool:
        """Hide one block of at most ``missing`` new patches; False when no attempt fits."""
        rows, columns = hidden.shape
        for _ in range(self.attempts):
            area = self.min_patches + (missing - self.min_patches) * rng.random()
            aspect = math.exp(rng.uniform(math.log(self.min_aspect), -math.log(self.min_aspect)))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if min(rows, columns) <= 2:
                height, width = (1, round(area)) if rows <= columns else (round(area), 1)
            if not (1 <= height < max(rows, 2) and 1 <= width < max(columns, 2)):
                continue
            top, left = rng.integers(0, rows - height + 1), rng.integers(0, columns - width + 1)
            block = hidden[top : top + height, left : left + width]
            if 0 < block.size - int(block.sum()) <= missing:
                block[...] = True
                return True
        return False


@dataclass(frozen=True)
class GridMask:
    """Coarse cells of patches at random (SimMIM, Xie et al. 2022: ratio .6, cells of 2 × 2).

    Where cells do not fill the grid those at its edge are cut, and the same share of the patches is hidden: whole
    cells, of which the last may be hidden in part.
    """

    ratio: float
    cell: tuple[int, int] = (2, 2)  # patches: (height, width)

    def __post_init__(self) -> None:
        _check_ratio(self, "ratio", self.ratio)
        if min(self.cell) < 1:
            raise ValueError(f"{self}: expected a cell of at least 1 x 1 patches")

    def count(self, grid: PatchGrid) -> int:
        rows, columns = self._cells(grid)
        cells = _share(self.ratio, rows * columns)
        return _share(cells / (rows * columns), grid.num_patches)

    def __call__(self, grid: PatchGrid, rng: np.random.Generator) -> Hidden:
        rows, columns = self._cells(grid)
        rank = rng.permutation(rows * columns).reshape(rows, columns)
        by_patch = rank.repeat(self.cell[0], axis=0).repeat(self.cell[1], axis=1)[: grid.rows, : grid.columns]
        first = np.argsort(by_patch, axis=None, kind="stable")[: self.count(grid)]  # whole cells; the last may be cut
        hidden = np.zeros(grid.rows * grid.columns, dtype=np.bool_)
        hidden[first] = True
        return hidden.reshape(grid.rows, grid.columns)

    def _cells(self, grid: PatchGrid) -> tuple[int, int]:
        return -(-grid.rows // self.cell[0]), -(-grid.columns // self.cell[1])


@dataclass(frozen=True)
class StratifiedBlockMask:
    """Blocks of a varying ratio on a share of the images (iBOT, DINOv2).

    One call draws for one image: with ``probability`` a ratio from ``[low, high]`` uniformly, else nothing; hidden
    are so many patches, rounded down as in the official code. DINOv2 deals the ratios out over a batch, one from each
    of as many equal strata: for an image the same.
    """

    low: float = 0.1
    high: float = 0.5
    probability: float = 0.5
    min_patches: int = 4  # DINOv2: 4

    def __post_init__(self) -> None:
        _check_ratio(self, "low", self.low)
        _check_ratio(self, "high", self.high)
        _check_ratio(self, "probability", self.probability)
        if self.low > self.high:
            raise ValueError(f"{self}: expected low <= high")

    def count(self, grid: PatchGrid) -> int:
        """The most patches one image can hide."""
        return self._number(self.high, grid)

    def __call__(self, grid: PatchGrid, rng: np.random.Generator) -> Hidden:
        ratio = rng.uniform(self.low, self.high) if rng.random() < self.probability else 0.0
        return BlockMask(self.high, self.min_patches).draw(grid, self._number(ratio, grid), rng)

    def _number(self, ratio: float, grid: PatchGrid) -> int:
        return math.floor(ratio * grid.num_patches + 1e-6)


@dataclass(frozen=True)
class AxisMask:
    """Whole rows or whole columns at random.

    ``last`` keeps the mask to the last so many columns: rows are hidden there alone, columns are chosen among
    them.
    """

    axis: Literal["rows", "columns"]
    ratio: float
    last: int | None = None  # columns; None = all

    def __post_init__(self) -> None:
        _check_ratio(self, "ratio", self.ratio)
        if self.axis not in ("rows", "columns"):
            raise ValueError(f"AxisMask.axis is {self.axis!r}, expected 'rows' or 'columns'")
        if self.last is not None and self.last < 1:
            raise ValueError(f"AxisMask.last is {self.last}, expected at least 1, or None")

    def count(self, grid: PatchGrid) -> int:
        lines, length = self._lines(grid)
        return _share(self.ratio, lines) * length

    def __call__(self, grid: PatchGrid, rng: np.random.Generator) -> Hidden:
        lines, _ = self._lines(grid)
        chosen = rng.permutation(lines)[: _share(self.ratio, lines)]
        first = grid.columns - self._columns(grid)
        hidden = np.zeros((grid.rows, grid.columns), dtype=np.bool_)
        if self.axis == "rows":
            hidden[chosen, first:] = True
        else:
            hidden[:, first + chosen] = True
        return hidden

    def _columns(self, grid: PatchGrid) -> int:
        return grid.columns if self.last is None else min(self.last, grid.columns)

    def _lines(self, grid: PatchGrid) -> tuple[int, int]:
        """Lines to choose from, and patches hidden in each."""
        columns = self._columns(grid)
        return (grid.rows, columns) if self.axis == "rows" else (columns, grid.rows)


@dataclass(frozen=True)
class ForecastMask:
    """The last columns of every row: what is still to come."""

    columns: int = 1

    def __post_init__(self) -> None:
        if self.columns < 1:
            raise ValueError(f"ForecastMask.columns is {self.columns}, expected at least 1")

    def count(self, grid: PatchGrid) -> int:
        return grid.rows * min(self.columns, grid.columns)

    def __call__(self, grid: PatchGrid, rng: np.random.Generator) -> Hidden:
        hidden = np.zeros((grid.rows, grid.columns), dtype=np.bool_)
        hidden[:, max(grid.columns - self.columns, 0) :] = True
        return hidden


@dataclass(frozen=True)
class MixedMask:
    """One of several generators per image, by probability."""

    masks: tuple[MaskGenerator, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        is_distribution = min(self.probabilities, default=-1.0) >= 0 and math.isclose(sum(self.probabilities), 1.0)
        if len(self.masks) != len(self.probabilities) or not is_distribution:
            raise ValueError(
                f"MixedMask: expected {len(self.masks)} probabilities with sum 1, got {self.probabilities}"
            )

    def count(self, grid: PatchGrid) -> int:
        """The most patches one image can hide."""
        return max(mask.count(grid) for mask in self.masks)

    def __call__(self, grid: PatchGrid, rng: np.random.Generator) -> Hidden:
        choice = int(np.searchsorted(np.cumsum(self.probabilities), rng.random(), side="right"))
        return self.masks[min(choice, len(self.masks) - 1)](grid, rng)


def _share(ratio: float, total: int) -> int:
    """``ratio`` of ``total``, rounded up as MAE and SimMIM do, but 75 / 196 of 196 is 75."""
    return math.ceil(ratio * total - 1e-6)


def _top_up(hidden: Hidden, number: int, rng: np.random.Generator) -> None:
    """Hide patches at random, in place, until ``number`` are hidden."""
    visible = np.flatnonzero(~hidden)
    hidden.flat[rng.permutation(visible)[: max(number - int(hidden.sum()), 0)]] = True


def _check_ratio(owner: object, name: str, ratio: float) -> None:
    if not 0 <= ratio <= 1:
        raise ValueError(f"{type(owner).__name__}.{name} is {ratio}, expected a number in [0, 1]")
