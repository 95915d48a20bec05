"""CSV files as spreadsheets, terminals and web sites write them: separators, lines above the header, two headers."""

import csv
import gzip
import re
from itertools import accumulate
from pathlib import Path

import polars as pl

from fintok.errors import InputError
from fintok.numbers import with_decimal_points
from fintok.pandas_tables import from_pandas
from fintok.spellings import OF_ONE_ASSET, plain

_MARKS = ",;\t|"
_NUM_FIRST = 30  # lines in which the header is looked for
_NO_NAME = r"[\d\s.,:/+-]+"


def scan_csv(path: Path) -> tuple[pl.LazyFrame, str]:
    """Open a CSV file, gzip or not -> its columns, all text, and what separates them.

    Lines above the header (a site's address, ``sep=;``) are passed over, and so are lines that hold nothing; a decimal
    comma becomes a point. Raises InputError for a file without names of columns.
    """
    lines = _first_lines(path)
    is_told = re.fullmatch(r"sep=[,;\t|]", lines[0].strip().lower()) is not None  # as Excel reads it
    above = 1 if is_told else next((n for n, line in enumerate(lines) if any(mark in line for mark in _MARKS)), 0)
    separator = lines[0][4] if is_told else max(_MARKS, key=lines[above].count)
    header = [_cells(line, separator) for line in lines[above : above + 3]]
    if len(header[0]) > 1 and all(re.fullmatch(_NO_NAME, cell) for cell in header[0]):
        raise InputError(
            f"{path}: the first row holds numbers, not the names of columns; put names above it, as "
            "date,open,high,low,close,volume"
        )
    num_headers = _count_headers(header)
    if num_headers > 1:
        frame = _with_two_headers(path, separator, above, num_headers, header)
    else:
        frame = pl.scan_csv(path, separator=separator, infer_schema=False, skip_lines=above)
    frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    return with_decimal_points(frame, path) if separator == ";" else frame, separator


def _first_lines(path: Path) -> list[str]:
    with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as stream:
        return [stream.readline().decode("utf-8-sig") for _ in range(_NUM_FIRST)]


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]


def _count_headers(rows: list[list[str]]) -> int:
    """One; two where the second row names fields (PX_LAST) and the first does not, as terminals write them; three
    where the third holds the index's name and nothing else, as pandas writes two levels of columns.
    """
    first, second, third = rows
    if len(third) > 1 and third[0].isalpha() and not any(third[1:]):
        return 3
    fields, names = ({plain(cell) for cell in row[1:] if cell} for row in (second, first))
    return 2 if fields and fields <= OF_ONE_ASSET and not names & OF_ONE_ASSET else 1


def _with_two_headers(path: Path, separator: str, above: int, num_headers: int, rows: list[list[str]]) -> pl.LazyFrame:
    """Two levels of columns -> a long table; a cell of the first row stands for the empty ones after it."""
    import pandas as pd

    table = pd.read_csv(path, sep=separator, header=None, skiprows=above + num_headers, index_col=0, dtype=str)
    tops = list(accumulate(rows[0][1:], lambda before, cell: cell or before))
    table.columns = pd.MultiIndex.from_arrays([tops, rows[1][1:]])
    return from_pandas(table)
