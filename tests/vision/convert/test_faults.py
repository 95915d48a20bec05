"""Checkpoints that are not what they should be: one sentence with the file and the fault."""

import pickle
import re

import pytest
import torch

from vision.convert.files import ConvertError
from vision.convert.read import read_encoder
from vision.convert.write import write_encoder


@pytest.fixture
def tensors(make_encoder, tmp_path):
    write_encoder(make_encoder(), tmp_path / "good.pth", "dino")
    return torch.load(tmp_path / "good.pth")


def _message(path, *arguments, **options):
    with pytest.raises(ConvertError) as caught:
        read_encoder(path, *arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (lambda t: t.pop("blocks.1.norm2.bias"), "lacks 'blocks.1.norm2.bias'"),
        (lambda t: t.pop("patch_embed.proj.weight"), "lacks 'patch_embed.proj.weight'"),
        (lambda t: t.pop("cls_token"), "lacks 'cls_token'"),
        (lambda t: t.update(surprise=torch.zeros(2)), "holds 'surprise', for which there is no place"),
        (lambda t: t.update({"blocks.0.mlp.fc1.bias": torch.zeros(7)}), r"'blocks.0.mlp.fc1.bias' of shape \(7,\)"),
        (lambda t: t.update({"blocks.0.mlp.fc1.weight": torch.zeros(7)}), "expected 2 axes"),
        (lambda t: t.update({"pos_embed": torch.zeros(1, 8, 32)}), "7 places, which are no square: give --grid"),
        (lambda t: t.update({"pos_embed": torch.zeros(1, 17, 32), "x": torch.zeros(1)}), "holds 'x'"),
        (lambda t: [t.pop(name) for name in list(t) if name.startswith("blocks.")], "holds no transformer block"),
    ],
)
def test_a_tampered_checkpoint_names_the_tensor(tamper, fault, tensors, tmp_path):
    tamper(tensors)
    torch.save(tensors, tmp_path / "bad.pth")
    assert re.search(fault, _message(tmp_path / "bad.pth", "dino", heads=4))


def test_two_tensors_of_one_name_without_prefixes_are_refused(tensors, tmp_path):
    torch.save({**tensors, "backbone.norm.weight": torch.zeros(32)}, tmp_path / "bad.pth")
    assert "holds 'norm.weight' twice" in _message(tmp_path / "bad.pth", "dino", heads=4)


def test_several_differences_are_counted(tensors, tmp_path):
    del tensors["norm.bias"], tensors["cls_token"]
    torch.save(tensors, tmp_path / "bad.pth")
    assert "lacks 'cls_token' (and 1 more differences)" in _message(tmp_path / "bad.pth", "dino", heads=4)


def test_a_checkpoint_of_another_method_is_named(make_encoder, tmp_path):
    path = tmp_path / "beit.pth"
    options = {"row_position": "none", "column_position": "none", "relative_position": "shared", "layer_scale": 0.1}
    write_encoder(make_encoder(**options), path, "beit")
    message = _message(path, "dinov2", heads=4)
    assert "read as DINOv2, " in message
    assert "by its names it is a BEiT checkpoint ('beit')" in message


def test_heads_that_nothing_tells_are_asked_for(tensors, tmp_path):
    assert "is 32 wide, and its number of heads is not known: give --heads" in _message(tmp_path / "good.pth", "dino")
    assert "heads is 5, expected a divisor" in _message(tmp_path / "good.pth", "dino", heads=5)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_cut_short(suffix, make_encoder, tmp_path):
    path = tmp_path / f"cut{suffix}"
    write_encoder(make_encoder(), path, "dino")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "damaged" in _message(path, "dino", heads=4)


def test_files_that_are_something_else(tmp_path):
    assert "does not exist" in _message(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello")
    assert "damaged" in _message(tmp_path / "text.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    assert "holds a list, expected named tensors" in _message(tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "number.pth")
    assert "holds 'epoch', which is no tensor" in _message(tmp_path / "number.pth")
    torch.save({"weights": {"a": torch.zeros(2)}}, tmp_path / "odd.pth")
    assert "name the entry that holds the weights, one of weights" in _message(tmp_path / "odd.pth")
    assert "has no entry 'teacher'; it has weights" in _message(tmp_path / "odd.pth", entry="teacher")
    assert "lacks" in _message(tmp_path / "odd.pth", entry="weights")
    torch.save({"model": {"a": torch.zeros(2)}, "epoch": 3}, tmp_path / "epoch.pth")
    assert "entry 'epoch' of" in (said := _message(tmp_path / "epoch.pth", entry="epoch"))
    assert "is of type int, expected named tensors" in said
    assert "has no entries: leave out 'model'" in _message(tmp_path, entry="model")


class _Evil:
    def __reduce__(self):
        return (print, ("code ran",))


def test_code_in_a_checkpoint_is_not_run(tensors, tmp_path, capsys):
    torch.save({**tensors, "x": _Evil()}, tmp_path / "evil.pth")
    assert "reading it could run code" in _message(tmp_path / "evil.pth", "dino")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(_Evil(), protocol=2))
    _message(tmp_path / "plain.pth", "dino")
    assert capsys.readouterr().out == ""


def test_folders_that_are_no_hugging_face_model(make_encoder, tmp_path):
    folder = tmp_path / "folder"
    write_encoder(make_encoder(), folder, "huggingface")
    assert "without the form 'dino'" in _message(folder, "dino")
    for other in ({"heads": 7}, {"grid": (9, 9)}):
        assert "patches: leave --heads and --grid (in Python heads and grid) out" in _message(folder, **other)
    config = (folder / "config.json").read_text()
    for old, new, fault in [
        ('"vit"', '"llama"', "a model of type 'llama'; known: vit"),
        ('"gelu"', '"relu"', "hidden_act 'relu'"),
        ('"layer_norm_eps"', '"other"', "lacks or misstates 'layer_norm_eps'"),
        ("}", "", "cannot be read as JSON"),
    ]:
        assert old in config
        (folder / "config.json").write_text(config.replace(old, new))
        assert fault in _message(folder)
    (folder / "config.json").write_text(config)
    (folder / "model.safetensors").unlink()
    assert "holds no weights" in _message(folder)
    (folder / "model.safetensors.index.json").write_text('{"weights": 3}')
    assert "is no index of weight files" in _message(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "part-1.safetensors"}}')
    assert "is missing" in _message(folder)
    (folder / "config.json").unlink()
    assert "holds no config.json" in _message(folder)
