"""``fintok demo``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fintok.commands.options import (
    ConfigFiles,
    ConfigFlags,
    Overwrite,
    Preset,
    PrintConfig,
    Resume,
    config_as_yaml,
    say_next,
    say_table,
    say_wrote,
)
from fintok.config import PretrainConfig


def demo(
    *,
    out: Annotated[Path, Parameter(help="Folder for everything that the demo leaves.")] = Path("runs/demo"),
    resume: Resume = False,
    overwrite: Overwrite = False,
    preset: Preset = "tiny",
    config_files: ConfigFiles = (),
    print_config: PrintConfig = False,
    config: ConfigFlags = PretrainConfig(),
) -> None:
    """Train on the bundled panel, then label, score and report: minutes on two CPU cores.

    The panel is 20 US stocks and the S&P 500 from 1990 to 2022, daily. The model learns from 1990 to 2007; what the
    page says of the years after is out of sample.
    """
    if print_config:
        print(config_as_yaml(config), end="")
        return
    from fintok.demo import run_demo

    began = time.monotonic()
    files, reading = run_demo(out, config, resume=resume, overwrite=overwrite)
    print(reading.regimes)
    say_table(reading.regimes.summary())
    print(reading.scores)
    say_table(reading.scores.summary())
    say_wrote(*files)
    print(f"took  {time.monotonic() - began:.0f} s")
    print(f"open  {files.report.resolve()}")
    say_next("dashboard", "--model", files.model, "--panel", files.prices)
