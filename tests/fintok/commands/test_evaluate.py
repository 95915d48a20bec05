"""``fintok evaluate`` from the command line; what it finds is tested in tests/fintok/evaluate."""

from fintok.cli import run


def test_a_short_panel_is_not_judged_and_the_page_says_so(trained, tmp_path, capsys):
    words = ["evaluate", "--model", trained / "model", "--panel", trained / "prices.parquet", "--only", "regimes"]
    out = tmp_path / "evaluation"
    assert run([str(word) for word in [*words, "--out", out]]) == 2
    captured = capsys.readouterr()
    printed = " ".join(captured.out.split())
    assert captured.err.startswith(f"fintok: nothing could be judged on {trained / 'prices.parquet'}: ")
    assert "Regimes were not judged" in printed
    assert "need 500" in printed
    assert f"wrote {out}/evaluation.html" in printed
    assert "Regimes were not judged" in (out / "evaluation.html").read_text()


def test_a_folder_that_holds_something_is_refused(trained, tmp_path, refuse):
    (tmp_path / "mine.txt").write_text("mine")
    words = ["evaluate", "--model", trained / "model", "--panel", trained / "prices.parquet", "--out", tmp_path]
    assert "allow it with --overwrite" in refuse(*words)
