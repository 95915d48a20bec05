"""Real anomalies with labels: a model that has never seen the panel, beside the usual detectors.

    python tests/benchmarks/labelled_anomalies.py RUN DATA [--sets prints splits events smd asd skab nab]

RUN is a model folder, DATA a folder with the files that each set names; a set whose files are not there is left out.
Nothing is trained: the score's tails and the rivals learn from the rows before each set's cut, and the rows after it
are judged, at thresholds that each detector passes on 1 (or 5) of 1,000 judged cells outside the labels and the 20
rows after them.

prints   Wrong closes of US stocks that had been taken out of a cleaned panel, put back (one cell each).
splits   Raw closes of US stocks and funds; the first close after each split of the factor files (one cell each).
events   Known crises of 20 US stocks: here a score should keep to its budget. Alarms per 1,000 asset-days in each.
smd asd skab nab
         Machines, servers, a water circuit, and single series of all kinds. Their channels have units of their own
         and no prices, so each channel's change from row to row stands for a return, as with --values returns; rows
         are averaged in blocks so that no series is longer than some thousands. Labels belong to rows, and a row's
         score is its strangest channel's. A model of markets is far from home here, and one series alone has no
         other assets to be compared with.

Kronos' tokenizer does not take part: its weights are to be had only over a network.
"""

import argparse
import platform
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import scipy
import torch
from numpy.typing import NDArray

import fintok
from fintok.anomaly import AnomalyScorer
from fintok.bundle import Bundle
from fintok.evaluate.alarms import fixed_threshold_alarms
from fintok.evaluate.anomalies import with_checks
from fintok.evaluate.anomaly_rivals import RIVALS
from fintok.evaluate.detection import SCORE_ALONE, Truth, detect, thresholds
from fintok.evaluate.result import OURS
from fintok.faults import Fault
from fintok.panel import Panel
from fintok.progress import track

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

OTHERS = 45  # stocks beside those with wrong prints
LONGEST = 2_000  # rows of a block-averaged part of a series
VALVE_ROWS = 800  # of the water circuit without a fault, before each series
PROBATION = 0.15  # of a series without a training part, as in NAB
ROWS_LEARNED = 2_500


class Labelled(NamedTuple):
    """A panel whose rows from `cut` on are judged."""

    panel: Panel
    labels: Flags  # (T, A), or (T, 1) where they belong to rows
    cut: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", help="a model folder")
    parser.add_argument("data", type=Path, help="folder of the labelled sets")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS), metavar="SET")
    arguments = parser.parse_args()
    bundle = fintok.load(arguments.run)
    print(f"{platform.machine()}, numpy {np.__version__}, scipy {scipy.__version__}, torch {torch.__version__}")
    print(f"fintok {fintok.__version__}; {bundle}", flush=True)
    for name in arguments.sets:
        paths = [arguments.data / file for file in SETS[name]]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            print(f"\n{name}: left out, there is no {missing[0]}")
        elif name == "events":
            print_events(bundle, *paths)
        else:
            print_detection(name, bundle, list(READERS[name](bundle, *paths)))


def all_scores(bundle: Bundle, panel: Panel, cut: int) -> dict[str, Array]:
    """(T, A) of every detector that is installed, higher = stranger."""
    scores = AnomalyScorer(bundle).fit(panel).score(panel)
    found = {OURS: with_checks(scores), SCORE_ALONE: scores.score}
    for name, rival in RIVALS.items():
        if (rival.package is None or find_spec(rival.package)) and (rival.field is None or rival.field in panel.fields):
            found[name] = rival.fit(panel[max(cut - ROWS_LEARNED, 0) : cut])(panel)
    return found


def print_detection(name: str, bundle: Bundle, sets: list[Labelled]) -> None:
    longest = max(one.panel.num_days - one.cut for one in sets)
    truths, scores = [], {}
    for one in track(sets, name):
        width = one.labels.shape[1]
        truths.append(Truth(_faults(one.labels[one.cut :]), (longest, width), ("labelled",)))
        for detector, found in all_scores(bundle, one.panel, one.cut).items():
            rows = found[one.cut :]
            if width == 1 and rows.shape[1] > 1:  # labels of rows
                rows = np.where(np.isfinite(rows), rows, -np.inf).max(axis=1, keepdims=True)
                rows = np.where(np.isfinite(rows), rows, np.nan)
            rows = np.pad(rows, ((0, longest - len(rows)), (0, 0)), constant_values=np.nan)
            scores.setdefault(detector, []).append(rows)
    events = sum(len(truth.kinds) for truth in truths)
    cells = sum(int(np.isfinite(rows).sum()) for rows in scores[OURS])
    print(f"\n{name}: {len(sets)} panels, {cells:,} judged cells, {events} labelled events")
    print(f"{'detector':26} {'recall @1':>9} {'@5':>6} {'AP':>6} {'VUS-PR':>7} {'delay':>6}")
    for detector, found in scores.items():
        calm = [rows[truth.judged & ~truth.labels] for rows, truth in zip(found, truths, strict=True)]
        result = detect(thresholds(np.concatenate(calm)), found, truths)
        first, second = result.caught.mean(axis=1)
        known = result.delay[1][np.isfinite(result.delay[1])]
        delay = float(np.median(known)) if len(known) else float("nan")
        print(f"{detector:26} {first:9.2f} {second:6.2f} {result.precision:6.3f} {result.volume:7.3f} {delay:6.0f}")
    print(end="", flush=True)


def _faults(labels: Flags) -> list[Fault]:
    """Runs of labelled rows of a column."""
    faults = []
    for column in range(labels.shape[1]):
        edges = np.flatnonzero(np.diff(np.pad(labels[:, column].astype(np.int8), 1)))
        faults += [
            Fault("labelled", int(first), int(end - first), (column,))
            for first, end in zip(edges[::2], edges[1::2], strict=True)
        ]
    return faults


def print_events(bundle: Bundle, prices: Path, events: Path) -> None:
    """Alarms of fintok as it is used, and of rivals with a threshold from the training rows, in known crises."""
    panel = fintok.read_panel(prices)
    panel = panel.select([name for name in panel.assets if name != "SP500"])
    cut = int((panel.dates <= bundle.train_end).sum())
    scores = AnomalyScorer(bundle).fit(panel).score(panel)
    alarms = {OURS: scores.is_alarm}
    for name in ("Hampel", "PCA residual", "turbulence"):
        alarms[name] = fixed_threshold_alarms(RIVALS[name].fit(panel[:cut])(panel), cut, 1.0)
    print(f"\nevents: alarms per 1,000 asset-days of {panel.num_assets} US stocks at a budget of 1")
    print(f"{'':40}" + "".join(f"{name:>14}" for name in alarms))
    table = pl.read_parquet(events).filter(pl.col("market") == "US").sort("start")
    spans = [(row["name"], np.datetime64(row["start"]), np.datetime64(row["end"])) for row in table.to_dicts()]
    spans.append(("all days after train_end", panel.dates[cut], panel.dates[-1]))
    for name, start, end in spans:
        days = (panel.dates >= start) & (panel.dates <= end) & (panel.dates > bundle.train_end)
        if days.any():
            rates = "".join(f"{1000.0 * raised[days].mean():14.2f}" for raised in alarms.values())
            print(f"{name[:28]:28} {int(days.sum()):5} days {rates}")
    print(end="", flush=True)


def read_prints(bundle: Bundle, prices: Path, prints: Path) -> Iterator[Labelled]:
    first = bundle.train_end + np.timedelta64(50, "D")
    wrong = pl.read_parquet(prints).filter(pl.col("reason") == "spike_revert").cast({"symbol": pl.String})
    wrong = wrong.filter(pl.col("date") > first)
    symbols = wrong["symbol"].unique().sort().to_list()
    table = pl.read_parquet(prices)
    complete = sorted((table[name].null_count(), name) for name in table.columns[1:] if name not in symbols)
    names = symbols + [name for _, name in complete[:OTHERS]]
    close = table.select(names).to_numpy().astype(np.float64)
    dates = table["date"].to_numpy()
    labels = np.zeros(close.shape, dtype=bool)
    for row in wrong.to_dicts():
        place = np.searchsorted(dates, np.datetime64(row["date"])), names.index(row["symbol"])
        close[place], labels[place] = row["close"], True
    panel = Panel.from_arrays(close, dates, names, source="closes with their wrong prints")
    yield Labelled(panel, labels, int((panel.dates <= bundle.train_end).sum()))


def read_splits(bundle: Bundle, prices: Path, factors: Path) -> Iterator[Labelled]:
    table = pl.read_parquet(prices, columns=["date", "symbol", "close"]).cast({"symbol": pl.String})
    wide = table.pivot(on="symbol", index="date", values="close").sort("date")
    names, dates = wide.columns[1:], wide["date"].to_numpy()
    close = wide.select(names).to_numpy().astype(np.float64)
    panel = Panel.from_arrays(np.where(close > 0.0, close, np.nan), dates, names, source="raw closes")
    labels = np.zeros(close.shape, dtype=bool)
    steps = pl.read_parquet(factors).cast({"symbol": pl.String}).sort("symbol", "date")
    steps = steps.with_columns(next=pl.col("split_factor").shift(-1).over("symbol"))
    for row in steps.filter((pl.col("next") / pl.col("split_factor")).log().abs() > 0.1).to_dicts():
        if row["symbol"] in names:
            column, day = names.index(row["symbol"]), np.searchsorted(dates, np.datetime64(row["date"]), side="right")
            if day < len(dates) and panel.is_observed[day, column]:
                labels[day, column] = True
    yield Labelled(panel, labels, int((panel.dates <= bundle.train_end).sum()))


def read_machines(bundle: Bundle, source: Path) -> Iterator[Labelled]:
    table = pl.read_parquet(source)
    channels = [name for name in table.columns if name[0] == "f" and name[1:].isdigit()]
    for machine in table["entity"].unique().sort():
        part = table.filter(pl.col("entity") == machine)
        parts = [part.filter(pl.col("part") == which).sort("t") for which in ("train", "test")]
        yield _series(bundle, [(p.select(channels).to_numpy(), p["label"].to_numpy()) for p in parts])


def read_valves(bundle: Bundle, source: Path) -> Iterator[Labelled]:
    table = pl.read_parquet(source).cast({"series": pl.String})
    channels = [name for name in table.columns if name not in ("datetime", "series", "label", "changepoint")]

    def part(name: str) -> tuple[NDArray, NDArray]:
        rows = table.filter(pl.col("series") == name).sort("datetime")
        return rows.select(channels).to_numpy(), rows["label"].to_numpy()

    free = [name for name in table["series"].unique().sort() if name.startswith("anomaly-free")]
    for name in table["series"].unique().sort():
        if name not in free:
            values, labels = part(free[0])
            yield _series(bundle, [(values[-VALVE_ROWS:], labels[-VALVE_ROWS:]), part(name)])


def read_single(bundle: Bundle, source: Path) -> Iterator[Labelled]:
    table = pl.read_parquet(source).cast({"series": pl.String})
    for name in table["series"].unique().sort():
        rows = table.filter(pl.col("series") == name).sort("timestamp")
        values, labels = rows.select("value").to_numpy(), rows["label"].to_numpy()
        cut = int(PROBATION * len(values))
        if labels[cut:].any():
            yield _series(bundle, [(values[:cut], labels[:cut]), (values[cut:], labels[cut:])])


def _series(bundle: Bundle, parts: list[tuple[NDArray, NDArray]]) -> Labelled:
    """A training part and one to judge, channels (rows, A) and labels (rows,), as a panel of changes.

    Dates are made up: the training part ends on the bundle's train_end. The step from one part to the other is none.
    """
    step = max(1, -(-max(len(values) for values, _ in parts) // LONGEST))
    blocks = [(_blocks(values, step, np.mean), _blocks(labels, step, np.max)) for values, labels in parts]
    changes = [np.diff(values, axis=0, prepend=np.full((1, values.shape[1]), np.nan)) for values, _ in blocks]
    returns, cut = np.concatenate(changes), len(changes[0])
    dates = bundle.train_end + (np.arange(len(returns)) - (cut - 1)) * np.timedelta64(1, "D")
    names = [f"c{channel:02d}" for channel in range(returns.shape[1])]
    labels = np.concatenate([labels > 0 for _, labels in blocks])[:, None]
    return Labelled(Panel.from_arrays(returns, dates, names, values="returns"), labels, cut)


def _blocks(values: NDArray, step: int, pool: Callable[..., NDArray]) -> Array:
    """Whole blocks of `step` rows, pooled."""
    whole = len(values) // step * step
    return pool(values[:whole].reshape(-1, step, *values.shape[1:]).astype(np.float64), axis=1)


SETS = {
    "prints": ("us_google_close1500_2003_2017_close_wide.parquet", "us_google_badprints.parquet"),
    "splits": ("us_lean_raw16_1998_2021_long.parquet", "us_lean_raw16_factor_files.parquet"),
    "events": ("demo_us20_sp500_1990_2022.parquet", "market_events.parquet"),
    "smd": ("smd_a_4machines.parquet",),
    "asd": ("asd_a_6servers.parquet",),
    "skab": ("skab_valve.parquet",),
    "nab": ("nab_real.parquet",),
}
READERS: dict[str, Callable[..., Iterator[Labelled]]] = {
    "prints": read_prints,
    "splits": read_splits,
    "smd": read_machines,
    "asd": read_machines,
    "skab": read_valves,
    "nab": read_single,
}

if __name__ == "__main__":
    main()
