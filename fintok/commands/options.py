"""What several commands ask for and print in the same way, beside what the vision commands have too."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter, validators

from fintok.config import PretrainConfig
from fintok.errors import InputError
from vision.commands.options import CONFIGURATION, Overwrite, PrintConfig, Resume, as_yaml, say_next, say_wrote

if TYPE_CHECKING:
    import pandas as pd

    from fintok.bundle import Bundle
    from fintok.panel import Panel

__all__ = [
    "CONFIGURATION",
    "Alarms",
    "AnyModel",
    "ConfigFiles",
    "ConfigFlags",
    "ErrorsPath",
    "GroupsPath",
    "ModelPath",
    "NumRegimes",
    "Overwrite",
    "PanelPath",
    "PanelReader",
    "Preset",
    "PrintConfig",
    "ReaderOptions",
    "Resume",
    "Seed",
    "Switches",
    "TablePath",
    "check_errors",
    "config_as_yaml",
    "given_words",
    "model_words",
    "open_model",
    "read_classes",
    "require_window",
    "say_next",
    "say_table",
    "say_wrote",
]

COLUMNS = Group("Columns of the panel", sort_key=10)
_NO_ERRORS = ("open", "news", "noise")  # verdicts of the dashboard, beside "data error"


@dataclass(frozen=True, kw_only=True)
class PanelReader:
    """How to read a panel whose columns are not recognised."""

    date: str | None = None
    """Name of the date column."""
    symbol: str | None = None
    """Name of the symbol column of a long table."""
    price: str | None = None
    """Name of the price column of a long table; adj_close is preferred to close."""
    values: Literal["prices", "returns"] = "prices"
    """What the numbers are: prices, or returns that add up (futures as differences)."""

    def words(self) -> list[str]:
        """The options as they were given, for the next command to try."""
        given = [(field.name, getattr(self, field.name)) for field in fields(self)]
        default = PanelReader()
        return [word for name, value in given if value != getattr(default, name) for word in (f"--{name}", value)]

    def read(self, source: Path) -> Panel:
        """The panel at ``source``. Raises InputError."""
        from fintok.sources import read_panel

        return read_panel(source, date=self.date, symbol=self.symbol, price=self.price, values=self.values)


ReaderOptions = Annotated[PanelReader, Parameter(name="*", group=COLUMNS)]
PanelPath = Annotated[Path, Parameter(help="Prices: a Parquet, CSV, Excel or Arrow file, or a folder of them.")]
ModelPath = Annotated[Path, Parameter(help="The folder that fintok pretrain left.")]
AnyModel = Annotated[
    Path | None,
    Parameter(
        help="The folder that fintok pretrain left; without it the model that comes with fintok, of 20 US stocks.",
        show_default=False,
    ),
]
TablePath = Annotated[Path, Parameter(help="Where to write the table: a name that ends in .parquet or .csv.")]
NumRegimes = Annotated[int, Parameter(help="How many regimes; 0 is the calmest.")]
Seed = Annotated[int, Parameter(validator=validators.Number(gte=0, lt=2**32))]
Switches = Annotated[float, Parameter(help="Switches of regime in a calendar year: on average, at most.")]
Alarms = Annotated[float, Parameter(help="False alarms to expect per 1000 asset-days.")]
ErrorsPath = Annotated[
    Path | None, Parameter(help="Known data errors (date, symbol), which calibration then leaves out.")
]
GroupsPath = Annotated[
    Path | None, Parameter(help="Class of each symbol (symbol, group), calibrated apart; the rest are one more.")
]
ConfigFiles = Annotated[
    tuple[Path, ...],
    Parameter(name=("--config", "-c"), help="A YAML file of values; may be given again.", show_default=False),
]
Preset = Annotated[Literal["tiny", "base", "large"], Parameter(help="Size of the model and of its training.")]
ConfigFlags = Annotated[PretrainConfig, Parameter(name="*", group=CONFIGURATION, show_default=False)]


def config_as_yaml(config: PretrainConfig) -> str:
    """The configuration as a YAML file that --config takes."""
    from vision.config import to_dict

    return as_yaml(to_dict(config))


def open_model(model: Path | None, panel: Panel) -> Bundle:
    """The model in a folder, or the one that comes with fintok, which is then told on stderr, to read a panel.

    Raises InputError, also for a panel that is shorter than one window.
    """
    from fintok.bundle import load

    bundle = load(model)
    require_window(bundle, panel)
    if model is None:
        print(
            f"read by the model that comes with fintok, {bundle}; fintok pretrain --panel P learns one of your own",
            file=sys.stderr,
        )
    _say_frequency(bundle, panel)
    return bundle


def require_window(bundle: Bundle, panel: Panel) -> None:
    """Raise InputError for a panel of fewer rows than the model sees at once: it says nothing of any of them."""
    rows = bundle.config.imaging.window_days
    if panel.num_days < rows:
        count = f"{panel.num_days} row{'s' * (panel.num_days != 1)}"
        raise InputError(f"{panel.source}: {count}, and the model reads {rows} at once: give more rows")


def _say_frequency(bundle: Bundle, panel: Panel) -> None:
    """Say on stderr where the panel's rows are more than twice as often as the model's, or less than half."""
    from fintok.signature import row_noun, rows_per_year

    if panel.num_days < 10 or len(bundle.training_dates) < 10:
        return
    trained, here = rows_per_year(bundle.training_dates), rows_per_year(panel.dates)
    if not 0.5 <= here / trained <= 2.0:
        print(
            f"trained on rows of a {row_noun(bundle.training_dates)}, {trained:,.0f} a year, this panel has "
            f"{here:,.0f} rows a year: the model takes them for those it knows; pretrain on such rows to learn these",
            file=sys.stderr,
        )


def read_classes(groups: Path | None, prices: Panel) -> dict[str, str] | None:
    """The classes in a file; those of no asset are counted on stderr. Raises InputError where all are."""
    if groups is None:
        return None
    from fintok.groups import count_known, read_groups

    classes = read_groups(groups)
    _say_known(groups, count_known(classes, prices.assets, str(groups)), len(classes), "symbols")
    return classes


def check_errors(errors: Path | None, prices: Panel) -> None:
    """Count on stderr the rows that name no cell of the panel, and name verdicts that nobody knows."""
    if errors is None:
        return
    from fintok.cells import read_marks
    from fintok.columns import listed

    marks = read_marks(errors, prices)
    if marks.num_rows and not marks.num_known:
        print(
            f"{errors}: none of its {marks.num_rows:,} rows is a date and symbol of the panel, the first is "
            f"{marks.first}: nothing is left out; where that is no other panel's, write both as the panel does",
            file=sys.stderr,
        )
    elif marks.num_rows:
        _say_known(errors, marks.num_known, marks.num_rows, "rows")
    elif marks.verdicts:
        print(
            f"{errors}: no verdict is 'data error', only {listed(marks.verdicts)}: nothing is left out", file=sys.stderr
        )
    unknown = [verdict for verdict in marks.verdicts if verdict.lower() not in _NO_ERRORS]
    if unknown and marks.num_rows:
        print(f"{errors}: 'data error' leaves a row out, {listed(unknown)} does not", file=sys.stderr)


def _say_known(path: Path, known: int, total: int, what: str) -> None:
    if known < total:
        print(f"{path}: {known:,} of {total:,} {what} are in the panel", file=sys.stderr)


def model_words(model: Path | None) -> list[str | Path]:
    """The option as it was given, for the next command to try."""
    return [] if model is None else ["--model", model]


def given_words(**options: str | Path | None) -> list[str | Path]:
    """Options that were given a value, for the next command to try."""
    return [word for name, value in options.items() if value is not None for word in (f"--{name}", value)]


def say_table(table: pd.DataFrame) -> None:
    """A summary table, whole: every row, every column, and the index as the first of them."""
    print(table.reset_index().to_string(index=False, float_format=lambda value: f"{value:,.4g}"))
