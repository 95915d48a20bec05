"""Frozen copies of networks: one that stays as it is, and the momentum teacher, which follows its student."""

from __future__ import annotations

import copy
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor, nn

Copied = TypeVar("Copied", bound=nn.Module)


class Frozen(nn.Module, Generic[Copied]):
    """A copy, ``module``, that never trains: no gradient, always in eval mode, whatever its parent is told."""

    module: Copied

    def __init__(self, module: Copied) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.train(False)

    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.module(*inputs, **options)

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode: without stochastic depth, and a tokenizer does not move its codebook."""
        return super().train(False)


class EMATeacher(Frozen[Copied]):
    """An exact copy of the student, head and all, moved by ``update`` after the optimiser's step (DINO,
    §3.1).

    Parameters follow; buffers keep what they were at the copy.
    """

    def __init__(self, student: Copied) -> None:
        super().__init__(student)
        self._student = (student,)  # a tuple, so that the student is not a child of its teacher

    @torch.no_grad()
    def update(self, momentum: float) -> None:
        """weight ← momentum · weight + (1 − momentum) · the student's; 1 leaves the teacher untouched."""
        ours: list[Tensor] = list(self.module.parameters())
        theirs: list[Tensor] = list(self._student[0].parameters())
        torch._foreach_lerp_(ours, theirs, 1.0 - momentum)  # pyright: ignore[reportPrivateImportUsage]
