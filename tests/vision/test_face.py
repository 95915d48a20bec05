"""The face of the package: lazy, complete, honest about names it does not have."""

import subprocess
import sys

import pytest

import vision


def test_import_loads_no_torch_and_no_numpy():
    heavy = {"torch", "numpy", "yaml", "lightning"}
    code = f"import sys, vision, vision.config; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", vision.__all__)
def test_every_name_of_the_face_exists(name):
    assert getattr(vision, name) is not None
    assert name in dir(vision)


def test_what_the_user_can_mend_is_caught_by_one_name(tmp_path):
    for read in (
        lambda: vision.load_yaml(vision.ViTConfig, tmp_path / "none.yaml"),
        lambda: vision.load_encoder(tmp_path),
    ):
        with pytest.raises(vision.InputError):
            read()


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Nothing"):
        _ = vision.Nothing
