"""A step of several passes is that of one batch as large."""

import dataclasses

import pytest
import torch

from tests.vision.view_makers import SingleView
from vision.batch import Batch
from vision.collectives import StepSums
from vision.config import DVAEConfig, SimMIMConfig, ViTConfig
from vision.masks import RandomMask
from vision.methods.base import Method
from vision.methods.dvae import DVAE
from vision.methods.simmim import SimMIM
from vision.nn.block import DropPath
from vision.train.fit import fit


@pytest.mark.parametrize("name", ["ibot", "vqkd"])
def test_centres_and_codebook_move_once_a_step_by_all_its_passes(build, dataset, config, tmp_path, name):
    found = []
    for accumulate in (1, 3):
        still = dataclasses.replace(config, steps=2, learning_rate=0.0, min_learning_rate=0.0, weight_decay=0.0)
        still = dataclasses.replace(still, final_weight_decay=None, batch_size=6 // accumulate, accumulate=accumulate)
        method, views = build(name)
        if name == "vqkd":
            method.tokenizer.codebook.is_started = True  # else k-means looks at the first pass alone
        for block in [part for part in method.modules() if isinstance(part, DropPath)]:
            block.rate = 0.0
        fit(method, dataset, views, still, seed=0, out=tmp_path, name=str(accumulate), progress=False)
        assert {part.passes for part in method.modules() if isinstance(part, StepSums)} == {1}  # as it was
        found.append(method.state_dict())
    moved = build(name)[0].state_dict()
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, msg=key)
        is_statistic = "center" in key or key.startswith("tokenizer.codebook")
        assert is_statistic != torch.equal(value, moved[key]), key


def test_accumulated_passes_are_averaged_into_one_step(dataset, config, tmp_path):
    class Mean(Method):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(9))

        def targets(self, batch):
            return batch.views[0][:, 0].mean(1)

        def predict(self, batch):
            return self.weight

        def loss(self, predictions, targets, batch):
            return {"square": (predictions - targets).square().mean()}

    weights, losses = [], []
    for batch_size, accumulate in ((8, 1), (2, 4)):
        method, part = Mean(), dataclasses.replace(config, batch_size=batch_size, accumulate=accumulate)
        views = SingleView((4, 9), (2, 3))
        result = fit(method, dataset, views, part, seed=1, out=tmp_path, name="m", progress=False, log_every=1)
        weights.append(method.weight.detach())
        losses.append(result.metrics["loss"])
    assert weights[0].abs().min() > 0
    torch.testing.assert_close(*weights)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)  # what is told is the mean over the passes


def test_a_step_of_several_batches_counts_places_alike_however_many_each_observed(dataset, config, tmp_path):
    """Half of the images are observed in two patches of six alone: a plain mean of means would favour them."""

    class Sparse(type(dataset)):
        def __getitem__(self, index):
            image, observed = super().__getitem__(index)
            return image, observed & (torch.arange(9) < 3) if index % 2 else observed

    encoder = ViTConfig(patch_size=(2, 3), in_channels=1, dim=16, depth=2, heads=2)
    weights = {}
    for batch_size, accumulate in ((8, 1), (1, 8)):
        torch.manual_seed(0)
        method = SimMIM(encoder, SimMIMConfig())
        part = dataclasses.replace(config, steps=4, batch_size=batch_size, accumulate=accumulate)
        views = SingleView((4, 9), (2, 3), RandomMask(0.5))
        fit(method, Sparse(), views, part, seed=1, out=tmp_path, name="m", progress=False, accelerator="cpu")
        weights[accumulate] = method.encoder.blocks[0].mlp[0].weight.detach()
    torch.testing.assert_close(weights[8], weights[1], rtol=0, atol=2e-5)


def test_passes_of_a_dvae_weigh_by_the_pixels_observed():
    torch.manual_seed(0)
    encoder = ViTConfig(patch_size=(2, 3), in_channels=2, dim=16, depth=1, heads=2, has_cls=False)
    method = DVAE(encoder, DVAEConfig(num_codes=8, code_dim=8, decoder_depth=1, likelihood="squared"))
    images, observed = torch.randn(4, 2, 4, 9), torch.ones(4, 4, 9, dtype=torch.bool)
    observed[2:] = torch.rand(2, 4, 9) < 0.3

    def gradient(*passes):
        method.zero_grad()
        total = torch.zeros(())
        for part in passes:
            batch = Batch((images[part],), (None,), (observed[part],), len(images[part]))
            targets = method.targets(batch)
            places = method.num_places(targets, batch)
            (sum(method.loss(method.predict(batch), targets, batch).values()) * places).backward()
            total += places
        return torch.cat([p.grad.flatten() / total for p in method.parameters() if p.grad is not None])

    method.eval()  # no noise; the KL starts at 0
    torch.testing.assert_close(gradient(slice(2), slice(2, 4)), gradient(slice(4)))


def test_a_dvae_counts_its_codes_once_a_step_over_all_passes(dataset, config, tmp_path):
    encoder, found = ViTConfig(patch_size=(2, 3), in_channels=1, dim=16, depth=1, heads=2, has_cls=False), []
    for accumulate in (1, 3):
        torch.manual_seed(0)
        method = DVAE(encoder, DVAEConfig(num_codes=8, code_dim=8, decoder_depth=1))
        still = dataclasses.replace(config, steps=2, learning_rate=0.0, min_learning_rate=0.0)
        still = dataclasses.replace(still, batch_size=6 // accumulate, accumulate=accumulate)
        fit(method, dataset, SingleView((4, 9), (2, 3)), still, seed=0, out=tmp_path, name="d", progress=False)
        found.append(method.usage)
    assert int(found[0].updates) == int(found[1].updates) == 2
    assert found[0].frequencies.any()
    torch.testing.assert_close(found[1].frequencies, found[0].frequencies)
    assert torch.equal(found[1].unused_for, found[0].unused_for)
