"""Configuration in layers: the method's recipe, YAML files in their order, a size, flags; what comes later wins.

A file that names its method is a whole recipe: the library's own one for small data is then not laid under it.
What is still wrong when all are laid on is told with the file that brought it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict

from vision.config import (
    NEEDS,
    VIT_SIZES,
    ConfigError,
    PretrainConfig,
    ViTConfig,
    check_method,
    from_dict,
    read_yaml,
    to_dict,
)
from vision.errors import InputError
from vision.recipes import find_recipe
from vision.strict import lay_over


def refuse_fractions(_: App, __: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Raise InputError for a fraction where a whole number is asked for: cyclopts would round it."""
    for argument in arguments:
        kinds = (argument.hint, *get_args(argument.hint))
        for token in argument.tokens if int in kinds and float not in kinds else ():
            if re.fullmatch(r"[+-]?\d*\.\d*[1-9]\d*", token.value):
                raise InputError(f"{argument.name} is {token.value}, expected a whole number")


class PretrainLayers:
    """Lays the files under the flags of ``pretrain``; cyclopts calls it between reading and converting."""

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        if not commands or commands[-1] != "pretrain":
            return
        given = {argument.name: [token.value for token in argument.tokens] for argument in arguments}
        files = [find_recipe(name) for name in given["--config"]]
        method, size, out = (given[name][-1] if given[name] else None for name in ("--method", "--size", "--out"))
        if given["--resume"] and out is not None and (Path(out) / "config.yaml").is_file():
            files.insert(0, Path(out) / "config.yaml")  # a resumed run is what it was
            before = read_yaml(files[0]).get("method")
            if method not in (None, before):
                raise ConfigError(f"the run in {out} has method {before!r}, not {method!r}: resume it as it was")
        merged = merge(method, files, size, lambda: _flags(arguments))
        chosen = merged["method"]
        for argument in arguments:
            section = argument.name.removeprefix("--").split(".")[0].replace("-", "_")
            if argument.tokens and section in NEEDS and section != chosen:
                raise ConfigError(f"{argument.name} is of the method {section!r}, this run's is {chosen!r}")
        Dict(merged, use_commands_as_keys=False)(app, commands, arguments)


def merge(
    method: str | None,
    files: list[Path],
    size: str | None = None,
    flags: Callable[[], Mapping[str, Any]] = dict,
) -> dict[str, Any]:
    """The values of all layers below the flags. Raises ConfigError or InputError naming the file at fault.

    A file may be wrong by itself where a later one, the size, or the flags, read only then, put it right.
    """
    layers = [(file, read_yaml(file)) for file in files]
    named = [values["method"] for _, values in layers if "method" in values]
    chosen = method or (named[-1] if named else "")
    check_method(str(chosen))
    if chosen and not named:
        recipe = find_recipe(f"small/{chosen}")
        layers.insert(0, (recipe, read_yaml(recipe)))
    merged, culprits = to_dict(PretrainConfig()), {}
    for file, values in layers:
        strange = sorted(key for key in values if key in NEEDS and key != chosen)
        if strange:
            raise ConfigError(f"{file}: section {strange[0]!r} is of another method than {chosen!r}")
        sections = [key for key, value in merged.items() if isinstance(value, Mapping)]
        flat = [key for key in sections if key in values and not isinstance(values[key], Mapping)]
        if flat:
            raise ConfigError(f"{file}: {flat[0]}: got {values[flat[0]]!r}, expected a mapping of keys to values")
        merged = lay_over(merged, values)
        fault = _fault(merged)
        culprits = {} if fault is None else {fault: file, **culprits}  # the first that brought it
    if size is not None:
        sized = ViTConfig.of_size(size)
        merged["encoder"] |= {key: getattr(sized, key) for key in (*VIT_SIZES[size], "mlp")}
    fault = _fault(lay_over(merged, flags())) if culprits else None
    if fault in culprits:
        raise ConfigError(f"{culprits[fault]}: {fault}")
    return {**merged, "method": chosen}


def _fault(values: Mapping[str, Any]) -> str | None:
    """What is wrong with the values of all layers so far; None = nothing."""
    try:
        from_dict(PretrainConfig, values)
    except ConfigError as error:
        return str(error)
    return None


def _flags(arguments: ArgumentCollection) -> dict[str, Any]:
    """The values of the configuration that were given as flags. Raises what cyclopts does."""
    values: dict[str, Any] = {}
    for argument in arguments:
        if not argument.tokens or not argument.keys:
            continue
        above = values
        for key in argument.keys[:-1]:
            above = above.setdefault(key, {})
        above[argument.keys[-1]] = argument.convert()
    return values
