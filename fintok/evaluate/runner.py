"""All parts of an evaluation, one after another, and what they leave: tables, one page, verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fintok.errors import InputError
from fintok.estimator import require_bundle
from fintok.evaluate.page import render, table_name
from fintok.evaluate.result import Findings
from fintok.files import check_output, write_table, write_text
from fintok.panel import Panel, require_panel

if TYPE_CHECKING:
    from fintok.bundle import Bundle

PARTS = ("regimes", "anomalies", "tokens", "simulation")
USUAL_PARTS = PARTS[:3]
PAGE = "evaluation.html"

Evaluate = Callable[..., Findings]


class Evaluation(NamedTuple):
    """What was found, by part, and the files that hold it."""

    findings: dict[str, Findings]
    page: Path
    tables: list[Path]

    def __repr__(self) -> str:
        return f"Evaluation({', '.join(self.findings)}: {len(self.verdicts)} verdicts, {self.page})"

    @property
    def verdicts(self) -> list[str]:
        """All sentences, in the order of the parts."""
        return [sentence for found in self.findings.values() for sentence in found.verdicts]


def evaluate(
    bundle: Bundle,
    panel: Panel,
    out: str | Path,
    *,
    parts: Sequence[str] = USUAL_PARTS,
    seed: int = 0,
    others: Sequence[Bundle] = (),
    tell: Callable[[str, Findings], None] | None = None,
    overwrite: bool = False,
) -> Evaluation:
    """Judge a bundle on a panel beside the usual rivals, on rows after its train_end; write tables and a page.

    ``out`` is a folder: ``evaluation.html``, and a Parquet file a table. They are written as each part ends, and
    then ``tell`` is given its name and findings. A part that has too little to judge by says so in its verdict.
    ``others`` are bundles of other seeds or train_ends: the part tokens says whether they read the panel alike.
    Raises InputError for what is no bundle or panel, where no row of the panel lies after train_end, where no part
    can be judged (nothing is written then), for an unknown part, for ``others`` that cannot be compared, and where
    ``out`` holds something and ``overwrite`` is False.
    """
    require_bundle(bundle)
    require_panel(panel)
    parts = [parts] if isinstance(parts, str) else parts
    folder = check_request(out, parts, overwrite=overwrite, has_others=bool(others))
    if not (panel.dates > bundle.train_end).any():
        date = np.datetime_as_string(bundle.train_end, unit="D")
        raise InputError(
            f"{panel.source}: no row lies after the model's train_end, {date}; give a panel that goes on longer, or "
            "a model that was trained with an earlier --train-end"
        )
    if others:
        from fintok.evaluate.tokens import check_others

        check_others(bundle, panel, others)
    findings: dict[str, Findings] = {}
    tables: list[Path] = []
    for part in parts:
        more = {"others": others} if part == "tokens" else {}
        try:
            findings[part] = _evaluator(part)(bundle, panel, seed=seed, **more)
        except InputError as error:
            findings[part] = Findings({}, {}, [f"{part.capitalize()} were not judged: {error}."])
        tables += _write_tables(part, findings[part], folder)
        if tables:
            write_text(render(findings, bundle, panel), folder / PAGE, overwrite=True)
        if tell is not None:
            tell(part, findings[part])
    evaluation = Evaluation(findings, folder / PAGE, tables)
    if not tables:
        raise InputError(
            f"nothing could be judged on {panel.source}: {' '.join(evaluation.verdicts)} Give a panel with more rows "
            "before and after the model's train_end"
        )
    return evaluation


def _write_tables(part: str, found: Findings, folder: Path) -> list[Path]:
    import polars as pl

    paths = {name: folder / table_name(part, name) for name in found.tables}
    return [write_table(pl.from_pandas(found.tables[name]), path, overwrite=True) for name, path in paths.items()]


def check_request(out: str | Path, parts: Sequence[str], *, overwrite: bool, has_others: bool = False) -> Path:
    """The folder, which may have to be made. Raises InputError where it cannot be, for a part that is not one, and
    where no part asks for other models."""
    folder = Path(out)
    unknown = [part for part in parts if part not in PARTS]
    if unknown or not parts:
        raise InputError(f"there is no part {', '.join(unknown) or 'named'}; the parts are {', '.join(PARTS)}")
    if has_others and "tokens" not in parts:
        raise InputError("others are compared in the part tokens: add it to --only, or leave --others out")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder for the evaluation")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise InputError(f"{folder} exists; name another --out, or allow it with --overwrite")
    check_output(folder / PAGE, overwrite=True)
    return folder


def _evaluator(part: str) -> Evaluate:
    return getattr(import_module(f"fintok.evaluate.{part}"), f"evaluate_{part}")
