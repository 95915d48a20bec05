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


def recipe_path(preset: str) -> Path:
    """The file of a preset. Raises InputError that lists them."""
    if preset not in PRESETS:
        raise InputError(f"there is no preset {preset!r}; choose among {', '.join(PRESETS)}")
    return recipes_folder() / "fintok" / f"{preset}.yaml"
