"""Which column is which."""

import polars as pl
import pytest

from fintok.columns import find_columns, listed, plain
from fintok.errors import InputError
from fintok.tables import Table


def columns_of(**columns: object):
    return find_columns(Table(pl.LazyFrame(columns), "here"), "prices", None, None, None)


def test_names_are_compared_without_case_and_signs():
    assert plain(" Adj. Close*") == "adj_close"
    assert plain("__index_level_0__") == "index_level_0"
    assert listed([f"c{i}" for i in range(10)]).endswith("'c7' and 2 more")
    assert listed([]) == "no columns"


def test_a_date_is_found_by_name_then_by_type_then_as_an_index():
    assert columns_of(A=[1.0], Date=["2020-01-01"]).date == "Date"
    assert columns_of(A=[1.0], when=pl.Series(["2020-01-01"]).str.to_date()).date == "when"
    assert columns_of(**{"Unnamed: 0": ["2020-01-01"], "A": [1.0]}).date == "Unnamed: 0"
    assert columns_of(A=[1.0], B=[1.0], date=[20170113.0]).date == "date"
    with pytest.raises(InputError, match="no date column among 'A', 'B'"):
        columns_of(A=[1.0], B=[2.0])


def test_a_long_table_prefers_an_adjusted_close_and_keeps_bars_in_order():
    found = columns_of(date=["2020-01-01"], ticker=["A"], Volume=[1], Close=[1.0], Open=[1.0], adjusted=[1.0])
    assert (found.symbol, found.price, found.assets) == ("ticker", "adjusted", ())
    assert found.fields == {"open": "Open", "close": "Close", "volume": "Volume"}
    assert list(found.fields) == ["open", "close", "volume"]


def test_of_two_columns_for_one_field_the_first_counts():
    found = columns_of(date=["2020-01-01"], symbol=["A"], close=[1.0], Vol=[5.0], volume=[7.0])
    assert found.fields["volume"] == "Vol"


@pytest.mark.parametrize("name", ["DAY", "DT", "TIME"])
def test_an_asset_may_be_called_as_a_date_is(name):
    when = pl.Series(["2020-01-01", "2020-01-02"])
    assert columns_of(**{"": when, name: [99.63, 98.0]}).date == ""
    assert columns_of(**{"": when, name: ["99.63", "98"]}).date == ""
    assert columns_of(**{name: [99.63, 98.0], "__index_level_0__": when.str.to_date()}).date == "__index_level_0__"


def test_an_asset_may_be_called_as_a_symbol_is_and_have_no_value_or_whole_ones():
    dates = ["2020-01-01", "2020-01-02"]
    assert columns_of(date=dates, COIN=[None, None], A=[1.5, 2.5]).symbol is None
    assert columns_of(date=dates, COIN=[100, 101], A=[1.5, 2.5]).symbol is None
    with pytest.raises(InputError, match="no price column"):  # dates repeat: a long table, whose price is unknown
        columns_of(date=["2020-01-01"] * 2, COIN=[100, 101], A=[1.5, 2.5])


def test_a_wide_table_takes_every_other_column_for_an_asset():
    found = columns_of(date=["2020-01-01"], SP500=[1.0], code=[2.5])
    assert (found.symbol, found.assets) == (None, ("SP500", "code"))


def test_the_counter_that_pandas_writes_is_no_asset():
    assert columns_of(**{"": [0]}, date=["2020-01-01"], A=[1.0], B=[1.0]).assets == ("A", "B")
    assert columns_of(**{"Unnamed: 0": [0]}, date=["2020-01-01"], A=[1.0], B=[1.0]).assets == ("A", "B")
    with pytest.raises(InputError, match="a column has no name"):
        columns_of(date=["2020-01-01"], A=[1.0], B=[1.0], **{"": [None]})


@pytest.mark.parametrize("name", ["__index_level_0__", "level_0", "index", "Unnamed: 0"])
def test_an_index_of_whole_numbers_is_no_asset_wherever_it_stands(name):
    dates = ["2020-01-01", "2020-01-02", "2020-01-03"]
    assert columns_of(date=dates, A=[1.0] * 3, B=[1.0] * 3, **{name: [3, 7, 9]}).assets == ("A", "B")
    assert name in columns_of(date=dates, A=[1.0] * 3, **{name: [1.5, 2.5, 3.5]}).assets


def test_an_asset_called_index_may_have_whole_prices():
    dates = ["2020-01-01", "2020-01-02", "2020-01-03"]
    assert columns_of(date=dates, A=[1.0] * 3, INDEX=[100, 99, 101]).assets == ("A", "INDEX")


def test_a_column_of_decimals_is_no_symbol_even_beside_one_named_as_a_price():
    found = columns_of(date=["2020-01-01"], ID=[2.5], LAST=[7.5], B=[1.5])
    assert (found.symbol, found.assets) == (None, ("ID", "LAST", "B"))
    assert columns_of(date=["2020-01-01"], permno=[10001.0], price=[7.5]).symbol == "permno"
