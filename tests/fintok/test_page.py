"""A page in a real browser: on the screen and on paper."""

import pandas as pd
import plotly.graph_objects as go
import pytest

from fintok.page import Page

TITLE = "getComputedStyle(document.querySelector('#figure-0 .gtitle')).fill"
WIDTHS = "Array.from(document.querySelectorAll('.figure'), (box) => box.querySelector('.main-svg')?.clientWidth ?? 0)"


@pytest.fixture
def shown(page, tmp_path):
    """A page of six figures, opened in a dark browser."""
    written = Page("A title", "and what it is of")
    for number in range(6):
        written.section(f"Part {number}", "What it shows.")
        written.figure(go.Figure(go.Scatter(y=[1, 3, 2]), {"title": "Curve", "height": 420}), "A caption.")
    written.folded("All of it", pd.DataFrame({"What": ["a row"]}))
    path = tmp_path / "page.html"
    path.write_text(written.render(), encoding="utf-8")
    page.emulate_media(color_scheme="dark")
    page.goto(path.as_uri())
    page.locator("#figure-0 .main-svg").first.wait_for()
    return page


def test_figures_are_drawn_as_they_come_into_view(shown):
    assert shown.evaluate(WIDTHS)[-1] == 0
    shown.locator("#figure-5").scroll_into_view_if_needed()
    shown.locator("#figure-5 .main-svg").first.wait_for()


def test_a_folded_table_opens_at_a_click(shown):
    row = shown.get_by_text("a row")
    assert not row.is_visible()
    shown.get_by_text("All of it").click()
    row.wait_for(state="visible")


def test_on_paper_all_figures_have_one_width_and_dark_ink(shown):
    width, light = shown.evaluate(WIDTHS)[0], shown.evaluate(TITLE)
    shown.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert shown.evaluate(WIDTHS) == [1124] * 6
    assert shown.evaluate(TITLE) == "rgb(31, 41, 55)" != light
    shown.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert shown.evaluate(WIDTHS) == [width] * 6
    assert shown.evaluate(TITLE) == light


def test_on_paper_no_page_is_empty_and_no_figure_is_cut(shown):
    """Two figures with their texts fit on a page of letter paper, and the first has the title, too."""
    assert shown.pdf(format="Letter").count(b"/Type /Page\n") == 3
