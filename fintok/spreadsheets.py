"""CSV and Excel files as people, terminals and web sites write them: lines above the header, two headers, commas."""

import csv
import gzip
import io
import re
import sys
from itertools import accumulate
from pathlib import Path

import polars as pl

from fintok.errors import InputError, first_line
from fintok.numbers import with_decimal_points
from fintok.pandas_tables import from_pandas
from fintok.spellings import OF_ONE_ASSET, plain

_MARKS = ",;\t|"
_NUM_FIRST = 32  # lines in which the header is looked for
_NO_NAME = r"[\d\s.,:/+-]+"


def scan_csv(path: Path, content: bytes | None = None) -> tuple[pl.LazyFrame, str]:
    """Open a CSV file, gzip or not -> its columns, all text, and what separates them.

    Lines above the header (a site's address, ``sep=;``) are passed over, and so are lines that hold nothing; a decimal
    comma becomes a point. `content` is the file's, where it has been read. Raises InputError for a file without names
    of columns.
    """
    lines = _first_lines(path, content)
    is_told = re.fullmatch(r"sep=[,;\t|]", lines[0].strip().lower()) is not None  # as Excel reads it
    above = 1 if is_told else next((n for n, line in enumerate(lines[:-2]) if any(mark in line for mark in _MARKS)), 0)
    separator = lines[0][4] if is_told else max(_MARKS, key=lines[above].count)
    header = [_cells(line, separator) for line in lines[above : above + 3]]
    if len(header[0]) > 1 and all(re.fullmatch(_NO_NAME, cell) for cell in header[0]):
        raise InputError(
            f"{path}: the first row holds numbers, not the names of columns; put names above it, as "
            "date,open,high,low,close,volume"
        )
    num_headers = _count_headers(header)
    if num_headers > 1:
        import pandas as pd

        source = path if content is None else io.BytesIO(content)
        rows = pd.read_csv(source, sep=separator, header=None, skiprows=above + num_headers, index_col=0, dtype=str)
        tops = accumulate(header[0][1:], lambda before, cell: cell or before)  # one cell may stand for several
        rows.columns = pd.MultiIndex.from_arrays([[*tops], header[1][1:]])
        frame = from_pandas(rows)
    else:
        frame = pl.scan_csv(content or path, separator=separator, infer_schema=False, skip_lines=above)
    frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    return with_decimal_points(frame, path) if separator == ";" else frame, separator


def scan_excel(path: Path) -> tuple[pl.LazyFrame, str]:
    """Open the first sheet of an Excel file, as :func:`scan_csv`. Raises InputError where fastexcel is missing."""
    try:
        import fastexcel
    except ImportError as error:
        raise InputError(
            f'{path}: Excel files need fastexcel: pip install "fintok[excel]"; or save it as CSV'
        ) from error
    try:
        book = fastexcel.read_excel(path)
        sheet = book.load_sheet(0, header_row=None, dtypes="string").to_polars()
    except fastexcel.FastExcelError as error:
        raise InputError(f"{path}: cannot be read as Excel: {first_line(error)}") from error
    if len(book.sheet_names) > 1:
        print(f"{path}: the first of {len(book.sheet_names)} sheets is read, {book.sheet_names[0]!r}", file=sys.stderr)
    sheet = sheet.filter(pl.any_horizontal(pl.all().is_not_null()))
    above = int((sheet.select(pl.sum_horizontal(pl.all().is_not_null()) > 1).to_series().arg_max()) or 0)
    return scan_csv(path, sheet[above:].write_csv(include_header=False).encode())


def _first_lines(path: Path, content: bytes | None) -> list[str]:
    is_zipped = path.suffix.lower() == ".gz"
    with io.BytesIO(content) if content is not None else gzip.open(path) if is_zipped else path.open("rb") as stream:
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
