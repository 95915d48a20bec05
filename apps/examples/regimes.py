"""Market regimes of a panel of prices: where we stand, what usually follows, and how far to trust it.

    python apps/examples/regimes.py prices.parquet [--model runs/us] [--plot regimes.html]

Without --model the one that comes with fintok reads; `fintok sample --out prices.parquet` writes a panel to try.
"""

import argparse

import numpy as np

import fintok


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("panel")
    parser.add_argument("--model")
    parser.add_argument("--plot")
    options = parser.parse_args()

    panel = fintok.read_panel(options.panel)
    bundle = fintok.load(options.model)
    labeler = fintok.RegimeLabeler(bundle, n_regimes=3).fit(panel)
    regimes = labeler.label(panel)
    print(regimes, regimes.summary().to_string(), regimes.outlook().to_string(), sep="\n\n")

    # what was known on an earlier day is the same path, cut there: no label changes when rows are added
    print("\nknown half-way:", regimes.as_of(panel.dates[panel.num_days // 2]))

    # a label of today may be acted upon tomorrow: the path is causal, the lag is yours
    market = fintok.moves_of(panel).market
    held = regimes.to_series().shift(1).eq(0).fillna(False).to_numpy(dtype=bool)
    calm, other = np.nanmean(market[held]), np.nanmean(market[~held])
    print(
        f"\nmean move of the market on the day after a calm one {100 * calm:+.3f} %, after others {100 * other:+.3f} %"
    )
    if options.plot:
        regimes.plot().write_html(options.plot)


if __name__ == "__main__":
    main()
