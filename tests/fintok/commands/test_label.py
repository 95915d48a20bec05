"""How many regimes a panel has, as the command line answers it."""

import polars as pl
import pytest

from fintok.cli import run
from fintok.regime_result import Regimes


def test_auto_compares_numbers_prints_the_table_and_labels_with_the_one_chosen(trained, tmp_path, capsys):
    out = tmp_path / "regimes.parquet"
    words = ["label", "--model", trained / "model", "--panel", trained / "prices.parquet", "--out", out]
    assert run([str(word) for word in [*words, "--regimes", "auto"]]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("log_score", "agreement_min", "smallest_share", "switches_per_year"))
    probabilities = [name for name in pl.read_parquet(out).columns if name.startswith("p_")]
    assert f"{len(probabilities)} regimes " in printed


def test_a_word_for_a_number_of_regimes_is_refused(trained, tmp_path, refuse):
    words = ["label", "--model", trained / "model", "--panel", trained / "prices.parquet"]
    assert "many" in refuse(*words, "--out", tmp_path / "r.parquet", "--regimes", "many")


def test_more_switches_may_be_asked_for_and_what_is_remarked_upon_is_printed(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Regimes, "remarks", lambda regimes: [f"{regimes.num_regimes} are remarked upon"])
    words = ["label", "--model", trained / "model", "--panel", trained / "prices.parquet", "--regimes", "3"]
    switches = []
    for asked in ("0", "60"):
        out = tmp_path / f"{asked}.parquet"
        assert run([str(word) for word in [*words, "--out", out, "--switches", asked]]) == 0
        switches.append(pl.read_parquet(out)["regime"].drop_nulls().diff().fill_null(0).ne(0).sum())
    assert switches[0] < switches[1]
    printed = capsys.readouterr().out
    assert "mean_duration is in days\n3 are remarked upon\n" in printed


@pytest.mark.parametrize("command", ["label", "score", "tokenize", "report"])
def test_a_panel_of_another_frequency_is_told(trained, tmp_path, prices, capsys, command):
    weekly = tmp_path / "weekly.parquet"
    prices(num_days=800).gather_every(5).write_parquet(weekly)
    out = tmp_path / ("r.html" if command == "report" else "r.parquet")
    for panel, is_told in ((trained / "prices.parquet", False), (weekly, True)):
        words = [command, "--model", trained / "model", "--panel", panel, "--out", out, "--overwrite"]
        assert run([str(word) for word in words]) == 0
        assert (
            "trained on rows of a day, 261 a year, this panel has 52 rows a year" in capsys.readouterr().err
        ) == is_told


def test_a_report_is_a_page(trained, tmp_path, refuse):
    words = ["report", "--model", trained / "model", "--panel", trained / "prices.parquet"]
    assert "give a name that ends in .html" in refuse(*words, "--out", tmp_path / "r.pdf")
