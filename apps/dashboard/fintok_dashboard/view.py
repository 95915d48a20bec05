"""What a page shows, as its address says it: a link opens the same view in another browser."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlencode

ORDERS = ("cluster", "group", "score", "name")
NOUNS = ("word", "code")


@dataclass(frozen=True, kw_only=True)
class View:
    """The state of all pages. Fields at their default are left out of the address.

    An address is text that anybody can write: what cannot be understood counts as not given, and names of assets
    and groups are looked up in the reading, never in the file system.
    """

    start: dt.date | None = None  # first date shown; None = the panel's first
    end: dt.date | None = None  # last date shown; None = the panel's last, new ones too
    alarms: float = 1.0  # per 1,000 asset-days
    group: str = ""  # "" = all assets
    asset: str = ""  # of the Asset page
    day: str = ""  # of the Asset page, ISO; "" = the latest alert in the range, of the asset or of all
    order: str = "cluster"  # of the rows of the Map
    top: int | None = None  # first and last row of the Map in that order; None = all
    bottom: int | None = None
    regimes: int = 4
    noun: str = "word"  # of the Vocabulary
    token: int | None = None  # the word or code that was clicked

    @classmethod
    def parse(cls, search: str | None) -> Self:
        """The view of a query string such as ``?alarms=2&asset=AAPL``."""
        given = dict(parse_qsl((search or "").lstrip("?"), max_num_fields=50))
        values: dict[str, Any] = {}
        for name, read in _READERS.items():
            if name in given:
                value = read(given[name])
                if value is not None:
                    values[name] = value
        view = cls(**values)
        return replace(view, start=None) if view.start and view.end and view.start > view.end else view

    def query(self) -> str:
        """The query string that :meth:`parse` reads; empty for the default view."""
        default = type(self)()
        given = {
            field.name: _text(getattr(self, field.name))
            for field in fields(self)
            if getattr(self, field.name) != getattr(default, field.name)
        }
        return f"?{urlencode(given)}" if given else ""

    def href(self, page: str, **changes: Any) -> str:
        """The address of a page in this view, with some fields changed."""
        return page + replace(self, **changes).query()


class Window(NamedTuple):
    """What is looked at, and through which window of a browser."""

    view: View
    size: dict[str, int] | None = None  # width and height, pixels; None = not yet told
    theme: str | None = None


def _text(value: object) -> str:
    return format(value, "g") if isinstance(value, float) else str(value)


def _date(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text[:10])
    except ValueError:
        return None


def _alarms(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0.0 < number <= 500.0 else None


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


_READERS = {
    "start": _date,
    "end": _date,
    "alarms": _alarms,
    "group": str,
    "asset": str,
    "day": str,
    "order": lambda text: text if text in ORDERS else None,
    "top": _count,
    "bottom": _count,
    "regimes": _count,
    "noun": lambda text: text if text in NOUNS else None,
    "token": _count,
}
