"""read_panel: files as web sites, terminals and databases write them."""

import sys

import numpy as np
import pandas as pd
import pytest

from fintok.errors import InputError
from fintok.sources import read_panel

DAYS = pd.bdate_range("2020-01-30", periods=4)
CLOSES = {"KO": [1819.25, 998.5, 12345.75, 2000.0], "PEP": [71.5, 72.25, 70.0, 7100.5]}  # each beyond a thousand


def english(number):
    return f"{number:,.2f}"


def german(number):
    return english(number).translate(str.maketrans(",.", ".,"))


def bars(header, row, symbols=CLOSES):
    """A file per symbol, newest row first."""
    return {
        symbol: "\n".join(
            [header, *(row(day, close) for day, close in [*zip(DAYS, CLOSES[symbol], strict=True)][::-1])]
        )
        for symbol in symbols
    }


VENDORS = {
    "investing.com": bars(
        '"Date","Price","Open","High","Low","Vol.","Change %"',
        lambda day, p: f'"{day:%m/%d/%Y}","{english(p)}","{english(p)}","{english(p)}","{english(p)}","1.50M","-0.3%"',
    ),
    "investing.com in German": bars(
        '"Datum";"Zuletzt";"Eröffn.";"Hoch";"Tief";"Vol.";"+/- %"',
        lambda day, p: f'"{day:%d.%m.%Y}";"{german(p)}";"{german(p)}";"{german(p)}";"{german(p)}";"1,50M";"-0,3%"',
    ),
    "Nasdaq": bars(
        "Date,Close/Last,Volume,Open,High,Low",
        lambda day, p: f"{day:%m/%d/%Y},${p:.2f},1500000,${p:.2f},${p:.2f},${p:.2f}",
    ),
    "CryptoDataDownload": bars(
        "https://www.CryptoDataDownload.com\nUnix,Date,Symbol,Open,High,Low,Close,Volume",
        lambda day, p: f"{day.timestamp():.0f}000,{day},X,{p},{p},{p},{p},1500000",
    ),
    "Binance": bars(
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,ignore",
        lambda day, p: f"{day.timestamp():.0f}000,{p},{p},{p},{p},1500000,{day.timestamp() + 86399:.0f}999,9,9,9,0",
    ),
    "stooq": bars(
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
        lambda day, p: f"X,D,{day:%Y%m%d},000000,{p},{p},{p},{p},1500000,0",
    ),
    "MetaTrader": bars(
        "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<SPREAD>",
        lambda day, p: f"{day:%Y.%m.%d}\t{p}\t{p}\t{p}\t{p}\t1500000\t2",
    ),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_folder_of_a_vendors_files_is_read_as_it_is(vendor, tmp_path):
    names_inside = vendor in ("CryptoDataDownload", "stooq")
    for symbol, text in VENDORS[vendor].items():
        text = text.replace(",X,", f",{symbol},").replace("\nX,", f"\n{symbol},") if names_inside else text
        (tmp_path / f"{symbol}.csv").write_text("\ufeff" + text + "\n", encoding="utf-8")
    panel = read_panel(tmp_path)
    assert panel.assets == ("KO", "PEP")
    np.testing.assert_array_equal(panel.prices, np.transpose([*CLOSES.values()]))
    np.testing.assert_array_equal(panel.dates, DAYS.to_numpy())
    for name in ("open", "high", "low"):
        np.testing.assert_array_equal(panel.fields[name], panel.prices)
    assert (panel.fields["volume"] == 1_500_000).all()


@pytest.mark.parametrize("is_named_above", [True, False])
def test_a_terminals_two_headers_are_symbols_and_fields(is_named_above, tmp_path):
    above, below = ("Dates", "") if is_named_above else ("", "Dates")
    rows = [f"{day:%m/%d/%Y},{a},1500,{b},#N/A N/A" for day, a, b in zip(DAYS, *CLOSES.values(), strict=True)]
    header = [f"{above},KO US Equity,,PEP US Equity,", f"{below},PX_LAST,PX_VOLUME,PX_LAST,PX_VOLUME"]
    (tmp_path / "p.csv").write_text("\n".join([*header, *rows]))
    panel = read_panel(tmp_path / "p.csv")
    assert panel.assets == ("KO US Equity", "PEP US Equity")
    np.testing.assert_array_equal(panel.prices, np.transpose([*CLOSES.values()]))
    np.testing.assert_array_equal(panel.fields["volume"], [[1500, np.nan]] * 4)


def test_crsp_prices_count_by_their_size(tmp_path):
    (tmp_path / "p.csv").write_text(
        "PERMNO,date,PRC\n10001,2020-01-01,-10.5\n10002,2020-01-01,3\n10001,2020-01-02,11\n10002,2020-01-02,0\n"
    )
    np.testing.assert_array_equal(read_panel(tmp_path / "p.csv").prices, [[10.5, 3.0], [11.0, np.nan]])


@pytest.mark.parametrize("clocks", [("09:30", "10:30"), ("09:30:00", "10:30:00"), ("093000", "103000")])
def test_a_time_of_day_beside_the_date_is_a_part_of_it(clocks, tmp_path):
    rows = [f"2020-01-0{day},{clock},1,2" for day in (2, 3) for clock in clocks]
    (tmp_path / "p.csv").write_text("\n".join(["Date,Time,A,B", *rows]))
    panel = read_panel(tmp_path / "p.csv")
    assert panel.assets == ("A", "B")
    hours = ["2020-01-02T09:30", "2020-01-02T10:30", "2020-01-03T09:30", "2020-01-03T10:30"]
    np.testing.assert_array_equal(panel.dates, np.array(hours, "datetime64[ns]"))


def test_the_time_of_the_last_trade_makes_no_row_of_its_own(tmp_path):
    rows = ["2020-01-02,A,16:00:00,1", "2020-01-02,B,15:59:58,2", "2020-01-03,A,15:59:59,3", "2020-01-03,B,16:00:00,4"]
    (tmp_path / "p.csv").write_text("\n".join(["date,symbol,time,close", *rows]))
    np.testing.assert_array_equal(read_panel(tmp_path / "p.csv").prices, [[1, 2], [3, 4]])


def test_an_asset_called_time_stays_one(tmp_path):
    (tmp_path / "p.csv").write_text("date,TIME,B\n2020-01-02,930,2\n2020-01-03,931,3\n")
    assert read_panel(tmp_path / "p.csv").assets == ("TIME", "B")


@pytest.mark.parametrize("is_folder", [False, True])
def test_whole_numbers_are_grouped_by_commas_where_commas_separate(is_folder, tmp_path):
    source = tmp_path if is_folder else tmp_path / "p.csv"
    for separator in ",\t":
        rows = [separator.join(("date", "A", "B")), separator.join(("2020-01-02", '"1,234"', "987"))]
        (tmp_path / "p.csv").write_text("\n".join(rows))
        if is_folder:
            (tmp_path / "q.csv").write_text("\n".join([rows[0], rows[1].replace("-02", "-03")]))
        if separator == ",":
            assert read_panel(source).prices.tolist() == [[1234.0, 987.0]] * (1 + is_folder)
        else:  # 1.234 or 1234
            with pytest.raises(InputError, match=r"holds '1,234' in row 1, .*; write numbers as 1234\.5"):
                read_panel(source)


@pytest.mark.parametrize("cells", [("1,5", "2,5"), ("12,34", "1,234"), ("1.5%", "2")])
def test_a_number_that_may_be_two_is_refused(cells, tmp_path):
    rows = [f'2020-01-0{day},"{cell}",2' for day, cell in enumerate(cells, 1)]
    (tmp_path / "p.csv").write_text("\n".join(["date,A,B", *rows]))
    with pytest.raises(InputError, match=r"column 'A' holds '1.*, which is no number; write numbers as 1234\.5"):
        read_panel(tmp_path / "p.csv")


def test_returns_may_be_in_percent(tmp_path):
    (tmp_path / "p.csv").write_text("date,A,B\n2020-01-02,1.5%,2%\n2020-01-03,-0.5 %,\n")
    panel = read_panel(tmp_path / "p.csv", values="returns")
    np.testing.assert_allclose(panel.returns, [[0.015, 0.02], [-0.005, np.nan]])


def test_a_file_without_names_of_columns_is_told_so(tmp_path):
    (tmp_path / "p.csv").write_text("1577836800000,1.5,1.5,1.5\n1577923200000,1.5,1.5,1.5\n")
    with pytest.raises(InputError, match=r"p\.csv: the first row holds numbers, not the names of columns; put names"):
        read_panel(tmp_path / "p.csv")


def write_sheets(path, **sheets):
    import xlsxwriter

    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)


@pytest.mark.parametrize("is_terminals", [False, True])
def test_the_first_sheet_of_an_excel_file_is_read(is_terminals, tmp_path, capsys):
    rows = [[day.to_pydatetime(), a, b] for day, a, b in zip(DAYS, *CLOSES.values(), strict=True)]
    rows[2][1] = None
    above = [["Prices of two drinks"], [], ["", "KO", "PEP"], ["Dates", "PX_LAST", "PX_LAST"]]
    write_sheets(
        tmp_path / "p.xlsx", Prices=[*(above if is_terminals else [["Date", "KO", "PEP"]]), *rows], Notes=[["a"]]
    )
    panel = read_panel(tmp_path / "p.xlsx")
    assert panel.assets == ("KO", "PEP")
    np.testing.assert_array_equal(panel.dates, DAYS.to_numpy())
    expected = np.transpose([*CLOSES.values()])
    expected[2, 0] = np.nan
    np.testing.assert_array_equal(panel.prices, expected)
    assert capsys.readouterr().err == f"{tmp_path / 'p.xlsx'}: the first of 2 sheets is read, 'Prices'\n"


def test_excel_files_of_an_asset_each_are_a_folder(tmp_path):
    for symbol, closes in CLOSES.items():
        rows = [[day.to_pydatetime(), close] for day, close in zip(DAYS, closes, strict=True)]
        write_sheets(tmp_path / f"{symbol}.xlsx", Sheet1=[["Date", "Close"], *rows])
    (tmp_path / "~$KO.xlsx").write_bytes(b"Excel has it open")
    np.testing.assert_array_equal(read_panel(tmp_path).prices, np.transpose([*CLOSES.values()]))


def test_excel_without_its_reader_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    write_sheets(tmp_path / "p.xlsx", Sheet1=[["Date", "KO", "PEP"]])
    with pytest.raises(InputError, match=r'pip install "fintok\[excel\]"; or save it as CSV'):
        read_panel(tmp_path / "p.xlsx")
