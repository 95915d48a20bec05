"""Tokens: where a code occurs, and when an asset last had the token that it has."""

import numpy as np
import pytest

from fintok.errors import InputError
from fintok.tokenizer import Tokens


@pytest.fixture
def tokens():
    codes = np.array([[3, -1], [1, 3], [3, 2], [0, 3], [3, 1]], np.int32)
    return Tokens(
        codes=codes,
        words=np.where(codes >= 0, codes // 2, -1).astype(np.int32),
        surprise=np.arange(10, dtype=np.float32).reshape(5, 2),
        dates=np.datetime64("2020-01-01", "ns") + np.arange(5) * np.timedelta64(1, "D"),
        assets=("A", "B"),
        num_codes=4,
        num_words=2,
    )


def days(table):
    return [f"{symbol}{date.day}" for date, symbol in zip(table["date"], table["symbol"], strict=True)]


def test_a_code_or_a_word_is_found_wherever_it_occurs(tokens):
    found = tokens.occurrences(code=3)
    assert days(found) == ["A1", "B2", "A3", "B4", "A5"]
    assert found.columns.tolist() == ["date", "symbol", "code", "word", "surprise"]
    assert days(tokens.occurrences(word=0)) == ["A2", "A4", "B5"]
    assert set(tokens.occurrences(word=1)["code"]) == {2, 3}


@pytest.mark.parametrize(("asked", "sentence"), [({}, "one of the two"), ({"code": 4}, "0 to 3"), ({"word": -1}, "0")])
def test_what_cannot_occur_is_refused(tokens, asked, sentence):
    with pytest.raises(InputError, match=sentence):
        tokens.occurrences(**asked)


def test_like_days_lie_before_and_the_latest_comes_first(tokens):
    assert days(tokens.like("2020-01-05", "A")) == ["B4", "A3", "B2", "A1"]
    assert days(tokens.like("2020-01-05", "A", n=2)) == ["B4", "A3"]
    assert days(tokens.like("2020-01-05", "A", same_asset=True)) == ["A3", "A1"]
    assert days(tokens.like("2020-01-05", "B", same_asset=True)) == []
    for date in ("2020-01-01", np.datetime64("2020-01-01", "ns")):
        with pytest.raises(InputError, match="B has no token on 2020-01-01:"):
            tokens.like(date, "B")
    for n in (-1, 2.5):
        with pytest.raises(InputError, match=f"n is {n}, expected a whole number from 0 on"):
            tokens.like("2020-01-05", "A", n=n)
