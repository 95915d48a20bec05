"""What the codes and the expected size each do for regimes: the two together, and each alone.

    python tests/benchmarks/regime_parts.py RUN --panel PANEL

Judged are the rows after train_end, as `fintok evaluate` judges them: the log score of next-day returns, nats per
asset-day, at its best of two to six regimes at no more than so many switches a year, and the highest R² of the log
volatility of the next 20 days; then how far both are ahead of each, with the standard error.
"""

import argparse
import platform
from unittest.mock import patch

import numpy as np
import pandas as pd

import fintok
from fintok.evaluate.future import foresight, targets
from fintok.evaluate.log_score import ahead_by
from fintok.evaluate.regime_frontier import BUDGETS, best
from fintok.evaluate.regime_scores import score_methods
from fintok.evaluate.regimes import open_market, own_methods
from fintok.regime_model import _SIZE_WEIGHT

WEIGHTS = {"both": _SIZE_WEIGHT, "codes alone": 0.0, "expected size alone": 1e4}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", help="folder of a model")
    parser.add_argument("--panel", required=True, help="prices that go on after its train_end")
    arguments = parser.parse_args()
    bundle, panel = fintok.load(arguments.run), fintok.read_panel(arguments.panel)
    market = open_market(bundle, panel, bundle.forecast(panel))
    aim = targets(market)["volatility 20"]
    print(f"{panel}\n{platform.machine()}, numpy {np.__version__}, fintok {fintok.__version__}")
    counts, dates = np.isfinite(market.returns[market.cut :]).sum(axis=1), panel.dates[market.cut :]
    rows, leads, together = {}, {}, []
    for name, weight in WEIGHTS.items():
        with patch("fintok.regime_model._SIZE_WEIGHT", weight):
            scored = score_methods(own_methods(bundle), market, 0)[0][1:]
        found = [best(scored, budget) for budget in BUDGETS]
        rows[name] = {f"{budget:g}": one.score if one else np.nan for budget, one in zip(BUDGETS, found, strict=True)}
        together = together or found
        if found is not together:
            leads[f"both, less {name}"] = {
                f"{budget:g}": "{:+.4f} ± {:.4f}".format(*ahead_by(both.daily, one.daily, counts, dates))
                for budget, both, one in zip(BUDGETS, together, found, strict=True)
                if both and one
            }
        rows[name]["R² of volatility"] = max(foresight(one.labels, aim, 20, market).r_squared for one in scored)
    for table in (pd.DataFrame.from_dict(rows, orient="index").round(4), pd.DataFrame.from_dict(leads, orient="index")):
        print(table.to_string())


if __name__ == "__main__":
    main()
