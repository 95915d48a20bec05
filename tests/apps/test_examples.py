"""The examples run as they stand, on the bundled panel and on arrays."""

import runpy
import sys

import numpy as np
import polars as pl
import pytest

from fintok.sample import load_us20


@pytest.fixture
def run_example(root, monkeypatch):
    """run_example(name, *words): as on the command line."""

    def run(name, *words):
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        runpy.run_path(str(root / "apps" / "examples" / name), run_name="__main__")

    return run


@pytest.fixture
def prices(tmp_path):
    panel = load_us20()[4600:5400]
    path = tmp_path / "prices.parquet"
    columns = {name: panel.prices[:, place] for place, name in enumerate(panel.assets)}
    pl.DataFrame({"date": panel.dates, **columns}).write_parquet(path)
    return path


def test_regimes(run_example, prices, tmp_path, capsys):
    run_example("regimes.py", prices, "--plot", tmp_path / "plot.html")
    said = capsys.readouterr().out
    assert "3 regimes" in said
    assert "known half-way: Regimes(" in said
    assert "nan" not in said.splitlines()[-1]
    assert "plotly" in (tmp_path / "plot.html").read_text(encoding="utf-8").lower()


def test_alerts(run_example, prices, capsys):
    run_example("alerts.py", prices, "--alarms", 5)
    said = capsys.readouterr().out
    assert "PanelHealth(findings: 0, assets: 21" in said
    assert "Attribution(" in said
    assert "Counterfactual(" in said


def test_images(run_example, tmp_path, capsys):
    np.save(tmp_path / "images.npy", np.random.default_rng(0).normal(size=(66, 2, 8, 8)).astype(np.float32))
    run_example("images.py", tmp_path / "images.npy", "--steps", 2, "--out", tmp_path / "run")
    assert "features (66, 96)" in capsys.readouterr().out
    assert (tmp_path / "run" / "encoder").is_dir()
