"""The recipes that come with fintok: YAML files that hold values only."""

from __future__ import annotations

from pathlib import Path

from fintok.errors import InputError

PRESETS = ("tiny", "base", "large")


def recipes_folder() -> Path:
    """The folder of the recipes: inside the package when installed, ``configs/`` beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def recipe_path(name: str) -> Path:
    """The file of a recipe such as ``"fintok/tiny"``. Raises InputError that lists what there is."""
    folder = recipes_folder()
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.yaml"))
        raise InputError(f"no recipe {name!r}; there are: {', '.join(known)}")
    return path
