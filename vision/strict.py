"""Mappings and YAML files to dataclasses, strictly: no torch, and nothing is filled in or converted silently.

An unknown key, a missing key or a value of the wrong type is a :class:`ConfigError` that names the place, the
key and what was expected. Only an ``int`` becomes a ``float``, a list a ``tuple`` and a text a ``Path``.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from vision.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance  # of the type checker's own stubs

Config = TypeVar("Config", bound="DataclassInstance")


class ConfigError(InputError):
    """A configuration is wrong: one sentence with the place, the key, the value and what was expected."""


def from_dict(cls: type[Config], mapping: Mapping[str, Any], where: str = "") -> Config:
    """Build the dataclass ``cls`` from a mapping, strictly and recursively.

    A key that is not given keeps its default; within a nested dataclass, the default that ``cls``
    gives it there. ``where`` is what error messages start with: a file name, or the key that leads here.
    Raises :class:`ConfigError`.
    """
    place = f"{where}: " if where else ""
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{place}expected a mapping for {cls.__name__}, got {mapping!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for key in mapping:
        if key not in fields:
            nearest = difflib.get_close_matches(str(key), fields, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known keys: {', '.join(fields)}"
            raise ConfigError(f"{place}unknown key {key!r} in {cls.__name__}; {hint}")
    for name, known in fields.items():
        is_optional = known.default is not dataclasses.MISSING or known.default_factory is not dataclasses.MISSING
        if name not in mapping and not is_optional:
            raise ConfigError(f"{place}key {name!r} of {cls.__name__} is missing")
    mapping = {key: lay_over(_default(fields[key]), value) for key, value in mapping.items()}
    values = {key: _convert(hints[key], value, f"{place}{key}") for key, value in mapping.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{place}{error}") from None


def check_choices(config: Any) -> None:
    """ConfigError for a field of a few words that holds none of them: misspelt in Python, it would pass for another."""
    for name, hint in typing.get_type_hints(type(config)).items():
        if any(typing.get_origin(part) is Literal for part in (hint, *typing.get_args(hint))):
            _convert(hint, getattr(config, name), f"{type(config).__name__}.{name}")


def lay_over(lower: Any, upper: Any) -> Any:
    """``upper`` laid over ``lower``: mappings are merged key by key, everything else is replaced."""
    if not (isinstance(lower, Mapping) and isinstance(upper, Mapping)):
        return upper
    return {**lower, **{key: lay_over(lower.get(key), value) for key, value in upper.items()}}


def _default(known: dataclasses.Field[Any]) -> Any:
    """The default of a field that is itself a configuration, as a mapping; else None."""
    make = known.default_factory
    default = known.default if make is dataclasses.MISSING else make()
    return to_dict(default) if dataclasses.is_dataclass(default) else None


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as plain dicts, lists and scalars: what :func:`from_dict` and YAML take back."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config) if f.init}


def load_yaml(cls: type[Config], path: str | Path) -> Config:
    """Read one YAML file into ``cls``; an empty file gives the defaults. Raises :class:`ConfigError`."""
    return from_dict(cls, read_yaml(path), where=str(path))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """One YAML file as a mapping, to merge several; an empty file is ``{}``. Raises :class:`ConfigError`."""
    import yaml  # here, so that importing the configurations stays free of it

    class Loader(yaml.SafeLoader):
        """YAML 1.2: ``1e-3`` is a number, not a string as in YAML 1.1, and a mapping has a key once."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            first: dict[str, int] = {}
            for key, _ in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in first:
                    raise ConfigError(f"{path}: key {name!r} of line {line} was given in line {first[name]}; keep one")
                first[name] = line
            return super().construct_mapping(node, deep)

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    try:
        mapping = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if mapping is None:
        return {}
    if not isinstance(mapping, dict):
        raise ConfigError(f"{path}: expected a mapping of keys to values, got {mapping!r}")
    return mapping


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def _convert(hint: Any, value: Any, where: str) -> Any:
    """``value`` as the type ``hint``, or a ConfigError that says what was expected."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, typing.cast(type, hint)) else from_dict(typing.cast(type, hint), value, where)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is Literal and value in arguments and type(value) in {type(a) for a in arguments}:
        return value
    if origin is tuple and isinstance(value, (list, tuple)):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            return tuple(_convert(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if origin is dict and isinstance(value, Mapping):
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    if hint is Any or (isinstance(hint, type) and type(value) is hint):
        return value
    raise ConfigError(f"{where}: got {value!r}, expected {_describe(hint)}")


def _convert_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    others = [kind for kind in kinds if kind is not types.NoneType]
    for kind in others:
        try:
            return _convert(kind, value, where)
        except ConfigError:
            if len(others) == 1:
                raise
    raise ConfigError(f"{where}: got {value!r}, expected {' or '.join(_describe(kind) for kind in kinds)}")


def _describe(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(repr(argument) for argument in arguments)
    if origin is tuple:
        return (
            f"a list of {_describe(arguments[0])}"
            if arguments[-1] is Ellipsis
            else f"a list of {len(arguments)}: {', '.join(map(_describe, arguments))}"
        )
    return getattr(hint, "__name__", str(hint))
