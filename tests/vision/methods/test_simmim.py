import dataclasses
import math

import numpy as np
import pytest
import torch

from tests.vision.methods.hugging_face import named, randomise, take_encoder
from vision.batch import Batch, Mask
from vision.config import SimMIMConfig, ViTConfig
from vision.masks import GridMask
from vision.methods.simmim import SimMIM
from vision.nn.grid import PatchGrid
from vision.targets import normalise_patches


@pytest.fixture
def build(encoder):
    def make(config=None, **changes):
        torch.manual_seed(0)
        return SimMIM(dataclasses.replace(encoder, **changes), config or SimMIMConfig())

    return make


@pytest.fixture
def method(build):
    return build()


def test_loss_falls(method, make_batch, train):
    losses = train(method, make_batch(8, mask_ratio=0.6), steps=100, learning_rate=5e-3)
    assert losses[-1] < 0.6 * losses[0]


def test_loss_is_the_formula(method, make_batch):
    batch = make_batch(3, mask_ratio=0.6)
    mask, grid = batch.masks[0], method.encoder.grid(batch.views[0])
    predicted, patches = method.predict(batch), grid.patchify(batch.views[0])
    total, number = 0.0, 0
    for row, place in enumerate(mask.index.tolist()):
        for pixel in range(12):
            total += abs(predicted[row, pixel] - patches[place // 20, place % 20, pixel]).item()
            number += 1
    (loss,) = method.loss(predicted, method.targets(batch), batch).values()
    assert number == 3 * 12 * 12
    assert loss.item() == pytest.approx(total / number, rel=1e-5)


def test_vit_for_masked_image_modeling_of_hugging_face():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    theirs = transformers.ViTForMaskedImageModeling(
        transformers.ViTConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            image_size=24,
            patch_size=6,
            num_channels=2,
            encoder_stride=6,
            layer_norm_eps=1e-6,
        )
    ).eval()
    randomise(theirs)
    encoder = ViTConfig(patch_size=(6, 6), in_channels=2, dim=32, depth=2, heads=4, mlp_ratio=2.0)
    ours = SimMIM(encoder, SimMIMConfig()).eval()
    rest = theirs.state_dict()
    table = ours.encoder.positions(torch.zeros(1, 16, 32), PatchGrid(4, 4, 6, 6))
    rest["vit.embeddings.position_embeddings"].copy_(torch.cat([torch.zeros(1, 1, 32), table], dim=1))
    rest.pop("vit.embeddings.position_embeddings")
    state = named("encoder", take_encoder(rest, "vit.embeddings", "vit.layers", "vit.layernorm", 2))
    state["mask_token.weight"] = rest.pop("vit.embeddings.mask_token")[0]
    order = torch.arange(72).view(2, 6, 6).permute(1, 2, 0).flatten()  # PixelShuffle's channel-major to ours
    state["head.weight"] = rest.pop("decoder.0.weight").flatten(1)[order]
    state["head.bias"] = rest.pop("decoder.0.bias")[order]
    assert not rest
    ours.load_state_dict(state)
    images, hidden = torch.randn(3, 2, 24, 24), torch.rand(3, 16) < 0.6
    mask = Mask.from_hidden(hidden, 16)  # counts differ: the mean is over the batch
    batch = Batch((images,), (mask,), (None,), 3)
    with torch.no_grad():
        expected = theirs(images, bool_masked_pos=hidden)
        predicted = ours.predict(batch)
        (loss,) = ours.loss(predicted, ours.targets(batch), batch).values()
    asked = PatchGrid(4, 4, 6, 6).patchify(expected.reconstruction)[hidden]
    torch.testing.assert_close(predicted[mask.weight > 0], asked, rtol=0, atol=1e-5)
    torch.testing.assert_close(loss, expected.loss, rtol=0, atol=1e-5)


def test_grid_mask_hides_30_of_49_cells_of_an_image_of_224_pixels():
    grid = PatchGrid(14, 14, 16, 16)
    hidden = GridMask(0.6)(grid, np.random.default_rng(0))
    cells = hidden.reshape(7, 2, 7, 2).any(axis=(1, 3))
    assert (cells.sum(), hidden.sum()) == (30, 120)


def test_mask_token_replaces_the_embedding_before_the_position_is_added(method, make_batch):
    batch = make_batch(2, mask_ratio=0.6)
    tokens = method.encoder.embed(batch.views[0]).detach().clone()
    tokens[batch.masks[0].hidden] = method.mask_token.weight[0].detach()
    patches = method.encoder.encode([tokens], [method.encoder.grid(batch.views[0])])[0].patches
    expected = method.head(patches[batch.masks[0].hidden])
    torch.testing.assert_close(method.predict(batch), expected)


def test_hidden_pixels_are_not_seen(method, make_batch):
    batch = make_batch(4, mask_ratio=0.6)
    hidden = batch.masks[0].hidden.view(4, 4, 5).repeat_interleave(2, 1).repeat_interleave(3, 2)[:, None]
    other = batch._replace(views=(torch.where(hidden, 5.0, batch.views[0]),))
    assert torch.equal(method.predict(batch), method.predict(other))


def test_what_was_not_observed_changes_nothing(method, make_batch):
    batch = make_batch(4, mask_ratio=0.6, is_partly_observed=True)
    (loss,) = method.loss(method.predict(batch), method.targets(batch), batch).values()
    other = batch._replace(views=(torch.nan_to_num(batch.views[0], nan=77.0),))
    (again,) = method.loss(method.predict(other), method.targets(other), other).values()
    assert torch.isfinite(loss)
    assert torch.equal(loss, again)


def test_targets_are_pixels_as_they_are_or_normalised(build, make_batch):
    batch = make_batch(4, mask_ratio=0.6)
    plain = build().targets(batch)
    assert torch.equal(
        build(SimMIMConfig(normalise_pixels=True)).targets(batch).patches, normalise_patches(plain.patches)
    )


@pytest.mark.parametrize("changes", [{}, {"has_cls": False, "attention": "axial", "row_position": "none"}])
def test_every_parameter_gets_a_gradient(build, make_batch, check_gradients, changes):
    check_gradients(build(**changes), make_batch(4, mask_ratio=0.6, is_partly_observed=True))


def test_batch_of_one(method, make_batch, train):
    assert all(math.isfinite(loss) for loss in train(method, make_batch(1, mask_ratio=0.6), 2))


def test_state_loads_into_a_new_method_and_gives_the_same_numbers(build, make_batch, train, loss_of):
    method, batch = build(), make_batch(4, mask_ratio=0.6)
    train(method, batch, steps=3)
    other = SimMIM(method.encoder.config, SimMIMConfig())
    other.load_state_dict(method.state_dict())
    assert torch.equal(loss_of(method, batch), loss_of(other, batch))


def test_the_encoder_starts_as_in_beit(build):
    """A normal of std .02 cut at ± one std has a std of .0108; outputs of block i are divided by √(2i)."""
    encoder = build(dim=96, mlp_ratio=8.0).encoder
    for index, block in enumerate(encoder.blocks):
        assert block.mlp[0].weight.std().item() == pytest.approx(0.0108, rel=0.03)
        assert block.mlp[2].weight.std().item() == pytest.approx(0.0108 / math.sqrt(2 * (index + 1)), rel=0.03)
    assert max(p.abs().max().item() for p in (encoder.patch_embed.projection.weight, encoder.cls_token)) <= 0.02


def test_a_batch_without_mask_and_a_scope_in_which_nothing_can_be_learned_are_refused(build, make_batch):
    with pytest.raises(ValueError, match="give its views a mask generator"):
        build().predict(make_batch(2))
    with pytest.raises(ValueError, match="set has_cls false"):
        build(scope="causal")
    with pytest.raises(ValueError, match="set scope 'window' or 'causal'"):
        build(scope="patch", has_cls=False)


@pytest.mark.slow
def test_predict_and_loss_compile_to_one_graph(method, make_batch):
    batch = make_batch(4, mask_ratio=0.6)
    targets = method.targets(batch)

    def step(batch, targets):
        return method.loss(method.predict(batch), targets, batch)["pixel"]

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(batch, targets), step(batch, targets))
