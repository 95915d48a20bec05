"""Configuration in layers: preset, then YAML files in their order, then flags; what comes later wins.

Every layer is checked against the configuration classes as it is laid on: an unknown key or a wrong type
names the file, the key and what was expected.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict

from fintok.recipes import PRESETS, recipe_path

_DEFAULT_PRESET = {"pretrain": "base", "demo": "tiny"}


class ConfigLayers:
    """Lays the YAML files under the flags; cyclopts calls it between reading and converting."""

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        if not commands or commands[0] not in _DEFAULT_PRESET:
            return
        given = {argument.name: [token.value for token in argument.tokens] for argument in arguments}
        files = [Path(name) for name in given["--config"]]
        preset = given["--preset"][-1] if given["--preset"] else _DEFAULT_PRESET[commands[0]]
        if preset in PRESETS:  # another word is refused with the choices when it is converted
            files.insert(0, recipe_path(preset))
        if (before := _resumed(given)) is not None:
            files.insert(1, before)  # a resumed run is what it was
        Dict(merge_files(files), use_commands_as_keys=False)(app, commands, arguments)


def _resumed(given: dict[str, list[str]]) -> Path | None:
    """The configuration of the run that is to go on, where no preset is asked for; None where there is none."""
    if not given.get("--resume") or not given["--out"] or given["--preset"]:
        return None
    config = Path(given["--out"][-1]) / "config.yaml"
    return config if config.is_file() else None


def merge_files(files: list[Path]) -> dict[str, Any]:
    """The files' values, later over earlier, key by key. Raises ConfigError naming the file at fault."""
    from fintok.config import PretrainConfig
    from vision.strict import from_dict, lay_over, read_yaml, to_dict

    merged = to_dict(PretrainConfig())
    for file in files:
        merged = lay_over(merged, read_yaml(file))
        from_dict(PretrainConfig, merged, where=str(file))
    return merged
