"""Rebuild us20.parquet from the skfolio wheel; see README.md beside this file.

pip download --no-deps --dest WHEELS skfolio
python fintok/data/rebuild.py WHEELS/skfolio-*.whl
"""

import sys
import zipfile
from pathlib import Path

import polars as pl


def rebuild(wheel: Path, out: Path) -> pl.DataFrame:
    """Join the wheel's stock prices and index by date, and write them as float32; returns what was written."""
    with zipfile.ZipFile(wheel) as archive:
        stocks, index = (
            pl.read_csv(archive.read(f"skfolio/datasets/data/{name}.csv.gz"), try_parse_dates=True)
            for name in ("sp500_dataset", "sp500_index")
        )
    joined = stocks.join(index, on="Date", how="inner", maintain_order="left").rename({"Date": "date"})
    prices = joined.with_columns(pl.exclude("date").cast(pl.Float32))
    prices.write_parquet(out, compression="zstd", compression_level=19)
    return prices


if __name__ == "__main__":
    target = Path(__file__).with_name("us20.parquet")
    written = rebuild(Path(sys.argv[1]), target)
    print(f"wrote {target}: {written.height} rows, {written.width - 1} assets, {target.stat().st_size} bytes")
