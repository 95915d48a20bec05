"""Classes of assets, calibrated apart: a currency's strange day is an ordinary one for a small stock."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError

OTHER = "other"  # the class of symbols without one


def read_groups(source: object) -> dict[str, str]:
    """Class of each symbol, from a table (path, pandas, polars or pyarrow) with columns symbol and group.

    The symbol may be called as in a panel (Ticker), the group a class, sector or industry. Raises InputError for a
    table without these columns, for one with several such groups and none called group, and for a symbol in two.
    """
    import polars as pl

    from fintok.columns import listed, require_column
    from fintok.numbers import names_in
    from fintok.spellings import GROUPS, SYMBOLS, plain
    from fintok.tables import open_table

    opened = open_table(source)
    table = opened.read()
    what = "give symbol and group"
    symbol, group = (require_column(names, table.columns, opened.name, what) for names in (SYMBOLS, GROUPS))
    kinds = [name for name in table.columns if plain(name) in GROUPS]
    if len(kinds) > 1 and plain(group) != "group":
        raise InputError(f"{opened.name}: {listed(kinds)} may each be the group; call the one to take 'group'")
    table = pl.DataFrame([names_in(table[symbol]), names_in(table[group])])
    table = table.drop_nulls().unique(maintain_order=True)
    twice = table.filter(pl.col(symbol).is_duplicated())[symbol].sort()
    if len(twice):
        raise InputError(f"{opened.name}: {twice[0]!r} is in more than one group; give every symbol one")
    return dict(table.iter_rows())


def count_known(groups: Mapping[str, object], assets: tuple[str, ...], source: str) -> int:
    """How many of the symbols are assets. Raises InputError where none is: the file is of another panel."""
    known = sum(symbol in assets for symbol in groups)
    if groups and not known:
        first = next(iter(groups))
        near = get_close_matches(first, assets, n=1) or list(assets[:1])
        raise InputError(
            f"{source}: none of its {len(groups):,} symbols is in the panel; the first is {first!r}, where the panel "
            f"has assets such as {near[0]!r}: write them as the panel does"
        )
    return known


def group_names(groups: object, assets: tuple[str, ...]) -> NDArray[np.str_]:
    """Class of each asset, (A,), "other" for those that `groups` does not name; None names nobody.

    `groups` is a mapping, a pandas Series, a table or a file. Raises InputError where it names no asset, or one twice.
    """
    if isinstance(groups, str | Path) or hasattr(groups, "columns"):
        groups = read_groups(groups)
    if groups is not None and not hasattr(groups, "items"):
        raise InputError(f"groups is {groups!r}, expected a mapping from symbol to group, or a table or file of them")
    pairs: list[Any] = [] if groups is None else list(groups.items())  # pyright: ignore[reportAttributeAccessIssue]
    named = {str(symbol): name for symbol, name in pairs}
    if len(named) < len(pairs):
        symbols = [str(symbol) for symbol, _ in pairs]
        twice = next(symbol for symbol in symbols if symbols.count(symbol) > 1)
        raise InputError(f"groups: {twice!r} is named more than once; give every symbol one group")
    count_known(named, assets, "groups")
    classes = [named.get(asset, OTHER) for asset in assets]
    return np.array([OTHER if name is None or name != name else str(name) for name in classes], dtype=np.str_)  # NaN
