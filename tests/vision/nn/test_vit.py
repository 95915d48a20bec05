"""The transformer: what may influence what, packed against separate, one graph."""

import itertools

import pytest
import torch

from vision.config import ViTConfig
from vision.nn.vit import VisionTransformer

LAYOUTS = [("joint", "window"), ("axial", "window"), ("joint", "causal"), ("axial", "causal")]


def _vit(**options):
    torch.manual_seed(0)
    small = {"patch_size": (1, 5), "in_channels": 2, "dim": 32, "heads": 4, "depth": 4, "max_rows": 20}
    vit = VisionTransformer(
        ViTConfig(**{**small, "num_registers": 0 if options.get("scope") == "patch" else 1, **options})
    )
    for parameter in vit.parameters():  # away from the small initialisation, so that attention is not uniform
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return vit.eval()


@pytest.mark.parametrize(("attention", "scope"), LAYOUTS)
@pytest.mark.parametrize("position", ["none", "sincos", "learned", "rotary"])
def test_packed_crops_equal_separate_forwards(attention, scope, position):
    vit = _vit(attention=attention, scope=scope, row_position=position, column_position=position)
    crops = [torch.randn(2, 2, 4, 30), torch.randn(3, 2, 2, 15), torch.randn(1, 2, 1, 5)]
    valid = [None, torch.rand(3, 2, 15) > 0.5, None]
    grids = [vit.grid(crop) for crop in crops]
    seen = [None if v is None else grid.pool_any(v) for v, grid in zip(valid, grids, strict=True)]
    tokens = [vit.embed(crop, v) for crop, v in zip(crops, valid, strict=True)]
    packed = vit.encode(tokens, grids, seen, layers=(2,))
    for crop, v, result in zip(crops, valid, packed, strict=True):
        alone = vit(crop, v)
        assert torch.allclose(result.patches, alone.patches, atol=1e-5)
        assert torch.allclose(result.cls, alone.cls, atol=1e-5)


def test_encoded_fields_are_what_they_say():
    vit = _vit()
    images = torch.randn(3, 2, 4, 15)
    grid = vit.grid(images)
    encoded = vit.encode([vit.embed(images)], [grid], layers=(1, 4))[0]
    assert encoded.cls.shape == encoded.cls_raw.shape == (3, 32)
    assert encoded.patches.shape == (3, 12, 32)
    assert set(encoded.layers) == {1, 4}
    assert torch.allclose(vit.norm(encoded.layers[4]), encoded.patches, atol=1e-6)
    assert torch.allclose(vit.norm(encoded.cls_raw), encoded.cls, atol=1e-6)
    assert torch.allclose(encoded.cls_layers[4], encoded.cls_raw)
    assert torch.equal(vit.encode([vit.embed(images)], [grid], layers=(1,))[0].cls_layers[1], encoded.cls_layers[1])
    without = _vit(has_cls=False, num_registers=0)(images)
    assert without.cls_layers == {}
    assert without.cls is None
    assert without.cls_raw is None


def test_the_final_norm_can_be_left_to_the_classifier_and_the_epsilon_is_the_configs():
    vit = _vit(final_norm=False, norm_eps=0.5)
    encoded = vit(torch.randn(2, 2, 4, 15))
    assert torch.equal(encoded.cls, encoded.cls_raw)
    assert {m.eps for m in vit.modules() if isinstance(m, torch.nn.LayerNorm)} == {0.5}


@pytest.mark.parametrize("attention", ["joint", "axial"])
@pytest.mark.parametrize("column_position", ["sincos", "rotary"])
def test_permuting_the_rows_permutes_the_tokens_when_rows_have_no_position(attention, column_position):
    vit = _vit(attention=attention, row_position="none", column_position=column_position)
    images, valid = torch.randn(2, 2, 6, 20), torch.rand(2, 6, 20) > 0.4
    order = torch.randperm(6)
    plain, permuted = vit(images, valid), vit(images[:, :, order], valid[:, order])
    rows = plain.patches.view(2, 6, 4, 32)[:, order]
    observed = vit.grid(images).pool_any(valid).view(2, 6, 4)[:, order]
    assert torch.allclose(permuted.patches.view(2, 6, 4, 32)[observed], rows[observed], atol=1e-4)
    assert torch.allclose(permuted.cls, plain.cls, atol=1e-4)


def test_a_row_position_breaks_the_symmetry():
    vit = _vit(row_position="sincos")
    images = torch.randn(1, 2, 6, 20)
    order = torch.tensor([1, 0, 2, 3, 4, 5])
    rows = vit(images).patches.view(1, 6, 4, 32)[:, order]
    assert not torch.allclose(vit(images[:, :, order]).patches.view(1, 6, 4, 32), rows, atol=1e-2)


@pytest.mark.parametrize(("attention", "scope"), LAYOUTS)
def test_patches_that_were_not_observed_never_influence_others(attention, scope):
    vit = _vit(attention=attention, scope=scope)
    images, valid = torch.randn(2, 2, 6, 20), torch.ones(2, 6, 20, dtype=torch.bool)
    valid[0, 1] = False  # an asset
    valid[0, :, 5:10] = False  # a week
    valid[1, 2:4, 10:] = False
    grid = vit.grid(images)
    seen = grid.pool_any(valid)
    tokens = vit.embed(images, valid)
    other = torch.where(seen[..., None], tokens, torch.randn_like(tokens) * 10)
    first, second = (vit.encode([t], [grid], [seen])[0] for t in (tokens, other))
    assert torch.equal(first.patches[seen], second.patches[seen])
    assert torch.equal(first.cls, second.cls)
    pixels = images.masked_fill(~valid[:, None], torch.nan)
    assert torch.equal(vit(pixels, valid).patches, vit(images, valid).patches)


@pytest.mark.parametrize(("attention", "scope"), LAYOUTS)
def test_a_sample_without_any_observation_is_finite(attention, scope):
    for options in ({}, {"has_cls": False, "num_registers": 0}):
        vit = _vit(attention=attention, scope=scope, **options)
        valid = torch.zeros(2, 3, 10, dtype=torch.bool)
        valid[1] = True
        encoded = vit(torch.randn(2, 2, 3, 10), valid)
        encoded.patches.sum().backward()
        assert torch.isfinite(encoded.patches).all()
        assert all(torch.isfinite(p.grad).all() for p in vit.parameters() if p.grad is not None)


def test_validity_of_everything_is_no_validity():
    for attention in ("joint", "axial"):
        vit = _vit(attention=attention)
        images = torch.randn(2, 2, 3, 10)
        assert torch.allclose(vit(images, torch.ones(2, 3, 10).bool()).patches, vit(images).patches, atol=1e-5)


@pytest.mark.parametrize("attention", ["joint", "axial"])
@pytest.mark.parametrize("num_registers", [0, 2])
def test_in_the_causal_scope_later_columns_change_nothing(attention, num_registers):
    vit = _vit(attention=attention, scope="causal", num_registers=num_registers)
    images = torch.randn(2, 2, 4, 30)
    later = images.clone()
    later[..., 15:] = torch.randn(2, 2, 4, 15)
    first, second = (vit(x).patches.view(2, 4, 6, 32) for x in (images, later))
    assert torch.allclose(first[:, :, :3], second[:, :, :3], atol=1e-6)
    assert not torch.allclose(first[:, :, 3:], second[:, :, 3:], atol=1e-2)
    shorter = vit(images[..., :15]).patches.view(2, 4, 3, 32)
    assert torch.allclose(shorter, first[:, :, :3], atol=1e-5)


def test_in_the_window_scope_later_columns_do_change_earlier_ones():
    vit = _vit(scope="window")
    images = torch.randn(1, 2, 4, 30)
    later = images.clone()
    later[..., 25:] = 5.0
    assert not torch.allclose(vit(images).patches[:, 0], vit(later).patches[:, 0], atol=1e-3)


def test_in_the_patch_scope_a_patch_depends_on_its_own_pixels_alone():
    vit = _vit(scope="patch", has_cls=False)
    images = torch.randn(1, 2, 4, 30)
    changed = images.clone()
    changed[:, :, 2, 10:15] = 3.0
    same = torch.ones(24, dtype=torch.bool)
    same[2 * 6 + 2] = False
    first, second = vit(images).patches[0], vit(changed).patches[0]
    assert torch.equal(first[same], second[same])
    assert not torch.equal(first[~same], second[~same])


@pytest.mark.parametrize("scope", ["window", "causal", "patch"])
@pytest.mark.parametrize("attention", ["joint", "axial"])
@pytest.mark.parametrize("position", ["sincos", "learned", "rotary"])
def test_every_parameter_gets_a_gradient(attention, scope, position):
    has_global = scope == "window"  # in the causal scope no patch sees them
    options = {
        "has_cls": has_global,
        "num_registers": int(has_global),
        "layer_scale": 0.1,
        "observed_channel": True,
    }
    vit = _vit(attention=attention, scope=scope, row_position=position, column_position=position, **options).train()
    vit(torch.randn(2, 2, 3, 10)).patches.square().sum().backward()
    assert [name for name, p in vit.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("scope", ["window", "causal", "patch"])
@pytest.mark.parametrize("attention", ["joint", "axial"])
def test_several_crop_sizes_compile_to_one_graph(attention, scope):
    torch._dynamo.reset()  # the recompile limit counts over parameters of this test
    num_global = 0 if scope == "patch" else 1
    options = {"has_cls": bool(num_global), "num_registers": 0, "drop_path": 0.1}
    vit = _vit(attention=attention, scope=scope, column_position="rotary", **options)
    crops, valid = [torch.randn(2, 2, 4, 15), torch.randn(4, 2, 2, 10)], torch.rand(2, 4, 15) > 0.3

    def step(large, small, valid):
        grids = [vit.grid(large), vit.grid(small)]
        tokens = [vit.embed(large, valid), vit.embed(small)]
        return [e.patches for e in vit.encode(tokens, grids, [grids[0].pool_any(valid), None], layers=(2,))]

    compiled = torch.compile(step, fullgraph=True, backend="eager")
    for ours, theirs in zip(compiled(*crops, valid), step(*crops, valid), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    vit.train()
    torch.compile(step, fullgraph=True, backend="eager")(*crops, valid)


def test_a_batch_of_one_and_a_grid_of_one_patch_work():
    for attention, scope in itertools.product(("joint", "axial"), ("window", "causal")):
        assert _vit(attention=attention, scope=scope)(torch.randn(1, 2, 1, 5)).patches.shape == (1, 1, 32)


def test_initialisation_is_that_of_the_papers():
    torch.manual_seed(0)
    vit = VisionTransformer(ViTConfig(dim=64, heads=4, depth=2, num_registers=4))
    weight = vit.blocks[0].mlp[0].weight
    assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert not vit.blocks[0].attention.qkv.bias.any()
    assert float(vit.registers.detach().abs().max()) < 1e-5
    assert vit.norm.eps == 1e-6


def test_bfloat16_autocast_runs_and_stays_close():
    vit = _vit(attention="axial", column_position="rotary")
    images = torch.randn(2, 2, 4, 15)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = vit(images).patches
    assert torch.allclose(low.float(), vit(images).patches, atol=0.15)


@pytest.mark.parametrize("position", ["sincos", "learned", "table", "rotary", "none"])
def test_placed_tokens_are_added_up_in_float32_under_autocast(position):
    vit, dtypes = _vit(row_position=position, column_position=position, max_columns=3), set()
    for block in vit.blocks:
        block.register_forward_hook(lambda _, inputs, output: dtypes.update((inputs[0].dtype, output.dtype)))
    images = torch.randn(2, 2, 4, 15)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        vit(images)
        vit.encode_kept(vit.embed(images), vit.grid(images), torch.tensor([[0, 5], [3, 7]]))
    assert dtypes == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_an_encoder_keeps_its_own_type(dtype):
    vit = _vit().to(dtype)
    assert vit(torch.randn(2, 2, 4, 15, dtype=dtype)).patches.dtype == dtype


@pytest.mark.parametrize("position", ["sincos", "learned"])
def test_dropping_patches_is_the_same_as_not_attending_to_them(position):
    vit = _vit(row_position=position, column_position=position)
    images, seen = torch.randn(2, 2, 4, 30), torch.rand(2, 24) > 0.2
    kept = torch.stack([torch.randperm(24, generator=torch.Generator().manual_seed(i))[:9] for i in range(2)])
    is_kept = torch.zeros(2, 24, dtype=torch.bool).scatter(1, kept, True)
    tokens, grid = vit.embed(images), vit.grid(images)
    whole = vit.encode([tokens], [grid], [is_kept & seen])[0]
    part = vit.encode_kept(tokens, grid, kept, seen)
    is_real = seen.gather(1, kept)
    expected = whole.patches.gather(1, kept[..., None].expand(-1, -1, 32))
    assert torch.allclose(part.patches[is_real], expected[is_real], atol=1e-5)
    assert torch.allclose(part.cls, whole.cls, atol=1e-5)
