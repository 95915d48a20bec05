"""How many regimes a panel has, as the command line answers it."""

import polars as pl
import pytest
from sklearn.base import clone

import fintok
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


def test_until_a_date_the_panels_own_regimes_are_learned_as_in_python(trained, tmp_path, prices, capsys, refuse):
    other = tmp_path / "other.parquet"
    prices(num_days=800).write_parquet(other)
    words = ["label", "--model", trained / "model", "--panel", other, "--regimes", "3"]
    panel = fintok.read_panel(other)
    until = str(panel.dates[700])[:10]
    assert run([str(word) for word in [*words, "--until", until, "--out", tmp_path / "own.parquet"]]) == 0
    labeler = fintok.RegimeLabeler(fintok.load(trained / "model"), n_regimes=3).fit(panel, until=until)
    expected = labeler.label(panel).to_polars()
    assert pl.read_parquet(tmp_path / "own.parquet").equals(expected)
    assert not clone(labeler).fit().label(panel).to_polars().equals(expected)
    assert run([str(word) for word in [*words[:-1], "auto", "--until", until, "--out", tmp_path / "auto.parquet"]]) == 0
    assert "log_score" in capsys.readouterr().out
    message = refuse(*words, "--until", str(panel.dates[100])[:10], "--out", tmp_path / "r.parquet")
    assert "fewer than 500 labelled rows" in message


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
        said = capsys.readouterr()
        assert ("trained on rows of a day, 261 a year, this panel has 52 rows a year" in said.err) == is_told
        assert ("days and mean_duration are in weeks" in said.out) == (is_told and command == "label")


def test_a_report_is_a_page(trained, tmp_path, refuse):
    words = ["report", "--model", trained / "model", "--panel", trained / "prices.parquet"]
    assert "give a name that ends in .html" in refuse(*words, "--out", tmp_path / "r.pdf")
