"""FSDP in one process: the same names and numbers, parameters in parts, and whole tensors in every file."""

import copy

import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from lightning.pytorch.utilities import rank_zero_only
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, distribute_tensor

from vision.config import OptimConfig
from vision.data.loader import make_loader
from vision.train.fit import make_strategy, make_trainer
from vision.train.module import PretrainModule
from vision.train.optim import clip_gradients, make_optimizer, set_step
from vision.train.shard import load_optimizer, own_part, shard, whole


@pytest.fixture
def mesh(tmp_path):
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def _walk(module, optimizer, batches, config):
    for step, batch in enumerate(batches):
        module.method.begin_step(step / len(batches))
        module.training_step(batch, step).backward()
        clip_gradients(module.method.parameters_to_train(), config)
        set_step(optimizer, step, config)
        optimizer.step()
        optimizer.zero_grad()
        module.method.end_step()


def test_what_is_split_learns_the_same_and_is_whole_in_a_file(mesh, build, dataset, config):
    method, views = build("ibot")
    loader = make_loader(dataset, views, 4, 0, 8, 0, 0)
    batches = list(loader)
    states = []
    for is_split in (False, True):
        torch.manual_seed(0)
        module = PretrainModule(copy.deepcopy(method), config, 0, 0, lambda *_: loader)
        if is_split:
            shard(module, mesh, "training_step")
        optimizer = make_optimizer(module.method.parameters_to_train(), config)
        _walk(module, optimizer, batches, config)
        assert all(isinstance(p, DTensor) == is_split for p in module.parameters())
        assert not any(isinstance(own_part(p), DTensor) for p in module.parameters())
        states.append((whole(dict(module.method.state_dict())), whole(optimizer.state_dict())))
    (plain, moments), (split, split_moments) = states
    assert plain.keys() == split.keys()
    assert not any(isinstance(value, DTensor) for value in split.values())
    for key, value in plain.items():
        torch.testing.assert_close(split[key], value, msg=key)
    torch.testing.assert_close(split_moments["state"], moments["state"])

    again = make_optimizer(module.method.parameters_to_train(), config)
    load_optimizer(again, moments)  # of the run that was not split
    held = [value for own in again.state.values() for value in own.values() if value.ndim]
    assert held
    assert all(isinstance(value, DTensor) for value in held)
    _walk(module, again, batches[:1], config)


def test_a_process_that_writes_nothing_gathers_and_keeps_nothing(mesh, monkeypatch):
    parts = {"weight": distribute_tensor(torch.arange(6.0).view(3, 2), mesh), "moments": [torch.ones(2)], "step": 3}
    gathered, full_tensor = [], DTensor.full_tensor
    monkeypatch.setattr(DTensor, "full_tensor", lambda self: gathered.append(self) or full_tensor(self))
    kept, dropped = whole(parts), whole(parts, is_kept=False)
    assert kept["weight"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert dropped["weight"].numel() == 0
    assert len(gathered) == 2  # else the others would wait for it
    assert kept["step"] == dropped["step"] == 3
    assert torch.equal(dropped["moments"][0], torch.ones(2))


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_nodes_are_passed_on_and_count_in_the_ranks(strategy, tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # Lightning sets it, here for a process of another machine
    monkeypatch.setenv("NODE_RANK", "1")
    trainer = make_trainer(OptimConfig(), tmp_path, 1, "cpu", 2, 3, strategy)
    assert (trainer.num_nodes, trainer.world_size, trainer.global_rank) == (3, 6, 2)
    assert not trainer.is_global_zero
    if strategy == "fsdp":
        assert trainer.strategy._data_parallel_size == 6


def test_strategies_have_a_name():
    assert isinstance(make_strategy("ddp", 2), DDPStrategy)
    assert isinstance(make_strategy("fsdp", 2), ModelParallelStrategy)
