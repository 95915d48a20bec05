"""The pages in a real browser: seen, clicked, marked, shared and exported."""

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from fintok import AnomalyScorer, InputError
from tests.apps.dashboard.conftest import PAGES, drawn
from tests.apps.dashboard.fake_desk import HOSTILE, FakeModel, make_desk, market
from tests.conftest import WAIT
from tests.fintok.fake_bundle import make_panel


def alerts_said(page) -> tuple[int, int]:
    """Alerts and alarms that the page of alerts counts."""
    said = page.locator("#alerts-count").inner_text()
    found = re.match(r"([\d,]+) alerts?: ([\d,]+) alarms?", said)
    assert found, said
    alerts, alarms = (int(text.replace(",", "")) for text in found.groups())
    return alerts, alarms


def wait_for_count(page, count: int) -> None:
    page.locator("#alerts-count", has_text=re.compile(rf"^{count:,} alerts?:")).wait_for()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_its_figure(page, address, path):
    page.goto(address + path)
    drawn(page, PAGES[path])
    assert page.locator("#trouble").inner_text() == ""
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").all_inner_texts() == ["fintok"]


def test_a_drag_zooms_into_the_map_and_a_button_shows_it_whole_again(page, address):
    page.goto(f"{address}/map?alarms=2")
    drawn(page, "#map")
    area = page.locator("#map .nsewdrag[data-subplot=xy]").bounding_box()
    page.mouse.move(area["x"] + 0.3 * area["width"], area["y"] + 0.2 * area["height"])
    page.mouse.down()
    page.mouse.move(area["x"] + 0.6 * area["width"], area["y"] + 0.6 * area["height"], steps=4)
    page.mouse.up()
    page.wait_for_url("**start=**top=**")
    page.locator("#map-whole").click()
    page.wait_for_url(f"{address}/map?alarms=2")


def test_a_click_on_the_map_opens_the_asset_and_the_day(page, address, reading):
    page.goto(f"{address}/map?order=name")
    drawn(page, "#map")
    row, column = np.unravel_index(np.nanargmax(reading.scores.score), reading.scores.score.shape)
    area = page.locator("#map .nsewdrag[data-subplot=xy]").bounding_box()
    names = sorted(reading.panel.assets)
    x = area["x"] + area["width"] * (row + 0.5) / reading.panel.num_days
    y = area["y"] + area["height"] * (names.index(reading.panel.assets[column]) + 0.5) / len(names)
    page.mouse.move(x, y)
    page.locator("#map-tip", has_text=reading.panel.assets[column]).wait_for()
    page.mouse.click(x, y)
    page.wait_for_url("**/asset?**")
    drawn(page, "#asset-history")
    head = page.locator("#asset-head").inner_text()
    assert reading.panel.assets[column] in head
    day = page.url.split("day=")[1][:10]
    assert abs(np.datetime64(day) - reading.panel.dates[row]) <= np.timedelta64(3, "D")  # cells pool some days


def test_the_count_of_alerts_follows_the_alarm_rate(page, address, desk):
    panel = desk.reading.panel
    page.goto(f"{address}/alerts")
    for rate in (1.0, 20.0):
        scores = AnomalyScorer(desk.bundle(), alarms_per_1000=rate).fit(panel).score(panel)
        if rate != 1.0:
            page.locator("#alarms").fill(f"{rate:g}")
            page.locator("#alarms").press("Enter")
        wait_for_count(page, int(scores.alert.sum()))
        assert alerts_said(page) == (scores.alert.sum(), scores.is_alarm.sum())
    assert "alarms=20" in page.url


def test_a_mark_is_there_after_a_reload_and_in_another_browser(page, address, desk, chromium):
    page.goto(f"{address}/alerts")
    first = page.locator(".ag-center-cols-container [row-index='0']")
    first.locator("[col-id=reason]").click()
    page.locator("#mark-data-error").click()
    first.locator("[col-id=verdict]", has_text="data error").wait_for()
    page.locator("#alerts-note").fill("<img src=x onerror=alert(1)>")
    page.locator("#write-note").click()
    first.locator("[col-id=note]", has_text="<img src=x").wait_for()
    other = chromium.new_context().new_page()
    other.goto(page.url)
    other.locator("[row-index='0'] [col-id=verdict]", has_text="data error").wait_for(timeout=WAIT)
    page.reload()
    first.locator("[col-id=verdict]", has_text="data error").wait_for()
    other.locator("[row-index='0'] [col-id=reason]").click()
    other.locator("#mark-noise").click()
    first.locator("[col-id=verdict]", has_text="noise").wait_for()  # without a reload
    other.context.close()
    assert [mark.verdict for mark in desk.store.marks()] == ["noise"]


def test_what_is_exported_can_be_read_back(page, address, desk, tmp_path):
    page.goto(f"{address}/alerts?alarms=10")
    count = len(desk.reading.alarms.at(10.0).row)
    wait_for_count(page, count)
    for form, read in (("csv", pl.read_csv), ("parquet", pl.read_parquet)):
        with page.expect_download() as download:
            page.locator(f"#export-{form}").click()
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        table = read(file)
        assert len(table) == count
        assert table.columns[:4] == ["date", "symbol", "score", "p_value"]
        assert HOSTILE in table["symbol"].to_list()


def test_a_link_shows_the_same_view_in_another_browser(page, address, chromium):
    page.goto(f"{address}/regimes")
    drawn(page, "#regimes-history")
    page.locator("#range-1y").click()
    page.wait_for_url("**start=**")
    page.locator("#nav-map").click()
    page.wait_for_url("**/map?**start=**")
    drawn(page, "#map")
    page.locator("#map-order label", has_text="by name").click()
    page.wait_for_url("**order=name**")
    other = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
    other.goto(page.url)
    other.locator("#map .main-svg").first.wait_for(timeout=WAIT)
    other.locator("#map-order label:has(input:checked)", has_text="by name").wait_for(timeout=WAIT)
    for field in ("#dates-start", "#dates-end"):
        assert other.locator(field).input_value() == page.locator(field).input_value() != ""
    other.context.close()


def test_keys_lead_through_the_pages_and_to_the_other_theme(page, address):
    page.goto(address)
    drawn(page, "#today-probabilities")
    page.keyboard.press("6")
    page.locator("#alerts-table").wait_for()
    before = page.locator("html").get_attribute("data-theme")
    page.keyboard.press("t")
    page.locator(f"html:not([data-theme={before}])").wait_for()
    page.keyboard.press("5")
    drawn(page, "#vocabulary-gallery")


def test_a_slash_and_a_name_lead_to_the_asset(page, address):
    page.goto(address)
    drawn(page, "#today-probabilities")
    page.keyboard.press("/")
    page.keyboard.press("a")  # opens the list, which takes the letter as the first to search for
    field = page.locator("input.dash-dropdown-search")
    field.wait_for()
    page.keyboard.type("05")
    page.wait_for_timeout(300)  # the list narrows
    assert field.input_value() == "a05"
    page.keyboard.press("Enter")
    page.wait_for_url("**/asset?asset=A05")


def test_a_hostile_name_is_shown_and_not_run(page, address):
    page.goto(f"{address}/asset?asset=%3Cscript%3Ealert(1)%3C/script%3E")
    drawn(page, "#asset-history")
    assert HOSTILE in page.locator("#asset-head").inner_text()
    page.goto(f"{address}/vocabulary")
    drawn(page, "#vocabulary-assets")


def test_a_click_in_the_gallery_lists_where_a_token_occurs(page, address, reading):
    page.goto(f"{address}/vocabulary")
    drawn(page, "#vocabulary-gallery")
    area = page.locator("#vocabulary-gallery .nsewdrag").bounding_box()
    place = area["x"] + 1.5 * area["width"] / 12, area["y"] + area["height"] / 2
    page.mouse.move(*place)
    page.locator("#vocabulary-gallery .hovertext").first.wait_for(state="attached")
    page.mouse.click(*place)
    page.wait_for_url("**token=**")
    token = int(page.url.split("token=")[1])
    count = int((reading.tokens.words == token).sum())
    page.locator("#vocabulary-list h2", has_text=f"word {token}: {count:,} occurrences").wait_for()


def test_new_data_is_offered_and_a_stopped_server_comes_back(page, serve_to, tmp_path):
    panel = market(500, 3)
    desk = make_desk(tmp_path, panel[:480])
    desk.read()
    with serve_to(desk) as address:
        page.goto(address)
        page.locator("#what", has_text=str(panel.dates[479])[:10]).wait_for()
        desk.sources = replace(desk.sources, read_panel=lambda: panel)
        desk.sources.panel.write_bytes(b"a day later")
        page.locator("#reload").click()
        page.locator("#what", has_text=str(panel.dates[-1])[:10]).wait_for()
    second = make_desk(tmp_path, panel)
    second.read()
    with serve_to(second) as address:
        page.goto(address)
        page.locator("#what", has_text=str(panel.dates[-1])[:10]).wait_for()


def test_a_broken_file_is_named_on_the_page(page, serve_to, tmp_path):
    def broken():
        raise InputError("prices.parquet: date 2020-02-30 (row 7) is no date")

    desk = make_desk(tmp_path, market(300, 3))
    desk.sources = replace(desk.sources, read_panel=broken)
    desk.read()
    with serve_to(desk) as address:
        page.goto(f"{address}/map")
        page.locator("#page", has_text="date 2020-02-30 (row 7) is no date").wait_for()
        assert "Traceback" not in page.content()


def test_an_empty_panel_and_one_asset_have_pages(page, serve_to, tmp_path):
    empty = make_panel(np.zeros((0, 3)))
    desk = make_desk(tmp_path / "empty", empty)
    desk.fake = FakeModel(market(300, 3))  # trained on some other panel
    single = make_desk(tmp_path / "single", market(500, 1))
    for one in (desk, single):
        one.read()
    with serve_to(desk) as address:
        page.goto(address)
        page.locator("#page .notice").wait_for()
    with serve_to(single) as address:
        for path in ("/map", "/asset", "/"):
            page.goto(address + path)
            drawn(page, PAGES[path])
            assert page.locator("#trouble").inner_text() == ""


def test_a_large_panel_is_drawn(page, serve_to, large_desk):
    with serve_to(large_desk) as address:
        page.goto(f"{address}/map")
        drawn(page, "#map")
        area = page.locator("#map .nsewdrag[data-subplot=xy]").bounding_box()
        page.mouse.move(area["x"] + 0.5 * area["width"], area["y"] + 0.2 * area["height"])
        page.mouse.down()
        page.mouse.move(area["x"] + 0.6 * area["width"], area["y"] + 0.4 * area["height"], steps=4)
        page.mouse.up()
        page.wait_for_url("**start=**bottom=**")


def test_figures_offer_a_png_under_a_name_of_their_own(page, address):
    page.goto(f"{address}/regimes")
    drawn(page, "#regimes-history")
    page.locator("#regimes-history .main-svg").first.hover()
    with page.expect_download() as download:
        page.locator("#regimes-history [data-title*=ownload]").first.click()
    assert download.value.suggested_filename == "fintok-regimes.png"


def test_the_layout_holds_no_secret_paths(page, address, desk):
    page.goto(address)
    drawn(page, "#today-probabilities")
    assert str(desk.sources.model) not in page.content()
