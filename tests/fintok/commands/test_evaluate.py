"""``fintok evaluate`` from the command line; what it finds is tested in tests/fintok/evaluate."""

from fintok.cli import run


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


def test_a_folder_that_holds_something_is_refused(trained, tmp_path, refuse):
    (tmp_path / "mine.txt").write_text("mine")
    words = ["evaluate", "--model", trained / "model", "--panel", trained / "prices.parquet", "--out", tmp_path]
    assert "allow it with --overwrite" in refuse(*words)
