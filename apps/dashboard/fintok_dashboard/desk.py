"""The desk: the reading that is shown, the one on its way, and the marks that people make."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import fintok
from fintok_dashboard.archive import fingerprint, model_fingerprint, open_reading, save_reading
from fintok_dashboard.reading import Reading, read_market
from fintok_dashboard.selection import row_of
from fintok_dashboard.tables import check_columns, read_groups, read_regimes, read_scores
from fintok_dashboard.view import View

if TYPE_CHECKING:
    from fintok import Bundle, Panel
    from fintok.counterfactual import Counterfactual
    from fintok_dashboard.store import Store


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The files that the dashboard was given: the only ones that it ever reads."""

    model: Path
    panel: Path
    read_panel: Callable[[], Panel]
    cache: Path | None = None  # folder of readings; None = none are kept
    scores: Path | None = None
    regimes: Path | None = None
    groups: Path | None = None

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Name, time and size of every file; another stamp means new data."""
        given = [self.model / "bundle.json", self.panel, self.scores, self.regimes, self.groups]
        files: list[Path] = []
        for path in given:
            if path is not None:
                files += sorted(path.rglob("*")) if path.is_dir() else [path]
        stamps = []
        for path in files:
            try:
                status = path.stat()
            except OSError:  # gone for the moment: being replaced
                continue
            stamps.append((str(path), status.st_mtime_ns, status.st_size))
        return tuple(stamps)


class Desk:
    """What all browsers look at. One reading is shown while the next is made in a thread of its own."""

    def __init__(self, sources: Sources, store: Store) -> None:
        self.sources, self.store = sources, store
        self.reading: Reading | None = None
        self.problem = ""  # why there is no reading, or no newer one
        self.step = ""  # of the reading on its way
        self.lost_marks = 0  # of dates or assets that the panel of the reading lacks
        self.version = 0  # grows when a reading comes or fails
        self._stamp: object = None
        self._checked: tuple[object, Panel] | None = None  # what `check` read, and the files' stamp before
        self._bundle: Bundle | None = None
        self._bundle_of = ""  # fingerprint of the model that `bundle` gives
        self._busy, self._bundle_lock = threading.Lock(), threading.Lock()

    @property
    def has_new_data(self) -> bool:
        """Whether a file, or what is marked as data error, has changed since the last reading began."""
        return not self.step and self._stamp is not None and self._now() != self._stamp

    def check(self) -> None:
        """Read the panel, for the first reading, and the columns of the tables. Raises InputError."""
        sources = self.sources
        check_columns(sources.scores, sources.regimes)
        stamp, panel = sources.stamp(), sources.read_panel()
        if sources.groups:
            read_groups(sources.groups, panel)
        self._checked = stamp, panel

    def start(self) -> threading.Thread:
        """Read in the background."""
        thread = threading.Thread(target=self.read, name="reading", daemon=True)
        thread.start()
        return thread

    def read(self) -> None:
        """Read the sources; a problem is kept as a sentence, and the reading shown before stays."""
        if not self._busy.acquire(blocking=False):
            return
        try:
            self._stamp = self._now()
            self._say("reading the panel")
            reading = self._read()
            if reading.panel.num_days:
                reading.prepare(View().alarms)
            self.lost_marks = self._count_lost(reading.panel)
            self.reading, self.problem = reading, ""
        except Exception as error:  # of any library, on any file: the page says what is wrong
            is_ours = isinstance(error, fintok.InputError | OSError)
            self.problem = " ".join(str(error).split()) if is_ours else f"{type(error).__name__}: {error}"
            print(f"fintok: {self.problem}", file=sys.stderr, flush=True)
        finally:
            self.step = ""
            self.version += 1
            self._busy.release()

    def bundle(self) -> Bundle:
        """The model, loaded when it is first asked for. Raises InputError."""
        with self._bundle_lock:
            if self._bundle is None:
                self._bundle = fintok.load(self.sources.model)
            return self._bundle

    def counterfactual(self, panel: Panel, row: int, column: int) -> Counterfactual:
        """The patch that ends at an asset-day beside the one that the model expected. Raises InputError."""
        return self.bundle().counterfactual(panel, panel.dates[row], panel.assets[column])

    def _now(self) -> object:
        """The state of the files and of the marks that a reading depends on."""
        return self.sources.stamp(), self.store.data_errors().rows()

    def _count_lost(self, panel: Panel) -> int:
        assets = set(panel.assets)
        return sum(mark.symbol not in assets or row_of(panel, mark.date) is None for mark in self.store.marks())

    def _read(self) -> Reading:
        sources = self.sources
        checked, self._checked = self._checked, None
        panel = checked[1] if checked and checked[0] == sources.stamp() else sources.read_panel()
        groups = read_groups(sources.groups, panel) if sources.groups else {}
        model, errors = model_fingerprint(sources.model), self.store.data_errors()
        with self._bundle_lock:
            if model != self._bundle_of:
                self._bundle, self._bundle_of = None, model
        name = fingerprint(panel, model, errors.rows(), sources.scores, sources.regimes)
        known = open_reading(sources.cache, name, panel, groups) if sources.cache else None
        if known is not None:
            return known
        self._say("loading the model")
        bundle = self.bundle()
        reading = read_market(
            bundle,
            panel,
            scores=read_scores(sources.scores, panel, bundle.train_end) if sources.scores else None,
            regimes=read_regimes(sources.regimes, panel, bundle.train_end) if sources.regimes else None,
            groups=groups,
            errors=errors if len(errors) else None,
            kept=sources.cache / f"{model}.readings.parquet" if sources.cache else None,
            say=self._say,
        )
        if sources.cache is not None:
            try:
                save_reading(reading, sources.cache, name)
            except OSError as error:
                self._say(f"the reading is not kept, and the next start takes as long: {error}")
        return reading

    def _say(self, step: str) -> None:
        self.step = step
        print(step, file=sys.stderr, flush=True)
