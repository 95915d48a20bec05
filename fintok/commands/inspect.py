"""``fintok inspect``."""

from __future__ import annotations

from fintok.commands.options import AnyModel, say_table


def inspect(model: AnyModel = None, /) -> None:
    """What a model holds: what it learned from, train_end, channels, codebook health, figures."""
    from fintok.bundle import load

    say_table(load(model).summary())
