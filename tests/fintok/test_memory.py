"""A model's memory: a file that begins later is read in the units of one that began with the training panel."""

from dataclasses import replace

import numpy as np
import pytest

from fintok import RegimeLabeler, load
from fintok.channels import Past
from fintok.expected_size import size_predictors
from fintok.imaging import ReturnImager
from fintok.memory import Memory, Recall, recall
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


def past_of(panel: Panel, *memories: Memory) -> Past | None:
    return recall(memories, panel, FIRST).past


def with_returns(panel: Panel, returns: np.ndarray) -> Panel:
    """Other returns on the panel's dates."""
    return make_panel(returns, start=str(panel.dates[0].astype("datetime64[D]")))


def test_sums_are_those_of_the_rows_before(panel, memory):
    past = past_of(panel[START:], memory)
    before = panel.returns[:START]
    np.testing.assert_array_equal(past.num_returns, np.isfinite(before).sum(axis=0))
    np.testing.assert_allclose(past.total, np.nansum(np.abs(before), axis=0), rtol=1e-5)
    assert past.num_known == 6


@pytest.mark.parametrize("values", ["prices", "returns"])
def test_a_panel_that_begins_later_gives_the_image_and_the_sizes_of_the_whole(panel, values):
    panel = replace(panel, values=values)
    later, imager = panel[START:], ReturnImager()
    past = past_of(later, Memory.of(panel[:2000], FIRST))
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


def test_each_asset_has_the_usual_size_of_its_own(panel, memory):
    for assets in (("A00", "A02"), ("A03", "A04")):
        few = panel.select(assets)
        whole, part = size_predictors(few), size_predictors(few[START:], past_of(few[START:], memory))
        np.testing.assert_allclose(part[WARM:, :3], whole[START + WARM :, :3], atol=0.1)


def test_assets_that_come_after_the_first_rows_do_not_change_what_is_usual(panel, memory):
    later = panel[START:]
    returns = later.returns.copy()
    returns[:30, 3:] = np.nan  # the calm ones alone at first
    some = with_returns(later, returns)
    found, whole = size_predictors(some, past_of(some, memory)), size_predictors(later, past_of(later, memory))
    np.testing.assert_allclose(found[WARM:, :3], whole[WARM:, :3], atol=0.01)


def test_an_asset_that_is_not_remembered_is_measured_by_its_own_first_rows(panel, memory):
    later = panel[START:]
    wild = np.concatenate([later.returns, 20.0 * later.returns[:, :3]], axis=1)
    wild[:200, 6:] = np.nan
    more = with_returns(later, wild)
    past = past_of(more, memory)
    assert past.num_known == 6
    size = size_predictors(more, past)[2 * WARM :, 0]
    assert abs(size.mean() - size_predictors(later, past_of(later, memory))[2 * WARM :, 0].mean()) < 0.7  # not log 10


def test_nothing_is_remembered_of_a_panel_that_begins_no_later(panel, memory):
    assert past_of(panel, memory) is None
    assert past_of(panel[10:], memory) is None  # not before the twentieth row
    assert past_of(replace(panel, dates=panel.dates - np.timedelta64(400, "D")), memory) is None
    assert recall([memory], panel, FIRST) == recall([memory], panel[:0], FIRST) == recall([], panel, FIRST) == Recall()


def test_after_the_last_training_row_all_of_it_is_remembered(panel):
    known = past_of(panel[2100:], Memory.of(panel[:1990], FIRST))
    np.testing.assert_array_equal(known.num_returns, np.isfinite(panel.returns[:1990]).sum(axis=0))


def test_empty_rows_and_holes_at_the_start_do_not_hide_the_past(panel, memory):
    later = panel[START:]
    empty = later.returns.copy()
    empty[:40] = np.nan
    assert past_of(with_returns(later, empty), memory).num_known == 6
    kept = np.r_[:5, 25 : len(later)]
    holed = replace(later, returns=later.returns[kept], dates=later.dates[kept], prices=None)
    assert past_of(holed, memory).num_known == 6
    assert past_of(with_returns(later, np.full(later.returns.shape, np.nan)), memory) is None


def test_another_market_is_not_taken_for_the_one_that_is_remembered(panel, memory):
    later = panel[START:]
    dates = later.dates[0] + np.arange(len(later)) * np.timedelta64(12, "h")
    others = {
        "the model remembers 2 of the 6 assets in the first rows, fewer than half": replace(
            later, assets=("A00", "A01", "w", "x", "y", "z")
        ),
        "the model remembers prices, and the panel has returns": replace(later, values="returns"),
        "rows are 0.5 times as far apart as those that the model remembers": replace(later, dates=dates),
        "times those that the model remembers, as of another unit or market": replace(
            later, returns=100.0 * later.returns
        ),
        "moves are 0.0188 times those that the model remembers": replace(later, returns=0.01 * later.returns),
        "the model knows 'A00', and the panel has 'a00 US Equity'": replace(
            later, assets=tuple(f"{asset.lower()} US Equity" for asset in later.assets)
        ),
        "the 3 assets that the model remembers have no return in the first rows": replace(
            later,
            assets=("A00", "A01", "A02", "x", "y", "z"),
            returns=np.where((np.arange(len(later)) < 60)[:, None] & (np.arange(6) < 3), np.nan, later.returns),
        ),
        "": replace(later, assets=tuple("uvwxyz")),
    }
    for remark, other in others.items():
        found = recall([memory], other, FIRST)
        assert found.past is None
        assert remark in found.remark
        assert bool(found.remark) == bool(remark)
    half = recall([memory], replace(later, assets=("A00", "A01", "A02", "x", "y", "z")), FIRST)
    assert half.past.num_known == 3
    assert "remembers 3 of 6 assets" in half.remark
    assert "the others are read in units of this file's" in half.remark


def test_assets_that_list_later_and_later_rows_change_nothing(panel, memory):
    later = panel[START:]
    returns = np.concatenate([later.returns[:, :5], np.full((len(later), 8), np.nan)], axis=1)
    returns[300:, 5:] = 0.01
    more = with_returns(later, returns)
    few = later.select(more.assets[:5])
    other = Memory.of(make_panel(0.5 * simulate_returns(1500, 13, seed=5)[0]).select(more.assets[3:]), FIRST)
    for memories in ([memory], [memory, other], [other, memory]):
        without, with_more = (past_of(one, *memories) for one in (few, more))
        for one, all_of_them in zip(without, with_more, strict=True):
            np.testing.assert_array_equal(all_of_them[:5], one)
        np.testing.assert_allclose(
            size_predictors(more, with_more)[:300], size_predictors(few, without)[:300], atol=1e-6
        )
    cut = past_of(later[: FIRST + 1], memory)
    np.testing.assert_array_equal(cut, past_of(later, memory))
    assert past_of(later[:FIRST], memory) is None  # on which nothing is observed yet


def test_of_several_memories_the_one_of_most_assets_counts(panel, memory):
    few = Memory.of(panel.select(("A00", "A02", "A03")), FIRST)
    later = panel[START:]
    assert past_of(later, few, memory).num_known == 6
    assert past_of(later, few).num_known == 3
    earlier = Memory.of(replace(panel.select(("A00", "A02")), dates=panel.dates - np.timedelta64(900, "D")), FIRST)
    assert past_of(panel.select(("A00", "A02", "A03")), earlier).num_known == 2
    assert past_of(panel, earlier, memory) is None  # as it was learned from


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
