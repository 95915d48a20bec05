from dataclasses import replace

import pytest
import torch

from vision.config import OptimConfig
from vision.errors import InputError
from vision.train.optim import (
    check_undecayed,
    clip_gradients,
    learning_rate_at,
    make_optimizer,
    set_step,
    weight_decay_at,
)

CONFIG = OptimConfig(
    steps=101,
    warmup_steps=10,
    learning_rate=1.0,
    min_learning_rate=0.1,
    weight_decay=0.04,
    final_weight_decay=0.4,
)


def test_learning_rate_warms_up_to_the_peak_and_ends_at_the_minimum():
    assert learning_rate_at(0, CONFIG) == pytest.approx(0.1)
    assert learning_rate_at(9, CONFIG) == pytest.approx(1.0)
    assert learning_rate_at(10, CONFIG) == pytest.approx(1.0)
    assert learning_rate_at(55, CONFIG) == pytest.approx(0.55)  # half of the cosine
    assert learning_rate_at(100, CONFIG) == pytest.approx(0.1)
    rates = [learning_rate_at(step, CONFIG) for step in range(10, 101)]
    assert rates == sorted(rates, reverse=True)


def test_the_minimum_can_be_reached_before_the_end():
    config = replace(CONFIG, steps=200, decay_share=0.5)
    assert learning_rate_at(9, config) == pytest.approx(1.0)
    assert learning_rate_at(98, config) > 0.1001
    assert [learning_rate_at(step, config) for step in (99, 150, 199)] == pytest.approx([0.1] * 3)


def test_run_of_one_step_and_warmup_as_long_as_the_run():
    assert learning_rate_at(0, OptimConfig(steps=1, warmup_steps=0, learning_rate=1.0)) == pytest.approx(1.0)
    assert learning_rate_at(4, OptimConfig(steps=5, warmup_steps=5, learning_rate=1.0)) == pytest.approx(1.0)


def test_weight_decay_is_constant_or_follows_a_cosine():
    assert weight_decay_at(0, CONFIG) == pytest.approx(0.04)
    assert weight_decay_at(50, CONFIG) == pytest.approx(0.22)
    assert weight_decay_at(100, CONFIG) == pytest.approx(0.4)
    assert {weight_decay_at(step, OptimConfig(weight_decay=0.05)) for step in (0, 50, 9999)} == {0.05}


def test_matrices_decay_and_vectors_and_biases_do_not():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    optimizer = make_optimizer(module.named_parameters(), CONFIG)
    set_step(optimizer, 100, CONFIG)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay[id(module[0].weight)] == pytest.approx(0.4)
    assert {decay[id(p)] for p in (module[0].bias, module[1].weight, module[1].bias)} == {0.0}
    assert all(group["lr"] == pytest.approx(0.1) for group in optimizer.param_groups)


def test_no_empty_group():
    bias = torch.nn.Parameter(torch.zeros(2))
    assert len(make_optimizer([("bias", bias)], CONFIG).param_groups) == 1


def test_the_rate_follows_the_samples_per_step():
    config = OptimConfig(learning_rate=1.5e-4, reference_batch=256)
    assert config.at_batch(4096).learning_rate == pytest.approx(2.4e-3)  # MAE
    assert OptimConfig(learning_rate=4e-3, reference_batch=1024, scaling="sqrt").at_batch(
        4096
    ).learning_rate == pytest.approx(8e-3)  # DINOv2
    assert config.at_batch(512).at_batch(999) == config.at_batch(512)  # scaled once


def test_a_rate_in_steps_falls_to_a_tenth():
    config = OptimConfig(steps=800, warmup_steps=10, learning_rate=1.0, drop_at=(700 / 800,))  # SimMIM
    assert [learning_rate_at(step, config) for step in (10, 699, 700, 799)] == pytest.approx([1, 1, 0.1, 0.1])


class Nested(torch.nn.Module):
    """Names as a method has them: student.encoder.blocks.0.weight, student.head.weight, ..."""

    def __init__(self):
        super().__init__()
        encoder = torch.nn.Module()
        encoder.patch_embed, encoder.norm = torch.nn.Linear(2, 2), torch.nn.LayerNorm(2)
        encoder.cls_token = torch.nn.Parameter(torch.ones(1, 2))
        encoder.blocks = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(2))
        self.student = torch.nn.ModuleDict({"encoder": encoder, "head": torch.nn.Linear(2, 2)})


def test_layer_decay_slows_what_is_near_the_input():
    module, config = Nested(), OptimConfig(learning_rate=1.0, layer_decay=0.5, embed_rate=0.2, warmup_steps=0)
    optimizer = make_optimizer(module.named_parameters(), config)
    set_step(optimizer, 0, config)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    rates = {name: rate[id(p)] for name, p in module.named_parameters() if not name.endswith("bias")}
    assert rates == pytest.approx(
        {
            "student.encoder.cls_token": 0.125,
            "student.encoder.patch_embed.weight": 0.025,
            "student.encoder.norm.weight": 1.0,
            "student.encoder.blocks.0.weight": 0.25,
            "student.encoder.blocks.1.weight": 0.5,
            "student.head.weight": 1.0,
        }
    )


def test_decoders_keep_the_rate_and_each_encoder_counts_its_own_layers():
    names = """
    model.encoder.patch_embed.projection.weight 0.25 0.2
    model.encoder.positions.table 0.25 1
    model.encoder.blocks.0.mlp.weight 0.5 1
    model.encoder.norm.weight 1 1
    model.mask_token.weight 0.25 1
    model.head.weight 1 1
    tokenizer.encoder.patch_embed.projection.weight 0.0625 0.2
    tokenizer.encoder.blocks.0.mlp.weight 0.125 1
    tokenizer.encoder.blocks.2.mlp.weight 0.5 1
    tokenizer.encoder.relative.table 1 1
    decoder.mask_token.weight 1 1
    decoder.positions.table 1 1
    decoder.vit.patch_embed.projection.weight 1 1
    decoder.vit.blocks.0.mlp.weight 1 1
    """
    rows = [line.split() for line in names.split("\n") if line.strip()]
    named = [(name, torch.nn.Parameter(torch.ones(2, 2))) for name, _, _ in rows]
    optimizer = make_optimizer(named, OptimConfig(layer_decay=0.5, embed_rate=0.2))
    scale = {id(part): group["rate_scale"] for group in optimizer.param_groups for part in group["params"]}
    found = {name: scale[id(part)] for name, part in named}
    assert found == pytest.approx({name: float(layer) * float(patches) for name, layer, patches in rows})


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("none",), "names 'none', which is part of no parameter's name: leave it out, or give"),
        (("cls_token", "weigth"), "names 'weigth', which is part of no parameter's name: did you mean 'weight'"),
    ],
)
def test_undecayed_names_that_no_parameter_has_are_refused(names, said):
    with pytest.raises(InputError, match=said):
        check_undecayed(Nested().named_parameters(), OptimConfig(undecayed=names))


def test_undecayed_names_of_parameters_and_of_what_an_encoder_may_lack_are_taken():
    check_undecayed(Nested().named_parameters(), OptimConfig(undecayed=("head", "cls_token", "mask_token")))


def test_named_tokens_are_exempt_from_decay():
    module, config = Nested(), OptimConfig(weight_decay=0.05, undecayed=("cls_token",))
    optimizer = make_optimizer(module.named_parameters(), config)
    set_step(optimizer, 0, config)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay[id(module.student["encoder"].cls_token)] == 0
    assert decay[id(module.student["head"].weight)] == 0.05


@pytest.mark.parametrize(("clip", "norms"), [("global", 1), ("module", 2), ("tensor", 11)])
def test_gradients_are_clipped_as_one_by_module_or_by_tensor(clip, norms):
    module = Nested()
    for parameter in module.parameters():
        parameter.grad = torch.full_like(parameter, 100.0)
    clip_gradients(module.named_parameters(), OptimConfig(clip_norm=1.0, clip=clip))
    total = torch.stack([p.grad.square().sum() for p in module.parameters()]).sum()
    assert total.item() == pytest.approx(norms, rel=1e-3)


def test_the_mask_token_is_clipped_with_the_encoder_that_embeds_it():
    """As in DINOv2, where it is a part of the backbone: 3 and 4 become .6 and .8; apart, each would become 1."""
    names = ("student.encoder.blocks.0.norm1.weight", "student.head.mlp.0.weight", "mask_token.weight")
    named = [(name, torch.nn.Parameter(torch.zeros(1))) for name in names]
    for (_, parameter), gradient in zip(named, (3e4, 100.0, 4e4), strict=True):
        parameter.grad = torch.tensor([gradient])
    clip_gradients(named, OptimConfig(clip_norm=1.0, clip="module"))
    assert [float(parameter.grad) for _, parameter in named] == pytest.approx([0.6, 1.0, 0.8], rel=1e-3)


def test_each_tensor_is_clipped_as_by_itself_and_what_has_no_gradient_is_left():
    torch.manual_seed(0)
    named = [(str(number), torch.nn.Parameter(torch.zeros(number, 3))) for number in range(1, 6)]
    clip_gradients(named, OptimConfig(clip_norm=1.0, clip="tensor"))
    for number, (_, parameter) in enumerate(named[1:]):
        parameter.grad = torch.randn(parameter.shape) * 0.1**number
    expected = [torch.nn.Parameter(torch.zeros_like(parameter)) for _, parameter in named[1:]]
    for one, (_, parameter) in zip(expected, named[1:], strict=True):
        one.grad = parameter.grad.clone()
        torch.nn.utils.clip_grad_norm_(one, 1.0)
    clip_gradients(named, OptimConfig(clip_norm=1.0, clip="tensor"))
    assert named[0][1].grad is None
    assert all(torch.equal(p.grad, one.grad) for (_, p), one in zip(named[1:], expected, strict=True))


def test_the_least_rate_is_never_scaled():
    config = OptimConfig(learning_rate=1e-3, reference_batch=256, min_learning_rate=1e-6).at_batch(1024)
    assert (config.learning_rate, config.min_learning_rate) == (4e-3, 1e-6)


def test_matrices_decay_and_vectors_do_not_whatever_their_names():
    named = [("a.weight", torch.nn.Parameter(torch.ones(2, 3))), ("a.bias", torch.nn.Parameter(torch.ones(3)))]
    named.append(("norm.weight", torch.nn.Parameter(torch.ones(3))))
    groups = make_optimizer(named, CONFIG).param_groups
    shapes = {group["is_decayed"]: [tuple(part.shape) for part in group["params"]] for group in groups}
    assert shapes == {True: [(2, 3)], False: [(3,), (3,)]}
