"""What a model says of a panel, read once: scores, regimes of every number, tokens, and what to show beside them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

import fintok
from fintok.files import write_table
from fintok.readings import open_readings
from fintok.tokenizer import Tokens
from fintok_dashboard.alerts import AlarmBook
from fintok_dashboard.arrangement import Arrangement, arrange
from fintok_dashboard.resample import quantise
from fintok_dashboard.selection import row_of

if TYPE_CHECKING:
    from fintok import Bundle, Panel
    from fintok.regime_result import Regimes
    from fintok.score_result import Scores

NUMBERS_OF_REGIMES = (2, 3, 4, 5, 6)

Say = Callable[[str], None]


class Pictures(NamedTuple):
    """What words or codes stand for."""

    patches: NDArray[np.float32]  # (W, P) mean return of each day of the patch, in the asset's own scale
    counts: NDArray[np.int64]  # (W,) how often each one occurs in the training rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """Everything that the pages show. T dates, A assets."""

    panel: Panel
    scores: Scores
    regimes: Mapping[int, Regimes]  # by number of regimes, those that can be had
    tokens: Tokens
    pictures: Mapping[str, Pictures]  # of "word" and "code"
    findings: pd.DataFrame  # what looks wrong in the panel: kind, date, symbol, days
    left_out: NDArray[np.bool_]  # (T, A) marked as data errors when the scores were calibrated
    groups: Mapping[str, str]  # group of each asset that has one, given by the user; may be empty

    @cached_property
    def alarms(self) -> AlarmBook:
        """Alerts at any alarm rate."""
        return AlarmBook(self.scores, self.left_out)

    @cached_property
    def plans(self) -> dict[Hashable, Any]:
        """What the map shows of the last views: see `map_figure.plan`."""
        return {}

    @cached_property
    def arrangement(self) -> Arrangement:
        """A meaningful order of the assets, and their groups."""
        return arrange(self.panel, self.groups)

    @cached_property
    def quantised(self) -> NDArray[np.uint8]:
        """(A, T) scores ready for heat maps: see `quantise`."""
        return quantise(self.scores.score)

    @cached_property
    def column(self) -> dict[str, int]:
        """Place of each asset by name."""
        return {name: place for place, name in enumerate(self.panel.assets)}

    @cached_property
    def market(self) -> NDArray[np.float64]:
        """(T,) mean move of the assets observed, NaN where none is; see `fintok.moves_of`."""
        return fintok.moves_of(self.panel).market

    @property
    def patch_days(self) -> int:
        """Days that a token covers."""
        return self.pictures["word"].patches.shape[1]

    def prepare(self, alarms_per_1000: float) -> None:
        """Work out what every page needs, so that the first visitor does not wait for it."""
        _ = self.arrangement, self.quantised, self.market
        self.alarms.at(alarms_per_1000)
        self.alarms.thresholds(alarms_per_1000)

    def regimes_for(self, number: int) -> Regimes:
        """The regimes nearest to the number asked for."""
        return self.regimes[min(self.regimes, key=lambda known: (abs(known - number), known))]


def read_market(
    bundle: Bundle,
    panel: Panel,
    *,
    scores: Scores | None = None,
    regimes: Regimes | None = None,
    groups: Mapping[str, str] | None = None,
    errors: pl.DataFrame | None = None,
    kept: Path | None = None,
    say: Say = lambda step: None,
) -> Reading:
    """Read a panel with a model; minutes for a large one. `say` is told each step as it begins.

    `scores` and `regimes` that are there already are taken as they are. `errors` (date, symbol) are left out of the
    calibration, as far as the panel has them. `kept` is a file where the network's readings stay, so that the next
    time only new dates are read; `say` is told where it cannot be read or written. Raises InputError.
    """
    say("reading tokens")
    codes = bundle.codes(panel)
    words = np.where(codes >= 0, bundle.word_of_code[codes], -1).astype(np.int32)
    surprise = np.full(codes.shape, np.nan, np.float32)
    left_out = _cells(errors, panel)
    if scores is None:
        say(f"reading scores of {panel.num_assets:,} assets")
        scorer = fintok.AnomalyScorer(bundle)
        try:
            if kept is not None and kept.is_file():
                scorer.go_on_from(open_readings(kept, panel))
        except (fintok.InputError, OSError) as error:
            say(f"reading all dates anew: {error}")
        row, column = np.nonzero(left_out)
        known = pl.DataFrame({"date": panel.dates[row], "symbol": [panel.assets[place] for place in column]})
        scores = scorer.fit(panel, errors=known).score(panel, errors=known)
        if scorer.readings is not None:
            surprise = scorer.readings.surprise
            if kept is not None:
                try:
                    write_table(scorer.readings.to_polars(), kept, overwrite=True)
                except (fintok.InputError, OSError) as error:
                    say(f"what the network read is not kept: {error}")
    say(f"reading regimes of {panel.num_days:,} dates")
    by_number = {regimes.num_regimes: regimes} if regimes is not None else _all_regimes(bundle, panel)
    say("looking the panel over")
    word_patches, word_counts = bundle.words()
    vocabulary = bundle.vocabulary
    return Reading(
        panel=panel,
        scores=scores,
        regimes=by_number,
        tokens=Tokens(codes, words, surprise, panel.dates, panel.assets, bundle.codebook_size, len(word_counts)),
        pictures={
            "word": Pictures(word_patches, word_counts),
            "code": Pictures(np.sinh(vocabulary.patch_mean).astype(np.float32), vocabulary.counts),
        },
        findings=fintok.check_panel(panel).to_pandas(),
        left_out=left_out,
        groups=dict(groups or {}),
    )


def _cells(errors: pl.DataFrame | None, panel: Panel) -> NDArray[np.bool_]:
    """(T, A) the cells of a table of dates and symbols, as far as the panel has them; what is no date has none."""
    cells = np.zeros(panel.returns.shape, dtype=bool)
    place = {name: column for column, name in enumerate(panel.assets)}
    for date, symbol in () if errors is None else errors.select("date", "symbol").iter_rows():
        row, column = row_of(panel, date), place.get(symbol)
        if row is not None and column is not None:
            cells[row, column] = True
    return cells


def _all_regimes(bundle: Bundle, panel: Panel) -> dict[int, Regimes]:
    """The regimes of every number for which the model has seen enough days; one pass of the network."""
    labeler, found, problem = fintok.RegimeLabeler(bundle), {}, None
    for number in NUMBERS_OF_REGIMES:
        try:
            found[number] = labeler.set_params(n_regimes=number).fit().label(panel)
        except fintok.InputError as error:  # a short training history carries few regimes
            problem = error
    if not found:
        raise problem or fintok.InputError("no number of regimes could be read")
    return found
