"""What several commands ask for and print in the same way, here and in fintok."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter, validators

AT_LEAST_ONE = validators.Number(gte=1)
CONFIGURATION = Group("Configuration (--print-config shows the values)", sort_key=20)

DataPath = Annotated[
    Path, Parameter(help="Images: a folder, .parquet, WebDataset .tar, or an array in .npy or .npz (N, C, H, W).")
]
RunPath = Annotated[Path, Parameter(help="The folder that fintok vision pretrain left.")]
LabelColumn = Annotated[
    str | None, Parameter(help="Column, or key, of the labels; class folders and 'label' are found.")
]
Overwrite = Annotated[bool, Parameter(help="Replace what is there.")]
Resume = Annotated[bool, Parameter(help="Go on with a run that was interrupted; start it where there is none.")]
PrintConfig = Annotated[bool, Parameter(help="Print the merged configuration as YAML and stop.")]


def as_yaml(values: Mapping[str, Any]) -> str:
    """A configuration as a YAML file that --config takes."""
    import yaml

    return yaml.safe_dump(dict(values), sort_keys=False, default_flow_style=None, width=100)


def say_wrote(*paths: Path) -> None:
    """One line for each file or folder that a command leaves."""
    for path in paths:
        print(f"wrote {path}")


def say_next(*words: str | Path) -> None:
    """The command to try next, ready to be pasted."""
    print(f"next:  {shlex.join(['fintok', *map(str, words)])}")
