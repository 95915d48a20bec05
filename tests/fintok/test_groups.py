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


@pytest.mark.parametrize("is_index", [False, True])
def test_groups_may_be_a_table(is_index):
    table = pd.DataFrame({"symbol": ["A", "B"], "group": ["bank", "oil"]})
    table = table.set_index("symbol") if is_index else table
    assert group_names(table, ("B", "A", "C")).tolist() == ["oil", "bank", "other"]
    assert group_names({1: "bank"}, ("1", "2")).tolist() == ["bank", "other"]


def test_groups_that_name_no_asset_or_one_twice_are_refused():
    with pytest.raises(InputError, match="groups: none of its 1 symbols is in the panel; the first is 'a', where"):
        group_names({"a": "bank"}, ("A", "B"))
    with pytest.raises(InputError, match="groups: 'A' is named more than once; give every symbol one group"):
        group_names(pd.Series(["bank", "oil"], index=["A", "A"]), ("A", "B"))
