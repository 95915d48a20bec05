"""The recipes that come with the library: YAML files that hold values only."""

from __future__ import annotations

from pathlib import Path

from vision.errors import InputError


def recipes_folder() -> Path:
    """The folder of the recipes: inside the package when installed, ``configs/vision`` beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs" / "vision"


def find_recipe(name: str | Path) -> Path:
    """A YAML file as it is, or a recipe by its name, such as ``small/ibot``.

    Raises InputError that lists the recipes, where it is neither.
    """
    path = Path(name)
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return path  # where it is missing, reading it says so
    folder = recipes_folder()
    recipe = folder / f"{name}.yaml"
    if not recipe.is_file():
        known = sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.yaml"))
        raise InputError(f"{name} is neither a YAML file nor a recipe; recipes: {', '.join(known)}")
    return recipe
