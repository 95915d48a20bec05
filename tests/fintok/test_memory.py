"""A model's memory: a file that begins later is read in the units of one that began with the training panel."""

from dataclasses import replace

import numpy as np
import pytest

from fintok import RegimeLabeler, load
from fintok.expected_size import size_predictors
from fintok.imaging import ReturnImager
from fintok.memory import Memory, remembered
from fintok.panel import Panel
from fintok.sample import load_us20
from tests.fintok.fake_bundle import make_panel, simulate_returns

FIRST = 20  # returns before a scale counts
START = 1200  # a row that is remembered: a multiple of twenty
WARM = 500  # rows after which averages over half-lives of 126 rows have forgotten where they began


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Assets of other sizes, the second from row 700 on only; calm at first, wild later."""
    returns = simulate_returns(2400, 6, seed=3)[0] * np.array([0.5, 1.0, 1.0, 1.5, 2.0, 1.0])
    returns[:1000] *= 0.3
    returns[:700, 1] = np.nan
    return make_panel(returns)


@pytest.fixture(scope="module")
def memory(panel) -> Memory:
    return Memory.of(panel[:2000], FIRST)


def test_sums_are_those_of_the_rows_before(panel, memory):
    past = memory.before(panel[START:], FIRST)
    before = panel.returns[:START]
    np.testing.assert_array_equal(past.num_returns, np.isfinite(before).sum(axis=0))
    np.testing.assert_allclose(past.total, np.nansum(np.abs(before), axis=0), rtol=1e-5)
    assert past.num_known == 6


@pytest.mark.parametrize("values", ["prices", "returns"])
def test_a_panel_that_begins_later_gives_the_image_and_the_sizes_of_the_whole(panel, values):
    panel = replace(panel, values=values)
    later, imager = panel[START:], ReturnImager()
    past = Memory.of(panel[:2000], FIRST).before(later, FIRST)
    whole, part, alone = imager.transform(panel), imager.transform(later, past), imager.transform(later)
    for name in ("return", "market", "rank", "residual"):
        expected = whole.channel(name)[:, START + FIRST :]
        np.testing.assert_allclose(part.channel(name)[:, FIRST:], expected, atol=0.05, err_msg=name)
        if name != "rank":
            assert np.abs(alone.channel(name)[:, FIRST:] - expected).mean() > 0.02, name
    for name in ("volatility", "slow_volatility", "market_volatility"):
        expected = whole.channel(name)[:, START + 2 * WARM :]
        np.testing.assert_allclose(part.channel(name)[:, 2 * WARM :], expected, atol=0.02, err_msg=name)
    sizes = size_predictors(panel)[START + WARM :]
    np.testing.assert_allclose(size_predictors(later, past)[WARM:, :3], sizes[:, :3], atol=0.05)
    if values == "prices":
        assert np.abs(size_predictors(later)[WARM:, :3] - sizes[:, :3]).min() > 0.3


def test_some_of_the_assets_have_the_usual_size_of_their_own(panel, memory):
    for assets in (("A00", "A02"), ("A03", "A04")):
        few = panel.select(assets)
        past = memory.before(few[START:], FIRST)
        whole, part = size_predictors(few), size_predictors(few[START:], past)
        np.testing.assert_allclose(part[WARM:, :3], whole[START + WARM :, :3], atol=0.1)


def test_nothing_is_remembered_of_a_panel_that_begins_no_later(panel, memory):
    assert memory.before(panel, FIRST) is None
    assert memory.before(panel[10:], FIRST) is None  # not before the twentieth row
    earlier = replace(panel, dates=panel.dates - np.timedelta64(400, "D"))
    assert memory.before(earlier, FIRST) is None
    assert memory.before(panel[:0], FIRST) is None


def test_after_the_last_training_row_all_of_it_is_remembered(panel, memory):
    known = Memory.of(panel[:1990], FIRST).before(panel[2100:], FIRST)
    np.testing.assert_array_equal(known.num_returns, np.isfinite(panel.returns[:1990]).sum(axis=0))


def test_another_market_is_not_taken_for_the_one_that_is_remembered(panel, memory):
    later = panel[START:]
    assert memory.before(replace(later, assets=("A00", "A01", "A02", "x", "y", "z")), FIRST).num_known == 3
    assert memory.before(replace(later, assets=("A00", "A01", "w", "x", "y", "z")), FIRST) is None
    assert memory.before(replace(later, values="returns"), FIRST) is None
    hourly = later.dates[0] + np.arange(len(later)) * np.timedelta64(1, "h")
    assert memory.before(replace(later, dates=hourly), FIRST) is None


def test_assets_that_list_later_and_later_rows_change_nothing(panel, memory):
    later = panel[START:]
    returns = np.concatenate([later.returns[:, :5], np.full((len(later), 8), np.nan)], axis=1)
    returns[300:, 5:] = 0.01
    more = make_panel(returns, start=str(later.dates[0].astype("datetime64[D]")))
    without, with_more = (memory.before(one, FIRST) for one in (later.select(more.assets[:5]), more))
    assert with_more.usual_size == without.usual_size
    np.testing.assert_array_equal(with_more.total[:5], without.total)
    cut = memory.before(later[: FIRST + 1], FIRST)
    np.testing.assert_array_equal(np.hstack(cut), np.hstack(memory.before(later, FIRST)))
    assert memory.before(later[:FIRST], FIRST) is None  # on which nothing is observed yet


def test_of_several_memories_the_one_that_knows_most_assets_counts(panel, memory):
    few = Memory.of(panel.select(("A00", "A02", "A03")), FIRST)
    later = panel[START:]
    assert remembered([few, memory], later, FIRST).num_known == 6
    assert remembered([few], later, FIRST).num_known == 3
    assert remembered([], later, FIRST) is None
    earlier = Memory.of(replace(panel.select(("A00", "A02")), dates=panel.dates - np.timedelta64(900, "D")), FIRST)
    assert remembered([earlier], panel.select(("A00", "A02", "A03")), FIRST).num_known == 2
    assert remembered([earlier, memory], panel, FIRST) is None  # as it was learned from


def test_a_file_that_begins_later_has_the_labels_of_the_whole():
    bundle, panel = load(), load_us20()[:"2017-12-31"].select(("AAPL", "GE", "KO", "XOM"))
    later = panel["2013-01-01":]
    labels = RegimeLabeler(bundle).fit().label(panel).labels[-len(later) :]
    remembers = RegimeLabeler(bundle).fit().label(later)
    forgets = RegimeLabeler(replace(bundle, memories=[])).fit().label(later)
    known = remembers.labels >= 0
    assert (remembers.labels == labels)[known].mean() > 0.9
    assert (forgets.labels == labels)[known].mean() < 0.3
    assert "the model remembers 4 of 4 assets from before the first row" in remembers.remarks()[0]
    assert "little history" in forgets.remarks()[0]
