"""Progress of long readings on stderr: what takes longer than two seconds shows itself, with the time left."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from vision.train.progress import Reporter, make_reporter

Item = TypeVar("Item")
SILENT_SECONDS = 2.0


def track(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Iterate; from the third second on, a bar on a terminal and a line about every ten seconds elsewhere."""
    began, reporter = time.monotonic(), None
    try:
        for step, item in enumerate(items):
            yield item
            if reporter is None and time.monotonic() - began > SILENT_SECONDS:
                reporter: Reporter | None = make_reporter(description, len(items), step)
            if reporter is not None:
                reporter.show(step + 1, {})
    finally:
        if reporter is not None:
            reporter.close()
