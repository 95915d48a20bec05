"""What all tests share: one thread, and the real panels where they are at hand."""

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


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
