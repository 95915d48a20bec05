"""What all tests share: one thread, and the real panels where they are at hand."""

import os
import shutil
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
WAIT = 60_000  # milliseconds, of a browser on a machine that does other work too


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)  # small tensors: more threads only wait for one another


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data():
    """Path of a real panel by file name; skips where the panels are not there.

    They are looked for in ``$FINTOK_SHARED/data``, or ``../shared/data`` beside the checkout.
    """
    folder = Path(os.environ.get("FINTOK_SHARED", ROOT.parent / "shared")) / "data"

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"needs {name} in {folder} (set FINTOK_SHARED)")
        return path

    return find


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for the demo's model comes first: minutes of one core, and the other has the rest meanwhile."""
    items.sort(key=lambda item: "demo_bundle" not in getattr(item, "fixturenames", ()))


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


def is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1", "data:", "blob:", "about:", "file:"))
