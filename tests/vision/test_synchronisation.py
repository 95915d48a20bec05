"""No part of a step asks the device for a value: on fake tensors, which have none, a step runs through."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vision import losses
from vision.config import CodebookConfig, ViTConfig
from vision.nn.decoder import TokenDecoder
from vision.nn.heads import DINOHead
from vision.nn.tokenizer import Tokenizer
from vision.targets import Centering, SinkhornKnopp, normalise_patches


@pytest.mark.parametrize("attention", ["joint", "axial"])
def test_a_step_of_every_part_runs_without_values(attention, monkeypatch):
    monkeypatch.setattr(
        torch.nn.init, "trunc_normal_", torch.nn.init.normal_
    )  # it looks at values, at build time
    encoder = ViTConfig(
        patch_size=(1, 5), in_channels=2, dim=16, heads=2, depth=2, attention=attention, drop_path=0.1
    )
    with FakeTensorMode():
        tokenizer = Tokenizer(encoder, CodebookConfig(num_codes=8, dim=4, levels=2, revive_after=1)).train()
        decoder = TokenDecoder(4, 16, 1, 2, 10)
        head, centering, sinkhorn = DINOHead(16, 8, 16, 8), Centering(8).train(), SinkhornKnopp()
        images, valid = torch.randn(2, 2, 4, 15), torch.ones(2, 4, 15, dtype=torch.bool)
        grid = tokenizer.encoder.grid(images)
        seen = grid.pool_any(valid)
        quantized = tokenizer.quantize(tokenizer.encode(images, valid), seen)
        decoded = decoder(quantized.quantized, grid, seen)
        target = normalise_patches(grid.patchify(images))
        student = head(tokenizer.encoder(images, valid).patches)
        goal = student.detach()
        views = student.transpose(0, 1)
        total = (
            losses.masked_mse(decoded, target, seen)
            + losses.cosine_distance(decoded, target, seen)
            + losses.masked_cross_entropy(student, quantized.codes[..., 0], seen)
            + losses.patch_cross_entropy(student, centering(goal, 0.1, seen), seen)
            + losses.view_cross_entropy(views, sinkhorn(goal, 0.1, seen).transpose(0, 1))
            + losses.koleo(student.flatten(0, 1))
            + quantized.commitment
        )
        total.backward()
        assert total.shape == ()


def test_the_check_can_fail():
    with (
        FakeTensorMode(),
        pytest.raises(Exception, match=r"data-dependent|DataDependent|aten\._local_scalar_dense"),
    ):
        torch.ones(3).sum().item()
