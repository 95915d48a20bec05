"""Splits in time."""

import numpy as np
import pytest

from fintok.errors import InputError
from fintok.split import cutoff_split, walk_forward

DATES = (np.datetime64("2020-01-01") + np.arange(100)).astype("datetime64[ns]")


def test_cutoff_includes_the_date_and_leaves_out_purge_and_embargo():
    assert cutoff_split(DATES, "2020-01-10") == (slice(0, 10), slice(10, 100))
    assert cutoff_split(DATES, "2020-01-10", purge=3, embargo=5) == (slice(0, 7), slice(15, 100))
    assert cutoff_split(DATES, "2020-01", purge=1).train == slice(0, 30)
    assert cutoff_split(DATES, DATES[-1]) == (slice(0, 100), slice(100, 100))
    assert cutoff_split(DATES, "2020", embargo=7).test == slice(100, 100)


@pytest.mark.parametrize("train_end", ["2019-12-31", "2020-04-10", "2021"])
def test_a_cutoff_outside_the_data_is_refused_with_their_span(train_end):
    with pytest.raises(InputError, match=f"train_end {train_end} lies outside .* from 2020-01-01 to 2020-04-09"):
        cutoff_split(DATES, train_end)


def test_a_purge_that_leaves_nothing_and_nonsense_are_refused():
    with pytest.raises(InputError, match="gives 3 rows, and purging 3 leaves none"):
        cutoff_split(DATES, "2020-01-03", purge=3)
    with pytest.raises(InputError, match="purge is -1"):
        cutoff_split(DATES, "2020-01-03", purge=-1)
    with pytest.raises(InputError, match="'soon' is not a date"):
        cutoff_split(DATES, "soon")
    with pytest.raises(InputError, match="no dates"):
        cutoff_split(DATES[:0], "2020-01-03")


@pytest.mark.parametrize("expanding", [False, True])
def test_walk_forward_tests_every_later_row_once_and_never_trains_near_it(expanding):
    splits = list(walk_forward(100, train_rows=40, test_rows=15, purge=3, embargo=2, expanding=expanding))
    tested = np.concatenate([np.arange(100)[split.test] for split in splits])
    np.testing.assert_array_equal(tested, np.arange(45, 100))
    for split in splits:
        train = np.arange(100)[split.train]
        assert train[-1] == split.test.start - 6
        assert len(train) == (split.test.start - 5 if expanding else 40)
    assert splits[-1].test == slice(90, 100)


def test_walk_forward_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="100 rows are too few: training, purge and embargo alone take 100"):
        next(walk_forward(100, train_rows=90, test_rows=5, purge=10))
    with pytest.raises(InputError, match="test_rows 0, expected at least 1"):
        next(walk_forward(100, train_rows=90, test_rows=0))
