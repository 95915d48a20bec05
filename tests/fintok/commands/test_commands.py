"""What the commands leave, and what they print."""

import polars as pl
import pytest

from fintok.bundle import load
from fintok.cli import run
from fintok.commands.pretrain import worse_than_marginal
from fintok.files import read_table


def test_a_run_leaves_its_merged_configuration(trained, capsys):
    path = trained / "model" / "config.yaml"
    assert run(["pretrain", "--print-config", "-c", str(path), "--preset", "large"]) == 0
    assert "window_days: 15" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "columns"),
    [
        ("tokenize", ["date", "symbol", "code", "word", "surprise"]),
        ("label", ["date", "regime", "name", "p_0", "p_1", "in_sample"]),
        ("score", ["date", "symbol", "score", "p_value", "alert", "reason", "in_sample"]),
    ],
)
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_table_has_the_columns_of_the_contract(trained, tmp_path, capsys, command, columns, ending):
    out = tmp_path / f"table.{ending}"
    words = [command, "--model", trained / "model", "--panel", trained / "prices.parquet", "--out", out]
    words += ["--regimes", 2] if command == "label" else []
    assert run([str(word) for word in words]) == 0
    printed = capsys.readouterr().out
    assert f"wrote {out}" in printed
    assert "next:  fintok " in printed
    table = pl.read_parquet(out) if ending == "parquet" else pl.read_csv(out, try_parse_dates=True)
    assert table.columns == columns
    assert len(table) > 400
    if "in_sample" in columns:
        seen = table.filter(pl.col("in_sample"))["date"].cast(pl.Date)
        assert str(seen.max()) == "2019-06-28"  # the last session up to train_end


@pytest.mark.parametrize("command", ["label", "tokenize", "score"])
def test_without_a_model_the_one_that_comes_with_fintok_reads(panel, tmp_path, capsys, command):
    assert run([command, "--panel", str(panel), "--out", str(tmp_path / "t.parquet")]) == 0
    printed = capsys.readouterr()
    assert "read by the model that comes with fintok, Bundle(512 codes, trained on 21 assets to 2022" in printed.err
    assert "--model" not in printed.out
    assert len(pl.read_parquet(tmp_path / "t.parquet")) > 400


def test_a_model_worse_than_the_marginal_is_told():
    figures = {"masked NLL asset": 5.5, "masked NLL asset marginal": 5.3, "masked NLL asset factor": 5.0}
    (sentence,) = worse_than_marginal(figures)
    assert "no better than their frequencies do (nats: asset 5.500 against 5.300)" in sentence
    assert worse_than_marginal({**figures, "masked NLL asset": 5.2}) == []


def test_several_panels_are_learned_together(trained, panel, prices, tmp_path, capsys):
    prices(400, 9).write_parquet(other := tmp_path / "other.parquet")
    words = ["pretrain", "--panel", panel, other, "-c", trained / "fast.yaml", "--out", tmp_path / "run"]
    assert run([str(word) for word in words]) == 0
    assert "other.parquet: masked NLL" in capsys.readouterr().err
    assert [one["num_assets"] for one in load(tmp_path / "run").training_panels] == [6, 9]


def test_tokens_and_scores_are_joined_by_date_and_symbol(trained, tmp_path):
    for command in ("tokenize", "score"):
        words = [command, "--model", trained / "model", "--panel", trained / "prices.parquet"]
        assert run([*map(str, words), "--out", str(tmp_path / f"{command}.parquet")]) == 0
    tokens, scores = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("tokenize", "score"))
    assert len(tokens.join(scores, on=["date", "symbol"])) == len(tokens)


def test_scores_leave_out_marked_errors_and_keep_groups_apart(trained, tmp_path, prices):
    errors, groups = tmp_path / "marks.csv", tmp_path / "groups.csv"
    marks = prices()[300:420].select("date", symbol=pl.lit("S1"), verdict=pl.lit("data error"), note=pl.lit("?"))
    marks.write_csv(errors)
    pl.DataFrame({"symbol": ["S0", "S1", "S2"], "group": "metals"}).write_csv(groups)
    words = ["score", "--model", str(trained / "model"), "--panel", str(trained / "prices.parquet"), "--out"]
    tables = []
    for number, more in enumerate([[], ["--errors", str(errors)], ["--groups", str(groups)]]):
        assert run([*words, str(tmp_path / f"{number}.parquet"), *more]) == 0
        tables.append(pl.read_parquet(tmp_path / f"{number}.parquet"))
    plain, marked, grouped = (table.filter(pl.col("p_value").is_not_null()) for table in tables)
    assert marked["p_value"].len() == plain["p_value"].len()  # 1,000 scores are there before the first mark
    assert marked["p_value"].to_list() != plain["p_value"].to_list()
    assert marked["score"].to_list() != plain["score"].to_list()  # marks in training rows do not shape the tails
    assert 0 < grouped["p_value"].len() < plain["p_value"].len()  # three assets need twice the days


def test_marks_and_groups_without_their_columns_are_refused(trained, tmp_path, prices, refuse):
    path = tmp_path / "wide.csv"
    prices().write_csv(path)
    words = ["score", "--model", trained / "model", "--panel", trained / "prices.parquet", "--out", tmp_path / "s.csv"]
    assert "no column 'symbol'" in refuse(*words, "--errors", path)
    assert "no column 'symbol'" in refuse(*words, "--groups", path)
    assert not (tmp_path / "s.csv").exists()


def test_groups_of_another_panel_are_refused_marks_are_told_and_those_of_a_larger_one_counted(
    trained, tmp_path, refuse, capsys
):
    marks, groups = tmp_path / "marks.csv", tmp_path / "groups.csv"
    words = ["score", "--model", trained / "model", "--panel", trained / "prices.parquet", "--out", tmp_path / "s.csv"]
    pl.DataFrame({"symbol": ["S0.N", "S1.N"], "group": "metals"}).write_csv(groups)
    assert "none of its 2 symbols is in the panel; the first is 'S0.N', where the panel has assets such as 'S0'" in (
        refuse(*words, "--groups", groups)
    )
    pl.DataFrame({"date": ["2019-01-05"], "symbol": ["S1"]}).write_csv(marks)  # a Saturday
    assert run([str(word) for word in [*words, "--errors", marks]]) == 0  # marks outlive panels
    said = capsys.readouterr().err
    assert "none of its 1 rows is a date and symbol of the panel, the first is 2019-01-05 S1: nothing is left" in said
    (tmp_path / "s.csv").unlink()
    pl.DataFrame({"date": ["2019-01-04"], "symbol": ["S1"], "verdict": ["wrong"]}).write_csv(marks)
    assert run([str(word) for word in [*words, "--errors", marks]]) == 0
    assert "no verdict is 'data error', only 'wrong': nothing is left out" in capsys.readouterr().err
    (tmp_path / "s.csv").unlink()
    verdicts = ["data error", "bad print", "news"]
    pl.DataFrame({"date": ["2019-01-04"] * 3, "symbol": ["S1", "S2", "S3"], "verdict": verdicts}).write_csv(marks)
    assert run([str(word) for word in [*words, "--errors", marks]]) == 0
    assert "marks.csv: 'data error' leaves a row out, 'bad print' does not\n" in capsys.readouterr().err
    (tmp_path / "s.csv").unlink()
    pl.DataFrame({"symbol": ["S0", "S1", "S2", "GONE"], "group": "metals"}).write_csv(groups)
    pl.DataFrame({"date": ["2019-01-04", "2031-01-01"], "symbol": ["S1", "S1"]}).write_csv(marks)
    assert run([str(word) for word in [*words, "--groups", groups, "--errors", marks]]) == 0
    said = capsys.readouterr().err
    assert f"{groups}: 3 of 4 symbols are in the panel" in said
    assert f"{marks}: 1 of 2 rows are in the panel" in said


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_check_writes_every_suspected_fault(tmp_path, prices, refuse, capsys, ending):
    jump = pl.when(pl.int_range(pl.len()).is_in([100, 200])).then(1.4).otherwise(1.0)
    prices().with_columns(pl.col("S1") * jump).write_parquet(panel := tmp_path / "prices.parquet")
    out = tmp_path / f"faults.{ending}"
    assert run(["check", str(panel), "--out", str(out)]) == 0
    assert f"wrote {out}" in capsys.readouterr().out
    table = read_table(out)
    assert table.columns == ["kind", "date", "symbol", "days", "other"]
    days = [prices()["date"][row] for row in (100, 200)]
    spikes = table.filter(pl.col("kind") == "spike that reverts")
    assert spikes["date"].cast(pl.Date).to_list() == days
    assert "exists" in refuse("check", panel, "--out", out)
    assert run(["check", str(panel), "--out", str(out), "--overwrite"]) == 0


def test_the_report_is_one_page(trained, tmp_path):
    out = tmp_path / "report.html"
    words = ["report", "--model", trained / "model", "--panel", trained / "prices.parquet", "--out", out]
    assert run([str(word) for word in [*words, "--regimes", 2]]) == 0
    page = out.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "2 regimes" in page or "Market regimes" in page


def test_the_report_and_the_scores_leave_out_the_same_errors_and_keep_the_same_groups_apart(
    trained, tmp_path, prices, capsys, refuse
):
    errors, groups = tmp_path / "marks.csv", tmp_path / "groups.csv"
    prices()[300:420].select("date", symbol=pl.lit("S1")).write_csv(errors)
    pl.DataFrame({"symbol": ["S0", "S1", "S2"], "group": "metals"}).write_csv(groups)
    words = ["--model", trained / "model", "--panel", trained / "prices.parquet", "--alarms", 50]
    told = []
    for number, more in enumerate([[], ["--errors", errors, "--groups", groups]]):
        page, table = tmp_path / f"{number}.html", tmp_path / f"{number}.parquet"
        assert run([str(word) for word in ["score", *words, *more, "--out", table]]) == 0
        printed = capsys.readouterr().out
        assert f"--alarms 50 {' '.join(map(str, more))}".strip() in printed  # the next command to try
        assert run([str(word) for word in ["report", *words, *more, "--out", page]]) == 0
        (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("Scores("))
        assert line in printed
        told.append((line, page.read_text()))
    assert told[0][0] != told[1][0]
    for name, value in (("data errors left out", "120"), ("groups calibrated apart", "2"), ("alarms per 1,000", "50")):
        assert f"asked for: {name}</td><td>{value}<" in told[1][1]
    assert "data errors left out" not in told[0][1]
    errors.write_text("date,price")
    assert "no column 'symbol'" in refuse("report", *words, "--errors", errors, "--out", tmp_path / "no.html")


@pytest.mark.slow
def test_the_demo_leaves_all_it_names_and_goes_on_when_asked(trained, tmp_path, capsys, refuse):
    words = ["demo", "--out", str(tmp_path / "demo"), "-c", str(trained / "fast.yaml")]
    assert run(words) == 0
    wrote = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("wrote ")]
    assert len(wrote) == 5
    assert all((tmp_path / "demo" / name).exists() for name in wrote)
    assert "--resume" in refuse(*words)
    assert run([*words, "--resume"]) == 0


def test_inspect_prints_what_a_model_holds(trained, capsys):
    assert run(["inspect", str(trained / "model")]) == 0
    printed = capsys.readouterr().out
    assert "2019-06-28" in printed
    assert "codebook usage" in printed


@pytest.mark.parametrize("kind", ["us20", "synthetic"])
def test_a_sample_can_be_checked(tmp_path, capsys, kind):
    out = tmp_path / "sample.parquet"
    assert run(["sample", "--kind", kind, "--out", str(out)]) == 0
    assert run(["check", str(out)]) == 0
    assert "next:  fintok label --panel" in capsys.readouterr().out
    assert (tmp_path / "sample.truth.parquet").exists() == (kind == "synthetic")


def test_the_next_command_repeats_how_the_panel_is_read(tmp_path, long_prices, capsys):
    path = tmp_path / "mine.csv"
    long_prices.rename({"symbol": "who", "close": "paid"}).write_csv(path)
    assert run(["check", str(path), "--symbol", "who", "--price", "paid"]) == 0
    assert "--symbol who --price paid" in capsys.readouterr().out
