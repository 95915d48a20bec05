"""How fast the dashboard's map of 500 assets and 5,000 days is, in a browser on this machine.

    python tests/benchmarks/dashboard_speed.py [--assets 500] [--days 5000] [--repeat 5]

First paint is the time from asking for the page to the map being drawn, in a browser that has never been here, and
once more in one that has, beside that of a bare Dash page with a heat map of four cells; an interaction is the time
from the action to the new picture. Medians, milliseconds. Beside them the processor time of server and browser
together, which other jobs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "apps" / "dashboard")]

import dash  # noqa: E402
import plotly  # noqa: E402
import plotly.graph_objects as go  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402
from waitress.server import create_server  # noqa: E402

from fintok_dashboard.app import POLL_SECONDS  # noqa: E402
from tests.apps.dashboard.conftest import serving  # noqa: E402
from tests.apps.dashboard.fake_desk import make_large_desk  # noqa: E402

_WATCH = """
(() => {
  const look = () => {
    const box = document.querySelector("#map .js-plotly-plot");
    if (box && box.data && box.data.length && box.querySelector(".hm image")) window.painted = performance.now();
    else requestAnimationFrame(look);
  };
  look();
})();
"""
# What is done, and what the picture must say before it counts as drawn
_ACTIONS = {
    "zoom, the cells as they are": (
        "(box, k) => Plotly.relayout(box, {'xaxis.range[0]': 500 + 9 * k, 'xaxis.range[1]': 3000 + 9 * k})",
        "(box) => box.layout.xaxis.range.join()",
    ),
    "zoom into a fifth of the days, finer cells": (
        "(box, k) => Plotly.relayout(box, {'xaxis.range[0]': 1000 + 9 * k, 'xaxis.range[1]': 2000 + 9 * k})",
        "(box) => box.data[0].x0",
    ),
    "all days again": (
        "() => dash_clientside.set_props('url', {search: ''})",
        "(box) => box.data[0].x0",
    ),
    "another alarm rate": (
        "(box, k) => dash_clientside.set_props('alarms', {value: 2 + k})",
        "(box) => box.layout.title.text",
    ),
    "strangest assets first, or by name": (
        "(box, k) => dash_clientside.set_props('map-order', {value: k % 2 ? 'name' : 'score'})",
        "(box) => box.layout.yaxis.ticktext.join()",
    ),
}
_MEASURE = """
([act, state, k]) => new Promise((resolve, reject) => {
  const box = document.querySelector("#map .js-plotly-plot");
  const before = JSON.stringify(state(box)), began = performance.now();
  act(box, k);
  const look = () => {
    if (JSON.stringify(state(box)) !== before) requestAnimationFrame(() => resolve(performance.now() - began));
    else if (performance.now() - began > 30000) reject("nothing changed");
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})
"""


class Wait(NamedTuple):
    """What one thing took, in milliseconds."""

    wall: float
    processor: float  # of this process, in which the server runs, and of all that it has started


def processor() -> float:
    """Milliseconds that this process and its descendants have taken, as Linux counts them."""
    started: dict[int, list[tuple[int, float]]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has just ended
            continue
        ticks = sum(map(int, fields[11:15]))  # its own and those of its children that have ended
        started.setdefault(int(fields[1]), []).append(
            (int(status.parent.name), ticks * 1000.0 / os.sysconf("SC_CLK_TCK"))
        )
    taken, parents = 1000.0 * time.process_time(), [os.getpid()]
    while parents:
        for process, milliseconds in started.get(parents.pop(), []):
            taken += milliseconds
            parents.append(process)
    return taken


@contextlib.contextmanager
def bare() -> Iterator[str]:
    """The address of a page with nothing but a heat map of four cells."""
    app = dash.Dash("bare")
    cells = dash.dcc.Graph(figure=go.Figure(go.Heatmap(z=[[1, 2], [3, 4]])))
    app.layout = dash.html.Div(dash.html.Div(cells, id="map"))
    server = create_server(app.server, host="127.0.0.1", port=0, threads=8)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()


def first_paint(browser: Browser, address: str) -> tuple[Wait, Wait]:
    """Until the map is drawn, in a fresh browser context and once more in that."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(_WATCH)
    waits = []
    for _ in range(2):
        page = context.new_page()
        page.wait_for_timeout(300)
        began = processor()
        page.goto(address)
        until = time.monotonic() + 60
        while (painted := page.evaluate("window.painted")) is None and time.monotonic() < until:
            time.sleep(0.05)
        waits.append(Wait(float(painted), processor() - began))
        page.wait_for_timeout(500)
        page.close()
    context.close()
    return waits[0], waits[1]


def interaction(page: Page, name: str, turn: int) -> Wait:
    """One action."""
    act, state = _ACTIONS[name]
    script = _MEASURE.replace("([act, state, k])", "(k)").replace("act(box, k)", f"({act})(box, k)")
    began = processor()
    wall = float(page.evaluate(script.replace("state(box)", f"({state})(box)"), turn))
    return Wait(wall, processor() - began)


def asset_page(page: Page, address: str) -> Wait:
    """From a click on the map to the asset's history."""
    page.goto(f"{address}/map")
    page.locator("#map .hm image").first.wait_for(state="attached")
    area = page.locator("#map .nsewdrag[data-subplot=xy]").bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + 0.5 * area["width"], area["y"] + 0.5 * area["height"])
    page.wait_for_timeout(500)
    before, began = processor(), time.perf_counter()
    page.mouse.click(area["x"] + 0.5 * area["width"], area["y"] + 0.5 * area["height"])
    page.locator("#asset-history .scatterlayer .trace").first.wait_for(state="attached")
    return Wait(1000.0 * (time.perf_counter() - began), processor() - before)


def report(found: dict[str, list[Wait]]) -> None:
    """A line for each kind of wait."""
    for name, waits in found.items():
        wall, taken = (statistics.median(times) for times in zip(*waits, strict=True))
        slowest = max(wait.wall for wait in waits)
        print(f"{name:42s} {wall:6.0f} ms   (slowest {slowest:.0f}; processor {taken:.0f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--assets", type=int, default=500)
    parser.add_argument("--days", type=int, default=5_000)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("needs a Chromium")
    desk = make_large_desk(Path(tempfile.mkdtemp()), given.days, given.assets)
    print(f"{given.assets} assets x {given.days} days; dash {dash.__version__}, plotly {plotly.__version__}")
    with serving(desk, poll_seconds=POLL_SECONDS) as address, sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = driver.chromium.launch(executable_path=chromium, args=arguments)
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        print(f"Chromium {browser.version}, {platform.machine()}, {os.cpu_count()} cores, load {load}")
        paints = [first_paint(browser, f"{address}/map") for _ in range(given.repeat)]
        firsts, seconds = map(list, zip(*paints, strict=True))
        with bare() as empty:
            floor = [first_paint(browser, empty)[0] for _ in range(given.repeat)]
        report({"first paint of a bare Dash page": floor})
        report({"first paint of the map": firsts, "paint of the map on a second visit": seconds})
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{address}/map")
        page.locator("#map .hm image").first.wait_for(state="attached")
        page.wait_for_timeout(1500)
        found: dict[str, list[Wait]] = {name: [] for name in _ACTIONS}
        for turn in range(given.repeat):
            for name in _ACTIONS:
                found[name].append(interaction(page, name, turn))
                page.wait_for_timeout(700)
        report(found)
        found = {"click on the map to its asset": [asset_page(page, address) for _ in range(given.repeat)]}
        report(found)
        browser.close()


if __name__ == "__main__":
    main()
