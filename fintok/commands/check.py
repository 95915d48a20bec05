"""``fintok check``."""

from __future__ import annotations

from pathlib import Path

from fintok.commands.options import ColumnOptions, Columns, PanelPath, say_next


def check(panel: PanelPath, /, *, columns: ColumnOptions = Columns()) -> None:
    """What the reader sees in a panel: symbols, calendar, gaps, stale runs, suspected faults."""
    from fintok.health import check_panel

    prices = columns.read(panel)
    print(prices)
    print(check_panel(prices).summary())
    say_next("pretrain", "--panel", panel, "--out", f"runs/{Path(panel).stem}")
