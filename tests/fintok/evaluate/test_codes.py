import numpy as np
import pytest

from fintok.evaluate.codes import agreement, shared_information


def test_codes_that_differ_in_number_only_agree():
    codes = np.random.default_rng(0).integers(0, 8, 4000)
    other = np.array([3, 1, 7, 0, 2, 6, 5, 4])[codes]
    halves = (codes[:2000], other[:2000]), (codes[2000:], other[2000:])
    assert agreement(*halves) == 1.0
    assert shared_information(codes, other) == pytest.approx(1.0)


def test_chance_does_not_agree():
    one, other = np.random.default_rng(0).integers(0, 8, (2, 20000))
    assert agreement((one[:10000], other[:10000]), (one[10000:], other[10000:])) == pytest.approx(1 / 8, abs=0.02)
    assert shared_information(one, other) < 0.01


def test_a_merged_code_keeps_part_of_the_information():
    codes = np.arange(4000) % 4
    assert shared_information(codes, codes // 2) == pytest.approx(2 * np.log(2) / (np.log(4) + np.log(2)))
    assert agreement((codes, codes // 2), (codes, codes // 2)) == pytest.approx(0.5)


def test_no_place_has_no_agreement():
    none = np.zeros(0, dtype=int)
    assert np.isnan(agreement((none, none), (none, none)))
    assert np.isnan(shared_information(none, none))
    some = np.arange(3)
    assert np.isnan(agreement((none, none), (some, some)))  # nothing to match the codes by
