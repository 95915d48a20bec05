"""What a file that begins later changes: its labels beside those of the whole panel, on the same dates.

    python tests/benchmarks/late_files.py RUN --panel PANEL [--start 2013-01-01] [--judge 2018-01-01] [--rows 750]

RUN is a model folder. First the panel from `start` on is labelled, with the model's memory of its assets and without,
and compared with the whole from `judge` on. Then evenings: every 62nd date after `train_end` is labelled by a file of
the last `rows` rows alone, as a nightly run that keeps no history would.
"""

import argparse
from dataclasses import replace

import numpy as np

import fintok
from fintok import RegimeLabeler
from fintok.spans import rows_until

EVERY = 62  # rows from one evening to the next


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", help="a model folder")
    parser.add_argument("--panel", required=True, help="the prices that it was trained on, with later rows")
    parser.add_argument("--start", default="2013-01-01", help="first date of the file (default 2013-01-01)")
    parser.add_argument("--judge", default="2018-01-01", help="first date compared (default 2018-01-01)")
    parser.add_argument("--rows", type=int, default=750, help="rows of an evening's file (default 750)")
    arguments = parser.parse_args()
    bundle, panel = fintok.load(arguments.run), fintok.read_panel(arguments.panel)
    labeler = RegimeLabeler(bundle).fit()
    whole = labeler.label(panel).to_series()
    for name, reader in (("with memory", bundle), ("without", replace(bundle, memories=[]))):
        later = RegimeLabeler(reader).fit().predict(panel[arguments.start :])[arguments.judge :]
        print(
            f"from {arguments.start}, {name}: {(later == whole[later.index]).mean():.1%} of {len(later):,} dates agree"
        )

    first = max(rows_until(panel.dates, bundle.train_end) + 1, arguments.rows)
    evenings = range(first, panel.num_days + 1, EVERY)
    same = [labeler.predict(panel[end - arguments.rows : end]).iloc[-1] == whole.iloc[end - 1] for end in evenings]
    print(f"the last {arguments.rows} rows alone: {np.mean(same):.1%} of {len(same)} evenings agree")


if __name__ == "__main__":
    main()
