"""Optimiser, and the learning rate as a pure function of the step."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from vision.config import OptimConfig


def learning_rate_at(step: int, config: OptimConfig) -> float:
    """Learning rate of one step: linear warm-up to the peak, then half a cosine down to the minimum.

    Parameters
    ----------
    step : 0 = the first. Warm-up reaches the peak at its last step; the last step of the run has the minimum.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    return _cosine(step, config, config.learning_rate, config.min_learning_rate)


def weight_decay_at(step: int, config: OptimConfig) -> float:
    """Weight decay of one step: constant, or half a cosine from the first to the final value (DINO §A)."""
    if config.final_weight_decay is None:
        return config.weight_decay
    share = step / max(config.steps - 1, 1)
    return _between(config.weight_decay, config.final_weight_decay, share)


def make_optimizer(parameters: Iterable[tuple[str, nn.Parameter]], config: OptimConfig) -> torch.optim.AdamW:
    """AdamW in two groups: matrices decay; biases, gains and everything else of one dimension do not.

    Parameters
    ----------
    parameters : (name, parameter) of what is trained.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in parameters:
        (plain if parameter.ndim <= 1 or name.endswith(".bias") else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay, "is_decayed": True},
        {"params": plain, "weight_decay": 0.0, "is_decayed": False},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        fused=True,  # one kernel for all parameters, on the CPU too
    )


def set_step(optimizer: torch.optim.Optimizer, step: int, config: OptimConfig) -> None:
    """Give the optimiser the learning rate and weight decay of a step."""
    rate, decay = learning_rate_at(step, config), weight_decay_at(step, config)
    for group in optimizer.param_groups:
        group["lr"] = rate
        group["weight_decay"] = decay if group["is_decayed"] else 0.0


def _cosine(step: int, config: OptimConfig, start: float, end: float) -> float:
    length = max(config.steps - 1 - config.warmup_steps, 1)
    return _between(start, end, min((step - config.warmup_steps) / length, 1.0))


def _between(start: float, end: float, share: float) -> float:
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * share))
