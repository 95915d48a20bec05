import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vision.batch import Batch, Mask
from vision.config import BEiTConfig, CodebookConfig, ViTConfig
from vision.masks import BlockMask
from vision.methods.beit import BEiT
from vision.nn.grid import PatchGrid
from vision.nn.tokenizer import Tokenizer, VisualTokenizer

NUM_CODES = 16


@pytest.fixture
def tokenizer(encoder):
    torch.manual_seed(0)
    tokenizer = Tokenizer(dataclasses.replace(encoder, depth=1), CodebookConfig(num_codes=NUM_CODES, dim=8))
    torch.nn.init.normal_(tokenizer.task[0].weight)  # codes that vary
    torch.nn.init.normal_(tokenizer.task[2].weight)
    return tokenizer


@pytest.fixture
def build(encoder, tokenizer):
    def make(config=None, **changes):
        torch.manual_seed(1)
        return BEiT(dataclasses.replace(encoder, **changes), config or BEiTConfig(), tokenizer)

    return make


def test_first_loss_is_ln_k(build, make_batch):
    method, batch = build(), make_batch(8, mask_ratio=0.4)
    (loss,) = method.loss(method.predict(batch), method.targets(batch), batch).values()
    assert loss.item() == pytest.approx(math.log(NUM_CODES), rel=0.05)


def test_the_papers_task_75_of_196_patches_in_blocks_named_among_8192_codes():
    """At the start the loss is ln 8192 = 9.01."""
    config = ViTConfig(patch_size=(1, 1), in_channels=1, dim=8, heads=2, depth=1, relative_position="shared")
    torch.manual_seed(0)
    method = BEiT(config, BEiTConfig(), Tokenizer(config, CodebookConfig(num_codes=8192, dim=4)))
    mask, grid = BlockMask(75 / 196, min_patches=16), PatchGrid(14, 14, 1, 1)
    hidden = torch.from_numpy(mask(grid, np.random.default_rng(0))).flatten()[None]
    batch = Batch((torch.randn(1, 1, 14, 14),), (Mask.from_hidden(hidden, mask.count(grid)),), (None,), 1)
    predicted, codes = method.predict(batch), method.targets(batch)
    assert predicted.shape == (75, 8192)
    assert codes.shape == (75,)
    assert method.loss(predicted, codes, batch)["code"].item() == pytest.approx(math.log(8192), abs=0.02)


@pytest.mark.parametrize("relative_position", ["none", "shared"])
def test_loss_falls(build, make_batch, train, relative_position):
    method = build(relative_position=relative_position, layer_scale=0.1)
    losses = train(method, make_batch(8, mask_ratio=0.4), steps=40)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("relative_position", ["none", "shared", "block"])
def test_every_trainable_parameter_gets_a_gradient_and_the_tokenizer_none(
    build, make_batch, check_gradients, relative_position
):
    check_gradients(build(relative_position=relative_position), make_batch(4, mask_ratio=0.4))


def test_the_masked_cross_entropy_of_hugging_face():
    """On a square grid: of a rectangular one Hugging Face reads the table with height and width swapped."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
    like_beit = {"layer_scale_init_value": 0.1, "use_shared_relative_position_bias": True, "use_mask_token": True}
    sizes = {"image_size": 24, "patch_size": 8, "num_channels": 2, "vocab_size": NUM_CODES, "layer_norm_eps": 1e-6}
    theirs = transformers.BeitForMaskedImageModeling(transformers.BeitConfig(**shape, **like_beit, **sizes)).eval()
    for parameter in theirs.parameters():  # nothing at its initial zero, one or tiny value
        torch.nn.init.normal_(parameter, std=0.3)
    config = ViTConfig(
        patch_size=(8, 8), in_channels=2, dim=32, depth=3, heads=4, layer_scale=0.1, relative_position="shared",
        row_position="none", column_position="none", max_rows=3, max_columns=3,
    )  # fmt: skip
    method = BEiT(config, BEiTConfig(), Tokenizer(config, CodebookConfig(num_codes=NUM_CODES, dim=8))).eval()
    method.model.load_state_dict(_from_hugging_face(theirs.state_dict(), method.model.state_dict()))
    hidden = torch.tensor([[1, 0, 1, 0, 0, 1, 1, 0, 0], [0, 1, 1, 0, 0, 0, 0, 0, 0]], dtype=torch.bool)
    images, codes = torch.randn(2, 2, 24, 24), torch.randint(NUM_CODES, (8,))
    mask = Mask.from_hidden(hidden, 4)  # counts differ: two places are padding
    batch = Batch((images,), (mask,), (None,), 2)
    with torch.no_grad():
        expected = theirs(images, bool_masked_pos=hidden, labels=codes[mask.weight > 0])
        predicted = method.predict(batch)
        loss = method.loss(predicted, codes, batch)["code"]
    torch.testing.assert_close(predicted[mask.weight > 0], expected.logits[hidden], rtol=0, atol=1e-5)
    torch.testing.assert_close(loss, expected.loss, rtol=0, atol=1e-5)


def _from_hugging_face(theirs, ours):
    """Their tensors under our names; everything of theirs must be asked for."""
    rest, made = dict(theirs), {}
    made["encoder.patch_embed.projection.weight"] = (
        rest.pop("beit.embeddings.patch_embeddings.projection.weight").permute(0, 2, 3, 1).flatten(1)
    )
    made["encoder.patch_embed.projection.bias"] = rest.pop("beit.embeddings.patch_embeddings.projection.bias")
    made["encoder.cls_token"] = rest.pop("beit.embeddings.cls_token")[0]
    made["mask_token.weight"] = rest.pop("beit.embeddings.mask_token")[0]
    made["encoder.relative.table"] = rest.pop("beit.shared_position_bias.relative_position_bias_table")
    for index in range(3):
        block, layer = f"encoder.blocks.{index}", f"beit.layers.{index}"
        made[f"{block}.attention.qkv.weight"] = torch.cat(
            [rest.pop(f"{layer}.attention.{name}_proj.weight") for name in "qkv"]
        )
        query, value = (rest.pop(f"{layer}.attention.{name}_proj.bias") for name in "qv")
        made[f"{block}.attention.qkv.bias"] = torch.cat([query, torch.zeros_like(query), value])
        for mine, name in (
            ("attention.proj", "attention.o_proj"),
            ("norm1", "layernorm_before"),
            ("norm2", "layernorm_after"),
            ("mlp.0", "mlp.fc1"),
            ("mlp.2", "mlp.fc2"),
        ):
            for kind in ("weight", "bias"):
                made[f"{block}.{mine}.{kind}"] = rest.pop(f"{layer}.{name}.{kind}")
        for number in (1, 2):
            made[f"{block}.scale{number}.gamma"] = rest.pop(f"{layer}.lambda_{number}")
    for mine, name in (("encoder.norm", "layernorm"), ("head", "lm_head")):
        for kind in ("weight", "bias"):
            made[f"{mine}.{kind}"] = rest.pop(f"{name}.{kind}")
    assert rest == {}
    assert made.keys() == ours.keys()
    return made


def test_loss_is_a_flat_mean_over_hidden_patches_that_were_observed(build, make_batch):
    method, batch = build(), make_batch(4, mask_ratio=0.4, is_partly_observed=True)
    method.eval()
    predictions, codes = method.predict(batch), method.targets(batch)
    counted = batch.masks[0].weight > 0
    assert len(counted.view(4, -1).sum(1).unique()) > 1  # images differ: a mean per image would, too
    expected = F.cross_entropy(predictions[counted], codes[counted])
    torch.testing.assert_close(method.loss(predictions, codes, batch)["code"], expected)


def test_the_code_of_a_visible_patch_has_no_say(build, make_batch):
    method, batch = build(), make_batch(4, mask_ratio=0.4)
    codes, hidden = method.tokenizer.module.codes(batch.views[0]), batch.masks[0].hidden
    assert torch.equal(method.targets(batch), codes[hidden])


def test_one_shared_embedding_stands_in_for_hidden_patches_before_positions(build, make_batch):
    method, batch = build(), make_batch(2, mask_ratio=0.4)
    seen = []
    method.model.encoder.positions.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.predict(batch)
    hidden = batch.masks[0].hidden
    assert torch.equal(seen[0][hidden], method.model.mask_token.weight.expand(int(hidden.sum()), -1))
    assert torch.equal(seen[0][~hidden], method.model.encoder.embed(batch.views[0])[~hidden])
    assert method.model.mask_token.weight.shape == (1, 32)


def test_hidden_pixels_are_not_seen(build, make_batch):
    method, batch = build(relative_position="shared"), make_batch(4, mask_ratio=0.4)
    method.eval()
    hidden = batch.masks[0].hidden.view(4, 4, 5).repeat_interleave(2, 1).repeat_interleave(3, 2)
    other = batch._replace(views=(torch.where(hidden[:, None], 5.0, batch.views[0]),))
    torch.testing.assert_close(method.predict(batch), method.predict(other))


def test_not_observed_pixels_change_nothing(build, make_batch):
    method, batch = build(), make_batch(4, mask_ratio=0.4, is_partly_observed=True)
    method.eval()
    other = batch._replace(views=(torch.nan_to_num(batch.views[0], nan=77.0),))
    first, second = (method.loss(method.predict(b), method.targets(b), b)["code"] for b in (batch, other))
    assert torch.isfinite(first)
    assert torch.equal(first, second)


def test_weights_start_as_in_the_official_code(build):
    """A normal of std .02 cut at ± one std has a std of .0108; outputs of block i are divided by √(2i)."""
    model = build(layer_scale=0.1, relative_position="shared", dim=64).artifact()
    for layer in (model.head, model.encoder.blocks[0].mlp[0], model.encoder.patch_embed.projection):
        weight = layer.weight
        assert weight.abs().max().item() <= 0.02
        assert weight.std().item() == pytest.approx(0.0108, rel=0.07)
    for number, block in enumerate(model.encoder.blocks, start=1):
        for weight in (block.attention.proj.weight, block.mlp[-1].weight):
            assert weight.std().item() == pytest.approx(0.0108 / math.sqrt(2 * number), rel=0.07)
        assert (block.scale1.gamma == 0.1).all()
    assert not model.encoder.relative.table.any()
    assert model.mask_token.weight.abs().max().item() <= 0.02


def test_the_tokenizer_stays_as_it_was_while_the_method_trains(build, make_batch, train, tokenizer):
    method, batch = build(), make_batch(4, mask_ratio=0.4)
    before = {name: value.clone() for name, value in tokenizer.state_dict().items()}
    train(method, batch, steps=2)
    assert not method.tokenizer.module.training
    assert all(torch.equal(value, before[name]) for name, value in method.tokenizer.module.state_dict().items())


def test_any_tokenizer_with_a_code_per_patch_serves(encoder, make_batch):
    class Brightness(VisualTokenizer):
        num_codes, patch_size = 3, encoder.patch_size

        def codes(self, images, valid=None):
            return (images.unfold(2, 2, 2).unfold(3, 3, 3).mean((1, 4, 5)).flatten(1) > 0).long()

    method, batch = BEiT(encoder, BEiTConfig(), Brightness()), make_batch(2, mask_ratio=0.4)
    assert method.predict(batch).shape == (16, 3)
    assert set(method.targets(batch).unique().tolist()) == {0, 1}


def test_metrics_say_what_a_model_that_sees_nothing_would_reach(build, make_batch):
    method, batch = build(), make_batch(8, mask_ratio=0.4, is_partly_observed=True)
    assert method.metrics() == {}
    codes = method.targets(batch)[batch.masks[0].weight > 0]
    share = torch.bincount(codes) / len(codes)
    torch.testing.assert_close(method.metrics()["code_entropy"], torch.special.entr(share).sum())


def test_batch_of_one_and_a_state_that_loads_give_the_same_numbers(build, make_batch, train, loss_of):
    method, other, batch = build(), build(), make_batch(1, mask_ratio=0.4)
    assert all(math.isfinite(loss) for loss in train(method, batch, 2))
    other.load_state_dict(method.state_dict())
    assert torch.equal(loss_of(method, batch), loss_of(other, batch))


def test_what_does_not_fit_is_refused(build, make_batch):
    with pytest.raises(ValueError, match=r"same patch_size, got \(2, 3\) and \(4, 3\)"):
        build(patch_size=(4, 3))
    with pytest.raises(ValueError, match="causal"):
        build(scope="causal")
    with pytest.raises(ValueError, match="BEiT learns from hidden patches"):
        build().predict(make_batch(2))


@pytest.mark.slow
def test_predict_and_loss_compile_to_one_graph(build, make_batch):
    method, batch = build(relative_position="shared"), make_batch(4, mask_ratio=0.4)
    targets = method.targets(batch)

    def step(batch, targets):
        return method.loss(method.predict(batch), targets, batch)["code"]

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(batch, targets), step(batch, targets))
