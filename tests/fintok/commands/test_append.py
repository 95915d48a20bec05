"""``score --append``: what a file gains, keeps and is told."""

import polars as pl
import pytest

from fintok.cli import run
from fintok.files import read_table, write_table
from fintok.score_result import COLUMNS


def test_scores_are_appended_after_the_last_date(trained, tmp_path, prices, capsys):
    whole, daily, early = tmp_path / "whole.parquet", tmp_path / "daily.parquet", tmp_path / "early.parquet"
    prices().head(450).write_parquet(early)
    model = str(trained / "model")
    assert run(["score", "--model", model, "--panel", str(trained / "prices.parquet"), "--out", str(whole)]) == 0
    words = ["score", "--model", model, "--append", "--out", str(daily), "--panel"]
    for source in (early, trained / "prices.parquet", trained / "prices.parquet"):
        assert run([*words, str(source)]) == 0
    printed = capsys.readouterr()
    assert "0 rows" in printed.out
    assert f"wrote {tmp_path / 'daily.readings.parquet'}" in printed.out
    assert pl.read_parquet(daily).equals(pl.read_parquet(whole))
    assert "would be others now" not in printed.err
    assert not (tmp_path / "whole.readings.parquet").exists()


def test_rows_of_the_file_that_would_be_others_now_stay_and_are_told(trained, tmp_path, prices, capsys):
    source, table = tmp_path / "prices.parquet", prices()
    table.head(480).write_parquet(source)
    words = [
        "score",
        "--model",
        str(trained / "model"),
        "--append",
        "--out",
        str(tmp_path / "daily.parquet"),
        "--panel",
    ]
    assert run([*words, str(source)]) == 0
    before = pl.read_parquet(tmp_path / "daily.parquet")
    capsys.readouterr()
    assert run([*words, str(trained / "prices.parquet"), "--alarms", "200"]) == 0
    assert "rows would be others now, the first 'S" in capsys.readouterr().err
    jump = pl.when(pl.int_range(pl.len()) >= 470).then(pl.col("S1") * 1.3).otherwise(pl.col("S1"))
    table.with_columns(jump.alias("S1")).write_parquet(source)
    assert run([*words, str(source)]) == 0
    assert (
        "prices or symbols before its last date, --alarms, --errors or --groups have changed" in capsys.readouterr().err
    )
    assert pl.read_parquet(tmp_path / "daily.parquet").head(len(before)).equals(before)


def test_a_file_that_begins_later_is_named_as_the_cause(trained, tmp_path, prices, capsys):
    source, table = tmp_path / "prices.parquet", prices()
    words = ["score", "--model", trained / "model", "--append", "--out", tmp_path / "daily.csv", "--panel", source]
    for first, last in ((0, 480), (150, 484)):
        table.slice(first, last - first).write_parquet(source)
        assert run([str(word) for word in words]) == 0
    told = capsys.readouterr().err
    begins = str(table["date"][151])[:10]  # the first return
    assert f"the panel now begins on {begins}, the scores began on 2018-01-" in told
    assert "have changed" not in told


def test_rows_that_would_be_others_are_told_once_and_anew_when_they_change_again(trained, tmp_path, prices, capsys):
    source, out, table = tmp_path / "prices.parquet", tmp_path / "daily.parquet", prices()
    words = ["score", "--model", trained / "model", "--append", "--out", out, "--panel", source]
    told = []
    for num_days, factor in ((470, 1.0), (480, 1.3), (481, 1.3), (482, 1.3), (483, 1.5), (484, 1.5)):
        jump = pl.when(pl.int_range(pl.len()) >= 460).then(pl.col("S1") * factor).otherwise(pl.col("S1"))
        table.head(num_days).with_columns(jump.alias("S1")).write_parquet(source)
        assert run([str(word) for word in words]) == 0
        told.append("would be others now" in capsys.readouterr().err)
    assert told == [False, True, False, False, True, False]
    assert pl.read_parquet(out)["date"].n_unique() > 400


def test_values_that_come_after_their_date_was_scored_are_told(trained, tmp_path, prices, capsys):
    source, out, table = tmp_path / "prices.parquet", tmp_path / "daily.csv", prices()
    words = ["score", "--model", trained / "model", "--append", "--out", out, "--panel", source]
    is_last = pl.int_range(pl.len()) == 480
    table.head(481).with_columns(pl.when(~is_last).then(pl.col("S4", "S5"))).write_parquet(source)
    for num_days, told in ((None, False), (482, True), (482, False)):  # once
        if num_days is not None:
            table.head(num_days).write_parquet(source)
        assert run([str(word) for word in words]) == 0
        said = "daily.csv: 2 rows (alerts: 0) came since for dates up to its last, the first 'S4' on 2019-"
        assert (said in capsys.readouterr().err) == told


def test_alerts_among_the_rows_that_are_added_are_shown(trained, tmp_path, prices, capsys):
    source, out, table = tmp_path / "prices.parquet", tmp_path / "daily.parquet", prices()
    words = ["score", "--model", trained / "model", "--append", "--out", out, "--panel", source]
    for num_days in (480, 481):
        jump = pl.when(pl.int_range(pl.len()) >= 480).then(pl.col("S1") * 100.0).otherwise(pl.col("S1"))
        table.head(num_days).with_columns(jump.alias("S1")).write_parquet(source)
        capsys.readouterr()
        assert run([str(word) for word in words]) == 0
    printed = capsys.readouterr().out
    assert "alerts: 1\n" in printed
    assert "S1" in printed.split("possible decimal shift")[0].splitlines()[-1]
    assert "Scores(" not in printed


def test_symbols_that_look_like_numbers_stay_as_they_are(trained, tmp_path, prices):
    out = tmp_path / "daily.csv"
    words = ["score", "--model", trained / "model", "--out", out, "--append", "--panel"]
    for num_days in (30, 400, 480):
        source = tmp_path / f"{num_days}.parquet"
        prices().head(num_days).rename({f"S{i}": f"{i:06}" for i in range(6)}).write_parquet(source)
        assert run([str(word) for word in [*words, source]]) == 0
    symbols = pl.read_csv(out, schema_overrides={"symbol": pl.String})["symbol"]
    assert set(symbols) == {f"{i:06}" for i in range(6)}


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_rows_are_added_to_a_table_without_any(trained, tmp_path, capsys, ending):
    out = write_table(pl.DataFrame(schema=COLUMNS), tmp_path / f"daily.{ending}")
    words = ["score", "--model", trained / "model", "--panel", trained / "prices.parquet", "--append", "--out", out]
    assert run([str(word) for word in words]) == 0
    assert "rows added to 0" in capsys.readouterr().out
    assert len(read_table(out)) > 2000


def test_scores_are_appended_to_a_csv_as_to_parquet(trained, tmp_path, prices, capsys):
    prices().head(450).write_parquet(early := tmp_path / "early.parquet")
    for source in (early, trained / "prices.parquet"):
        words = ["score", "--model", trained / "model", "--append", "--out", tmp_path / "daily.csv", "--panel", source]
        assert run([str(word) for word in words]) == 0
    assert "rows after 2019-09-20 added to" in capsys.readouterr().out
    words = ["score", "--model", trained / "model", "--panel", trained / "prices.parquet", "--out", tmp_path / "at.csv"]
    assert run([str(word) for word in words]) == 0
    content = (tmp_path / "daily.csv").read_text()
    assert content == (tmp_path / "at.csv").read_text()
    assert content.splitlines()[1] == '2018-01-02,S0,,,false,"",true'


def test_a_panel_that_ends_before_the_scores_adds_nothing_and_keeps_what_was_read(trained, tmp_path, prices, capsys):
    prices().head(300).write_parquet(old := tmp_path / "old.parquet")
    words = ["score", "--model", trained / "model", "--append", "--out", tmp_path / "daily.parquet", "--panel"]
    assert run([str(word) for word in [*words, trained / "prices.parquet"]]) == 0
    before = {path: path.read_bytes() for path in tmp_path.glob("daily*")}
    assert len(before) == 2
    assert run([str(word) for word in [*words, old]]) == 0
    said = capsys.readouterr().out
    assert "old.parquet ends 2019-02-22, before the last date of" in said
    assert "nothing to add; if 2019-11-29 is wrong, name another --out, or score all dates anew" in said
    assert {path: path.read_bytes() for path in tmp_path.glob("daily*")} == before


def test_scores_of_other_symbols_or_of_another_model_are_not_mixed(trained, tmp_path, prices, refuse, capsys):
    out, foreign = tmp_path / "daily.parquet", tmp_path / "foreign.parquet"
    prices().rename({f"S{i}": f"Z{i}" for i in range(6)}).write_parquet(foreign)
    other, words = tmp_path / "other", ["score", "--append", "--out", out, "--panel", trained / "prices.parquet"]
    assert run([str(word) for word in [*words, "--model", trained / "model"]]) == 0
    capsys.readouterr()
    before = out.read_bytes()
    assert "holds scores of 'S0', 'S1'" in refuse(*words[:-1], foreign, "--model", trained / "model")
    late = ["--train-end", "2019-09-30"]
    pretrain = ["pretrain", "--panel", trained / "prices.parquet", "-c", trained / "fast.yaml", "--out", other]
    for more in (["--train-end", "2019-06-30", "--seed", 1], late):
        assert run([str(word) for word in [*pretrain, *more, "--overwrite"]]) == 0
        capsys.readouterr()
        assert "holds scores of another model: name another --out" in refuse(*words, "--model", other)
    (tmp_path / "daily.readings.parquet").unlink()  # in_sample tells
    assert "holds scores of another model" in refuse(*words, "--model", other)
    assert out.read_bytes() == before


def test_an_added_day_is_all_that_the_model_reads(trained, tmp_path, prices, monkeypatch):
    from fintok.bundle import Bundle

    asked, surprise = [], Bundle.surprise
    monkeypatch.setattr(
        Bundle, "surprise", lambda self, panel, since=0: asked.append(since) or surprise(self, panel, since)
    )
    words = ["score", "--model", str(trained / "model"), "--append", "--out", str(tmp_path / "daily.csv"), "--panel"]
    for num_days in (480, 481):
        source = tmp_path / f"{num_days}.parquet"
        prices().head(num_days).write_parquet(source)
        assert run([*words, str(source)]) == 0
    assert asked == [0, 480]


def test_a_day_is_not_scored_twice_where_dates_are_written_otherwise(trained, tmp_path, prices, refuse, capsys):
    out, closes = tmp_path / "daily.parquet", tmp_path / "closes.parquet"
    words = ["score", "--model", trained / "model", "--append", "--out", out, "--panel"]
    prices().head(480).write_parquet(early := tmp_path / "early.parquet")
    assert run([str(word) for word in [*words, early]]) == 0
    capsys.readouterr()
    before = out.read_bytes()
    prices().with_columns(pl.col("date").cast(pl.Datetime) + pl.duration(hours=21)).write_parquet(closes)
    said = refuse(*words, closes)
    assert "holds scores of dates such as 2019-11-01T00:00" in said
    assert "has others such as 2019-10-31T21:00, and none in common: write dates as before, or name another" in said
    assert out.read_bytes() == before
    prices().with_columns(pl.col("date").dt.offset_by("10y")).write_parquet(later := tmp_path / "later.parquet")
    assert run([str(word) for word in [*words, later]]) == 0


def test_scores_are_not_appended_to_another_table(trained, tmp_path, prices, refuse):
    out = write_table(prices(), tmp_path / "prices.parquet")
    words = ["score", "--model", trained / "model", "--panel", trained / "prices.parquet"]
    assert "cannot be appended to" in refuse(*words, "--out", out, "--append")
    assert pl.read_parquet(out).columns[1] == "S0"
