"""Numbers as people and vendors write them: 1,234.50, 8.109,68, $12.40, 33.87M, 1.5 %."""

from pathlib import Path

import polars as pl

from fintok.errors import InputError

_MARKS = r"[\s$€£¥₩₹]"
_SCALES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "%": 0.01}
_BY_COMMAS = r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$"
_BY_POINTS = r"^[+-]?\d{1,3}(\.\d{3})+(,\d+)?\D*$"
_DECIMAL_COMMA = r"^([\s$€£]*[+-]?\d*),(\d+(?:[eE][+-]?\d+)?[\s$€£%KMB]*)$"


def whole(column: pl.Series) -> pl.Series:
    """Whole numbers that a table with missing cells keeps as floats; other numbers as they are. NaN becomes null."""
    known = column.fill_nan(None)
    is_whole = bool((known.drop_nulls() == known.drop_nulls().floor()).all())
    return known.cast(pl.Int64, strict=False) if is_whole else known


def names_in(column: pl.Series) -> pl.Series:
    """Symbols, or groups of them, as text without blanks around it: 600000.0 is "600000" where all are whole."""
    column = whole(column) if column.dtype.is_float() else column
    return column.cast(pl.String).str.strip_chars()


def read_marked(texts: pl.Series, *, by_commas: bool) -> pl.Series:
    """Text -> Float64: without currency and commas of thousands, K, M, B, T and % multiplied out; null = no number.

    ``by_commas``: a comma can only group thousands. Otherwise some number must show it: 1,234.5 or 1,234,567.
    """
    bare = texts.str.replace_all(_MARKS, "")
    is_share = bare.str.ends_with("%")
    factor = bare.str.extract(r"([KMBT%])$").replace_strict(_SCALES, default=1.0, return_dtype=pl.Float64)
    bare = bare.str.strip_chars_end("".join(_SCALES))
    if by_commas or bare.str.contains(r"\d,\d{3}[,.]\d").any():
        is_grouped = bare.str.contains(_BY_COMMAS)
        bare = bare.str.replace_all(",", "", literal=True).zip_with(is_grouped.fill_null(False), bare)
    if is_share.any() and not is_share.all():  # some in percent: nobody knows what the others are
        bare = bare.set(is_share, None)
    return bare.cast(pl.Float64, strict=False) * factor


def with_decimal_points(frame: pl.LazyFrame, path: Path) -> pl.LazyFrame:
    """Text columns of a file in which semicolons separate: there a comma is a decimal point, and a point may group
    thousands, if one number shows it (8.109,68). Raises InputError for a column of which nobody can say.
    """
    columns = frame.collect_schema().names()

    def shows(pattern: str) -> bool:
        return bool(frame.select(pl.any_horizontal(pl.all().str.contains(pattern).any())).collect().item())

    if shows(r"\d,\d{3}\.\d"):
        return frame
    if shows(r"\d\.\d{3},\d"):
        text = {name: pl.col(name).str.strip_chars() for name in columns}
        frame = frame.with_columns(
            pl.when(text[name].str.contains(_BY_POINTS))
            .then(text[name].str.replace_all(".", "", literal=True))
            .otherwise(text[name])
            .alias(name)
            for name in columns
        )
    else:
        _refuse_thousands(frame, path)
    return frame.with_columns(pl.all().str.replace(_DECIMAL_COMMA, "$1.$2"))


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
