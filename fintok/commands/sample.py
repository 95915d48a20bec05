"""``fintok sample``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from fintok.commands.options import Overwrite, Seed, TablePath, say_next, say_wrote
from fintok.files import check_table_output, write_table


def sample(
    *,
    out: TablePath,
    kind: Annotated[Literal["us20", "synthetic"], Parameter(help="Which panel.")] = "us20",
    seed: Annotated[Seed, Parameter(help="Of the simulated panel.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write the bundled panel, or a simulated one with its truth beside it.

    us20 is 20 US stocks and the S&P 500, 1990 to 2022, daily. The simulated panel is written with its regimes and
    the faults planted in it in a second file, NAME.truth.parquet.
    """
    check_table_output(out, overwrite=overwrite)
    truth_path = out.with_name(f"{out.stem}.truth{out.suffix}")
    if kind == "synthetic":
        check_table_output(truth_path, overwrite=overwrite)
    from fintok.sample import load_us20, simulate_panel

    if kind == "us20":
        panel = load_us20()
        say_wrote(write_table(panel.to_polars(), out, overwrite=overwrite))
    else:
        simulated = simulate_panel(seed=seed)
        panel = simulated.panel
        say_wrote(
            write_table(panel.to_polars(), out, overwrite=overwrite),
            write_table(simulated.truth(), truth_path, overwrite=overwrite),
        )
    print(panel)
    say_next("check", out)
