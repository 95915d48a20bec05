"""Scores made ready for the pixels of a screen: quantised once, pooled for each picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.plots.theme import MAX_CELLS

MISSING = 0  # where there is no score
STEPS_PER_UNIT = 40  # of the score
TOP_SCORE = 6.3  # one in two million: stranger than that needs no further shade


class Grid(NamedTuple):
    """A heat map of R x C cells, each the strangest of a block of asset-days."""

    cells: NDArray[np.uint8]  # (R, C) quantised scores
    rows: NDArray[np.intp]  # (R + 1,) first place in the order of each cell's assets, and the end
    columns: NDArray[np.intp]  # (C + 1,) first date of each cell, and the end


def quantise(score: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Scores (T, A) as bytes (A, T): 0 for none, else 1 + 40 times the score, up to 6.3."""
    known = np.isfinite(score)
    steps = np.clip(np.where(known, score, 0.0), 0.0, TOP_SCORE) * STEPS_PER_UNIT
    return np.ascontiguousarray(np.where(known, 1.0 + steps, MISSING).astype(np.uint8).T)


def pool(codes: NDArray[np.uint8], order: NDArray[np.intp], rows: slice, *, width: int, height: int) -> Grid:
    """Blocks of codes (A, T), in an order of assets and for some dates, by their maximum: no alert ever vanishes.

    At most `width` x `height` cells, and at most 250,000.
    """
    num_assets, num_days = len(order), max(rows.stop - rows.start, 0)
    height = max(min(height, num_assets), 1)
    width = max(min(width, num_days, MAX_CELLS // height), 1)
    row_edges, column_edges = _edges(num_assets, height), _edges(num_days, width)
    if num_assets == 0 or num_days == 0:
        return Grid(np.zeros((num_assets, num_days), np.uint8), row_edges, rows.start + column_edges)
    part = codes[order, rows.start : rows.stop]
    if len(row_edges) <= num_assets:
        part = np.maximum.reduceat(part, row_edges[:-1], axis=0)
    if len(column_edges) <= num_days:
        part = np.maximum.reduceat(part, column_edges[:-1], axis=1)
    return Grid(part, row_edges, rows.start + column_edges)


def _edges(count: int, most: int) -> NDArray[np.intp]:
    """Edges of equal blocks, the last one perhaps shorter, of `count` things in at most `most` blocks."""
    size = max(-(-count // most), 1)
    return np.append(np.arange(0, count, size), count)


def strangest(score: NDArray[np.floating], days: slice, assets: NDArray[np.intp]) -> tuple[int, int] | None:
    """(row, column) of the highest score of a block of asset-days; None where there is none."""
    block = score[days][:, assets]
    if not np.isfinite(block).any():
        return None
    day, place = divmod(int(np.nanargmax(block)), block.shape[1])
    return days.start + day, int(assets[place])


def thin_line(values: NDArray[np.floating], most: int) -> NDArray[np.intp]:
    """Places of a line's points that keep its lows and highs in about `most` points; gaps stay gaps."""
    count = len(values)
    if count <= most:
        return np.arange(count)
    starts = _edges(count, max(most // 2, 1))[:-1]
    size = starts[1] - starts[0]
    padded = np.full(len(starts) * size, np.nan)
    padded[:count] = values
    blocks = padded.reshape(len(starts), size)
    low = np.where(np.isnan(blocks), np.inf, blocks).argmin(axis=1) + starts
    high = np.where(np.isnan(blocks), -np.inf, blocks).argmax(axis=1) + starts
    return np.unique(np.clip(np.concatenate([[0], low, high, [count - 1]]), 0, count - 1))
