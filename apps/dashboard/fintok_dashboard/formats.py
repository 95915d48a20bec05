"""Numbers and dates as people read them."""

from __future__ import annotations

import numpy as np

MISSING = "–"


def moment(date: np.datetime64) -> str:
    """The exact date, no longer than it takes: 2020-03-16, 2020-03-16 15:00, 2020-03-16 15:59:59.999."""
    return str(np.datetime_as_string(date, "auto")).replace("T", " ")


def percent(value: float, digits: int = 0) -> str:
    """0.123 -> 12 %; a dash for NaN."""
    return _minus(f"{value:.{digits}%}".replace("%", " %")) if np.isfinite(value) else MISSING


def number(value: float, digits: int = 1) -> str:
    """1234.5 -> 1,234.5; a dash for NaN."""
    return _minus(f"{value:,.{digits}f}") if np.isfinite(value) else MISSING


def probability(p: float) -> str:
    """A p-value with two digits that count."""
    if not np.isfinite(p):
        return MISSING
    return f"{p:.2g}" if p >= 0.0001 else f"{p:.1e}".replace("e-0", "e-")


def move(value: float, *, is_relative: bool) -> str:
    """A log return with its sign as per cent of the price, or for a panel of returns in its own units as it is."""
    if not np.isfinite(value):
        return MISSING
    text = f"{np.expm1(value):+.2%}".replace("%", " %") if is_relative else f"{value:+.3g}"
    return _minus(text)


def _minus(text: str) -> str:
    """With a real minus sign in front, as wide as a plus."""
    return f"−{text[1:]}" if text.startswith("-") else text


def plural(count: float, noun: str) -> str:
    """A number of things."""
    return f"{count:,.0f} {noun}{'' if round(count) == 1 else 's'}"
