"""The bundled panel and the simulated market."""

import gzip
import zipfile
from importlib.resources import files

import numpy as np
import polars as pl
import pytest

from fintok.data.rebuild import rebuild
from fintok.errors import InputError
from fintok.sample import FAULTS, REGIMES, load_us20, simulate_panel
from fintok.sources import read_panel


def test_the_bundled_panel_is_whole_small_and_attributed():
    panel = load_us20()
    assert (panel.num_assets, panel.num_days) == (21, 8313)
    assert panel.assets[-1] == "SP500"
    assert [str(day)[:10] for day in panel.dates[[0, -1]]] == ["1990-01-02", "2022-12-28"]
    assert np.isfinite(panel.prices).all()
    assert panel.values == "prices"
    data = files("fintok") / "data"
    assert len((data / "us20.parquet").read_bytes()) <= 600_000
    readme = (data / "README.md").read_text()
    assert "skfolio" in readme
    assert "BSD 3-Clause License" in readme
    assert "Redistributions in binary form must reproduce" in readme


def test_the_bundled_panel_knows_its_crashes():
    panel = load_us20()
    index = panel.returns[:, panel.assets.index("SP500")]
    worst = panel.dates[np.nanargmin(index)]
    assert str(worst)[:10] == "2020-03-16"
    assert np.nanmin(index) == pytest.approx(np.log(2386.13 / 2711.02), abs=1e-4)


def test_the_same_seed_gives_the_same_market():
    one, same, other = simulate_panel(20, 400, seed=1), simulate_panel(20, 400, seed=1), simulate_panel(20, 400, seed=2)
    assert one.panel.returns.tobytes() == same.panel.returns.tobytes()
    assert one.faults == same.faults
    assert one.panel.returns.tobytes() != other.panel.returns.tobytes()


def test_a_simulated_market_is_shown_in_a_line():
    assert repr(simulate_panel(20, 400, seed=1)) == "SimulatedPanel(20 assets x 400 rows, 12 faults)"


def test_the_simulated_market_has_the_regimes_it_says():
    simulated = simulate_panel(30, 3000, num_faults=0, seed=0)
    market = np.nanmean(simulated.panel.returns[1:], axis=1)
    spread = [np.nanstd(market[simulated.regimes[1:] == regime]) for regime in range(len(REGIMES))]
    assert spread[0] < 0.7 * spread[1] < 0.5 * spread[2]
    switches = np.count_nonzero(np.diff(simulated.regimes))
    assert 10 < switches < 120
    listed = simulated.panel.is_listed
    assert (~listed[0]).sum() == 3
    assert (~listed[-1]).sum() == 1


def test_the_truth_marks_exactly_the_planted_faults():
    simulated = simulate_panel(30, 600, num_faults=10, seed=4)
    truth = simulated.truth()
    assert truth.columns == ["date", "symbol", "regime", "fault"]
    assert truth.height == 30 * 600
    marked = truth.filter(pl.col("fault").is_not_null())
    assert marked.height == sum(fault.days for fault in simulated.faults)
    assert {fault.kind for fault in simulated.faults} == set(FAULTS)
    first = simulated.faults[0]
    row = marked.filter(pl.col("symbol") == simulated.panel.assets[first.asset]).row(0, named=True)
    assert row["fault"] == first.kind
    assert np.datetime64(row["date"], "ns") == simulated.panel.dates[first.row]
    for fault in simulated.faults:  # what is planted can be seen
        assert np.isfinite(simulated.panel.prices[fault.row : fault.row + fault.days, fault.asset]).all()


def test_faults_change_prices_as_their_names_say():
    simulated = simulate_panel(30, 600, num_faults=10, seed=4)
    returns, prices = simulated.panel.returns, simulated.panel.prices
    for kind, row, asset, days in simulated.faults:
        if kind == "stale price":
            assert len(set(prices[row - 1 : row + days, asset])) == 1
        if kind == "decimal shift":
            assert abs(abs(returns[row, asset]) - np.log(10)) < 0.3
            assert abs(returns[row : row + 2, asset].sum()) < 0.3
        if kind == "unadjusted split":
            assert returns[row, asset] < -0.5
            assert abs(returns[row + 1, asset]) < 0.3


@pytest.mark.parametrize("arguments", [(9, 400), (20, 200)])
def test_a_market_too_small_is_refused(arguments):
    with pytest.raises(InputError, match="expected at least 10, 250 and 0"):
        simulate_panel(*arguments)


def test_the_bundled_file_is_rebuilt_from_a_wheel(tmp_path):
    stocks = "Date,AAA,BBB\n2020-01-01,1.5,2.5\n2020-01-02,1.25,2.75\n"
    index = "Date,SP500\n2020-01-01,3000.5\n2020-01-02,3001.25\n"
    with zipfile.ZipFile(tmp_path / "skfolio.whl", "w") as wheel:
        for name, text in (("sp500_dataset", stocks), ("sp500_index", index)):
            wheel.writestr(f"skfolio/datasets/data/{name}.csv.gz", gzip.compress(text.encode()))
    rebuild(tmp_path / "skfolio.whl", tmp_path / "us20.parquet")
    panel = read_panel(tmp_path / "us20.parquet")
    assert panel.assets == ("AAA", "BBB", "SP500")
    np.testing.assert_array_equal(panel.prices, [[1.5, 2.5, 3000.5], [1.25, 2.75, 3001.25]])
