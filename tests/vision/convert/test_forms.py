"""Official and timm checkpoints: what is written is read back, names are the official ones."""

import argparse

import pytest
import torch

from vision.convert.files import ConvertError
from vision.convert.forms import recognise
from vision.convert.read import read_encoder
from vision.convert.write import write_encoder

BEIT = {"row_position": "none", "column_position": "none", "layer_scale": 0.1}
CASES = {
    "dino": {},
    "dino of a rectangle": {"max_rows": 2, "max_columns": 4},
    "ibot": {},
    "mae": {"row_position": "sincos", "column_position": "sincos"},
    "mae fine-tuned": {"final_norm": False},
    "dinov2": {"layer_scale": 1e-5},
    "dinov2 giant": {"layer_scale": 1e-5, "mlp": "swiglu", "mlp_ratio": 3.0},
    "dinov2 with registers": {"layer_scale": 1e-5, "num_registers": 2},
    "beit": {**BEIT, "relative_position": "shared"},
    "beit fine-tuned": {**BEIT, "relative_position": "block", "final_norm": False},
    "beit2": {**BEIT, "relative_position": "shared", "layer_scale": None},
    "timm": {},
    "timm dinov2": {"layer_scale": 1e-5, "mlp": "swiglu"},
    "timm with registers": {"layer_scale": 1e-5, "num_registers": 3},
    "timm with registers by formula": {"num_registers": 3, "row_position": "sincos", "column_position": "sincos"},
    "timm beit": {**BEIT, "relative_position": "block", "in_channels": 5, "patch_size": (4, 2)},
}
BLOCK = [
    "norm1.weight",
    "norm1.bias",
    "attn.qkv.weight",
    "attn.qkv.bias",
    "attn.proj.weight",
    "attn.proj.bias",
    "norm2.weight",
    "norm2.bias",
    "mlp.fc1.weight",
    "mlp.fc1.bias",
    "mlp.fc2.weight",
    "mlp.fc2.bias",
]
PLAIN = [
    *["cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "norm.bias"],
    *[f"blocks.{index}.{name}" for index in (0, 1) for name in BLOCK],
]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_written_is_read_back_with_equal_features(case, suffix, make_encoder, assert_twins, tmp_path):
    form, options = case.split()[0], CASES[case]
    encoder = make_encoder(**options)
    path = tmp_path / f"encoder{suffix}"
    write_encoder(encoder, path, form)
    grid = (encoder.config.max_rows, encoder.config.max_columns)
    converted = read_encoder(path, form, heads=4, grid=grid)
    size = (grid[0] * encoder.config.patch_size[0], grid[1] * encoder.config.patch_size[1])
    images = torch.randn(2, encoder.config.in_channels, *size)
    assert_twins(encoder, converted.encoder, images)
    assert converted.unused.keys() == ({"mask_token"} if case.startswith("dinov2") else set())
    assert converted.encoder.config.row_position == encoder.config.row_position
    assert not converted.encoder.training
    assert all(p.requires_grad and p.device.type == "cpu" for p in converted.encoder.parameters())
    again = tmp_path / f"again{suffix}"
    write_encoder(converted.encoder, again, form)
    assert_twins(converted.encoder, read_encoder(again, form, heads=4, grid=grid).encoder, images, atol=0)


def test_names_are_the_official_ones(make_encoder, tmp_path):
    def names(form, **options):
        write_encoder(make_encoder(**options), tmp_path / "x.safetensors", form)
        from safetensors import safe_open

        with safe_open(tmp_path / "x.safetensors", "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118

    dino = names("dino")
    assert dino.keys() == set(PLAIN)
    assert dino["pos_embed"] == (1, 10, 32)
    assert dino["patch_embed.proj.weight"] == (32, 3, 4, 4)
    scales = {f"blocks.{index}.ls{part}.gamma" for index in (0, 1) for part in (1, 2)}
    assert names("dinov2", layer_scale=1.0, num_registers=2).keys() == {
        *PLAIN,
        *scales,
        "register_tokens",
        "mask_token",
    }
    timm = names("timm", layer_scale=1.0, num_registers=2)
    assert timm.keys() == {*PLAIN, *scales, "reg_token"}
    assert timm["pos_embed"] == (1, 9, 32)  # no position for CLS: no_embed_class
    assert names("timm", **CASES["timm with registers by formula"])["pos_embed"] == (1, 9, 32)
    beit = names("beit", **CASES["beit"])
    free = {name for name in PLAIN if not name.endswith("qkv.bias")} - {"pos_embed"}
    own = {f"blocks.{i}.{name}" for i in (0, 1) for name in ("attn.q_bias", "attn.v_bias", "gamma_1", "gamma_2")}
    assert beit.keys() == free | own | {"rel_pos_bias.relative_position_bias_table"}
    assert beit["rel_pos_bias.relative_position_bias_table"] == (5 * 5 + 3, 4)


def test_mae_positions_are_the_formula_and_become_it_again(make_encoder, tmp_path):
    encoder = make_encoder(row_position="sincos", column_position="sincos")
    write_encoder(encoder, tmp_path / "mae.pth", "mae")
    tensors = torch.load(tmp_path / "mae.pth")["model"]
    half = 32 // 2
    column = torch.tensor([2.0 * 10_000 ** (-k / (half / 2)) for k in range(half // 2)])
    assert torch.allclose(tensors["pos_embed"][0, 1 + 2, : half // 2], column.sin(), atol=1e-6)  # row 0, column 2
    read = read_encoder(tmp_path / "mae.pth", heads=4).encoder
    assert read.config.row_position == "sincos"
    assert "positions.table" not in read.state_dict()
    tensors["pos_embed"][0, 3, 0] += 0.01
    torch.save({"model": tensors}, tmp_path / "mae.pth")
    assert read_encoder(tmp_path / "mae.pth", heads=4).encoder.config.row_position == "table"


def test_a_training_checkpoint_gives_the_teacher_and_tells_what_was_left(make_encoder, assert_twins, images, tmp_path):
    encoder = make_encoder()
    write_encoder(encoder, tmp_path / "plain.pth", "dino")
    backbone = torch.load(tmp_path / "plain.pth")
    head = {"head.mlp.0.weight": torch.zeros(4, 32), "head.last_layer.weight_g": torch.zeros(9, 1)}
    student = {f"module.backbone.{name}": torch.zeros_like(value) for name, value in backbone.items()}
    teacher = {f"backbone.{name}": value for name, value in backbone.items()} | head
    content = {"student": student, "teacher": teacher, "epoch": 7, "args": argparse.Namespace(lr=0.1)}
    torch.save(content, tmp_path / "checkpoint.pth")
    converted = read_encoder(tmp_path / "checkpoint.pth", "dino", heads=4)
    assert_twins(encoder, converted.encoder, images)
    kinds = {"projection head": set(head), "entry of the file": {"student", "epoch", "args"}}
    for kind, names in kinds.items():
        assert {name for name, what in converted.unused.items() if what == kind} == names
    assert "not used: projection head, 2" in converted.summary()
    assert converted.num_used == len(backbone)
    other = read_encoder(tmp_path / "checkpoint.pth", "dino", heads=4, entry="student").encoder
    assert not other.cls_token.any()


@pytest.mark.parametrize("place", [None, "model"])
def test_teacher_and_student_of_one_module_under_fsdp_are_entries(place, make_encoder, assert_twins, images, tmp_path):
    encoder = make_encoder(layer_scale=1e-5)
    write_encoder(encoder, tmp_path / "plain.pth", "dinov2")
    plain = torch.load(tmp_path / "plain.pth")
    wrapped = {f"backbone._fsdp_wrapped_module.{n.replace('norm1', '_fsdp_wrapped_module.norm1')}": t
               for n, t in plain.items()}  # fmt: skip
    tensors = {f"student.{name}": torch.zeros_like(tensor) for name, tensor in wrapped.items()}
    tensors |= {f"teacher.{name}": tensor for name, tensor in wrapped.items()}
    tensors |= {"dino_loss.center": torch.zeros(1, 4), "teacher.dino_head.last_layer.weight_v": torch.zeros(3)}
    torch.save(tensors if place is None else {place: tensors, "iteration": 7}, tmp_path / "x.pth")
    converted = read_encoder(tmp_path / "x.pth", heads=4)
    assert_twins(encoder, converted.encoder, images)
    left = {"dino_head.last_layer.weight_v", "student", "dino_loss.center", "mask_token"} | (
        set() if place is None else {"iteration"}
    )
    assert (converted.form, converted.unused.keys()) == ("DINOv2", left)
    other = read_encoder(tmp_path / "x.pth", "dinov2", heads=4, entry="student").encoder
    assert not other.cls_token.any()


def test_blocks_in_chunks_are_put_in_line(make_encoder, assert_twins, images, tmp_path):
    encoder = make_encoder(layer_scale=1e-5)
    write_encoder(encoder, tmp_path / "x.pth", "dinov2")
    flat = torch.load(tmp_path / "x.pth")
    chunked = {f"backbone.{name.replace('blocks.1.', 'blocks.1.1.').replace('blocks.0.', 'blocks.0.0.')}": value
               for name, value in flat.items()}  # fmt: skip
    torch.save({"teacher": {**chunked, "ibot_head.last_layer.weight_v": torch.zeros(3)}}, tmp_path / "y.pth")
    assert_twins(encoder, read_encoder(tmp_path / "y.pth", heads=4).encoder, images)


def test_the_form_is_recognised_by_its_names(make_encoder, tmp_path):
    for case, options in CASES.items():
        form = case.split()[0]
        write_encoder(make_encoder(**options), tmp_path / "x.pth", form)
        content = torch.load(tmp_path / "x.pth")
        tensors = content.get("model", content.get("state_dict", content))
        extra = {"dino": "head.last_layer.weight_g", "ibot": "masked_embed", "mae": "decoder_embed.weight"}
        extra |= {"dinov2": "mask_token", "beit": "lm_head.bias", "beit2": "cls_pt_layers.0.gamma_1"}
        assert recognise({*tensors, extra.get(form, "norm.weight")}).name == form


def test_a_folder_of_timm_is_read(make_encoder, assert_twins, images, tmp_path):
    encoder = make_encoder()
    write_encoder(encoder, tmp_path / "model.safetensors", "timm")
    (tmp_path / "config.json").write_text('{"architecture": "vit_small_patch16_224", "num_classes": 0}')
    converted = read_encoder(tmp_path, heads=4)
    assert converted.form == "timm"
    assert_twins(encoder, converted.encoder, images)


def test_half_precision_is_read_as_float32(make_encoder, tmp_path):
    write_encoder(make_encoder().half(), tmp_path / "x.pth", "timm")
    assert {p.dtype for p in read_encoder(tmp_path / "x.pth", heads=4).encoder.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("form", "options", "fault"),
    [
        ("dino", {"layer_scale": 0.1}, "no place for LayerScale"),
        ("dino", {"num_registers": 1}, "no place for register tokens"),
        ("dinov2", {"relative_position": "shared"}, "no place for a shared relative position"),
        ("mae", {"mlp": "swiglu"}, "no place for a gated MLP"),
        ("timm", {"attention": "axial"}, "no place for axial attention"),
        ("timm", {"row_position": "rotary", "column_position": "rotary"}, "'rotary' row"),
        ("ibot", {"has_cls": False}, "without CLS token"),
        ("huggingface", {"layer_scale": 0.1, "final_norm": False}, "without final norm"),
        ("huggingface", {"scope": "causal"}, "scope 'causal'"),
        ("dino", {"norm_eps": 1e-3}, "norm_eps 0.001, for its code has 1e-6"),
        ("nonsense", {}, "unknown form 'nonsense'; known: dino"),
    ],
)
def test_a_form_that_has_no_place_for_something_is_refused(form, options, fault, make_encoder, tmp_path):
    with pytest.raises(ConvertError, match=fault):
        write_encoder(make_encoder(**options), tmp_path / "x.pth", form)
    assert list(tmp_path.iterdir()) == []
