"""Mappings and YAML files to dataclasses: strict, recursive, with errors that help."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vision.config import (
    BEiT2Config,
    ConfigError,
    OptimConfig,
    ViTConfig,
    VQKDConfig,
    from_dict,
    load_yaml,
    to_dict,
)


def test_unknown_key_names_the_place_the_key_and_the_nearest_one():
    with pytest.raises(ConfigError, match=r"run\.yaml: codebook: unknown key 'num_code'.*did you mean 'num_codes'"):
        from_dict(VQKDConfig, {"codebook": {"num_code": 12}}, where="run.yaml")


def test_unknown_key_without_a_near_one_lists_the_known_keys():
    with pytest.raises(ConfigError, match=r"unknown key 'zzz' in BEiT2Config; known keys: early_layer"):
        from_dict(BEiT2Config, {"zzz": 1})


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("dim", "big", "dim: got 'big', expected int"),
        ("dim", True, "dim: got True, expected int"),
        ("dim", 64.0, "dim: got 64.0, expected int"),
        ("has_cls", 1, "has_cls: got 1, expected bool"),
        ("patch_size", [16], "a list of 2: int, int"),
        ("patch_size", [16, "x"], r"patch_size\[1\]: got 'x', expected int"),
        ("attention", "both", "one of 'joint', 'axial'"),
        ("layer_scale", "no", "layer_scale: got 'no', expected float"),
    ],
)
def test_wrong_type_names_key_value_and_expectation(key, value, expected):
    with pytest.raises(ConfigError, match=expected):
        from_dict(ViTConfig, {key: value})


def test_int_is_taken_for_float_and_list_for_tuple_and_null_for_none():
    config = from_dict(ViTConfig, {"mlp_ratio": 2, "patch_size": [1, 5], "layer_scale": None})
    assert config.mlp_ratio == 2.0
    assert isinstance(config.mlp_ratio, float)
    assert config.patch_size == (1, 5)
    assert config.layer_scale is None


def test_missing_key_and_other_kinds_of_fields():
    @dataclass(frozen=True, kw_only=True)
    class Odd:
        needed: int
        path: Path = Path()
        names: tuple[str, ...] = ()
        table: dict[str, float] = dataclasses.field(default_factory=dict)
        either: int | str = 0
        anything: Any = None

    from_dict.__globals__["Odd"] = Odd
    with pytest.raises(ConfigError, match="key 'needed' of Odd is missing"):
        from_dict(Odd, {})
    values = {
        "needed": 1,
        "path": "a/b",
        "names": ["x", "y"],
        "table": {"k": 2},
        "either": "s",
        "anything": [1],
    }
    odd = from_dict(Odd, values)
    assert odd == Odd(needed=1, path=Path("a/b"), names=("x", "y"), table={"k": 2.0}, either="s", anything=[1])
    assert to_dict(odd) == values
    with pytest.raises(ConfigError, match=r"either: got 1\.5, expected int or str"):
        from_dict(Odd, {"needed": 1, "either": 1.5})


def test_a_wrong_value_in_a_file_names_the_file(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("depth: 0\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml: ViTConfig\.depth is 0, expected at least 1"):
        load_yaml(ViTConfig, path)


def test_yaml_reads_exponents_as_numbers_and_an_empty_file_as_defaults(tmp_path):
    path = tmp_path / "optim.yaml"
    path.write_text("learning_rate: 1e-3\nmin_learning_rate: 2.5E-6\nsteps: 10\n")
    config = load_yaml(OptimConfig, path)
    assert (config.learning_rate, config.min_learning_rate, config.steps) == (1e-3, 2.5e-6, 10)
    path.write_text("")
    assert load_yaml(OptimConfig, path) == OptimConfig()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1", "not valid YAML"),
        ("- 1\n", "expected a mapping"),
        ("a: {b: 1}\nc: 2\na: {d: 3}\n", "key 'a' of line 3 was given in line 1"),
        ("{a: 1, a: 1}", "key 'a' of line 1 was given in line 1"),
    ],
)
def test_a_broken_file_is_one_clear_sentence(tmp_path, text, expected):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=expected) as caught:
        load_yaml(ViTConfig, path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_yaml(ViTConfig, tmp_path / "none.yaml")


def test_a_part_given_in_part_keeps_the_default_of_its_owner():
    @dataclass(frozen=True, kw_only=True)
    class Run:
        optim: OptimConfig = dataclasses.field(default_factory=lambda: OptimConfig(steps=300, batch_size=8))

    run = from_dict(Run, {"optim": {"steps": 7}})
    assert (run.optim.steps, run.optim.batch_size) == (7, 8)  # OptimConfig's own batch_size is 64
