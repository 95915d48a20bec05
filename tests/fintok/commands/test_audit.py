"""The command that looks for look-ahead: what it prints, and its exit code."""

from dataclasses import replace

import numpy as np

from fintok.anomaly import AnomalyScorer
from fintok.cli import run


def words(trained):
    given = ["audit", "--model", trained / "model", "--panel", trained / "prices.parquet"]
    return [str(word) for word in [*given, "--cuts", 2, "--regimes", 2]]


def test_an_honest_model_passes_and_the_table_says_what_was_compared(trained, capsys):
    assert run(words(trained)) == 0
    printed = capsys.readouterr().out
    assert "no look-ahead found" in printed
    assert "largest_change" in printed
    assert all(name in printed for name in ("code", "surprise", "probability", "p_value", "reason"))
    assert "next:  fintok report" in printed


def test_a_score_that_peeks_ends_with_code_1_and_says_where(trained, capsys, monkeypatch):
    honest = AnomalyScorer.score

    def peeking(self, panel):
        scores = honest(self, panel)
        return replace(scores, score=scores.score - np.nanmax(scores.score))

    monkeypatch.setattr(AnomalyScorer, "score", peeking)
    assert run(words(trained)) == 1
    captured = capsys.readouterr()
    assert "looks ahead: score" in captured.out
    last = captured.err.strip().splitlines()[-1]
    assert last.startswith("fintok: looks ahead: score; score changed in ")


def test_a_panel_that_ends_with_the_training_rows_is_refused(trained, tmp_path, prices, refuse):
    early = tmp_path / "early.parquet"
    prices().head(300).write_parquet(early)
    assert "goes on after it" in refuse("audit", "--model", trained / "model", "--panel", early)
