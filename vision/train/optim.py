"""Optimiser, and the learning rate as a pure function of the step."""

import difflib
import math
import re
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from vision.config import OptimConfig
from vision.errors import InputError

EMBEDDING = ("patch_embed", "cls_token", "registers", "positions", "mask_token")  # layer 0 of layer decay
_ENCODER = re.compile(r"((?:.*\.)?encoder)\.(?:blocks\.(\d+)\.|(\w+))")  # which one, the number of a block or the part
_MASK_TOKEN = re.compile(r"(?!.*\bdecoder\.)(?:.*\.)?mask_token\b")


def learning_rate_at(step: int, config: OptimConfig) -> float:
    """Learning rate of one step: linear warm-up to the peak, then half a cosine down to the minimum.

    With ``config.decay_share`` the minimum is reached after that share of the run.
    With ``config.drop_at`` it stays at the peak and falls to a tenth at each of these shares of the run.

    Parameters
    ----------
    step : 0 = the first. Warm-up reaches the peak at its last step; the last step of the run has the minimum.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.drop_at:
        drops = sum(step >= share * config.steps for share in config.drop_at)
        return config.learning_rate * 0.1**drops
    length = max(round(config.decay_share * config.steps) - 1 - config.warmup_steps, 1)
    share = min((step - config.warmup_steps) / length, 1.0)
    return _between(config.learning_rate, config.min_learning_rate, share)


def weight_decay_at(step: int, config: OptimConfig) -> float:
    """Weight decay of one step: constant, or half a cosine from the first to the final value (DINO §A)."""
    if config.final_weight_decay is None:
        return config.weight_decay
    share = step / max(config.steps - 1, 1)
    return _between(config.weight_decay, config.final_weight_decay, share)


def make_optimizer(parameters: Iterable[tuple[str, nn.Parameter]], config: OptimConfig) -> torch.optim.AdamW:
    """AdamW in groups of equal decay and rate: matrices decay; biases, gains and everything else of one
    dimension do not, nor what ``config.undecayed`` names.

    Parameters
    ----------
    parameters : (name, parameter) of what is trained.
    """
    named = list(parameters)
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for (name, parameter), scale in zip(named, _rate_scales(named, config), strict=True):
        is_exempt = any(part in config.undecayed for part in name.split("."))
        is_decayed = parameter.ndim > 1 and not is_exempt
        groups.setdefault((is_decayed, scale), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": group, "is_decayed": is_decayed, "rate_scale": scale}
            for (is_decayed, scale), group in sorted(groups.items(), key=lambda item: (not item[0][0], item[0][1]))
        ],
        lr=config.learning_rate,
        betas=config.betas,
        fused=True,  # one kernel for all parameters, on the CPU too
    )


def set_step(optimizer: torch.optim.Optimizer, step: int, config: OptimConfig) -> None:
    """Give the optimiser the learning rate and weight decay of a step."""
    rate, decay = learning_rate_at(step, config), weight_decay_at(step, config)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_scale"]
        group["weight_decay"] = decay if group["is_decayed"] else 0.0


def clip_gradients(parameters: Iterable[tuple[str, nn.Parameter]], config: OptimConfig) -> None:
    """Scale gradients down to norm ``config.clip_norm``: all as one, or each module's, or each tensor's.

    A module is what the first two parts of a name say, as ``student.encoder`` (DINOv2: backbone and heads apart); the
    mask token is of the first encoder, which embeds it.
    """
    if config.clip_norm is None:
        return
    if config.clip == "tensor":
        _clip_each([parameter.grad for _, parameter in parameters if parameter.grad is not None], config.clip_norm)
        return
    named, parts = list(parameters), dict[str, list[nn.Parameter]]()
    encoder = next((name for name, _ in named if _ENCODER.match(name)), "")
    for name, parameter in named:
        owner = encoder if encoder and _MASK_TOKEN.match(name) else name
        parts.setdefault(".".join(owner.split(".")[:2]) if config.clip == "module" else "", []).append(parameter)
    for group in parts.values():
        torch.nn.utils.clip_grad_norm_(group, config.clip_norm, foreach=True)


def _clip_each(gradients: list[torch.Tensor], largest: float) -> None:
    """What ``clip_grad_norm_`` does to each tensor by itself, in a few calls for all of them."""
    if not gradients:
        return
    norms = torch.stack(torch._foreach_norm(gradients))  # pyright: ignore[reportPrivateImportUsage]
    factors = (largest / (norms + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(gradients, factors.unbind())  # pyright: ignore[reportPrivateImportUsage]


def check_undecayed(parameters: Iterable[tuple[str, nn.Parameter]], config: OptimConfig) -> None:
    """InputError for a name in ``config.undecayed`` that no parameter has and no encoder could have."""
    parts = {part for name, _ in parameters for part in name.split(".")}
    for name in config.undecayed:
        if name not in (*parts, *EMBEDDING):
            near = difflib.get_close_matches(name, {*parts, *EMBEDDING}, n=1)
            hint = f"did you mean {near[0]!r}? Else " if near else ""
            raise InputError(
                f"optim.undecayed names {name!r}, which is part of no parameter's name: {hint}leave it out, or give [] "
                "in a YAML file, for none"
            )


def _rate_scales(named: Sequence[tuple[str, nn.Parameter]], config: OptimConfig) -> list[float]:
    """Factor of the rate for each parameter (BEiT, ``optim_factory``; DINOv2, ``param_groups``).

    The embedding is layer 0 of its encoder, block i layer i + 1; the final norm, above the last, keeps the rate, as
    heads, decoders and all else outside of encoders do, but for the mask token, which the first encoder embeds.
    """
    inside = [_ENCODER.match(name) for name, _ in named]
    depths: dict[str, int] = {}
    for found in filter(None, inside):
        depths[found[1]] = max(depths.get(found[1], 0), int(found[2] or -1) + 1)
    scales = []
    for (name, _), found in zip(named, inside, strict=True):
        if found is None:
            below = next(iter(depths.values()), 0) + 1 if _MASK_TOKEN.match(name) else 0
        elif found[2]:
            below = depths[found[1]] - int(found[2])
        else:
            below = depths[found[1]] + 1 if found[3] in EMBEDDING else 0
        is_patches = found is not None and found[3] == "patch_embed"
        scales.append(config.layer_decay**below * (config.embed_rate if is_patches else 1.0))
    return scales


def _between(start: float, end: float, share: float) -> float:
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * share))
