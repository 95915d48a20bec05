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
        ({"symbol": ["A"], "kind": ["bank"]}, "no column 'group' among 'symbol', 'kind'"),
        ({"symbol": ["A"], "Sector": ["bank"], "Industry": ["loans"]}, "'Sector', 'Industry' may each be the group"),
        ({"symbol": ["A", "A"], "group": ["bank", "oil"]}, "'A' is in more than one group"),
    ],
)
def test_a_table_without_one_class_a_symbol_is_refused(table, sentence):
    with pytest.raises(InputError, match=sentence):
        read_groups(pl.DataFrame(table))


def test_columns_of_groups_may_be_called_as_their_providers_do():
    assert read_groups(pl.DataFrame({"Ticker": ["A"], "Sector": ["bank"]})) == {"A": "bank"}
    assert read_groups(pl.DataFrame({"Ticker": ["A"], "Sector": ["bank"], "Group": ["mine"]})) == {"A": "mine"}


def test_a_file_of_groups_with_too_many_cells_in_a_row_is_one_sentence(tmp_path):
    (tmp_path / "groups.csv").write_text("symbol,group\nA,bank,big\n")
    with pytest.raises(InputError, match=r"groups.csv: cannot be read: a row has more fields than the first one.*$"):
        read_groups(tmp_path / "groups.csv")
