"""Tokens: the codes and words of a panel, one for each date and asset."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.cells import locate
from fintok.errors import InputError
from fintok.spans import date_text
from fintok.usage import usage_of

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    import polars as pl

    from fintok.spans import DateLike


@dataclass(frozen=True, eq=False)
class Tokens:
    """What a bundle reads in a panel. A token covers the patch of days that ends at its date.

    -1 and NaN mean that there is no token: the asset is not observed that day, or its scale is not known yet.
    The surprise needs a whole window of days before it, so it starts later than the codes.
    """

    codes: NDArray[np.int32]  # (T, A) in 0 … K-1, -1 = none
    words: NDArray[np.int32]  # (T, A) coarse codes, -1 = none
    surprise: NDArray[np.float32]  # (T, A) -log p(code), nats, NaN = none
    dates: NDArray[np.datetime64]  # (T,)
    assets: tuple[str, ...]
    num_codes: int
    num_words: int

    def __repr__(self) -> str:
        count = int((self.codes >= 0).sum())
        return (
            f"Tokens({count:,} tokens of {len(self.assets)} assets on {len(self.dates):,} dates, "
            f"{self.usage:.0%} of {self.num_codes} codes used, perplexity {self.perplexity:.0f})"
        )

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each code occurs, (K,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=self.num_codes)

    @property
    def usage(self) -> float:
        """Share of the codes that occur."""
        return usage_of(self.counts).used

    @property
    def perplexity(self) -> float:
        """exp of the entropy of the codes' frequencies: how many codes are in use, in effect."""
        return usage_of(self.counts).perplexity

    def summary(self) -> pd.DataFrame:
        """A row for each word: its share of the tokens, its codes, its mean surprise (nats)."""
        import pandas as pd

        frame = pd.DataFrame(
            {"word": self.words.ravel(), "code": self.codes.ravel(), "surprise": self.surprise.ravel()}
        ).query("code >= 0")
        grouped = frame.groupby("word")
        table = pd.DataFrame(
            {
                "share": grouped.size() / max(len(frame), 1),
                "codes": grouped["code"].nunique(),
                "mean_surprise": grouped["surprise"].mean(),
            }
        )
        return table.sort_values("share", ascending=False)

    def occurrences(self, *, code: int | None = None, word: int | None = None) -> pd.DataFrame:
        """Where a code or a word occurs: columns date, symbol, code, word, surprise, by date and symbol.

        Raises InputError unless one of the two is given, within its range.
        """
        for name, number, count in (("code", code, self.num_codes), ("word", word, self.num_words)):
            if number is not None and not 0 <= number < count:
                raise InputError(f"{name} is {number}, expected 0 to {count - 1}")
        if (code is None) == (word is None):
            raise InputError("occurrences are those of a code or of a word: give one of the two")
        return self._table(self.codes == code if word is None else self.words == word)

    def like(self, date: DateLike, symbol: str, n: int = 20, *, same_asset: bool = False) -> pd.DataFrame:
        """The last `n` times before a date that any asset, or this one alone, had the token that it has there.

        The latest first; columns as in `occurrences`; no rows for a token that is new. Raises InputError for a
        cell that is not there or has no token, and for an `n` that counts nothing.
        """
        if not isinstance(n, Integral) or n < 0:
            raise InputError(f"n is {n!r}, expected a whole number from 0 on")
        row, column = locate(self.dates, self.assets, date, symbol)
        if self.codes[row, column] < 0:
            day = date_text(self.dates, row)
            raise InputError(f"{symbol} has no token on {day}: not observed that day, or its scale is not yet known")
        alike = np.zeros(self.codes.shape, dtype=bool)
        columns = slice(column, column + 1) if same_asset else slice(None)
        alike[:row, columns] = self.codes[:row, columns] == self.codes[row, column]
        return self._table(alike).sort_values("date", ascending=False, kind="stable", ignore_index=True).head(n)

    def _table(self, chosen: NDArray[np.bool_]) -> pd.DataFrame:
        """The chosen (T, A) cells, by date and column."""
        import pandas as pd

        rows, columns = np.nonzero(chosen)
        return pd.DataFrame(
            {
                "date": self.dates[rows],
                "symbol": pd.Index(self.assets).take(columns),
                "code": self.codes[rows, columns],
                "word": self.words[rows, columns],
                "surprise": self.surprise[rows, columns],
            }
        )

    def to_polars(self) -> pl.DataFrame:
        """Columns date, symbol, code, word, surprise (null = a whole window is not there yet), by date and symbol."""
        import polars as pl

        rows, columns = np.nonzero(self.codes >= 0)
        surprise = pl.Series("surprise", self.surprise[rows, columns]).fill_nan(None)
        names = pl.Series("symbol", self.assets, dtype=pl.String)
        return pl.DataFrame(
            {
                "date": self.dates[rows].astype("datetime64[us]"),
                "symbol": names.gather(columns),
                "code": self.codes[rows, columns],
                "word": self.words[rows, columns],
                "surprise": surprise,
            }
        )

    def to_pandas(self) -> pd.DataFrame:
        """The same table for pandas."""
        return self.to_polars().to_pandas().astype({"date": "datetime64[ns]"})

    def plot(self) -> go.Figure:
        """How often each code occurs, most used first."""
        from fintok.plots.vocabulary import codebook_usage

        return codebook_usage(self.counts)
