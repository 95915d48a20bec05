"""Figures of a panel."""

import numpy as np

from fintok.health import check_panel
from fintok.panel import Panel
from fintok.plots.panel import findings_map, panel_overview


def hourly_panel(num_rows: int = 8000) -> Panel:
    returns = np.random.default_rng(0).normal(0, 0.01, (num_rows, 3))
    returns[: num_rows // 2, 1] = np.nan
    dates = np.datetime64("2020-01-01T00") + np.arange(num_rows)
    return Panel.from_arrays(returns, dates, ["A", "B&<b>", "C"], values="returns")


def test_the_overview_is_thinned_and_counts_assets():
    figure = panel_overview(hourly_panel())
    market, count = figure.data
    assert figure.layout.title.text == "3 assets, 8,000 hours"
    assert len(market.x) == len(count.x) == 5000
    assert set(count.y) == {2, 3}
    assert np.isfinite(np.asarray(market.y)).all()


def test_an_empty_panel_and_a_clean_one_still_draw():
    assert len(panel_overview(hourly_panel()[:0]).data) == 2
    figure = findings_map(check_panel(hourly_panel()[5000:]))
    assert figure.layout.title.text == "Nothing looks wrong"


def test_findings_are_marked_at_their_date_and_asset():
    returns = hourly_panel().returns.copy()
    returns[6000, 1], returns[6001, 1] = 0.5, -0.5
    panel = Panel.from_arrays(returns, hourly_panel().dates, ["A", "B&<b>", "C"], values="returns")
    figure = findings_map(check_panel(panel))
    (trace,) = figure.data
    assert figure.layout.title.text == "1 finding"
    assert figure.layout.showlegend  # else the only kind would have no name
    assert figure.layout.xaxis.range == ("2020-01-01T00:00:00", "2020-11-29T07:00:00")
    assert trace.name == "spike that reverts"
    assert list(trace.y) == ["B&amp;&lt;b&gt;"]
    assert np.datetime64(trace.x[0]) == panel.dates[6000]
