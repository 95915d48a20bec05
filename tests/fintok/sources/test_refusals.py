"""read_panel: every way a panel can be wrong."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fintok.errors import InputError
from fintok.sources import read_panel

FAULTY_FILES = {
    "nothing at all": ("p.csv", b"", "the file is empty"),
    "only a header": ("p.csv", b"date,A,B\n", "there are no rows"),
    "text that says parquet": ("p.parquet", b"date,A\n", "is not Parquet"),
    "parquet cut short": ("p.parquet", b"PAR1 and no more", "cannot be read as Parquet"),
    "another kind": ("p.json", b"{}", "not a kind of file that fintok reads; give .parquet, .csv, .xlsx or .arrow"),
    "Excel cut short": ("p.xlsx", b"PK\x03\x04....", "cannot be read as Excel"),
    "not utf-8": ("p.csv", b"date,\xff\xfe\n1,2\n", "cannot be read as CSV: .*; save it as UTF-8"),
    "years of two digits": ("p.csv", b"date,A,B\n02-Jan-65,1,2\n", "'02-Jan-65' in column 'date', row 1, is not a"),
    "thousands": (
        "p.csv",
        b"date;A;B\n2020-01-01;987;2,5\n2020-01-02;1.012;2,5\n",
        "such as '1.012' in column 'A' may",
    ),
    "a decimal comma": ("p.csv", b'date,A,B\n2020-01-01,"1,5",2\n', "holds '1,5' in row 1.*; write numbers as 1234.5"),
    "two headers and a torn line": (
        "p.csv",
        b"Price,Close,Close\nTicker,A,B\nDate,,\n2020-01-01,1,2\n2020-01-02,1,2,3,4\n",
        "cannot be read as CSV",
    ),
    "a column twice": ("p.csv", b"date,A,A\n2020-01-01,1,2\n", "column 'A' appears twice"),
    "a quote that stays open": ("p.csv", b'"date,A\n' + b"2020-01-01,1\n" * 99, "^[^\n]{,400}$"),
    "no date": ("p.csv", b"A,B\n1,2\n", r"no date column among 'A', 'B'; name it with --date"),
    "no dates in it": ("p.csv", b"date,A,B\nsoon,1,2\n", "'soon' in column 'date', row 1, is not a date"),
    "one bad date": (
        "p.csv",
        b"date,A,B\n2020-01-01,1,2\n2020-13-01,1,2\n",
        "'2020-13-01' in column 'date', row 2, is not a date",
    ),
    "an empty date": ("p.csv", b"date,A,B\n2020-01-01,1,2\n,1,2\n", r"column 'date' has no date in row 2"),
    "a counter": ("p.csv", b"day,A,B\n0,1,2\n1,1,2\n", "column 'day' holds the whole numbers 0 to 1, which are not"),
    "a date twice": (
        "p.csv",
        b"date,A,B\n2020-01-02,1,\n2020-01-01,1,2\n2020-01-02,3,4\n",
        "2020-01-02 has more than one row with values of A: rows 1 and 3; keep one row per date",
    ),
    "text": ("p.csv", b"date,A,B\n2020-01-01,1,2\n2020-01-02,x7,2\n", "column 'A' holds 'x7' in row 2"),
    "zero": ("p.csv", b"date,A,B\n2020-01-01,1,0\n", "price of B on 2020-01-01 is 0 .*--values returns"),
    "negative": ("p.csv", b"date,A,B\n2020-01-01,-1,2\n", "price of A on 2020-01-01 is -1 "),
    "infinite": ("p.csv", b"date,A,B\n2020-01-01,inf,2\n", "price of A on 2020-01-01 is infinite"),
    "one asset": ("p.csv", b"date,A\n2020-01-01,1\n", r"one asset \(A\); fintok learns"),
    "one asset with values": ("p.csv", b"date,A,B,C\n2020-01-01,,1,\n", r"one asset of 3 has values \(B\); fintok"),
    "one asset's bars": (
        "p.csv",
        b"date,open,high,low,close\n2020-01-01,1,1,1,1\n",
        "one asset .*add a symbol column",
    ),
    "one asset's bars and more": (
        "p.csv",
        b"Date,Open,High,Low,Close,Volume,VWAP,Number of trades\n2020-01-01,1,1,1,1,9,1,2\n",
        "one asset .*add a symbol column",
    ),
    "only missing": ("p.csv", b"date,A,B\n2020-01-01,,\n", "every price is missing"),
    "no price": (
        "p.csv",
        b"date,symbol,foo,bar\n2020-01-01,A,1,2\n",
        "no price column among 'date', 'symbol', 'foo', 'bar'; name it with --price",
    ),
    "no symbol": ("p.csv", b"date,symbol,close\n2020-01-01,A,1\n2020-01-01,,1\n", "'symbol' is empty in row 2"),
    "a symbol twice": (
        "p.csv",
        b"date,symbol,close\n2020-01-01,A,1\n2020-01-01,B,1\n2020-01-01,B,1\n",
        r"B has more than one row on 2020-01-01 \(1 row too many\): rows 2 and 3",
    ),
    "text price": (
        "p.csv",
        b"date,symbol,close\n2020-01-01,A,1\n2020-01-01,B,n.v.\n",
        "column 'close' holds 'n.v.' in row 2",
    ),
    "no price beside numbered symbols": (
        "p.csv",
        b"date,permno,foo\n2020-01-01,10001,1.5\n",
        "no price column among 'date', 'permno', 'foo'",
    ),
    "a row too long": ("p.csv", b"date,A,B\n2020-01-01,1,2\n2020-01-02,1,2,3\n", "a row has more fields than"),
    "a comma at the end": ("p.csv", b"date,A,B,\n2020-01-01,1,2,\n", "a column has no name"),
    "nothing but dates": ("p.csv", b"date\n2020-01-01\n", "no asset beside the date"),
    "long but odd": (
        "p.csv",
        b"date,wkn,close\n2020-01-01,A1B,1\n2020-01-01,B2C,2\n",
        "column 'wkn' holds 'A1B' in row 1, which is no number; if this is a long table, name --symbol",
    ),
}


@pytest.mark.parametrize("fault", FAULTY_FILES)
def test_a_faulty_file_gets_one_sentence_that_names_it(fault, tmp_path):
    name, content, message = FAULTY_FILES[fault]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_panel(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://example.com/p.csv", "s3://bucket/p.parquet"])
def test_a_url_is_refused_with_what_to_do(url):
    for source in (url, Path(url)):
        with pytest.raises(InputError, match="fintok reads no URLs: download it first"):
            read_panel(source)


def test_a_path_that_leads_nowhere_or_to_no_data_is_named(tmp_path, wide):
    with pytest.raises(InputError, match=r"gone\.parquet: there is no such file or folder"):
        read_panel(tmp_path / "gone.parquet")
    with pytest.raises(InputError, match="the folder holds no Parquet, CSV, Excel or Arrow file"):
        read_panel(tmp_path)
    wide.write_parquet(tmp_path / "a.parquet")
    wide.write_csv(tmp_path / "b.csv")
    with pytest.raises(InputError, match="the folder holds CSV and Parquet files; keep one kind"):
        read_panel(tmp_path)
    (tmp_path / "a.parquet").rename(tmp_path / "readme.txt")
    with pytest.raises(InputError, match="the folder holds CSV and text files; keep one kind"):
        read_panel(tmp_path)


def test_a_file_whose_name_is_not_utf8_is_to_be_renamed(tmp_path):
    name = os.fsdecode(b"pr\xeas.csv")  # as of a disk from before UTF-8
    with pytest.raises(InputError, match="the name of the file is not UTF-8; rename it"):
        read_panel(tmp_path / name)


def test_a_parquet_file_cut_in_the_middle_is_named(wide, tmp_path):
    wide.write_parquet(tmp_path / "p.parquet")
    content = (tmp_path / "p.parquet").read_bytes()
    (tmp_path / "p.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"p\.parquet: cannot be read as Parquet"):
        read_panel(tmp_path / "p.parquet")


def test_a_named_column_that_is_not_there_gets_a_suggestion(long, wide):
    with pytest.raises(InputError, match=r"no column 'symbl' to take as the symbol; did you mean 'symbol'\?"):
        read_panel(long, symbol="symbl")
    with pytest.raises(InputError, match="no column 'zzz' to take as the price; there are 'date', 'AAA'"):
        read_panel(wide, price="zzz")
    with pytest.raises(InputError, match=r"--price 'AAA' is a column of a long table.*--symbol"):
        read_panel(wide, price="AAA")


def test_levels_given_as_returns_are_refused(long):
    rng = np.random.default_rng(0)
    levels = 100 + np.cumsum(rng.normal(size=(400, 2)), axis=0)  # a futures price, as differences would need
    dates = np.datetime64("2020-01-01") + np.arange(400)
    frame = pd.DataFrame(levels, index=pd.DatetimeIndex(dates), columns=["A", "B"])
    with pytest.raises(InputError, match="look like prices or other levels, not returns"):
        read_panel(frame, values="returns")
    assert read_panel(frame.diff(), values="returns").num_assets == 2
    with pytest.raises(InputError, match=r"no return column among 'date', 'symbol', 'close'"):
        read_panel(long, values="returns")


def test_what_is_no_table_is_refused_by_its_type():
    with pytest.raises(InputError, match=r"got builtins\.list"):
        read_panel([1, 2, 3])
    with pytest.raises(InputError, match="values is 'yields'"):
        read_panel("p.csv", values="yields")


def test_pandas_tables_that_cannot_be_read_are_refused(wide):
    frame = wide.to_pandas()
    with pytest.raises(InputError, match="the pandas table: column 'AAA' appears twice"):
        read_panel(frame[["date", "AAA", "AAA"]])
    with pytest.raises(InputError, match="the pandas table: Unsupported numpy type"):
        read_panel(frame.assign(AAA=1j))
    with pytest.raises(InputError, match="the pandas table: column 'BBB' holds 'x' in row 30, which is no number"):
        read_panel(frame.assign(BBB=[*[1.0] * 29, "x"]))
    with pytest.raises(InputError, match="column 'AAA' holds Boolean, not numbers"):
        read_panel(frame.assign(AAA=True))
    with pytest.raises(InputError, match=r"column 'date' goes from 1615-01-01 .* dates lie between 1677 and 2262"):
        read_panel(frame.assign(date=frame["date"].astype("datetime64[s]") - pd.DateOffset(years=405)))
    with pytest.raises(InputError, match=r"got pandas\.(core\.series\.)?Series"):
        read_panel(frame["AAA"])


FAULTY_FOLDERS = {
    "no column of prices": ("date,price\n2020-01-02,1\n", "no column 'close'.* are 'date', 'price': rename"),
    "no number": ("date,close\n2020-01-02,1\n2020-01-03,x\n", "column 'close' holds 'x' in row 2"),
    "no date": ("date,close\n2020-01-02,1\nsoon,1\n", "'soon' in column 'date', row 2, is not a date"),
    "an empty date": ("date,close\n,1\n", "column 'date' has no date in row 1"),
}


@pytest.mark.parametrize("fault", FAULTY_FOLDERS)
def test_a_fault_in_a_folder_is_named_with_its_file_and_the_row_in_it(fault, tmp_path):
    text, message = FAULTY_FOLDERS[fault]
    (tmp_path / "A.csv").write_text("date,close\n2020-01-02,1\n2020-01-03,1\n")
    (tmp_path / "B.csv").write_text(text)
    (tmp_path / "C.csv").write_text("date,close\n2020-01-02,1\n")
    with pytest.raises(InputError, match=f"^{tmp_path / 'B.csv'}: .*{message}"):
        read_panel(tmp_path)


@pytest.mark.parametrize("header", ["date,X,Y", "date,symbol,close"])
def test_rows_of_one_date_in_two_files_are_named(header, tmp_path):
    row = "2020-01-02,1,2" if header.endswith("Y") else "2020-01-02,X,2"
    (tmp_path / "one.csv").write_text(f"{header}\n2020-01-01{row[10:]}\n{row}\n")
    (tmp_path / "two.csv").write_text(f"{header}\n{row}\n")
    with pytest.raises(
        InputError, match=r"more than one row.*: row 2 of .*one.csv and row 1 of .*two.csv; keep one row"
    ):
        read_panel(tmp_path)
