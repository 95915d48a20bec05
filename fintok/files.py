"""Tables and pages on disk: whole or not at all, and never over a file that is there."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vision.errors import InputError
from vision.files import check_output, write_bytes

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

TABLE_FORMATS = (".parquet", ".csv")


def check_table_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """:func:`check_output` for a table, whose name must end in .parquet or .csv."""
    if Path(path).suffix.lower() not in TABLE_FORMATS:
        raise InputError(f"{path}: a table is written as {' or '.join(TABLE_FORMATS)}, by the ending of its name")
    return check_output(path, overwrite=overwrite)


def write_table(table: pl.DataFrame, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write ``table`` as Parquet or CSV, by the ending of ``path``; return the path. Raises InputError."""
    path = check_table_output(path, overwrite=overwrite)
    buffer = io.BytesIO()
    if path.suffix.lower() == ".csv":
        _as_written(table).write_csv(buffer)
    else:
        table.write_parquet(buffer, compression="zstd")
    return write_bytes(buffer.getbuffer(), path)


def _as_written(table: pl.DataFrame) -> pl.DataFrame:
    """Dates of days without their midnight, and NaN as the empty field that it is in a file of text."""
    import polars as pl
    import polars.selectors as cs

    moments = table.select(cs.datetime())
    days = [column.name for column in moments if (column.dt.truncate("1d") == column).all()]
    return table.with_columns(cs.float().fill_nan(None), pl.col(days).cast(pl.Date))


def as_polars(table: pd.DataFrame) -> pl.DataFrame:
    """A result's table for polars: null for missing, dates in microseconds; a column without any value is text."""
    import polars as pl

    return pl.from_pandas(table).with_columns(
        pl.col(pl.Null).cast(pl.String), pl.col(pl.Datetime).dt.cast_time_unit("us")
    )


def read_table(path: str | Path, *, text: Sequence[str] = ()) -> pl.DataFrame:
    """A table that :func:`write_table` wrote; in CSV, columns of `text` are not read as numbers (symbols: 000001).

    Raises :class:`InputError` where it is something else.
    """
    import polars as pl

    path = Path(path)
    try:
        return (
            pl.read_csv(path, try_parse_dates=True, schema_overrides=dict.fromkeys(text, pl.String))
            if path.suffix.lower() == ".csv"
            else pl.read_parquet(path)
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path} cannot be read as a table: {' '.join(str(error).split())}") from error


def write_text(text: str, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write ``text`` in UTF-8; return the path. Raises :class:`InputError`."""
    return write_bytes(text.encode(), check_output(path, overwrite=overwrite))
