"""Classes of assets, calibrated apart: a currency's strange day is an ordinary one for a small stock."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError

OTHER = "other"  # the class of symbols without one


def read_groups(source: object) -> dict[str, str]:
    """Class of each symbol, from a table (path, pandas, polars or pyarrow) with columns symbol and group.

    Raises InputError for a table without these columns, and for a symbol in two classes.
    """
    import polars as pl

    from fintok.columns import listed
    from fintok.tables import open_table

    opened = open_table(source)
    names = opened.frame.collect_schema().names()
    for name in ("symbol", "group"):
        if name not in names:
            raise InputError(f"{opened.name}: there is no column {name!r} among {listed(names)}; give symbol and group")
    texts = opened.frame.select(pl.col("symbol", "group").cast(pl.String).str.strip_chars())
    table = texts.drop_nulls().unique().collect()
    twice = table.filter(pl.col("symbol").is_duplicated())["symbol"].sort()
    if len(twice):
        raise InputError(f"{opened.name}: {twice[0]!r} is in more than one group; give every symbol one")
    return dict(table.iter_rows())


def group_names(groups: Mapping[str, object] | str | Path | None, assets: tuple[str, ...]) -> NDArray[np.str_]:
    """Class of each asset, (A,), "other" for those that `groups` (mapping, pandas Series or file) does not name."""
    if isinstance(groups, str | Path):
        groups = read_groups(groups)
    named = {} if groups is None else dict(groups.items())
    classes = [named.get(asset, OTHER) for asset in assets]
    return np.array([OTHER if name is None or name != name else str(name) for name in classes], dtype=np.str_)  # NaN
