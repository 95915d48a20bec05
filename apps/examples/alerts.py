"""Which assets behave strangely, why, and what the model had expected instead.

    python apps/examples/alerts.py prices.parquet [--model runs/us] [--alarms 1.0]

Without --model the one that comes with fintok reads; `fintok sample --out prices.parquet` writes a panel to try.
"""

import argparse

import fintok


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("panel")
    parser.add_argument("--model")
    parser.add_argument("--alarms", type=float, default=1.0, help="false alarms to expect per 1000 asset-days")
    options = parser.parse_args()

    panel = fintok.read_panel(options.panel)
    print(fintok.check_panel(panel), end="\n\n")  # what needs no model: stale runs, duplicates, suspected splits

    bundle = fintok.load(options.model)
    scorer = fintok.AnomalyScorer(bundle, alarms_per_1000=options.alarms).fit(panel)
    scores = scorer.score(panel)
    events = scores.events()
    print(scores, events.head(10).to_string(), sep="\n\n")
    if events.empty:
        return

    strangest = events.iloc[0]
    date, symbol = strangest["peak"], strangest["symbol"]
    why = scores.attribution(date, symbol)
    print(f"\n{symbol}: {why!r}", why.statistics.head(3).to_string(index=False), sep="\n\n")
    print("\nthe week seen beside the week expected:", bundle.counterfactual(panel, date, symbol), sep="\n")
    print("\nwhen a week last looked like it:", bundle.tokenize(panel).like(date, symbol).head(5), sep="\n")


if __name__ == "__main__":
    main()
