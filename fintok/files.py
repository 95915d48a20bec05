"""Results on disk: whole or not at all, never over a file that is there, and errors that say what to do."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fintok.errors import InputError

if TYPE_CHECKING:
    import polars as pl

TABLE_FORMATS = (".parquet", ".csv")
_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, or choose another place",
    errno.EDQUOT: "your disk quota is used up: free some space, or choose another place",
    errno.EACCES: "you may not write there: choose another place",
    errno.EPERM: "you may not write there: choose another place",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another place",
    errno.EEXIST: "a part of the path is a file, not a folder: choose another place",
    errno.EISDIR: "it is a folder: name a file",
    errno.ENAMETOOLONG: "the name is too long: choose another",
}


def explain_write_error(error: OSError, path: str | Path | None = None) -> InputError | None:
    """The :class:`InputError` for a full disk, a read-only folder and the like; None for others."""
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    place = path if path is not None else error.filename
    return InputError(f"cannot write {place or 'the output'}: {remedy}")


def check_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """Refuse before any long work what :func:`write_table` or :func:`write_text` would refuse after it.

    Creates the folder of ``path``. Raises :class:`InputError` where ``path`` exists and ``overwrite`` is
    False, is a folder, or lies in a folder that cannot be made or written to.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder: name a file")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: choose another name, or allow it with --overwrite")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise explain_write_error(error, path) or error from error
    return path


def check_table_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """:func:`check_output` for a table, whose name must end in .parquet or .csv."""
    if Path(path).suffix.lower() not in TABLE_FORMATS:
        raise InputError(
            f"{path}: a table is written as {' or '.join(TABLE_FORMATS)}, by the ending of its name"
        )
    return check_output(path, overwrite=overwrite)


def write_table(table: pl.DataFrame, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write ``table`` as Parquet or CSV, by the ending of ``path``; return the path. Raises InputError."""
    path = check_table_output(path, overwrite=overwrite)
    buffer = io.BytesIO()
    if path.suffix.lower() == ".csv":
        table.write_csv(buffer)
    else:
        table.write_parquet(buffer, compression="zstd")
    return _replace(path, buffer.getbuffer())


def read_table(path: str | Path) -> pl.DataFrame:
    """A table that :func:`write_table` wrote. Raises :class:`InputError` where it is something else."""
    import polars as pl

    path = Path(path)
    try:
        return (
            pl.read_csv(path, try_parse_dates=True)
            if path.suffix.lower() == ".csv"
            else pl.read_parquet(path)
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path} cannot be read as a table: {' '.join(str(error).split())}") from error


def write_text(text: str, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write ``text`` in UTF-8; return the path. Raises :class:`InputError`."""
    return _replace(check_output(path, overwrite=overwrite), text.encode())


def _replace(path: Path, content: bytes | memoryview) -> Path:
    """Fill a temporary file, then rename it: a reader sees the old file or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise explain_write_error(error, path) or error from error
    finally:
        temporary.unlink(missing_ok=True)
    return path
