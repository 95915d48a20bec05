import pytest
import torch

from vision.config import OptimConfig
from vision.train.optim import learning_rate_at, make_optimizer, set_step, weight_decay_at

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
