"""How the pages lie in windows of any width: nothing is cut off, nothing over another."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tests.apps.dashboard.conftest import PAGES, drawn
from tests.apps.dashboard.fake_desk import make_desk, market


@pytest.mark.parametrize("path", ["/", "/asset", "/regimes"])
def test_a_narrow_window_has_a_card_a_line_and_nothing_beside_it(page, address, path):
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(address + path)
    drawn(page, PAGES[path])
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    widths = page.locator(".card").evaluate_all("cards => cards.map(card => card.offsetWidth)")
    assert min(width for width in widths if width) > 300


@pytest.mark.parametrize("width", [400, 1024])
@pytest.mark.parametrize("path", PAGES)
def test_no_text_of_a_figure_is_cut_off_at_its_edge_or_written_over_another(page, address, path, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address + path)
    drawn(page, PAGES[path])
    page.wait_for_timeout(500)  # until the others are drawn too
    cut = page.locator(".js-plotly-plot").evaluate_all(
        """figures => figures.flatMap(figure => {
            const box = figure.getBoundingClientRect(), legend = figure.querySelector("g.legend");
            const isOut = (text) => text.left < box.left - 1 || text.right > box.right + 1;
            const said = [...figure.querySelectorAll("svg text")].filter(
                text => text.textContent && isOut(text.getBoundingClientRect()));
            const title = figure.querySelector(".gtitle")?.getBoundingClientRect();
            const beside = legend?.getBoundingClientRect();
            const isUnder = title && beside && title.right > beside.left && title.bottom > beside.top + 1
                && beside.bottom > title.top;
            return [...said.map(text => text.textContent), ...(isUnder ? ["legend over title"] : [])];
        })"""
    )
    assert cut == []


def test_hours_under_a_figure_stand_apart_and_above_its_legend(page, serve_to, tmp_path):
    panel = market(600, 3)
    hours = np.datetime64("2020-12-20T09:00", "ns") + np.arange(600) * np.timedelta64(1, "h")
    desk = make_desk(tmp_path, replace(panel, dates=hours))
    desk.read()
    with serve_to(desk) as address:
        page.goto(f"{address}/asset?asset=A00&day=2021-01-10T15:00")
        for figure in ("#asset-patch", "#asset-days"):
            drawn(page, figure)
            ticks = [tick.bounding_box() for tick in page.locator(f"{figure} .xtick text").all()]
            legend = page.locator(f"{figure} .legend").bounding_box()
            assert len(ticks) >= 4
            for left, right in pairwise(sorted(ticks, key=lambda tick: tick["x"])):
                assert right["x"] - left["x"] - left["width"] >= 4
            assert max(tick["y"] + tick["height"] for tick in ticks) <= legend["y"] + 2
