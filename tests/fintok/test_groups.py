"""Classes of assets from a table or a mapping."""

import pandas as pd
import polars as pl
import pytest

from fintok.errors import InputError
from fintok.groups import group_names, read_groups


def test_classes_are_read_and_those_without_one_are_others(tmp_path):
    path = tmp_path / "groups.csv"
    pl.DataFrame({"symbol": ["A", "B", "B"], "group": ["bank", "oil", "oil"], "note": "x"}).write_csv(path)
    groups = read_groups(path)
    assert groups == {"A": "bank", "B": "oil"}
    assert group_names(groups, ("B", "Z", "A")).tolist() == ["oil", "other", "bank"]
    assert group_names(path, ("B", "A")).tolist() == ["oil", "bank"]
    series = pd.Series({"A": "bank", "B": None, "C": float("nan"), "D": 7})
    assert group_names(series, ("A", "B", "C", "D")).tolist() == ["bank", "other", "other", "7"]
    assert group_names(None, ("A", "B")).tolist() == ["other", "other"]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"symbol": ["A"], "sector": ["bank"]}, "no column 'group' among 'symbol', 'sector'"),
        ({"symbol": ["A", "A"], "group": ["bank", "oil"]}, "'A' is in more than one group"),
    ],
)
def test_a_table_without_one_class_a_symbol_is_refused(table, sentence):
    with pytest.raises(InputError, match=sentence):
        read_groups(pl.DataFrame(table))
