"""Readings kept from day to day: reused where the panel is the same, made anew where it or the bundle is not."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from fintok.errors import InputError
from fintok.files import write_table
from fintok.readings import RESTATED, Readings, bar_marks, open_readings
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns


@pytest.fixture(scope="module")
def panel():
    returns = simulate_returns(160, 4)[0]
    returns[:70, 2] = np.nan
    return make_panel(returns)


@pytest.fixture
def bundle(panel):
    return FakeBundle(panel[:80])


def same(one, other):
    for name in ("surprise", "expected", "deviation", "distance"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.panel is other.panel


def changed(panel, row, by, asset=1):
    returns = panel.returns.copy()
    returns[row, asset] += by
    return replace(panel, returns=returns)


def test_only_what_comes_after_is_read(bundle, panel):
    earlier = Readings.of(bundle, panel[:150])
    same(earlier.extended(bundle, panel), Readings.of(bundle, panel))
    assert bundle.calls == ["surprise", "surprise since 150", "surprise"]


@pytest.mark.parametrize(
    ("spoil", "call"),
    [
        (lambda panel: changed(panel, 120, 0.02), "surprise since 120"),
        (lambda panel: changed(panel, 120, np.nan), "surprise since 120"),
        (lambda panel: panel[:110], "surprise since 110"),
        (lambda panel: panel.select(panel.assets[::-1]), "surprise"),
        (lambda panel: panel[3:], "surprise"),
        (lambda panel: replace(panel, fields={"volume": np.arange(640.0).reshape(160, 4) % 480}), "surprise since 120"),
    ],
    ids=["restated", "no longer there", "shorter", "other assets", "other dates", "other bars"],
)
def test_a_panel_is_read_from_its_first_change_on(bundle, panel, spoil, call):
    before = replace(panel, fields={"volume": np.arange(640.0).reshape(160, 4)})
    earlier, now = Readings.of(bundle, before), spoil(before)
    same(earlier.extended(bundle, now), Readings.of(bundle, now))
    assert bundle.calls == ["surprise", call, "surprise"]


def test_another_bundle_reads_everything_anew(bundle, panel, tmp_path):
    other = FakeBundle(panel[:80], fingerprint="another")
    path = write_table(Readings.of(bundle, panel[:150]).to_polars(), tmp_path / "readings.parquet")
    for earlier in (Readings.of(bundle, panel[:150]), open_readings(path, panel)):
        assert earlier.model == "fake"
        now = earlier.extended(other, panel)
        same(now, Readings.of(other, panel))
        assert now.model == "another"
        assert other.calls == ["surprise", "surprise"]
        other.calls.clear()


def test_a_file_gives_back_what_was_read(bundle, panel, tmp_path):
    whole = Readings.of(bundle, panel)
    path = write_table(Readings.of(bundle, panel[:150]).to_polars(), tmp_path / "readings.parquet")
    later = open_readings(path, panel)
    assert later.panel.num_days == 150
    bundle.calls.clear()
    same(later.extended(bundle, panel, RESTATED), whole)
    assert bundle.calls == ["surprise since 150"]
    restated = replace(panel, returns=panel.returns * (1.0 + 1e-5))
    later.extended(bundle, restated, RESTATED)
    assert bundle.calls[-1] == "surprise since 150"
    later.extended(bundle, changed(panel, 100, 1e-3), RESTATED)
    assert bundle.calls[-1] == "surprise since 100"


def with_bars(panel, row=None):
    """Bars of every kind; from `row` on those of asset 1 are restated."""
    fields = {name: np.full(panel.returns.shape, 100.0 + k, np.float32) for k, name in enumerate(("close", "volume"))}
    for column in fields.values():
        column[:90, 3] = np.nan
        if row is not None:
            column[row, 1] *= 2.0
    return replace(panel, fields=fields)


@pytest.mark.parametrize(("fields", "since"), [(("volume",), 120), (("close", "volume"), 120), ((), 150)])
def test_a_file_knows_whether_the_bars_that_the_bundle_reads_are_restated(panel, tmp_path, fields, since):
    bundle = FakeBundle(panel[:80], bar_fields=fields)
    path = write_table(Readings.of(bundle, with_bars(panel[:150])).to_polars(), tmp_path / "readings.parquet")
    for now, start in ((with_bars(panel), 150), (with_bars(panel, 120), since)):
        same(open_readings(path, now).extended(bundle, now, RESTATED), Readings.of(bundle, now))
        assert bundle.calls[-2] == f"surprise since {start}"


def test_bars_restated_where_there_is_no_return_show_at_the_next_one(panel, tmp_path):
    bundle, returns = FakeBundle(panel[:80]), panel.returns.copy()
    returns[118:123, 1] = np.nan
    holed = replace(panel, returns=returns)
    path = write_table(Readings.of(bundle, with_bars(holed[:150])).to_polars(), tmp_path / "readings.parquet")
    now = with_bars(holed, 120)
    same(open_readings(path, now).extended(bundle, now, RESTATED), Readings.of(bundle, now))
    assert bundle.calls[-2] == "surprise since 123"


def test_a_mark_changes_with_any_number_up_to_its_row_and_with_none_after(panel):
    before, after = (bar_marks(with_bars(panel, row), ("close", "volume")) for row in (None, 120))
    np.testing.assert_array_equal(before != after, (np.arange(160)[:, None] >= 120) & (np.arange(4) == 1))
    assert not bar_marks(panel, ("close", "volume")).any()
    swapped = replace(
        panel, fields={"close": with_bars(panel).fields["volume"], "volume": with_bars(panel).fields["close"]}
    )
    assert (bar_marks(swapped, ("close", "volume"))[:, :3] != before[:, :3]).all()


def test_a_file_of_another_panel_or_of_nothing_is_of_no_use_and_does_no_harm(bundle, panel, tmp_path):
    path = write_table(Readings.of(bundle, panel).to_polars(), tmp_path / "readings.parquet")
    for other in (panel[:100], panel.select(["A03", "A01"]), make_panel(panel.returns, start="1980-01-01")):
        same(open_readings(path, other).extended(bundle, other, RESTATED), Readings.of(bundle, other))
    empty = write_table(Readings.of(bundle, panel[:0]).to_polars(), tmp_path / "empty.parquet")
    same(open_readings(empty, panel).extended(bundle, panel), Readings.of(bundle, panel))
    wrong = write_table(pl.DataFrame({"date": [1]}), tmp_path / "wrong.parquet")
    with pytest.raises(InputError, match=r"wrong.parquet holds \['date'\].*remove it"):
        open_readings(wrong, panel)
    wrong.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"wrong.parquet cannot be read as a table.*remove it"):
        open_readings(wrong, panel)


def test_rows_that_were_read_beside_an_asset_that_is_gone_are_read_again(bundle, panel, tmp_path):
    path = write_table(Readings.of(bundle, panel).to_polars(), tmp_path / "readings.parquet")
    without = panel.select(["A00", "A01", "A03"])  # A02 is there from row 70 on
    same(open_readings(path, without).extended(bundle, without, RESTATED), Readings.of(bundle, without))
    assert bundle.calls == ["surprise", "surprise since 70", "surprise"]


def test_a_date_without_any_value_that_comes_or_goes_moves_the_windows_after_it(bundle, panel, tmp_path):
    returns = panel.returns.copy()
    returns[120] = np.nan  # a holiday, that some vendors write as a row
    written = replace(panel, returns=returns)
    keep = np.arange(160) != 120
    left_out = replace(panel, returns=panel.returns[keep], dates=panel.dates[keep])
    for number, (before, now) in enumerate(((written, left_out), (left_out, written), (written, written))):
        path = write_table(Readings.of(bundle, before[:150]).to_polars(), tmp_path / f"{number}.parquet")
        same(open_readings(path, now).extended(bundle, now, RESTATED), Readings.of(bundle, now))
    assert bundle.calls[1::3] == ["surprise since 120", "surprise since 120", "surprise since 150"]


@pytest.mark.parametrize(("error", "rows"), [(5e-6, 60), (5e-5, 33)])
def test_a_tolerance_is_in_mean_moves_of_the_asset(error, rows):
    panel = make_panel(0.01 * np.random.default_rng(0).standard_normal((60, 2)))
    nothing, bars = np.full(panel.returns.shape, np.nan), bar_marks(panel, ())
    kept = Readings(panel, nothing, nothing, nothing, nothing, bars)
    assert kept._rows_in_common(changed(panel, 33, error), bars, RESTATED) == rows
