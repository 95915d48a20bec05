"""A small panel, a model of a few steps, and command lines that must be refused."""

import shutil
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from fintok.cli import run

FAST = """
imaging: {window_days: 15, min_observations: 5, channels: [return, volatility, market]}
teacher:
  encoder: {dim: 16, depth: 2, heads: 2}
  method: {num_prototypes: 16, hidden_dim: 16, bottleneck_dim: 8}
  optim: {steps: 2, batch_size: 4, warmup_steps: 1}
  num_local_crops: 1
tokenizer:
  encoder: {dim: 16, depth: 1, heads: 2}
  method: {codebook: {num_codes: 8, dim: 8}, decoder_depth: 1}
  optim: {steps: 2, batch_size: 4, warmup_steps: 1}
  num_words: 4
predictor:
  encoder: {dim: 16, depth: 2, heads: 2}
  method: {early_layer: 1, aggregation_depth: 1}
  optim: {steps: 2, batch_size: 4, warmup_steps: 1}
"""
TRAIN_END = "2019-06-30"


def simulate(num_days: int = 500, num_assets: int = 6) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    dates = np.arange("2018-01-01", "2030-01-01", dtype="datetime64[D]")
    dates = dates[np.is_busday(dates)][:num_days]
    paths = 50 * np.exp(np.cumsum(0.01 * rng.standard_normal((num_days, num_assets)), axis=0))
    return pl.DataFrame({"date": dates, **{f"S{i}": paths[:, i] for i in range(num_assets)}})


@pytest.fixture(scope="session")
def prices():
    """Makes a wide table of prices: business days from 2018 on, columns S0, S1, ..."""
    return simulate


@pytest.fixture(scope="session")
def long_prices(prices):
    """The same as a long table: date, symbol, close."""
    return prices().unpivot(index="date", variable_name="symbol", value_name="close")


@pytest.fixture
def panel(tmp_path, prices):
    path = tmp_path / "prices.parquet"
    prices().write_parquet(path)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory, prices):
    """A folder with a panel and a model of a few steps."""
    folder = tmp_path_factory.mktemp("trained")
    prices().write_parquet(folder / "prices.parquet")
    (folder / "fast.yaml").write_text(FAST)
    words = f"pretrain --panel {folder}/prices.parquet -c {folder}/fast.yaml --train-end {TRAIN_END}"
    assert run([*words.split(), "--out", str(folder / "model")]) == 0
    return folder


@pytest.fixture
def model(trained, tmp_path):
    """A copy of the model, to be spoilt."""
    return shutil.copytree(trained / "model", tmp_path / "model")


@pytest.fixture
def refuse(capsys) -> Callable[..., str]:
    """Runs a command line that must be refused: code 2, one line, no traceback. Returns the line."""

    def check(*words: object) -> str:
        assert run([str(word) for word in words]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("fintok: ")
        return lines[0]

    return check
