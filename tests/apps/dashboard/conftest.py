"""One reading of a simulated market for all tests, and a browser where there is one."""

import contextlib
import shutil
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("dash", reason="needs the extra dashboard")
pytest.importorskip("sqlalchemy", reason="needs the extra dashboard")

from fintok_dashboard.app import create_app
from fintok_dashboard.desk import Desk
from fintok_dashboard.safety import Access
from tests.apps.dashboard.fake_desk import FakeDesk, make_desk, make_large_desk, market

WAIT = 60_000  # milliseconds, on a machine that does other work too
PAGES = {
    "/": "#today-probabilities",
    "/map": "#map",
    "/asset": "#asset-history",
    "/regimes": "#regimes-history",
    "/vocabulary": "#vocabulary-gallery",
}


def drawn(page, figure: str) -> None:
    """Wait for a figure with something in it."""
    page.locator(f"{figure} .main-svg").first.wait_for()
    page.locator(f"{figure} :is(.trace, .hm, .point, .bars)").first.wait_for(state="attached")


@pytest.fixture(scope="session")
def desk(tmp_path_factory) -> FakeDesk:
    """A desk that has read its panel. Marks of one test are seen by the others."""
    desk = make_desk(tmp_path_factory.mktemp("desk"), market())
    desk.read()
    assert desk.reading is not None, desk.problem
    return desk


@pytest.fixture(scope="session")
def reading(desk):
    return desk.reading


@contextlib.contextmanager
def serving(desk: Desk, access: Access | None = None, *, poll_seconds: float = 0.3) -> Iterator[str]:
    """The address of a desk's dashboard, served in a thread."""
    from waitress.server import create_server

    app = create_app(desk, access, poll_seconds=poll_seconds)
    server = create_server(app.server, host="127.0.0.1", port=0, threads=8)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.task_dispatcher.shutdown()
        server.close()
        thread.join(1)  # connections that a browser keeps alive hold it


@pytest.fixture(scope="session")
def serve():
    """serve(desk): a context with the address of its dashboard."""
    return serving


@pytest.fixture(scope="session")
def chromium():
    """The system's Chromium, without a window; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (the extra dev)")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next((found for found in map(shutil.which, names) if found), None)
    if path is None:
        pytest.skip(f"needs a Chromium: none of {', '.join(names)} is installed")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A page in a browser of its own; nothing may fail in it, and nothing may be asked of another machine."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: problems.append(asked.url) if not is_local(asked.url) else None)
    page.on("dialog", lambda dialog: problems.append(f"a dialog: {dialog.message}") or dialog.dismiss())
    yield page
    context.close()
    assert problems == []


@pytest.fixture
def serve_to(page, serve):
    """serve_to(desk): a context with the address of its dashboard, left by the page before the server stops."""

    @contextlib.contextmanager
    def serving(desk):
        with serve(desk) as address:
            yield address
            page.goto("about:blank")  # a page left open would report that the server is gone

    return serving


def is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1", "data:", "blob:", "about:"))


@pytest.fixture(scope="session")
def large_desk(tmp_path_factory) -> Desk:
    """A desk with 500 assets and 5,000 days, simulated without any model."""
    return make_large_desk(tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="module")
def address(desk, serve):
    with serve(desk) as address:
        yield address
