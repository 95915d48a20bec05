"""The one error that means: what you gave cannot be used, and what may have been meant."""

from collections.abc import Iterable
from difflib import get_close_matches

from vision.errors import InputError

__all__ = ["InputError", "did_you_mean", "first_line"]


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """For the end of a message: "; did you mean 'AAPL'?" where a name is like that one, capitals aside, or nothing."""
    by_lower = {known.lower(): known for known in names}
    near = get_close_matches(str(name).lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def first_line(error: Exception) -> str:
    """The gist of a library's error."""
    lines = str(error).strip().splitlines()
    if lines and "more fields than defined" in lines[0]:
        return "a row has more fields than the first one, which names the columns"
    return lines[0][:200] if lines else type(error).__name__
