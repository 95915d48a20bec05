"""``fintok pretrain``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from fintok.commands.options import (
    ConfigFiles,
    ConfigFlags,
    Overwrite,
    PanelReader,
    Preset,
    PrintConfig,
    ReaderOptions,
    Resume,
    config_as_yaml,
    say_next,
    say_table,
    say_wrote,
)
from fintok.config import PretrainConfig
from fintok.errors import InputError

Panels = Annotated[
    tuple[Path, ...],
    Parameter(
        help="Prices: a Parquet, CSV, Excel or Arrow file, or a folder of them. Several give one vocabulary.",
        show_default=False,
    ),
]


def worse_than_marginal(figures: Mapping[str, Any]) -> list[str]:
    """A sentence where hidden tokens are predicted no better than by how often each occurs: nothing was learned."""
    pairs = [(name.replace(" marginal", ""), value) for name, value in figures.items() if " marginal" in name]
    worse = [
        f"{name.removeprefix('masked NLL ')} {figures[name]:.3f} against {marginal:.3f}"
        for name, marginal in pairs
        if name in figures and figures[name] >= marginal
    ]
    if not worse:
        return []
    return [
        f"the model predicts hidden tokens no better than their frequencies do (nats: {', '.join(worse)}): it has "
        "learned too little to be used; give it more rows, or more steps (--preset base, --predictor.optim.steps)"
    ]


def pretrain(
    *,
    panel: Panels = (),
    out: Annotated[
        Path | None, Parameter(help="Folder of the run; by default runs/ and the name of the (first) panel.")
    ] = None,
    train_end: Annotated[
        str | None,
        Parameter(help="Last date to learn from, as 2015-12-31; by default that of the first 80 % of the rows."),
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    preset: Preset = "base",
    config_files: ConfigFiles = (),
    print_config: PrintConfig = False,
    reader: ReaderOptions = PanelReader(),
    config: ConfigFlags = PretrainConfig(),
) -> None:
    """Learn a vocabulary from panels of prices; leaves a model folder.

    Three stages, each resumable: a teacher by self-distillation (iBOT), a tokenizer with its codebook
    (VQ-KD), and a masked model of the tokens (BEiT v2). Nothing is learned from rows after --train-end; the figures at
    the end are measured on them.
    """
    if print_config:
        print(config_as_yaml(config), end="")
        return
    if not panel:
        raise InputError("pretrain needs --panel, a file or folder of prices (fintok sample writes one)")
    from fintok.pretrain import pretrain as train

    began = time.monotonic()
    out = out or Path("runs") / panel[0].stem
    panels = [reader.read(path) for path in panel]
    bundle = train(panels, train_end=train_end, out=out, config=config, resume=resume, overwrite=overwrite)
    say_table(bundle.summary())
    for sentence in worse_than_marginal(bundle.figures):
        print(sentence)
    say_wrote(out)
    print(f"took  {time.monotonic() - began:.0f} s")
    say_next("label", "--model", out, "--panel", panel[0], *reader.words(), "--out", "regimes.parquet")
