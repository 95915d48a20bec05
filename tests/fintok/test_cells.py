"""Cells found by name, and cells marked as data errors."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fintok.cells import locate, marked_cells, read_marks
from fintok.errors import InputError
from fintok.panel import Panel
from tests.fintok.fake_bundle import make_panel

PANEL = make_panel(np.zeros((6, 3)))  # 2000-01-03 to 2000-01-08, A00 to A02


@pytest.mark.parametrize("date", ["2000-01-05", pd.Timestamp("2000-01-05"), np.datetime64("2000-01-05")])
def test_a_cell_is_found_by_date_and_symbol(date):
    assert locate(PANEL.dates, PANEL.assets, date, "A01") == (2, 1)


@pytest.mark.parametrize(
    ("date", "symbol", "sentence"),
    [
        ("2000-01-05", "ZZZ", "no asset 'ZZZ' among these 3; the first ones are"),
        ("2000-01-05", "a01", r"no asset 'a01' among these 3; did you mean 'A01'\?"),
        ("2000-01", "A01", "2000-01 has 6 rows here; give the day as well, as in 2000-01-03$"),
        ("2000-01-20", "A01", "no date 2000-01-20"),
        ("1999-01-01", "A01", "no date"),
        ("soon", "A01", "'soon' is not a date"),
    ],
)
def test_what_is_not_there_is_named(date, symbol, sentence):
    with pytest.raises(InputError, match=sentence):
        locate(PANEL.dates, PANEL.assets, date, symbol)


MARKS = {"date": ["2000-01-04", "2000-01-06", "2031-01-01", "2000-01-06"], "symbol": ["A02", "A00", "A00", "GONE"]}


@pytest.mark.parametrize("kind", ["pandas", "pandas dates", "polars", "pyarrow", "csv", "parquet"])
def test_marks_come_in_any_table_and_those_of_other_panels_mark_nothing(kind, tmp_path):
    table = pl.DataFrame(MARKS)
    marks: object = table
    match kind:
        case "pandas":
            marks = table.to_pandas()
        case "pandas dates":
            marks = table.to_pandas().astype({"date": "datetime64[ns]"})
        case "pyarrow":
            marks = table.to_arrow()
        case "csv":
            table.write_csv(marks := tmp_path / "marks.csv")
        case "parquet":
            table.write_parquet(marks := tmp_path / "marks.parquet")
    cells = marked_cells(marks, PANEL)
    assert np.argwhere(cells).tolist() == [[1, 2], [3, 0]]


def test_spaces_around_a_symbol_do_not_count():
    marks = pl.DataFrame({**MARKS, "symbol": [" A02", "A00 ", "A00", "GONE"]})
    assert np.argwhere(marked_cells(marks, PANEL)).tolist() == [[1, 2], [3, 0]]


def test_of_verdicts_only_data_errors_count():
    verdicts = pl.DataFrame({**MARKS, "verdict": ["news", "Data error", "noise", None]})
    assert np.argwhere(marked_cells(verdicts, PANEL)).tolist() == [[3, 0]]
    assert not marked_cells(verdicts.clear(), PANEL).any()
    spelled = verdicts.with_columns(verdict=pl.Series(["data_error", "Data-Errors", "wrong", "data error?"]))
    marks = read_marks(spelled, PANEL)
    assert np.argwhere(marks.cells).tolist() == [[1, 2], [3, 0]]
    assert marks.verdicts == ("wrong", "data error?")


def test_columns_of_marks_may_be_called_as_a_panels():
    marks = pl.DataFrame({"Date": MARKS["date"], "Ticker": MARKS["symbol"], "Verdict": "Data error"})
    assert np.argwhere(marked_cells(marks, PANEL)).tolist() == [[1, 2], [3, 0]]


def test_a_file_of_marks_with_too_many_cells_in_a_row_is_one_sentence(tmp_path):
    (tmp_path / "marks.csv").write_text("date,symbol\n2000-01-04,A00,why\n")
    with pytest.raises(InputError, match=r"marks.csv: cannot be read: a row has more fields than the first one.*$"):
        marked_cells(tmp_path / "marks.csv", PANEL)


def test_a_table_of_something_else_is_refused():
    with pytest.raises(InputError, match="no column 'symbol'"):
        marked_cells(pl.DataFrame({"date": ["2000-01-04"]}), PANEL)


@pytest.mark.parametrize("as_text", [True, False])
def test_a_midnight_among_hours_is_an_hour_of_its_zone(as_text):
    hours = np.datetime64("2020-03-15", "h") + np.arange(72)
    panel = Panel.from_arrays(np.full((72, 2), 0.01), hours, ["A", "B"], values="returns")
    midnight = pl.Series(["2020-03-16T00:00:00-0400"])
    if not as_text:
        midnight = midnight.str.to_datetime("%Y-%m-%dT%H:%M:%S%z").dt.convert_time_zone("America/New_York")
    cells = marked_cells(pl.DataFrame({"date": midnight, "symbol": ["B"]}), panel)
    assert np.argwhere(cells).tolist() == [[28, 1]]  # 04:00 UTC
