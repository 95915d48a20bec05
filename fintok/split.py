"""Cut-off and walk-forward splits in time."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.spans import DateLike, date_unit, rows_until, span_of


class Split(NamedTuple):
    """Rows to learn from and later rows to judge by."""

    train: slice
    test: slice


def cutoff_split(dates: NDArray[np.datetime64], train_end: DateLike) -> Split:
    """Train on rows up to and including `train_end`, test on the rows after it.

    Without dates after `train_end` the test part is empty. Raises InputError for a `train_end` outside the dates.
    """
    if not len(dates):
        raise InputError("there are no dates to split")
    cut = rows_until(dates, train_end)
    if cut == 0 or span_of(dates, train_end)[0] > dates[-1]:
        first, last = (np.datetime_as_string(day, unit=date_unit(dates)) for day in dates[[0, -1]])
        raise InputError(f"train_end {train_end} lies outside the data, which run from {first} to {last}")
    return Split(slice(0, cut), slice(cut, len(dates)))


def walk_forward(num_rows: int, *, train_rows: int, test_rows: int, purge: int = 0) -> Iterator[Split]:
    """Successive splits: each test part starts where the one before it ended, and the last may be shorter.

    All rows up to `purge` rows before a test part are trained on, `train_rows` of them at first: what a window or a
    label reaches over is left out (Lopez de Prado 2018, chapter 7). Raises InputError when not even one split fits.
    """
    if train_rows < 1 or test_rows < 1:
        raise InputError(f"train_rows is {train_rows} and test_rows {test_rows}, expected at least 1 each")
    start = train_rows + purge
    if start >= num_rows:
        raise InputError(f"{num_rows} rows are too few: training and purge alone take {start}")
    for first in range(start, num_rows, test_rows):
        yield Split(slice(0, first - purge), slice(first, min(first + test_rows, num_rows)))
