"""Cut-off and walk-forward splits in time, with purge and embargo."""

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


def cutoff_split(dates: NDArray[np.datetime64], train_end: DateLike, *, purge: int = 0, embargo: int = 0) -> Split:
    """Train on rows up to and including `train_end`, test on the rows after it.

    `purge` rows are taken off the end of the training part (their labels, or windows, would reach into the
    test part), `embargo` rows off the start of the test part (Lopez de Prado 2018, chapter 7). Without dates
    after `train_end` the test part is empty. Raises InputError for a `train_end` outside the dates, or when
    no training rows are left.
    """
    _check_gaps(purge, embargo)
    if not len(dates):
        raise InputError("there are no dates to split")
    cut = rows_until(dates, train_end)
    if cut == 0 or span_of(dates, train_end)[0] > dates[-1]:
        first, last = (np.datetime_as_string(day, unit=date_unit(dates)) for day in dates[[0, -1]])
        raise InputError(f"train_end {train_end} lies outside the data, which run from {first} to {last}")
    if cut - purge < 1:
        raise InputError(f"train_end {train_end} gives {cut} rows, and purging {purge} leaves none to train on")
    return Split(slice(0, cut - purge), slice(min(cut + embargo, len(dates)), len(dates)))


def walk_forward(
    num_rows: int,
    *,
    train_rows: int,
    test_rows: int,
    purge: int = 0,
    embargo: int = 0,
    expanding: bool = False,
) -> Iterator[Split]:
    """Successive splits: each test part starts where the one before it ended, and the last may be shorter.

    A training part has `train_rows` rows (or, expanding, all rows from the first on), then `purge` +
    `embargo` rows are left out before the test part. Raises InputError when not even one split fits.
    """
    _check_gaps(purge, embargo)
    if train_rows < 1 or test_rows < 1:
        raise InputError(f"train_rows is {train_rows} and test_rows {test_rows}, expected at least 1 each")
    start = train_rows + purge + embargo
    if start >= num_rows:
        raise InputError(f"{num_rows} rows are too few: training, purge and embargo alone take {start}")
    for first in range(start, num_rows, test_rows):
        end = first - purge - embargo
        train = slice(0 if expanding else end - train_rows, end)
        yield Split(train, slice(first, min(first + test_rows, num_rows)))


def _check_gaps(purge: int, embargo: int) -> None:
    if purge < 0 or embargo < 0:
        raise InputError(f"purge is {purge} and embargo {embargo}, expected whole numbers of rows from 0 up")
