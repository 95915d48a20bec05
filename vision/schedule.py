"""Schedules as pure functions of progress, the share of the run that is done: resume and plot come free."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class CosineSchedule:
    """Linear warm-up from ``warmup_start``, then half a cosine from ``start`` to ``end`` (``cosine_scheduler`` of
    DINO, as a function).

    Unlike the official array, the value at progress 1 is exactly ``end``.
    """

    start: float
    end: float
    warmup: float = 0.0  # share of the run, in [0, 1]
    warmup_start: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"CosineSchedule.warmup is {self.warmup}, expected a share of the run in [0, 1]")

    def __call__(self, progress: float) -> float:
        """The value when ``progress`` in [0, 1] of the run is done; outside it the nearest end holds."""
        progress = min(max(progress, 0.0), 1.0)
        if progress < self.warmup:
            return self.warmup_start + (self.start - self.warmup_start) * progress / self.warmup
        rest = (progress - self.warmup) / (1.0 - self.warmup) if self.warmup < 1 else 0.0
        return self.end + 0.5 * (self.start - self.end) * (1 + math.cos(math.pi * rest))


def warmed_up(start: float, end: float, share: float) -> CosineSchedule:
    """From ``start`` to ``end`` over the first ``share`` of the run, then constant: DINO's teacher temperature."""
    return CosineSchedule(start=end, end=end, warmup=share, warmup_start=start)


class Scheduled(nn.Module):
    """A scheduled scalar kept as a 0-d buffer: the compiled step reads a tensor and is not compiled anew."""

    value: Tensor

    def __init__(self, schedule: Callable[[float], float]) -> None:
        super().__init__()
        self.schedule = schedule
        self.register_buffer("value", torch.tensor(float(schedule(0.0))), persistent=False)  # follows from progress

    def update(self, progress: float) -> None:
        """Set the value for ``progress`` in [0, 1]; a fill on the device, no synchronisation."""
        self.value.fill_(self.schedule(progress))

    def forward(self) -> Tensor:
        """The current value, 0-d."""
        return self.value
