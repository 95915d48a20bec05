"""The momentum teacher: a frozen copy in eval mode whose weights follow the student's."""

from __future__ import annotations

import copy
from typing import Any, Self

import torch
from torch import Tensor, nn


class EMATeacher(nn.Module):
    """An exact copy of the student, head and all, moved by ``update`` after the optimiser's step (DINO,
    §3.1).

    Parameters follow; buffers keep what they were at the copy. It never trains: no gradient, and always in
    eval mode, so without stochastic depth. The copy is ``module``.
    """

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(student).requires_grad_(False)
        self._student = (student,)  # a tuple, so that the student is not a child of its teacher
        self.train(False)

    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.module(*inputs, **options)

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode whatever is asked, as the parent's ``train()`` reaches here too."""
        return super().train(False)

    @torch.no_grad()
    def update(self, momentum: float) -> None:
        """weight ← momentum · weight + (1 − momentum) · the student's; 1 leaves the teacher untouched."""
        ours: list[Tensor] = list(self.module.parameters())
        theirs: list[Tensor] = list(self._student[0].parameters())
        torch._foreach_lerp_(ours, theirs, 1.0 - momentum)  # pyright: ignore[reportPrivateImportUsage]
