"""What people made of alerts: verdicts and notes in a database that several browsers and programs share."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event, exc

from fintok import InputError

if TYPE_CHECKING:
    import polars as pl

VERDICTS = ("open", "data error", "news", "noise")
MAX_NOTE = 2_000  # characters
_ATTEMPTS = 5  # to mark what others mark at the same moment

_metadata = sa.MetaData()
MARKS = sa.Table(
    "marks",
    _metadata,
    sa.Column("date", sa.String(32), primary_key=True),  # ISO, as 2020-03-16 or 2020-03-16T15:00
    sa.Column("symbol", sa.String(256), primary_key=True),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),  # how often this alert was marked
    sa.Column("marked_at", sa.String(32), nullable=False),  # UTC
)


class Mark(NamedTuple):
    """One alert's verdict and note."""

    date: str
    symbol: str
    verdict: str
    note: str


@dataclass(frozen=True)
class Store:
    """Marks by (date, symbol), in any database of SQLAlchemy. What was answered as stored outlives a kill.

    SQLite runs with a write-ahead log and synchronous commits; a mark is one transaction, so it is there whole or
    not at all. The last mark of an alert wins, and every reader sees it.
    """

    engine: sa.Engine

    @classmethod
    def open(cls, url: str) -> Store:
        """The store at a SQLAlchemy URL, with its table. Raises InputError where there is none to be had."""
        try:
            engine = sa.create_engine(url)
        except (exc.ArgumentError, exc.NoSuchModuleError, ImportError) as error:
            raise InputError(f"--store is not a database that can be opened: {_gist(error)}") from error
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _prepare_sqlite)
        try:
            _metadata.create_all(engine)
        except exc.SQLAlchemyError as error:
            place = engine.url.render_as_string(hide_password=True)
            raise InputError(f"the store {place} cannot be used: {_gist(error)}") from error
        return cls(engine)

    @classmethod
    def beside(cls, folder: Path) -> Store:
        """The SQLite file in a folder, which is made where it is missing. Raises InputError."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"cannot keep marks in {folder} ({error.strerror}); name a database with --store"
            raise InputError(reason) from error
        return cls.open(sa.URL.create("sqlite", database=str(folder / "marks.sqlite")).render_as_string())

    def mark(self, alerts: Sequence[tuple[str, str]], *, verdict: str | None = None, note: str | None = None) -> None:
        """Give alerts, as (date, symbol), a verdict or a note; what is None stays as it was. Raises InputError."""
        if verdict is not None and verdict not in VERDICTS:
            raise InputError(f"{verdict!r} is no verdict; choose from {', '.join(VERDICTS)}")
        if note is not None and len(note) > MAX_NOTE:
            raise InputError(f"the note has {len(note):,} characters; {MAX_NOTE:,} are the most")
        if any("\0" in text for text in (note or "", *(name for alert in alerts for name in alert))):
            raise InputError("a note, a date or a symbol holds a NUL character, which not every database can keep")
        changes = {name: value for name, value in (("verdict", verdict), ("note", note)) if value is not None}
        if not alerts or not changes:
            return
        for attempt in range(_ATTEMPTS):
            try:
                return self._write(sorted(set(alerts)), changes)
            except exc.IntegrityError:  # somebody else was the first to mark one of them, a moment ago
                if attempt == _ATTEMPTS - 1:
                    raise

    def _write(self, alerts: Sequence[tuple[str, str]], changes: dict[str, str]) -> None:
        """One transaction: renew the marks that are there, insert the others."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        renewed = {**changes, "revision": MARKS.c.revision + 1, "marked_at": now}
        fresh = {"verdict": "open", "note": "", **changes, "revision": 1, "marked_at": now}
        with self.engine.begin() as connection:
            for date, symbol in alerts:
                known = (MARKS.c.date == date) & (MARKS.c.symbol == symbol)
                if connection.execute(MARKS.update().where(known).values(renewed)).rowcount == 0:
                    connection.execute(MARKS.insert().values(date=date, symbol=symbol, **fresh))

    def marks(self) -> list[Mark]:
        """All marks, by date and symbol."""
        columns = [MARKS.c[name] for name in Mark._fields]
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(*columns).order_by(MARKS.c.date, MARKS.c.symbol))
            return [Mark(*row) for row in rows]

    def revision(self) -> int:
        """A number that grows with every mark, whoever makes it."""
        with self.engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.coalesce(sa.func.sum(MARKS.c.revision), 0))).scalar_one())

    def data_errors(self) -> pl.DataFrame:
        """Columns date and symbol of what is marked as data error: what the next calibration leaves out."""
        import polars as pl

        chosen = sa.select(MARKS.c.date, MARKS.c.symbol).where(MARKS.c.verdict == "data error")
        with self.engine.connect() as connection:
            rows = connection.execute(chosen.order_by(MARKS.c.date, MARKS.c.symbol)).all()
        return pl.DataFrame([tuple(row) for row in rows], {"date": pl.String, "symbol": pl.String}, orient="row")


def _prepare_sqlite(connection: Any, _: object) -> None:
    """Readers never wait for a writer, a writer waits its turn, and a commit is on the disk when it returns."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _gist(error: BaseException) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())
