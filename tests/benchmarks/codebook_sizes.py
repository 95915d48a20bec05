"""How many codes a vocabulary of market days needs: one model a codebook size, all else as the recipe has it.

    python tests/benchmarks/codebook_sizes.py [--panel PANEL] [--train-end DATE] [--sizes 64 256 1024 4096 8192]
        [--preset tiny|base|large] [--out DIR]

PANEL is the bundled stocks where none is given. Every size gets a run of its own in DIR (kept: a run that is there is
read, not trained again). Judged are the rows after train_end, as `fintok evaluate` judges them:

used, perplexity   codes that occur, and how many equally frequent ones would be as surprising
bits               that a token's neighbours tell of it: nats of the marginal less those of the masked model, over ln 2,
                   with assets hidden, and with the coming week
asset, factor      nats of a hidden asset's token, by the masked model and by a linear factor model
score              of regimes by the codes alone, without the expected size: log score of next-day returns at 5 switches
                   a year, nats per asset-day; r2: of the log volatility of the next 20 days
"""

import argparse
import platform
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch

import fintok
from fintok.config import PretrainConfig
from fintok.evaluate.future import foresight, targets
from fintok.evaluate.regime_frontier import best
from fintok.evaluate.regime_scores import score_methods
from fintok.evaluate.regimes import open_market, own_methods
from fintok.panel import Panel
from fintok.recipes import recipe_path
from fintok.sample import load_us20
from fintok.usage import usage_of
from fintok.yardstick import measure
from vision.config import load_yaml


def with_codes(config: PretrainConfig, num_codes: int) -> PretrainConfig:
    """The recipe with another number of codes, merged to as many words where there are so many."""
    tokenizer = config.tokenizer
    method = replace(tokenizer.method, codebook=replace(tokenizer.method.codebook, num_codes=num_codes))
    return replace(config, tokenizer=replace(tokenizer, method=method, num_words=min(tokenizer.num_words, num_codes)))


def judge(bundle: fintok.Bundle, panel: Panel) -> dict[str, float]:
    found = measure(bundle, panel)
    market = open_market(bundle, panel, bundle.forecast(panel))
    codes = bundle.codes(panel)[market.cut :]
    usage = usage_of(np.bincount(codes[codes >= 0], minlength=bundle.codebook_size))
    with patch("fintok.regime_model._SIZE_WEIGHT", 0.0):
        scored, _ = score_methods(own_methods(bundle), market, 0)
    aim = targets(market)["volatility 20"]
    chosen = best(scored, 5.0)
    return {
        "codes": bundle.codebook_size,
        "used": usage.used,
        "perplexity": usage.perplexity,
        "bits asset": (found.asset_marginal - found.asset) / np.log(2),
        "bits forecast": (found.forecast_marginal - found.forecast) / np.log(2),
        "asset": found.asset,
        "factor": found.asset_factor,
        "score": np.nan if chosen is None else chosen.score,
        "r2": max(foresight(one.labels, aim, 20, market).r_squared for one in scored),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--panel", help="prices; the bundled stocks where none is given")
    parser.add_argument("--train-end", default="2007-12-31", help="last date to learn from (default 2007-12-31)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1024, 4096, 8192], help="numbers of codes")
    parser.add_argument("--preset", default="base", choices=["tiny", "base", "large"], help="recipe (default base)")
    parser.add_argument("--out", type=Path, default=Path("runs/codebook_sizes"), help="folder of the runs")
    arguments = parser.parse_args()
    panel = load_us20() if arguments.panel is None else fintok.read_panel(arguments.panel)
    config = load_yaml(PretrainConfig, recipe_path(arguments.preset))
    print(f"{panel}\n{platform.machine()}, torch {torch.__version__}, recipe {arguments.preset}")
    rows = []
    for size in arguments.sizes:
        began = time.process_time()
        out = arguments.out / str(size)
        settings = {"train_end": arguments.train_end, "out": out, "config": with_codes(config, size)}
        bundle = fintok.pretrain(panel, **settings, resume=out.exists())
        rows.append({**judge(bundle, panel), "CPU minutes": (time.process_time() - began) / 60})
        print(pd.DataFrame(rows[-1:]).round(4).to_string(index=False), flush=True)
    print(pd.DataFrame(rows).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
