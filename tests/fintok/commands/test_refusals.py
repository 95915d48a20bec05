"""Bad panels, models and outputs: one clear sentence, exit code 2, nothing half-written."""

import errno
import json
import os
import re

import polars as pl
import pytest

from fintok.cli import run

BAD_PANELS = {
    "no price column": (lambda _, long: long.select("date", "symbol", note=pl.lit("x")), "'note'"),
    "text among numbers": (lambda wide, _: wide.with_columns(S1=pl.lit("n/a?")), r"'S1'.*'n/a\?'.*row 1"),
    "a date twice": (lambda _, long: pl.concat([long, long.head(1)]), "S0 has more than one row on 2018-01-01"),
    "no dates": (lambda wide, _: wide.with_columns(date=pl.lit("soon")), "soon"),
    "no date column": (lambda wide, _: wide.drop("date"), "no date"),
    "a negative price": (lambda wide, _: wide.with_columns(S2=-pl.col("S2")), "S2 on 2018-01-01.*--values returns"),
    "a price of zero": (lambda wide, _: wide.with_columns(S2=pl.lit(0.0)), "S2 on 2018-01-01.*--values returns"),
    "one asset": (lambda wide, _: wide.select("date", "S0"), "S0.*at least two"),
    "nothing observed": (
        lambda wide, _: wide.with_columns(pl.lit(None).alias(f"S{i}") for i in range(6)),
        "every price is missing",
    ),
    "no rows": (lambda wide, _: wide.clear(), "no rows|empty"),
}


@pytest.mark.parametrize("fault", BAD_PANELS)
def test_a_bad_panel_is_one_sentence_and_nothing_written(fault, tmp_path, prices, long_prices, refuse):
    spoil, words = BAD_PANELS[fault]
    path, out = tmp_path / "bad.csv", tmp_path / "run"
    spoil(prices(), long_prices).write_csv(path)
    line = refuse("pretrain", "--panel", path, "--out", out)
    assert re.search(words, line), line
    assert "bad.csv" in line
    assert not out.exists()


def test_a_missing_file_is_named(tmp_path, refuse):
    assert "nowhere.parquet" in refuse("check", tmp_path / "nowhere.parquet")


@pytest.mark.parametrize("content", [b"", b"not parquet at all"])
def test_a_file_that_is_not_parquet_is_named(tmp_path, refuse, content):
    path = tmp_path / "broken.parquet"
    path.write_bytes(content)
    assert "broken.parquet" in refuse("check", path)


def test_fewer_rows_than_a_window_are_counted(tmp_path, prices, refuse):
    path = tmp_path / "short.csv"
    prices(num_days=40).write_csv(path)
    line = refuse("pretrain", "--panel", path, "--out", tmp_path / "run")
    assert "rows" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("date", ["1999-12-31", "2090-01-01", "yesterday"])
def test_a_train_end_outside_the_data_is_refused(panel, tmp_path, refuse, date):
    line = refuse("pretrain", "--panel", panel, "--train-end", date, "--out", tmp_path / "run")
    assert date in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["pretrain", "evaluate", "audit", "sample"])
def test_a_seed_below_zero_is_refused_before_anything_is_written(trained, tmp_path, refuse, command):
    words = ["--kind", "synthetic"] if command == "sample" else ["--panel", trained / "prices.parquet"]
    words += ["--model", trained / "model"] if command in ("evaluate", "audit") else []
    words += ["--out", tmp_path / "out.csv"] if command != "audit" else []
    assert "seed" in refuse(command, *words, "--seed", -1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["tokenize", "label", "score", "report", "audit"])
def test_a_panel_shorter_than_a_window_is_refused(trained, tmp_path, prices, refuse, command):
    path = tmp_path / "short.csv"
    prices(num_days=14).write_csv(path)
    out = [] if command == "audit" else ["--out", tmp_path / ("out.html" if command == "report" else "out.csv")]
    line = refuse(command, "--model", trained / "model", "--panel", path, *out)
    assert line == f"fintok: {path}: 14 rows, and the model reads 15 at once: give more rows"
    assert [file.name for file in tmp_path.iterdir()] == ["short.csv"]


def test_a_folder_without_a_model_is_refused(tmp_path, panel, refuse):
    line = refuse("label", "--model", tmp_path, "--panel", panel, "--out", tmp_path / "r.parquet")
    assert "holds no model" in line
    assert not (tmp_path / "r.parquet").exists()


def test_a_file_given_as_the_model_is_refused(tmp_path, panel, refuse):
    assert "is a file" in refuse("label", "--model", panel, "--panel", panel, "--out", tmp_path / "r.parquet")


def test_a_model_of_another_version_is_refused(model, refuse):
    header = json.loads((model / "bundle.json").read_text())
    (model / "bundle.json").write_text(json.dumps({**header, "format_version": 99}))
    assert "version 99" in refuse("inspect", model)


@pytest.mark.parametrize("name", ["arrays.safetensors", "tokenizer/model.safetensors", "bundle.json"])
def test_a_truncated_model_is_refused(model, refuse, name):
    content = (model / name).read_bytes()
    (model / name).write_bytes(content[: len(content) // 2])
    assert name in refuse("inspect", model)


def test_a_truncated_checkpoint_is_not_resumed(trained, model, capsys):
    (model / "bundle.json").unlink()  # as if it had been interrupted in its second stage
    (model / "stages" / "tokenizer.ckpt").write_bytes(b"PK half a checkpoint")
    words = ["pretrain", "--panel", trained / "prices.parquet", "--out", model, "--train-end", "2019-06-30", "--resume"]
    for more in (["-c", trained / "fast.yaml"], []):  # without, the run's own configuration
        assert run([*map(str, words), *map(str, more)]) == 2
        assert "tokenizer.ckpt is cut short" in capsys.readouterr().err.splitlines()[-1]
    assert run([*map(str, words), "--preset", "tiny"]) == 2
    assert "has another configuration" in capsys.readouterr().err.splitlines()[-1]


def test_an_output_that_exists_is_kept(trained, tmp_path, refuse):
    out = tmp_path / "r.parquet"
    out.write_text("mine")
    line = refuse("label", "--model", trained / "model", "--panel", trained / "prices.parquet", "--out", out)
    assert "--overwrite" in line
    assert out.read_text() == "mine"


def test_a_run_that_exists_is_kept(trained, refuse):
    before = (trained / "model" / "bundle.json").stat().st_mtime
    line = refuse("pretrain", "--panel", trained / "prices.parquet", "--out", trained / "model")
    assert "--overwrite" in line
    assert (trained / "model" / "bundle.json").stat().st_mtime == before


def test_a_folder_of_something_else_is_not_overwritten(panel, tmp_path, refuse):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("")
    refuse("pretrain", "--panel", panel, "--out", tmp_path / "thesis", "--overwrite")
    assert (tmp_path / "thesis" / "chapter1.txt").exists()


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the file system is read-only")]
)
@pytest.mark.parametrize("command", ["label", "pretrain"])
def test_a_disk_that_refuses_is_explained(trained, tmp_path, monkeypatch, refuse, command, code, words):
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code), str(tmp_path))

    line = [command, "--panel", trained / "prices.parquet", "--out", tmp_path / "out" / "r.parquet"]
    line += ["--model", trained / "model"] if command == "label" else ["-c", trained / "fast.yaml"]
    monkeypatch.setattr(os, "fsync", fail)
    assert words in refuse(*line)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_an_output_folder_that_is_a_file_is_refused(panel, refuse):
    assert str(panel) in refuse("pretrain", "--panel", panel, "--out", panel)
    assert str(panel) in refuse("pretrain", "--panel", panel, "--out", panel / "run")
