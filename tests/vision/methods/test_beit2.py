import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from vision.config import BEiT2Config, CodebookConfig, DVAEConfig
from vision.methods.beit2 import BEiT2
from vision.nn.dvae import DiscreteVAE
from vision.nn.tokenizer import Tokenizer

NUM_CODES = 16
BOTH = BEiT2Config(early_layer=2, aggregation_depth=2)
MAIN = BEiT2Config(aggregation_depth=0)


@pytest.fixture
def build(encoder, tokenizer):
    def make(config=BOTH, **changes):
        torch.manual_seed(1)
        return BEiT2(dataclasses.replace(encoder, **changes), config, tokenizer)

    return make


@pytest.mark.parametrize("config", [BOTH, MAIN])
def test_first_loss_is_ln_k_on_each_path(build, make_batch, config):
    method, batch = build(config), make_batch(8, mask_ratio=0.4)
    terms = method.loss(method.predict(batch), method.targets(batch), batch)
    assert set(terms) == ({"code", "aggregation"} if config is BOTH else {"code"})
    for term in terms.values():
        assert term.item() == pytest.approx(math.log(NUM_CODES), rel=0.1)


@pytest.mark.parametrize("config", [BOTH, MAIN])
def test_loss_falls(build, make_batch, train, config):
    losses = train(build(config), make_batch(8, mask_ratio=0.4), steps=40)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("config", [BOTH, MAIN])
def test_every_trainable_parameter_gets_a_gradient_and_the_tokenizer_none(build, make_batch, check_gradients, config):
    check_gradients(build(config), make_batch(4, mask_ratio=0.4))


def test_axial_encoder_without_cls(build, make_batch, train, check_gradients):
    method = build(MAIN, attention="axial", has_cls=False, row_position="none")
    batch = make_batch(4, mask_ratio=0.4, is_partly_observed=True)
    check_gradients(method, batch)
    assert math.isfinite(train(method, batch, 2)[-1])


def test_head_on_masked_patches_equals_the_full_head_then_index(build, make_batch):
    method, batch = build(), make_batch(4, mask_ratio=0.4)
    method.eval()
    mask = batch.masks[0]
    full = method.artifact().logits(batch.views[0], None, mask.hidden)
    assert full.shape == (4, 20, NUM_CODES)
    expected = full[mask.hidden]
    torch.testing.assert_close(method.predict(batch).patches, expected)


def test_hidden_pixels_are_not_seen_by_either_path(build, make_batch):
    method, batch = build(), make_batch(4, mask_ratio=0.4)
    method.eval()
    hidden = batch.masks[0].hidden.view(4, 4, 5).repeat_interleave(2, 1).repeat_interleave(3, 2)
    other = batch._replace(views=(torch.where(hidden[:, None], 5.0, batch.views[0]),))
    for one, two in zip(method.predict(batch), method.predict(other), strict=True):
        torch.testing.assert_close(one, two)


def test_targets_are_the_frozen_tokenizers_codes_of_the_whole_image(build, make_batch, tokenizer, train):
    method, batch = build(), make_batch(4, mask_ratio=0.4)
    before = {name: value.clone() for name, value in tokenizer.state_dict().items()}
    train(method, batch, steps=2)  # in training mode
    for name, value in method.tokenizer.module.state_dict().items():
        assert torch.equal(value, before[name])
    expected = tokenizer.eval().codes(batch.views[0])[batch.masks[0].hidden]
    assert torch.equal(method.targets(batch).patches, expected)


def test_codes_are_the_same_under_autocast(build, make_batch):
    method, batch = build(), make_batch(8, mask_ratio=0.8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        codes = method.targets(batch).patches
    assert torch.equal(codes, method.targets(batch).patches)


def test_loss_is_a_flat_mean_over_masked_patches_that_were_observed(build, make_batch):
    method, batch = build(MAIN), make_batch(4, mask_ratio=0.4, is_partly_observed=True)
    method.eval()
    predictions, codes = method.predict(batch), method.targets(batch)
    counted = batch.masks[0].weight > 0
    assert 0 < counted.sum() < counted.numel()
    expected = F.cross_entropy(predictions.patches[counted], codes.patches[counted])
    torch.testing.assert_close(method.loss(predictions, codes, batch)["code"], expected)


def test_not_observed_pixels_change_nothing(build, make_batch):
    method, batch = build(), make_batch(4, mask_ratio=0.4, is_partly_observed=True)
    method.eval()
    other = batch._replace(views=(torch.nan_to_num(batch.views[0], nan=77.0),))
    first = method.loss(method.predict(batch), method.targets(batch), batch)
    second = method.loss(method.predict(other), method.targets(other), other)
    assert all(torch.isfinite(first[name]) and torch.equal(first[name], second[name]) for name in first)


def test_aggregation_joins_the_last_cls_with_early_patches_under_the_same_norm_and_head(build, make_batch):
    method, batch = build(BEiT2Config(early_layer=2, aggregation_depth=1)), make_batch(2, mask_ratio=0.4)
    method.eval()
    with torch.no_grad():  # an extra block that adds nothing leaves the early patches as they were
        for name in ("attention.proj", "mlp.2"):
            module = method.extra_blocks[0].get_submodule(name)
            module.weight.zero_()
            module.bias.zero_()
    mask = batch.masks[0]
    early = method.model.encode(batch.views[0], None, mask.hidden, (2,)).layers[2]
    expected = method.model.head(method.model.encoder.norm(early))
    expected = expected[mask.hidden]
    torch.testing.assert_close(method.predict(batch).aggregated, expected)


def test_extra_blocks_read_the_encoders_relative_positions(build, make_batch):
    method, batch, seen = build(relative_position="shared"), make_batch(2, mask_ratio=0.4), []
    method.eval()
    method.extra_blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1][0].bias))
    before = method.predict(batch).aggregated
    torch.nn.init.normal_(method.model.encoder.relative.table, std=3.0)
    assert not torch.allclose(method.predict(batch).aggregated, before, atol=1e-3)
    grid = method.model.encoder.grid(batch.views[0])
    assert torch.equal(seen[1], method.model.encoder.relative(grid, 1))


def test_it_names_the_codes_of_a_discrete_vae_as_well(encoder, make_batch, train):
    torch.manual_seed(0)
    tokenizer = DiscreteVAE(encoder, DVAEConfig(num_codes=8, code_dim=4, decoder_depth=1))
    method, batch = BEiT2(encoder, MAIN, tokenizer), make_batch(4, mask_ratio=0.4)
    assert math.isfinite(train(method, batch, 2)[-1])
    codes = tokenizer.eval().codes(batch.views[0])[batch.masks[0].hidden]
    assert torch.equal(method.targets(batch).patches, codes)
    with pytest.raises(ValueError, match="same patch_size"):
        BEiT2(dataclasses.replace(encoder, patch_size=(4, 3)), MAIN, tokenizer)


def test_output_weights_start_divided_by_the_root_of_twice_the_depth(build):
    method = build(BEiT2Config(early_layer=3, aggregation_depth=2))
    blocks = [*method.model.encoder.blocks, *method.extra_blocks]
    for number, block in enumerate(blocks, start=1):
        for weight in (block.attention.proj.weight, block.mlp[-1].weight):
            assert weight.std().item() == pytest.approx(0.02 / math.sqrt(2 * number), rel=0.15)


@pytest.mark.parametrize(
    ("early_layer", "shape", "expected"),
    [(2, "linear", [0.2, 0.3]), (3, "linear", [0.225, 0.3]), (2, "uniform", [0.3, 0.3])],
)
def test_extra_blocks_drop_paths_at_the_rate_of_their_place(build, early_layer, shape, expected):
    """Official: dpr = linspace(0, rate, max(depth, early_layers + head_layers)), of a depth of 3 or 4 here."""
    config = BEiT2Config(early_layer=early_layer, aggregation_depth=2)
    method = build(config, depth=4 if early_layer == 2 else 3, drop_path=0.3, drop_path_shape=shape)
    assert [block.drop1.rate for block in method.extra_blocks] == pytest.approx(expected)


def test_extra_blocks_stay_behind(build):
    assert not any("extra" in name for name in build().artifact().state_dict())


def test_codebook_of_several_levels_is_predicted_at_the_first(encoder, make_batch):
    torch.manual_seed(0)
    tokenizer = Tokenizer(encoder, CodebookConfig(num_codes=8, dim=8, levels=3))
    method, batch = BEiT2(encoder, MAIN, tokenizer), make_batch(4, mask_ratio=0.4)
    assert method.predict(batch).patches.shape[-1] == 8
    codes = tokenizer.codebook.assign(tokenizer.eval().encode(batch.views[0]))[..., 0]
    assert torch.equal(method.targets(batch).patches, codes[batch.masks[0].hidden])


def test_batch_of_one(build, make_batch, train):
    assert all(math.isfinite(loss) for loss in train(build(), make_batch(1, mask_ratio=0.4), 2))


def test_state_loads_into_a_new_method_and_gives_the_same_numbers(build, make_batch, train, loss_of):
    method, other, batch = build(), build(), make_batch(4, mask_ratio=0.4)
    train(method, batch, steps=3)
    other.load_state_dict(method.state_dict())
    assert torch.equal(loss_of(method, batch), loss_of(other, batch))


def test_code_entropy_is_that_of_the_counted_codes(build, make_batch):
    method, batch = build(), make_batch(8, mask_ratio=0.4, is_partly_observed=True)
    codes = method.targets(batch).patches[batch.masks[0].weight > 0]
    share = torch.bincount(codes) / len(codes)
    torch.testing.assert_close(method.metrics()["code_entropy"], torch.special.entr(share).sum())


def test_aggregation_needs_cls_and_an_early_layer_that_exists(build):
    with pytest.raises(ValueError, match="has_cls"):
        build(BOTH, has_cls=False)
    with pytest.raises(ValueError, match="early_layer"):
        build(BEiT2Config(early_layer=9))
    with pytest.raises(ValueError, match="causal"):
        build(MAIN, scope="causal")


@pytest.mark.slow
def test_predict_and_loss_compile_to_one_graph(build, make_batch):
    method, batch = build(), make_batch(4, mask_ratio=0.4)
    targets = method.targets(batch)

    def step(batch, targets):
        return sum(method.loss(method.predict(batch), targets, batch).values())

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(batch, targets), step(batch, targets))
