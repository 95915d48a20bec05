"""``fintok check``."""

from __future__ import annotations

from pathlib import Path

from fintok.commands.options import PanelPath, PanelReader, ReaderOptions, say_next, say_table


def check(panel: PanelPath, /, *, reader: ReaderOptions = PanelReader()) -> None:
    """What the reader sees in a panel: symbols, calendar, gaps, stale runs, suspected faults."""
    from fintok.health import check_panel

    prices = reader.read(panel)
    print(prices)
    say_table(check_panel(prices).summary())
    say_next("pretrain", "--panel", panel, *reader.words(), "--out", f"runs/{Path(panel).stem}")
