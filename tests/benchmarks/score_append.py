"""What a new day costs: a panel that grows by a day, beside the whole of it scored at once.

    python tests/benchmarks/score_append.py RUN [--panel PANEL] [--days 3]

RUN is a model folder, PANEL the bundled stocks where none is given. The panel without its last days is scored, then
each day is added: by the same scorer, and by a new one that takes what was read from a file, as `fintok score
--append` does. Seconds of the processor, all threads together. Scores, p-values, levels and reasons must be those of
the whole panel to the last bit.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import fintok
from fintok.anomaly import AnomalyScorer
from fintok.files import write_table
from fintok.panel import Panel
from fintok.readings import open_readings
from fintok.sample import load_us20
from fintok.score_result import Scores


def is_same(one: Scores, other: Scores) -> bool:
    """The rows that both have, to the last bit."""
    count = min(len(one.dates), len(other.dates))
    names = ("score", "p_value", "levels", "reason_codes")
    return all(
        np.array_equal(getattr(one, name)[:count], getattr(other, name)[:count], equal_nan=name != "reason_codes")
        for name in names
    )


def from_file(bundle: fintok.Bundle, panel: Panel, path: Path) -> Scores:
    scorer = AnomalyScorer(bundle).go_on_from(open_readings(path, panel))
    return scorer.fit(panel).score(panel)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", help="a model folder")
    parser.add_argument("--panel", help="prices; the bundled stocks where none is given")
    parser.add_argument("--days", type=int, default=3, help="days to add one by one (default 3)")
    arguments = parser.parse_args()
    panel = load_us20() if arguments.panel is None else fintok.read_panel(arguments.panel)
    bundle = fintok.load(arguments.run)
    print(panel)

    started = time.process_time()
    whole = AnomalyScorer(bundle).fit(panel).score(panel)
    at_once = time.process_time() - started
    print(f"the whole panel at once: {at_once:.1f} s")

    first = panel.num_days - arguments.days
    scorer = AnomalyScorer(bundle).fit(panel[:first])
    scorer.score(panel[:first])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.readings.parquet"
        for length in range(first + 1, panel.num_days + 1):
            assert scorer.readings is not None
            write_table(scorer.readings.to_polars(), path, overwrite=True)
            for name, score in (
                ("same scorer", lambda part: scorer.score(part)),
                ("from a file", lambda part: from_file(bundle, part, path)),
            ):
                started = time.process_time()
                scores = score(panel[:length])
                seconds = time.process_time() - started
                verdict = "the same" if is_same(scores, whole) else "NOT the same"
                print(f"day {length - first}, {name}: {seconds:.2f} s, 1/{at_once / seconds:.0f}, scores {verdict}")
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
