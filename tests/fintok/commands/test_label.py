"""How many regimes a panel has, as the command line answers it."""

import polars as pl

from fintok.cli import run


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
