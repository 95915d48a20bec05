"""Where a panel comes from: a file, a folder of files or a data frame, opened lazily as one polars table."""

import csv
import gzip
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from fintok.errors import InputError
from fintok.spellings import OF_ONE_ASSET, USUAL, plain

FILE = "__file__"  # column with the file's name, where a folder holds one file per symbol
_FORMATS = {
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".csv": "CSV",
    ".csv.gz": "CSV",
    ".tsv": "CSV",
    ".txt": "text",  # of CSV's form: stooq's files are called so, and the readme beside others
    ".arrow": "Arrow",
    ".feather": "Arrow",
    ".ipc": "Arrow",
}
MISSING = ["", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "<NA>", "NaN", "nan", "null", "NULL", "None", "-", "--", "."]


class Part(NamedTuple):
    """One file of a folder."""

    path: str
    frame: pl.LazyFrame  # its columns as the folder's first file spells them


class Table(NamedTuple):
    """A table that has not been read yet, and its name in messages."""

    frame: pl.LazyFrame
    name: str
    partitions: tuple[str, ...] = ()  # columns that come from the names of folders: never assets
    parts: tuple[Part, ...] = ()  # the files of a folder, in the order of their rows

    def where(self, row: int) -> tuple[str, int]:
        """The file that holds a row of the frame, or else the table, and the number of the row in it, from 1 on."""
        for part in self.parts:
            count = part.frame.select(pl.len()).collect().item()  # it is read once more
            if row < count:
                return part.path, row + 1
            row -= count
        return self.name, row + 1

    def read(self) -> pl.DataFrame:
        """The whole of it. Raises InputError where it cannot be read."""
        try:
            return self.frame.collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(f"{self.name}: cannot be read: {first_line(error)}") from error

    def both(self, rows: Sequence[int]) -> str:
        """Which rows two are, for a message."""
        (file, row), (other, last) = (self.where(int(row)) for row in rows[:2])
        return f"rows {row} and {last}" if file == other else f"row {row} of {file} and row {last} of {other}"


def open_table(source: object) -> Table:
    """Open a path, or a pandas, polars or pyarrow table. CSV columns come as text, to be parsed by the reader;
    lines that hold nothing are passed over.

    A folder is read with all files below it, hidden ones (. or _ in front) left out; folders named key=value
    give a column. Raises InputError for what does not exist, is empty, or is not what its name says.
    """
    if isinstance(source, str | PathLike):
        path = Path(source).expanduser()  # pyright: ignore[reportArgumentType]
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(source)) and not path.exists():  # a Path has lost a slash
            raise InputError(f"{source}: fintok reads no URLs: download it first")
        if path.is_dir():
            return _scan_folder(path, str(source))
        return Table(_scan_file(path), str(source))
    if isinstance(source, pl.DataFrame | pl.LazyFrame):
        return Table(source.lazy(), "the polars table")
    library = type(source).__module__.split(".")[0]
    if library == "pandas" and type(source).__name__ == "Series" and source.index.nlevels == 2:  # pyright: ignore
        source = source.to_frame(source.name or "price")  # pyright: ignore
    if library == "pandas" and hasattr(source, "columns"):
        return Table(_from_pandas(source), "the pandas table")
    if library == "pyarrow":
        try:
            return Table(pl.DataFrame(pl.from_arrow(source)).lazy(), "the pyarrow table")  # pyright: ignore
        except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
            raise InputError(f"the pyarrow table: {first_line(error)}") from error
    kind = f"{type(source).__module__}.{type(source).__name__}"
    raise InputError(f"a panel is a path or a pandas, polars or pyarrow table, got {kind}")


def first_line(error: Exception) -> str:
    """The gist of a library's error."""
    lines = str(error).strip().splitlines()
    if lines and "more fields than defined" in lines[0]:
        return "a row has more fields than the first one, which names the columns"
    return lines[0][:200] if lines else type(error).__name__


def _format_of(path: Path) -> str | None:
    name = path.name.lower()
    return next((kind for suffix, kind in _FORMATS.items() if name.endswith(suffix)), None)


def stem(file: str | Path) -> str:
    """The file's name without the suffix of its format: "BRK.B.csv.gz" -> "BRK.B"."""
    path = Path(file)
    suffix = max((suffix for suffix in _FORMATS if path.name.lower().endswith(suffix)), key=len)
    return path.name[: -len(suffix)]


def _scan_folder(folder: Path, name: str) -> Table:
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and _format_of(path)
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    )
    if not files:
        raise InputError(f"{name}: the folder holds no Parquet, CSV or Arrow file")
    kinds = sorted({str(_format_of(path)) for path in files})
    if len(kinds) > 1:
        raise InputError(f"{name}: the folder holds {' and '.join(kinds)} files; keep one kind")
    frames, partitions = [], {}
    spelling: dict[str, str] = {}  # of each usual name, as the first file has it
    for path in files:
        frame = _spelled(_scan_file(path), spelling)
        present = set(frame.collect_schema().names())
        pairs = [part.split("=", 1) for part in path.relative_to(folder).parts[:-1] if "=" in part]
        keys = {key: value for key, value in pairs if key not in present}
        partitions |= keys
        if len(files) > 1:
            keys[FILE] = stem(path)
        frames.append(frame.with_columns(pl.lit(value).alias(key) for key, value in keys.items()))
    frame = pl.concat(frames, how="diagonal_relaxed") if len(frames) > 1 else frames[0]
    parts = tuple(Part(str(path), part) for path, part in zip(files, frames, strict=True))
    return Table(frame, name, tuple(partitions), parts)


def _spelled(frame: pl.LazyFrame, spelling: dict[str, str]) -> pl.LazyFrame:
    """A file's usual columns called as in the files before (Close, close); `spelling` gains those that are new.

    Only usual names are brought together: of assets, whose columns these may be, nobody knows which are one.
    """
    names = frame.collect_schema().names()
    usual = [plain(name) for name in names if plain(name) in USUAL]
    known = {name: spelling.setdefault(plain(name), name) for name in names if usual.count(plain(name)) == 1}
    return frame.rename({name: known[name] for name in known if known[name] not in names})


def _scan_file(path: Path) -> pl.LazyFrame:
    kind = _format_of(path)
    try:
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder")
        with path.open("rb") as stream:
            head = stream.read(6)
        if not head:
            raise InputError(f"{path}: the file is empty")
        if kind is None:
            kind = "Parquet" if head[:4] == b"PAR1" else "Arrow" if head == b"ARROW1" else None
        if kind is None:
            raise InputError(f"{path}: not a kind of file that fintok reads; give .parquet, .csv or .arrow")
        if kind == "Parquet":
            if head[:4] != b"PAR1":
                raise InputError(f"{path}: the file is not Parquet, whatever its name says")
            frame = pl.scan_parquet(path, hive_partitioning=False)
            if any(re.fullmatch(r"\('.*', '.*'\)", name) for name in frame.collect_schema().names()):
                frame = _from_pandas(_pandas().read_parquet(path))  # columns of two levels, as pandas writes them
        elif kind == "Arrow":
            is_file = head == b"ARROW1"
            frame = pl.scan_ipc(path, hive_partitioning=False) if is_file else pl.read_ipc_stream(path).lazy()
        else:
            lines = _first_lines(path)
            is_told = re.fullmatch(r"sep=[,;\t|]", lines[0].strip("\r\n").lower()) is not None  # as Excel reads it
            separator = lines[0][4] if is_told else max(",;\t|", key=lines[0].count)
            if _has_two_headers(lines, separator):
                table = _pandas().read_csv(path, sep=separator, header=[0, 1], index_col=0, dtype=str)
                frame = _from_pandas(table)
            else:
                frame = pl.scan_csv(path, separator=separator, infer_schema=False, skip_rows=int(is_told))
            frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
            if separator == ";":  # where a semicolon separates, a comma is a decimal point
                _refuse_thousands(frame, path)
                number = r"^(\s*[+-]?\d*),(\d+(?:[eE][+-]?\d+)?\s*)$"
                frame = frame.with_columns(pl.all().str.replace(number, "$1.$2"))
        names = frame.collect_schema().names()  # reads the footer or the header
    except InputError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as {kind}: its text is not UTF-8; save it as UTF-8") from error
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as {kind or 'a table'}: {first_line(error)}") from error
    for name in names:
        base = name.rsplit("_duplicated_", 1)[0]
        if base != name and base in names:
            raise InputError(f"{path}: column {base!r} appears twice; give every column its own name")
    return frame


def _refuse_thousands(frame: pl.LazyFrame, path: Path) -> None:
    """Raise InputError for a column whose every separator may stand for thousands: 1.234 beside 987, 12,345."""
    text = pl.all().str.strip_chars()
    marked = text.str.contains(r"[.,]\d")
    grouped = text.str.contains(r"^[+-]?[1-9]\d{0,2}([.,]\d{3})+$")
    found = frame.select(marked.any() & (grouped | ~marked).all()).collect().row(0, named=True)
    name = next((name for name, is_found in found.items() if is_found), None)
    if name is not None:
        column = pl.col(name)
        first = frame.select(column.filter(column.str.contains(r"[.,]\d")).first()).collect().item()
        raise InputError(
            f"{path}: numbers such as {first!r} in column {name!r} may have a separator of thousands or a decimal "
            "point; write them as 1234.5"
        )


def _pandas() -> Any:
    import pandas as pd

    return pd


def _first_lines(path: Path) -> list[str]:
    """The first three lines of a CSV file."""
    with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as stream:
        return [stream.readline().decode("utf-8-sig") for _ in range(3)]


def _has_two_headers(lines: list[str], separator: str) -> bool:
    """Whether pandas wrote two levels of columns: the third line then holds the index's name and nothing else."""
    cells = next(csv.reader(lines[2:], delimiter=separator), [])
    is_named = bool(cells) and cells[0].strip().isalpha()
    return is_named and len(cells) > 1 and not any(cell.strip() for cell in cells[1:])


def _from_pandas(frame: Any) -> pl.LazyFrame:
    """A pandas table with its index as columns; two levels of columns (field, symbol) become a long table.

    Of two levels of rows, one without a name is the date if it holds dates, else the symbol.
    """
    if frame.index.nlevels == 2:
        usual = ["date" if level.dtype.kind == "M" else "symbol" for level in frame.index.levels]
        frame = frame.rename_axis([name or other for name, other in zip(frame.index.names, usual, strict=True)])
    if frame.columns.nlevels == 2:
        levels = [{plain(str(name)) for name in frame.columns.get_level_values(level)} for level in (0, 1)]
        usual = [len(names & OF_ONE_ASSET) / max(len(names), 1) for names in levels]
        level = 0 if usual[1] > usual[0] else 1  # the level that names symbols
        frame = frame.copy(deep=False)
        frame.columns = frame.columns.set_names("symbol", level=level).set_names("field", level=1 - level)
        frame.index = frame.index.set_names("date")
        frame = frame.stack("symbol", future_stack=True)
    elif frame.columns.nlevels > 2:
        raise InputError("the pandas table has columns of more than two levels; give it one or two")
    if not frame.columns.is_unique:
        name = frame.columns[frame.columns.duplicated()][0]
        raise InputError(f"the pandas table: column {name!r} appears twice; give every column its own name")
    if type(frame.index).__name__ == "PeriodIndex":  # what a period holds is known at its end
        start, name = frame.index.start_time, frame.index.name
        unit = "D" if (start == start.normalize()).all() else "min"
        frame = frame.set_axis(frame.index.end_time.floor(unit).rename(name))
    for name in [name for name in frame.index.names if name is not None and name in frame.columns]:
        if not (frame.index.get_level_values(name) == frame[name]).all():
            raise InputError(f"the pandas table: {name!r} is an index and a column of other values; drop one of them")
        frame = frame.drop(columns=name)
    if type(frame.index).__name__ != "RangeIndex":
        is_counter = frame.index.nlevels == 1 and frame.index.name is None and frame.index.dtype.kind in "iu"
        frame = frame.reset_index(names="__index_level_0__" if is_counter else None)  # as it is called in Parquet
    frame = frame.rename(columns=str)
    try:
        try:
            return pl.from_pandas(frame).lazy()
        except (ValueError, TypeError):  # numbers beside text: all as text, and the reader names what is no number
            mixed = frame.select_dtypes(object).columns
            return pl.from_pandas(frame.astype(dict.fromkeys(mixed, "string"))).lazy()
    except (pl.exceptions.PolarsError, ValueError, TypeError, NotImplementedError) as error:
        raise InputError(f"the pandas table: {first_line(error)}") from error
