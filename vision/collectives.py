"""Sums over the processes of a run, and over the passes of a step; with one process, or none initialised, and one
pass each is the identity.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn


def world_size() -> int:
    """Processes of the run."""
    return distributed.get_world_size() if _is_distributed() else 1


def rank() -> int:
    """The number of this process, 0 in a run of one."""
    return distributed.get_rank() if _is_distributed() else 0


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum of ``tensor`` over all processes; may work in place."""
    if _is_distributed():
        distributed.all_reduce(tensor)
    return tensor


def mean_over_ranks(tensor: Tensor) -> Tensor:
    """The mean of ``tensor`` over all processes; may work in place.

    A weighted mean divided by this instead of by its own process's weights, then averaged over processes as
    gradients are, is the mean over all places of all processes, however unevenly they are spread.
    """
    return sum_over_ranks(tensor) / world_size() if _is_distributed() else tensor


def max_over_ranks(tensor: Tensor) -> Tensor:
    """The elementwise maximum of ``tensor`` over all processes; may work in place."""
    if _is_distributed():
        distributed.all_reduce(tensor, op=distributed.ReduceOp.MAX)
    return tensor


def gather_over_ranks(tensor: Tensor) -> Tensor:
    """(n, ...) of every process, of one shape, in rank order -> (processes · n, ...), the same everywhere."""
    if not _is_distributed():
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(world_size())]
    distributed.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def copy_from_first(tensor: Tensor) -> Tensor:
    """The values of the first process; may work in place."""
    if _is_distributed():
        distributed.broadcast(tensor, src=0)
    return tensor


class StepSums(nn.Module):
    """Sums over the forward passes of a step, which its last one gets: what moves once a step moves by all of it.

    The trainer sets ``passes``. Between steps it holds nothing, and so nothing of it is in a checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.passes = 1  # forward passes of a step
        self._seen = 0
        self._sums: Tensor | None = None

    def forward(self, sums: Tensor) -> Tensor | None:
        """Sums of one pass -> those of the step over all processes; None = the step has passes to come."""
        total = sums if self._sums is None else self._sums + sums
        self._seen = (self._seen + 1) % self.passes
        self._sums = total if self._seen else None
        return None if self._seen else sum_over_ranks(total)


def split_like(tensor: Tensor, other: Tensor) -> Tensor:
    """``tensor``, the same in every process, split over them as ``other`` is; whole where that is whole."""
    if not hasattr(other, "device_mesh"):  # no DTensor, whose module takes long to import
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(other, DTensor)
    return distribute_tensor(tensor, other.device_mesh, other.placements)


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()
