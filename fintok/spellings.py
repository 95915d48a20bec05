"""How the columns of a table are called: the names that are recognised, and those that are one."""

import re

FIELDS = ("open", "high", "low", "close", "volume")
DATES = ("date", "dates", "datetime", "timestamp", "time", "day", "dt", "trade_date", "trading_date", "price_date",
         "as_of_date", "asofdate", "datadate", "caldt", "dlycaldt", "observation_date", "open_time", "unix", "datum",
         "fecha", "data", "日期")  # fmt: skip
INDEXES = ("", "index", "unnamed_0", "level_0", "index_level_0")  # what an index without a name is called
COUNTERS = ("", "unnamed_0")  # of the first column beside a date: the numbers of rows that pandas writes
SYMBOLS = ("symbol", "ticker", "asset", "instrument", "security", "stock", "coin", "pair", "permno", "gvkey",
            "contract", "isin", "ric", "cusip", "sedol", "figi", "sid", "ts_code", "code", "asset_id", "secid", "name",
            "id", "股票代码", "代码")  # fmt: skip
GROUPS = ("group", "class", "asset_class", "sector", "industry")
PRICES = ("adj_close", "adjusted_close", "adjclose", "close_adj", "close_adjusted", "adjusted", "close",
           "close_price", "close_last", "price", "prc", "dlyprc", "px_last", "last", "last_price", "settle",
           "settlement", "nav", "mid", "vwap", "schlusskurs", "schluss", "zuletzt", "dernier", "cierre", "último",
           "收盘", "收盘价")  # fmt: skip
RETURNS = ("return", "returns", "ret", "log_return", "log_returns", "logret", "difference", "diff")
FIELD_NAMES = {**{name: name for name in FIELDS}, "vol": "volume", "px_open": "open", "px_high": "high",
               "px_low": "low", "px_volume": "volume", "tickvol": "volume", "hoch": "high", "tief": "low",
               "eröffn": "open", "apertura": "open", "máximo": "high", "mínimo": "low", "ouv": "open",
               "plus_haut": "high", "plus_bas": "low", "开盘": "open", "最高": "high", "最低": "low",
               "成交量": "volume"}  # fmt: skip
OF_ONE_ASSET = {*FIELD_NAMES, *PRICES, *RETURNS}
USUAL = {*DATES, *SYMBOLS, *OF_ONE_ASSET}


def plain(name: str) -> str:
    """A column's name in lower case with underscores: "Adj Close" -> "adj_close"."""
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")
