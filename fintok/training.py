"""What a run learns from: of each panel the rows up to one date, their image, and the windows in it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.config import PretrainConfig
from fintok.errors import InputError
from fintok.imaging import ReturnImages, imager
from fintok.panel import Panel
from fintok.spans import DateLike, rows_until
from fintok.split import cutoff_split

TRAINING_SHARE = 0.8  # of the rows of all panels, where no train_end is given


class TrainingPanel(NamedTuple):
    """A panel to learn from."""

    panel: Panel
    training: Panel
    """Its rows up to train_end."""
    images: ReturnImages
    """Of the training rows."""
    ends: NDArray[np.int64]
    """Last rows of the windows to learn from."""

    @classmethod
    def of(cls, panel: Panel, train_end: np.datetime64, config: PretrainConfig) -> TrainingPanel:
        """Raises InputError for too few training rows."""
        window = config.imaging
        training = panel[: rows_until(panel.dates, train_end)]
        needed = window.window_days + window.min_observations
        if training.num_days <= needed:
            raise InputError(
                f"{panel.source}: {training.num_days} rows up to {np.datetime_as_string(train_end, unit='D')} "
                f"are too few; a window of {window.window_days} days and {window.min_observations} to know the scale "
                f"need more than {needed}"
            )
        images = imager(config).fit(training).transform(training)
        return cls(panel, training, images, np.arange(needed - 1, training.num_days))


def training_panels(
    panels: Sequence[Panel], train_end: DateLike | None, config: PretrainConfig
) -> tuple[np.datetime64, list[TrainingPanel]]:
    """The last date to learn from, and what each panel has up to it. A panel that ends before is there as a whole.

    Without ``train_end`` it is the date up to which 80 % of all panels' rows lie. Raises InputError for a panel with
    fewer than two assets or too few such rows, and a date outside the data.
    """
    for panel in panels:
        if panel.num_days == 0:
            raise InputError(f"{panel.source}: the panel has no rows")
        if panel.num_assets < 2:
            raise InputError(
                f"{panel.source}: the panel has one asset, {panel.assets[0]!r}; a cross-section needs two or more"
            )
    dates = np.sort(np.concatenate([panel.dates for panel in panels]))
    asked: DateLike = dates[int(TRAINING_SHARE * (len(dates) - 1))] if train_end is None else train_end
    last = dates[cutoff_split(dates, asked).train][-1]
    return last, [TrainingPanel.of(panel, last, config) for panel in panels]


def describe_panel(panel: Panel) -> dict[str, Any]:
    """What is written down about a training panel: enough to tell whether another one is the same."""
    digest = hashlib.sha256(panel.returns.tobytes())
    digest.update(panel.dates.tobytes())
    digest.update("\n".join(panel.assets).encode())
    for name, values in sorted(panel.fields.items()):
        digest.update(name.encode() + values.tobytes())
    return {
        "source": Path(panel.source).name,
        "sha256": digest.hexdigest(),
        "num_days": panel.num_days,
        "num_assets": panel.num_assets,
        "assets": list(panel.assets),
    }
