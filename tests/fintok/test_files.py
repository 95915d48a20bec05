"""Results on disk: whole or not at all."""

import datetime as dt
import errno
import os
import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fintok.errors import InputError
from fintok.files import as_polars, check_table_output, write_table, write_text
from vision.files import check_output, explain_write_error

TABLE = pl.DataFrame({"symbol": ["A", "B"], "score": [0.5, None]})


def test_a_table_for_polars_has_null_for_missing_and_its_types_without_a_row():
    columns = {
        "date": np.array(["2020-01-01", "NaT"], dtype="datetime64[ns]"),
        "symbol": np.array(["A", None], dtype=object),
        "regime": pd.array([1, None], dtype="Int64"),
        "score": [0.5, np.nan],
        "alert": [True, False],
    }
    expected = pl.DataFrame(
        {"date": [datetime(2020, 1, 1), None], "symbol": ["A", None], "regime": [1, None], "score": [0.5, None],
         "alert": [True, False]},
        schema_overrides={"date": pl.Datetime("us")},
    )  # fmt: skip
    for rows in (2, 0):
        found = as_polars(pd.DataFrame(columns).head(rows))
        assert found.schema == expected.schema
        assert found.equals(expected.head(rows))
    assert as_polars(pd.DataFrame({"regimes": [2, 3]})).schema == {"regimes": pl.Int64}


@pytest.mark.parametrize(("name", "read"), [("t.parquet", pl.read_parquet), ("t.csv", pl.read_csv)])
def test_a_table_comes_back_as_it_was(tmp_path, name, read):
    path = write_table(TABLE, tmp_path / "new" / "folder" / name)
    assert read(path).equals(TABLE)
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_days_and_missing_numbers_are_plain_in_a_file_of_text(tmp_path):
    midnight = dt.datetime(2014, 1, 1)
    table = pl.DataFrame({"date": [midnight], "at": [midnight.replace(hour=9)], "price": [float("nan")]})
    path = write_table(table, tmp_path / "t.csv")
    assert path.read_text() == "date,at,price\n2014-01-01,2014-01-01T09:00:00.000000,\n"
    assert pl.read_parquet(write_table(table, tmp_path / "t.parquet")).equals(table)


def test_a_table_of_another_ending_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"t\.xlsx: a table is written as \.parquet or \.csv"):
        check_table_output(tmp_path / "t.xlsx")


def test_a_file_that_exists_is_kept_unless_overwriting_is_allowed(tmp_path):
    path = write_text("old", tmp_path / "page.html")
    with pytest.raises(InputError, match=r"page\.html exists: .* --overwrite"):
        write_text("new", path)
    assert path.read_text() == "old"
    write_text("new", path, overwrite=True)
    assert path.read_text() == "new"


def test_a_link_goes_on_leading_to_the_file_that_is_replaced(tmp_path):
    (tmp_path / "store").mkdir()
    link, target = tmp_path / "scores.csv", tmp_path / "store" / "2024.csv"
    link.symlink_to(target)  # there is no such file yet
    for numbers in ([1], [2]):
        assert write_table(pl.DataFrame({"a": numbers}), link, overwrite=True) == link
        assert link.is_symlink()
        assert target.read_text() == f"a\n{numbers[0]}\n"
    assert [file.name for file in target.parent.iterdir()] == ["2024.csv"]


def test_who_reads_the_old_file_goes_on_reading_it(tmp_path):
    path = tmp_path / "a.txt"
    write_text("old", path)
    with path.open() as reading:
        write_text("newer", path, overwrite=True)
        assert reading.read() == "old"
    assert path.read_text() == "newer"


def test_a_folder_is_no_output_file(tmp_path):
    with pytest.raises(InputError, match="it is a folder"):
        check_output(tmp_path, overwrite=True)


def test_to_ask_whether_a_file_can_be_written_leaves_nothing(tmp_path):
    check_output(tmp_path / "new" / "folder" / "page.html")
    assert not list(tmp_path.iterdir())


def test_a_path_through_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a part of the path is a file"):
        check_output(tmp_path / "file" / "t.parquet")


def test_a_folder_without_permission_is_refused_before_any_work(tmp_path, monkeypatch):
    def refuse(**_: object) -> None:  # the superuser, whom tests may run as, is refused by no folder
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(InputError, match="you may not write there"):
        check_output(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "you may not write there"),
    ],
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, code, remedy):
    path = write_text("old", tmp_path / "page.html")

    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match=rf"cannot write .*page\.html: .*{remedy}"):
        write_text("new", path, overwrite=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_explained():
    error = OSError(errno.ENOSPC, "No space left on device", "runs/model.safetensors")
    assert "cannot write runs/model.safetensors: the disk is full" in str(explain_write_error(error))


def test_another_error_is_not_taken_for_one_of_the_disk():
    assert explain_write_error(OSError(errno.EPIPE, "Broken pipe")) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_device_that_is_full_raises_what_we_explain():
    with pytest.raises(OSError, match="No space") as caught:
        Path("/dev/full").write_bytes(b"x")
    assert "the disk is full" in str(explain_write_error(caught.value))
