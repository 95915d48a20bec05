"""One reading of a simulated market for all tests, and a browser where there is one."""

import contextlib
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("dash", reason="needs the extra dashboard")
pytest.importorskip("sqlalchemy", reason="needs the extra dashboard")

from fintok_dashboard.app import create_app
from fintok_dashboard.desk import Desk
from fintok_dashboard.safety import Access
from tests.apps.dashboard.fake_desk import FakeDesk, make_desk, make_large_desk, market

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


@pytest.fixture
def serve_to(page, serve):
    """serve_to(desk): a context with the address of its dashboard, left by the page before the server stops."""

    @contextlib.contextmanager
    def serving(desk):
        with serve(desk) as address:
            yield address
            page.goto("about:blank")  # a page left open would report that the server is gone

    return serving


@pytest.fixture(scope="session")
def large_desk(tmp_path_factory) -> Desk:
    """A desk with 500 assets and 5,000 days, simulated without any model."""
    return make_large_desk(tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="module")
def address(desk, serve):
    with serve(desk) as address:
        yield address
