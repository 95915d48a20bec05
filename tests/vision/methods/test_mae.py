import dataclasses
import math

import numpy as np
import pytest
import torch

from tests.vision.methods.hugging_face import named, randomise, take_blocks, take_encoder
from vision.batch import Batch, Mask
from vision.config import ConfigError, MAEConfig, ViTConfig
from vision.masks import BlockMask, GridMask, RandomMask
from vision.methods.mae import MAE, visible_index
from vision.nn.grid import PatchGrid

CONFIG = MAEConfig(decoder_dim=16, decoder_depth=1, decoder_heads=2)


@pytest.fixture
def build(encoder):
    def make(config=CONFIG, **changes):
        torch.manual_seed(0)
        return MAE(dataclasses.replace(encoder, **changes), config)

    return make


@pytest.fixture
def method(build):
    return build()


def test_loss_falls(method, make_batch, train):
    losses = train(method, make_batch(8, mask_ratio=0.75), steps=60)
    assert losses[-1] < 0.7 * losses[0]


def test_loss_is_the_formula(method, make_batch):
    batch = make_batch(3, mask_ratio=0.75)
    mask, grid = batch.masks[0], method.encoder.grid(batch.views[0])
    predicted, patches = method.predict(batch), grid.patchify(batch.views[0])
    total, number = 0.0, 0
    for row, place in enumerate(mask.index.tolist()):
        pixels = patches[place // 20, place % 20]
        target = (pixels - pixels.mean()) / (pixels.var(unbiased=True) + 1e-6).sqrt()
        total += (predicted[row] - target).square().mean().item()
        number += 1
    (loss,) = method.loss(predicted, method.targets(batch), batch).values()
    assert number == 3 * 15
    assert loss.item() == pytest.approx(total / number, rel=1e-5)


def test_loss_is_one_ratio_over_the_batch_and_only_hidden_patches_count(method, make_batch):
    batch = make_batch(2, mask_ratio=0.5)
    targets = method.targets(batch)
    weight = torch.zeros_like(targets.weight)
    weight[0], weight[10:13] = 1, 1  # one patch of the first image, three of the second
    errors = (method.predict(batch) - targets.patches).square().mean(-1)
    (loss,) = method.loss(method.predict(batch), targets._replace(weight=weight), batch).values()
    assert loss.item() == pytest.approx((errors[0] + errors[10:13].sum()).item() / 4, rel=1e-5)


def test_vit_mae_of_hugging_face_for_given_noise():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    theirs = transformers.ViTMAEForPreTraining(
        transformers.ViTMAEConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            decoder_hidden_size=16,
            decoder_num_hidden_layers=2,
            decoder_num_attention_heads=2,
            decoder_intermediate_size=32,
            image_size=24,
            patch_size=6,
            num_channels=2,
            norm_pix_loss=True,
            layer_norm_eps=1e-6,
        )
    ).eval()
    randomise(theirs)
    encoder = ViTConfig(patch_size=(6, 6), in_channels=2, dim=32, depth=2, heads=4, mlp_ratio=2.0)
    ours = MAE(encoder, MAEConfig(decoder_dim=16, decoder_depth=2, decoder_heads=2)).eval()
    places = torch.zeros(1, 16, 32), torch.zeros(1, 16, 16)
    grid = PatchGrid(4, 4, 6, 6)
    table, narrow_table = ours.encoder.positions(places[0], grid), ours.decoder.positions(places[1], grid)
    rest = theirs.state_dict()
    rest["vit.embeddings.position_embeddings"].copy_(torch.cat([torch.zeros(1, 1, 32), table], dim=1))
    rest["decoder.decoder_pos_embed"].copy_(torch.cat([torch.zeros(1, 1, 16), narrow_table], dim=1))
    rest = {name: tensor for name, tensor in rest.items() if "pos" not in name}
    state = named("encoder", take_encoder(rest, "vit.embeddings", "vit.layers", "vit.layernorm", 2))
    state |= named("decoder", take_blocks(rest, "decoder.decoder_layers", 2))
    state["decoder.mask_token.weight"] = rest.pop("decoder.mask_token")[0]
    for mine, name in (("embed", "embed"), ("norm", "norm"), ("head", "pred")):
        for kind in ("weight", "bias"):
            state[f"decoder.{mine}.{kind}"] = rest.pop(f"decoder.decoder_{name}.{kind}")
    assert not rest
    ours.load_state_dict(state)
    images, noise = torch.randn(3, 2, 24, 24), torch.rand(3, 16)
    hidden = noise.argsort(1).argsort(1) >= int(16 * (1 - 0.75))  # the least of the noise is kept
    mask = Mask.from_hidden(hidden, 12)
    batch = Batch((images,), (mask,), (None,), 3)
    with torch.no_grad():
        expected = theirs(images, noise=noise)
        predicted = ours.predict(batch)
        (loss,) = ours.loss(predicted, ours.targets(batch), batch).values()
    assert torch.equal(expected.mask.bool(), hidden)
    asked = expected.logits[hidden]
    torch.testing.assert_close(predicted, asked, rtol=0, atol=1e-5)
    torch.testing.assert_close(loss, expected.loss, rtol=0, atol=1e-5)


def test_positions_of_a_rectangle_are_the_columns_first_as_in_the_official_table(method):
    table = method.encoder.positions(torch.zeros(1, 20, 32), PatchGrid(4, 5, 2, 3))[0]
    for row in range(4):
        for column in range(5):
            expected = []
            for place in (column, row):
                angles = [place / 10000 ** (i / 8) for i in range(8)]
                expected += [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
            torch.testing.assert_close(table[5 * row + column], torch.tensor(expected), atol=1e-5, rtol=0)
    assert not any("positions" in name for name, _ in method.named_parameters())  # fixed


@pytest.mark.parametrize("patches", [196, 14, 20, 65])
def test_random_mask_keeps_the_whole_part_of_a_quarter(patches):
    grid = PatchGrid(1, patches, 1, 1)
    hidden = RandomMask(0.75)(grid, np.random.default_rng(0))
    assert (~hidden).sum() == int(patches * (1 - 0.75))


@pytest.mark.parametrize("generator", [RandomMask(0.75), BlockMask(0.75, min_patches=2), GridMask(0.75, cell=(2, 1))])
def test_the_three_strategies_of_masking_hide_three_quarters(method, make_batch, loss_of, generator):
    batch, grid, rng = make_batch(3), PatchGrid(4, 5, 2, 3), np.random.default_rng(0)
    hidden = torch.from_numpy(np.stack([generator(grid, rng) for _ in range(3)])).flatten(1)
    batch = batch._replace(masks=(Mask.from_hidden(hidden, generator.count(grid)),))
    assert hidden.float().mean().item() == pytest.approx(0.75, abs=0.06)  # whole cells
    assert math.isfinite(loss_of(method, batch).item())


def test_the_encoder_computes_on_visible_patches_alone(method, make_batch):
    lengths = []
    method.encoder.blocks[0].register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[0]))
    method.decoder.blocks[0].register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[0]))
    method.predict(make_batch(4, mask_ratio=0.75))
    assert lengths == [4 * (1 + 5), 4 * (1 + 20)]


def test_hidden_pixels_are_not_seen_and_visible_ones_are_no_target(method, make_batch):
    batch = make_batch(4, mask_ratio=0.5)
    hidden = batch.masks[0].hidden.view(4, 4, 5).repeat_interleave(2, 1).repeat_interleave(3, 2)[:, None]
    other = batch._replace(views=(torch.where(hidden, 5.0, batch.views[0]),))
    assert torch.equal(method.predict(batch), method.predict(other))
    other = batch._replace(views=(torch.where(hidden, batch.views[0], 5.0),))
    assert torch.equal(method.targets(batch).patches, method.targets(other).patches)
    assert not torch.equal(method.predict(batch), method.predict(other))


def test_the_places_kept_are_all_others_and_as_many_for_every_image():
    hidden = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 0, 1]], dtype=torch.bool)
    mask = Mask.from_hidden(hidden, 2)  # the second image hides one: its first patch is dropped too
    assert visible_index(mask).tolist() == [[1, 3, 4], [1, 2, 3]]
    assert mask.weight.tolist() == [1, 1, 1, 0]


def test_what_was_not_observed_changes_nothing(method, make_batch):
    batch = make_batch(4, mask_ratio=0.5, is_partly_observed=True)
    (loss,) = method.loss(method.predict(batch), method.targets(batch), batch).values()
    other = batch._replace(views=(torch.nan_to_num(batch.views[0], nan=77.0),))
    (again,) = method.loss(method.predict(other), method.targets(other), other).values()
    assert torch.isfinite(loss)
    assert torch.equal(loss, again)
    pixels = method.encoder.grid(batch.views[0]).patchify(batch.valid[0][:, None].expand_as(batch.views[0]))
    expected = pixels[batch.masks[0].hidden]
    assert torch.equal(method.targets(batch).weight.bool(), expected)


@pytest.mark.parametrize("has_cls", [True, False])
def test_every_parameter_gets_a_gradient(build, make_batch, check_gradients, has_cls):
    check_gradients(build(has_cls=has_cls, num_registers=2), make_batch(4, mask_ratio=0.5))


def test_linear_maps_start_xavier_uniform_and_tokens_normal(build):
    method = build(dim=64, heads=2)
    projection = method.encoder.patch_embed.projection.weight  # (64, 2 · 2 · 3): as one matrix
    bound = math.sqrt(6 / (64 + 12))
    assert 0.9 * bound < projection.abs().max().item() <= bound
    assert not method.decoder.head.bias.any()
    assert method.encoder.cls_token.std().item() == pytest.approx(0.02, rel=0.3)


def test_batch_of_one(make_batch, build, train):
    assert all(math.isfinite(loss) for loss in train(build(), make_batch(1, mask_ratio=0.75), 2))


def test_state_loads_into_a_new_method_and_gives_the_same_numbers(build, make_batch, train, loss_of):
    method, batch = build(), make_batch(4, mask_ratio=0.75)
    train(method, batch, steps=3)
    other = MAE(method.encoder.config, CONFIG)
    other.load_state_dict(method.state_dict())
    assert torch.equal(loss_of(method, batch), loss_of(other, batch))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"attention": "axial"}, "set attention 'joint'; or take SimMIM"),
        ({"attention": "axial", "row_position": "none"}, "'joint', row_position 'sincos', 'learned' or 'table'"),
        ({"scope": "causal"}, "scope 'window'"),
        ({"column_position": "rotary"}, "column_position 'sincos', 'learned' or 'table'"),
        ({"relative_position": "shared"}, "relative_position 'none'"),
    ],
)
def test_an_encoder_that_cannot_drop_patches_is_refused_with_what_to_set(build, changes, expected):
    with pytest.raises(ConfigError, match=expected):
        build(**changes)


def test_masks_that_hide_nothing_or_all_or_are_missing_are_refused(method, make_batch):
    batch = make_batch(2)
    with pytest.raises(ValueError, match="give its views a mask generator"):
        method.predict(batch)
    for count, hidden in ((0, torch.zeros(2, 20, dtype=torch.bool)), (20, torch.ones(2, 20, dtype=torch.bool))):
        with pytest.raises(ValueError, match=f"hides {count} of 20"):
            method.predict(batch._replace(masks=(Mask.from_hidden(hidden, count),)))


@pytest.mark.slow
def test_predict_and_loss_compile_to_one_graph(method, make_batch):
    batch = make_batch(4, mask_ratio=0.75, is_partly_observed=True)
    targets = method.targets(batch)

    def step(batch, targets):
        return method.loss(method.predict(batch), targets, batch)["pixel"]

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(batch, targets), step(batch, targets))


def test_a_mask_of_another_batch_or_grid_is_refused(method, make_batch):
    batch = make_batch(4, mask_ratio=0.75)
    for hidden in (batch.masks[0].hidden[:2], batch.masks[0].hidden[:, :12]):
        other = batch._replace(masks=(Mask.from_hidden(hidden, hidden.shape[1]),))
        for step in (method.targets, method.predict):
            with pytest.raises(ValueError, match=r"images and patches, the batch has \(4, 20\)"):
                step(other)
