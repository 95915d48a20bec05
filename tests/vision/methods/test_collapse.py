"""What keeps self-distillation from collapse, as runs of seconds: with the centre held at zero the teacher ends with
one constant output, with the centre following it tells the images apart (DINO, Caron et al. 2021, §5.3).
"""

import math

import pytest
import torch

from vision.batch import Batch, Mask
from vision.config import DINOConfig, IBOTConfig, ViTConfig
from vision.methods.dino import DINO
from vision.methods.ibot import IBOT

ENCODER = ViTConfig(patch_size=(2, 3), in_channels=2, dim=16, depth=2, heads=2)
IMAGES = 12
HEAD = {"num_prototypes": 16, "hidden_dim": 16, "bottleneck_dim": 8, "head_layers": 2, "freeze_last_layer": 0.0}
STEADY = {"momentum": 0.99, "final_momentum": 0.99, "teacher_temperature": 0.05, "final_teacher_temperature": 0.05}
FROZEN = 1.0  # center_momentum: the centre stays at zero


def _batch(generator):
    """Two noisy views of four images that have most in common, as a network at its start sees all images."""
    fixed = torch.Generator().manual_seed(9)
    kinds = torch.randn(1, 2, 4, 6, generator=fixed) + 0.35 * torch.randn(4, 2, 4, 6, generator=fixed)
    images = kinds.repeat(IMAGES // 4, 1, 1, 1)
    views = torch.cat([images + 0.15 * torch.randn(images.shape, generator=generator) for _ in range(2)])
    hidden = torch.rand(2 * IMAGES, 4, generator=generator) < 0.3
    return Batch((views,), (Mask.from_hidden(hidden, 4),), (None,), IMAGES)


@torch.no_grad()
def spread_weights(method):
    """Larger weights: std .02 is meant for widths of hundreds; of a small image nothing would reach CLS."""
    for parameter in method.student.parameters():
        if parameter.ndim == 2 and parameter.std() < 0.03:
            parameter.mul_(17 / math.sqrt(parameter.shape[1]))
    method.teacher.update(0.0)


def _run(method, seed, steps=180):
    spread_weights(method)
    optimizer = torch.optim.AdamW([p for _, p in method.parameters_to_train()], lr=3e-4)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        batch = _batch(generator)
        method.begin_step(step / steps)
        loss = sum(method.loss(method.predict(batch), method.targets(batch), batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.end_step()
    return {name: value.item() for name, value in method.metrics().items()}


@pytest.mark.parametrize(("method", "config"), [(DINO, DINOConfig), (IBOT, IBOTConfig)])
def test_without_the_centre_it_collapses_to_a_constant_output_and_with_it_not(method, config):
    told = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        with_centre = method(ENCODER, config(**HEAD, **STEADY))
        torch.manual_seed(seed)
        without = method(ENCODER, config(**HEAD, **STEADY, center_momentum=FROZEN))
        healthy, collapsed = _run(with_centre, seed), _run(without, seed)
        told.append(_told(healthy))
        assert with_centre.warning(healthy) is None
        assert _told(collapsed) < 0.01
        assert collapsed["prototype_usage"] == pytest.approx(1 / IMAGES)
        warning = without.warning(collapsed)
        assert warning is not None
        assert "one prototype to every image" in warning
    assert sum(told) / len(told) > 0.3  # nats, of ln 4 = 1.39 that tell the four images apart
    assert min(told) > 0.05


def _told(figures):
    """What the teacher's output tells of the image: its entropy over the batch less its mean entropy per image."""
    return math.log(figures["prototype_perplexity"]) - figures["teacher_entropy"]
