"""``fintok evaluate`` from the command line; what it finds is tested in tests/fintok/evaluate."""

import pandas as pd

from fintok.cli import run
from tests.fintok.commands.conftest import TRAIN_END


def test_a_short_panel_is_not_judged_and_no_page_is_left(trained, tmp_path, capsys):
    words = ["evaluate", "--model", trained / "model", "--panel", trained / "prices.parquet", "--only", "regimes"]
    assert run([str(word) for word in [*words, "--out", tmp_path / "evaluation"]]) == 2
    captured = capsys.readouterr()
    line = captured.err.strip().splitlines()[-1]
    assert line.startswith(
        f"fintok: nothing could be judged on {trained / 'prices.parquet'}: Regimes were not judged: "
    )
    assert "need 500" in line
    assert "wrote" not in captured.out
    assert not list(tmp_path.iterdir())


def test_the_tokens_of_another_seed_are_compared(trained, tmp_path, capsys):
    panel, out = trained / "prices.parquet", tmp_path / "evaluation"
    words = ["pretrain", "--panel", panel, "-c", trained / "fast.yaml", "--train-end", TRAIN_END, "--seed", 1]
    assert run([str(word) for word in [*words, "--out", tmp_path / "other"]]) == 0
    words = ["evaluate", "--model", trained / "model", "--panel", panel, "--only", "tokens", "--out", out]
    assert run([str(word) for word in [*words, "--others", tmp_path / "other", trained / "model"]]) == 0
    assert "are the same once matched on earlier days" in " ".join(capsys.readouterr().out.split())
    table = pd.read_parquet(out / "tokens_stability.parquet")
    assert [name.count("seed 0") for name in table["models"]] == [1, 1]
    assert [name.count("seed 1") for name in table["models"]] == [1, 1]
    assert table["codes_agreement"].between(0.0, 1.0).all()


def test_others_that_no_part_asks_for_or_that_hold_no_model_are_refused(trained, tmp_path, refuse):
    words = ["evaluate", "--model", trained / "model", "--panel", trained / "prices.parquet", "--out", tmp_path / "out"]
    assert "add it to --only" in refuse(*words, "--only", "regimes", "--others", trained / "model")
    assert f"{tmp_path} holds no model" in refuse(*words, "--others", tmp_path)


def test_a_folder_that_holds_something_is_refused(trained, tmp_path, refuse):
    (tmp_path / "mine.txt").write_text("mine")
    words = ["evaluate", "--model", trained / "model", "--panel", trained / "prices.parquet", "--out", tmp_path]
    assert "allow it with --overwrite" in refuse(*words)
