import numpy as np
import pytest

from fintok.usage import usage_of


def test_use_by_hand():
    found = usage_of(np.array([2, 2, 0, 0]))
    assert found.tokens == 4
    assert found.used == 0.5
    assert found.entropy == pytest.approx(np.log(2.0))
    assert found.perplexity == pytest.approx(2.0)
    assert found.largest_share == 0.5


def test_without_tokens_nothing_is_used():
    found = usage_of(np.zeros(3, dtype=int))
    assert (found.tokens, found.used, found.perplexity) == (0, 0.0, 1.0)
    assert np.isnan(found.largest_share)
