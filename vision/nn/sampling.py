"""Random choices inside a step that need no generator and no synchronisation: integers hashed on the device.

A choice is a function of (seed, stream) alone, so it is the same on every process and after a resume, and it
compiles.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOW_32_BITS = 0xFFFFFFFF
MULTIPLIER = 0x45D9F3B  # of 27 bits: a product with 32 bits stays within int64


def spread_choice(
    valid: Tensor, count: int, seed: int | Tensor, stream: int, wanted: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """A random choice without repeats among the valid of n places, one for each of ``count`` that is wanted.

    ``valid`` (n,) bool, ``wanted`` (count,) bool or None for all -> choice (count,) long in [0, n), and
    is_repeat (count,) bool: nothing new was left for it, or it was not wanted.
    """
    places = torch.arange(valid.shape[0], device=valid.device)
    keys = _hash(_hash(places) ^ _hash(torch.zeros_like(places) + seed + MULTIPLIER * stream))
    order = keys.masked_fill(~valid, LOW_32_BITS + 1).argsort()  # the valid ones, shuffled, come first
    number = torch.arange(count, device=valid.device) if wanted is None else wanted.cumsum(dim=0) - 1
    num_valid = valid.sum()
    choice = order[number.clamp(min=0) % num_valid.clamp(min=1)]
    is_repeat = number >= num_valid
    return choice, is_repeat if wanted is None else is_repeat | ~wanted


def _hash(value: Tensor) -> Tensor:
    """Integers to well mixed ones of 32 bits (the low-bias multiply and xor-shift of a 32-bit finaliser)."""
    value = value & LOW_32_BITS
    value = ((value ^ (value >> 16)) * MULTIPLIER) & LOW_32_BITS
    value = ((value ^ (value >> 16)) * MULTIPLIER) & LOW_32_BITS
    return value ^ (value >> 16)
