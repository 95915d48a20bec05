"""Where a panel comes from: a file, a folder of files or a data frame, opened lazily as one polars table."""

import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import polars as pl

from fintok.errors import InputError, first_line
from fintok.pandas_tables import from_pandas, in_two_levels
from fintok.spellings import USUAL, plain
from fintok.spreadsheets import scan_csv, scan_excel

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
    **dict.fromkeys((".xlsx", ".xlsm", ".xlsb", ".xls"), "Excel"),
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
    commas_group: bool = False  # a comma inside a number can only group thousands, since commas separate columns

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

    A folder is read with all files below it, hidden ones (. or _ or ~$ in front) left out; folders named key=value
    give a column. Raises InputError for what does not exist, is empty, or is not what its name says.
    """
    if isinstance(source, str | PathLike):
        path = Path(source).expanduser()  # pyright: ignore[reportArgumentType]
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(source)) and not path.exists():  # a Path has lost a slash
            raise InputError(f"{source}: fintok reads no URLs: download it first")
        if path.is_dir():
            return _scan_folder(path, str(source))
        frame, commas_group = _scan_file(path)
        return Table(frame, str(source), commas_group=commas_group)
    if isinstance(source, pl.DataFrame | pl.LazyFrame):
        return Table(in_two_levels(source.lazy()), "the polars table")
    library = next((name for name in _libraries(source) if name in ("pandas", "pyarrow")), _libraries(source)[0])
    if library == "pandas" and getattr(getattr(source, "index", None), "nlevels", 1) == 2:  # a Series, or a table
        source = source if hasattr(source, "columns") else source.to_frame(source.name or "price")  # pyright: ignore
    if library == "pandas" and hasattr(source, "columns"):
        return Table(in_two_levels(from_pandas(source)), "the pandas table")
    if library == "pyarrow" or (library != "pandas" and hasattr(source, "__arrow_c_stream__")):  # DuckDB's relations
        try:
            read = pl.DataFrame(source).lazy()  # pyright: ignore[reportArgumentType]
            return Table(in_two_levels(read), f"the {library} table")
        except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
            raise InputError(f"the {library} table: {first_line(error)}") from error
    kind = f"{type(source).__module__}.{type(source).__name__}"
    raise InputError(f"a panel is a path or a pandas, polars or pyarrow table, got {kind}")


def _libraries(source: object) -> list[str]:
    """Where the class and those it is made of come from: geopandas makes pandas tables."""
    return [kind.__module__.split(".")[0] for kind in type(source).__mro__]


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
        and not any(part.startswith((".", "_", "~$")) for part in path.relative_to(folder).parts)
    )
    if not files:
        raise InputError(f"{name}: the folder holds no Parquet, CSV, Excel or Arrow file")
    kinds = sorted({str(_format_of(path)) for path in files})
    if len(kinds) > 1:
        raise InputError(f"{name}: the folder holds {' and '.join(kinds)} files; keep one kind")
    frames, partitions, commas_group = [], {}, True
    spelling: dict[str, str] = {}  # of each usual name, as the first file has it
    for path in files:
        scanned, is_by_commas = _scan_file(path)
        frame, commas_group = _spelled(scanned, spelling), commas_group and is_by_commas
        present = set(frame.collect_schema().names())
        pairs = [part.split("=", 1) for part in path.relative_to(folder).parts[:-1] if "=" in part]
        keys = {key: value for key, value in pairs if key not in present}
        partitions |= keys
        if len(files) > 1:
            keys[FILE] = stem(path)
        frames.append(frame.with_columns(pl.lit(value).alias(key) for key, value in keys.items()))
    frame = pl.concat(frames, how="diagonal_relaxed") if len(frames) > 1 else frames[0]
    parts = tuple(Part(str(path), part) for path, part in zip(files, frames, strict=True))
    return Table(frame, name, tuple(partitions), parts, commas_group)


def _spelled(frame: pl.LazyFrame, spelling: dict[str, str]) -> pl.LazyFrame:
    """A file's usual columns called as in the files before (Close, close); `spelling` gains those that are new.

    Only usual names are brought together: of assets, whose columns these may be, nobody knows which are one.
    """
    names = frame.collect_schema().names()
    usual = [plain(name) for name in names if plain(name) in USUAL]
    known = {name: spelling.setdefault(plain(name), name) for name in names if usual.count(plain(name)) == 1}
    return frame.rename({name: known[name] for name in known if known[name] not in names})


def _scan_file(path: Path) -> tuple[pl.LazyFrame, bool]:
    """The file's table, and whether commas separate its columns."""
    kind, separator = _format_of(path), ""
    try:
        str(path).encode()  # polars takes no other names
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder")
        with path.open("rb") as stream:
            head = stream.read(6)
        if not head:
            raise InputError(f"{path}: the file is empty")
        if kind is None:
            kind = "Parquet" if head[:4] == b"PAR1" else "Arrow" if head == b"ARROW1" else None
        if kind is None:
            raise InputError(f"{path}: not a kind of file that fintok reads; give .parquet, .csv, .xlsx or .arrow")
        if kind == "Parquet":
            if head[:4] != b"PAR1":
                raise InputError(f"{path}: the file is not Parquet, whatever its name says")
            frame = pl.scan_parquet(path, hive_partitioning=False)
        elif kind == "Arrow":
            is_file = head == b"ARROW1"
            frame = pl.scan_ipc(path, hive_partitioning=False) if is_file else pl.read_ipc_stream(path).lazy()
        else:
            frame, separator = (scan_excel if kind == "Excel" else scan_csv)(path)
        frame = in_two_levels(frame)
        names = frame.collect_schema().names()  # reads the footer or the header
    except InputError:
        raise
    except UnicodeEncodeError as error:
        raise InputError(f"{str(path)!a}: the name of the file is not UTF-8; rename it") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as {kind}: its text is not UTF-8; save it as UTF-8") from error
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as {kind or 'a table'}: {first_line(error)}") from error
    for name in names:
        base = name.rsplit("_duplicated_", 1)[0]
        if base != name and base in names:
            raise InputError(f"{path}: column {base!r} appears twice; give every column its own name")
    return frame, separator == ","
