"""FSDP: weights, gradients and the optimiser's state in parts, one on each device (Zhao et al. 2023, PyTorch's FSDP2).

Parameters become DTensors of the same names and shapes, split along their first dimension, so that the optimiser, the
clipping and the momentum of a teacher work on them as they are. Files hold whole tensors: a run may go on under
another strategy, or on another number of devices.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from vision.nn.block import Block

Nested = TypeVar("Nested")


def shard(module: nn.Module, mesh: DeviceMesh, step: str) -> None:
    """Split ``module`` over the devices of ``mesh``: each transformer block by itself, and what is left together.

    ``step`` names the method of ``module`` that computes the loss; the weights are whole while it runs.
    """
    for block in [child for child in module.modules() if isinstance(child, Block)]:
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
    register_fsdp_forward_method(module, step)


def whole(state: Nested, *, is_kept: bool = True) -> Nested:
    """``state`` with every tensor in one piece, on the CPU. Without FSDP nothing changes.

    Tensors are gathered one by one, so that no device ever holds more than one of them whole. Every process must call
    it; where the result is not ``is_kept`` the gathered tensors are empty.
    """
    if isinstance(state, DTensor):
        gathered = state.full_tensor()
        return gathered.cpu() if is_kept else torch.empty(0)  # pyright: ignore[reportReturnType]
    if isinstance(state, dict):
        return {key: whole(value, is_kept=is_kept) for key, value in state.items()}  # pyright: ignore[reportReturnType]
    if isinstance(state, list):
        return [whole(value, is_kept=is_kept) for value in state]  # pyright: ignore[reportReturnType]
    return state


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of ``tensor``: all of it without FSDP."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a state of whole tensors, split as the parameters are."""
    optimizer.load_state_dict(state)
    for parameter, moments in optimizer.state.items():
        if not isinstance(parameter, DTensor):
            continue
        for name, moment in moments.items():
            if isinstance(moment, Tensor) and moment.shape == parameter.shape:
                moments[name] = distribute_tensor(moment, parameter.device_mesh, parameter.placements)
