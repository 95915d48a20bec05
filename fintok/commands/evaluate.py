"""``fintok evaluate``."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fintok.commands.options import (
    ModelPath,
    Overwrite,
    PanelPath,
    PanelReader,
    ReaderOptions,
    Seed,
    say_next,
    say_wrote,
)

if TYPE_CHECKING:
    from fintok.evaluate.result import Findings


def _parts(kind: type, tokens: tuple) -> tuple[str, ...]:
    """``regimes,tokens`` and ``regimes tokens`` alike."""
    return tuple(word for token in tokens for word in token.value.split(",") if word)


def _tell(part: str, found: Findings) -> None:
    """Print the verdicts of a part."""
    print(part)
    for sentence in found.verdicts:
        print(textwrap.fill(sentence, width=110, initial_indent="- ", subsequent_indent="  "), flush=True)


def evaluate(
    *,
    model: ModelPath,
    panel: PanelPath,
    out: Annotated[Path, Parameter(help="Folder for the page, evaluation.html, and the tables.")],
    only: Annotated[
        tuple[str, ...],
        Parameter(
            help="Parts to judge, as regimes,tokens; of regimes, anomalies, tokens and simulation.",
            converter=_parts,
        ),
    ] = ("regimes", "anomalies", "tokens"),
    others: Annotated[
        tuple[Path, ...],
        Parameter(
            help="Runs with another seed or train_end: do their tokens read the panel alike?", show_default=False
        ),
    ] = (),
    seed: Annotated[Seed, Parameter(help="Of the planted faults, and of every method's random start.")] = 0,
    overwrite: Overwrite = False,
    reader: ReaderOptions = PanelReader(),
) -> None:
    """Regimes, anomaly scores and tokens beside the usual rivals, on the rows after train_end only.

    The rivals learn from the panel's rows up to the model's train_end. Some need `pip install "fintok[peers]"`;
    those that are not there are named and left out. The part simulation, on request, has markets whose true states
    are known.
    """
    from fintok.evaluate.runner import check_request
    from fintok.evaluate.runner import evaluate as judge

    check_request(out, only, overwrite=overwrite, has_others=bool(others))
    prices = reader.read(panel)
    from fintok.bundle import load

    began = time.monotonic()
    bundle, compared = load(model), [load(other) for other in others]
    result = judge(bundle, prices, out, parts=only, seed=seed, others=compared, tell=_tell, overwrite=overwrite)
    say_wrote(result.page)
    print(f"       and {len(result.tables)} tables beside it")
    print(f"took  {time.monotonic() - began:.0f} s")
    say_next("report", "--model", model, "--panel", panel, *reader.words(), "--out", "report.html")
