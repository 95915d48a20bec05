"""No part of a step asks the device for a value: on fake tensors, which have none, a step runs through."""

import dataclasses

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from vision import losses
from vision.batch import Batch, Mask
from vision.config import (
    BEiTConfig,
    CodebookConfig,
    ColorConfig,
    DVAEConfig,
    OnlineTokenizerConfig,
    ViewsConfig,
    ViTConfig,
)
from vision.data.augment import ImageViews
from vision.evaluate.config import FinetuneConfig, SegmentConfig
from vision.evaluate.finetune import Classifier, finetune
from vision.evaluate.segment import segment
from vision.evaluate.segment_heads import Segmenter
from vision.methods import METHODS
from vision.methods.codes import MaskedCodeModel
from vision.nn.decoder import TokenDecoder
from vision.nn.dvae import DiscreteVAE
from vision.nn.heads import DINOHead
from vision.nn.tokenizer import Tokenizer
from vision.nn.vit import VisionTransformer
from vision.targets import Centering, SinkhornKnopp, normalise_patches


@pytest.mark.parametrize("attention", ["joint", "axial"])
def test_a_step_of_every_part_runs_without_values(attention, monkeypatch):
    monkeypatch.setattr(torch.nn.init, "trunc_normal_", torch.nn.init.normal_)  # it looks at values, at build time
    encoder = ViTConfig(patch_size=(1, 5), in_channels=2, dim=16, heads=2, depth=2, attention=attention, drop_path=0.1)
    with FakeTensorMode():
        tokenizer = Tokenizer(encoder, CodebookConfig(num_codes=8, dim=4, levels=2, revive_after=1)).train()
        decoder = TokenDecoder(encoder, 4, 1, 10)
        head, centering, sinkhorn = DINOHead(16, 8, 16, 8), Centering(8).train(), SinkhornKnopp()
        images, valid = torch.randn(2, 2, 4, 15), torch.ones(2, 4, 15, dtype=torch.bool)
        grid = tokenizer.encoder.grid(images)
        seen = grid.pool_any(valid)
        mask = Mask(seen, torch.arange(seen.numel()), seen.flatten().float(), grid.num_patches)
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
            + losses.patch_cross_entropy(student.flatten(0, 1), centering(goal, 0.1, seen).flatten(0, 1), mask.share())
            + losses.view_cross_entropy(views, sinkhorn(goal, 0.1, seen).transpose(0, 1))
            + losses.koleo(student.flatten(0, 1))
            + quantized.commitment
        )
        total.backward()
        assert total.shape == ()


class NoValues(TorchDispatchMode):
    """Raises when a value, or a shape that depends on values, is asked for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero):
            raise AssertionError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["dvae", "beit", "online_tokenizer"])
def test_a_step_of_a_method_with_codes_asks_for_no_value(name):
    encoder = ViTConfig(patch_size=(1, 5), in_channels=2, dim=16, heads=2, depth=1)
    dvae = DVAEConfig(num_codes=8, code_dim=4, decoder_depth=1)
    online = OnlineTokenizerConfig(num_codes=8, code_dim=4, tokenizer_depth=1)
    parts = {"dvae": (dvae,), "beit": (BEiTConfig(), DiscreteVAE(encoder, dvae)), "online_tokenizer": (online,)}
    method = METHODS[name](encoder, *parts[name]).train()
    mask = Mask.from_hidden(torch.arange(12).expand(3, 12) < 4, 4)
    batch = Batch((torch.randn(3, 2, 4, 15),), (mask,), (torch.ones(3, 4, 15, dtype=torch.bool),), 3)
    with NoValues():
        method.begin_step(0.3)
        terms = method.loss(method.predict(batch), method.targets(batch), batch)
        torch.stack(list(terms.values())).sum().backward()
        method.end_step()
    with NoValues(), pytest.raises(AssertionError, match="waits"):
        torch.ones(2).sum().item()


@pytest.mark.parametrize("has_gaps", [False, True])
@pytest.mark.parametrize("kind", [Classifier, Segmenter])
def test_a_step_of_an_evaluation_asks_for_no_value_where_it_is_told_of_gaps(kind, has_gaps):
    encoder = VisionTransformer(ViTConfig(patch_size=(1, 5), in_channels=2, dim=16, heads=2, depth=1))
    network = kind(encoder, 3, FinetuneConfig() if kind is Classifier else SegmentConfig(head="linear")).train()
    images = torch.randn(3, 2, 4, 15)
    if has_gaps:
        images[0, :, 1, 3:12] = torch.nan
    with NoValues():
        network(images, has_gaps).sum().backward()
    with NoValues(), pytest.raises(AssertionError, match="waits"):
        network(images)


@pytest.mark.parametrize("kind", [Classifier, Segmenter])
def test_evaluations_tell_their_networks_of_gaps(kind, monkeypatch):
    told, forward = [], kind.forward

    def spy(self, images, has_gaps=None):
        if self.training:
            told.append((bool(images.isnan().any()), has_gaps))
        return forward(self, images, has_gaps)

    monkeypatch.setattr(kind, "forward", spy)
    encoder = VisionTransformer(ViTConfig(patch_size=(1, 5), in_channels=2, dim=16, heads=2, depth=1))
    images, labels = torch.randn(4, 2, 4, 15), torch.tensor([0, 1, 0, 1])
    images[0, :, 1, 3:12] = torch.nan
    if kind is Classifier:
        finetune(encoder, images, labels, images, labels, FinetuneConfig(epochs=2, batch_size=2))
    else:
        masks = labels[:, None, None].expand(4, 4, 15)
        segment(encoder, images, masks, images, masks, 2, SegmentConfig(head="linear", steps=4, batch_size=2))
    assert sorted(told) == [(False, False)] * 2 + [(True, True)] * 2


class NoCopies(NoValues):
    """Raises when something is copied from the host to the device, too: an index that is a Python sequence is."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put_):
            raise AssertionError(f"{func} may wait for the device")
        made = super().__torch_dispatch__(func, types, args, kwargs)
        tensors = [part for part in (*args, made) if isinstance(part, torch.Tensor) and part.ndim]
        if len({tensor.device for tensor in tensors}) > 1:
            raise AssertionError(f"{func} waits for the device")
        return made


@pytest.mark.parametrize("is_encoded", [True, False])
def test_views_are_made_without_a_copy_from_the_host(is_encoded):
    color = ColorConfig(jitter=1.0, grayscale=1.0, blur=(1.0, 1.0, 1.0), solarize=(1.0, 1.0, 1.0))
    config = ViewsConfig(num_global=2, num_local=1, local_size=(4, 6), color=color)
    views, rng = ImageViews((8, 12), (2, 3), config, [0.5] * 3, [0.25] * 3), np.random.default_rng(0)
    image = torch.zeros(3, 10, 12, dtype=torch.uint8 if is_encoded else torch.float32)
    observed = None if is_encoded else torch.ones(10, 12, dtype=torch.bool)
    planned = views.collate([views(image, observed, rng) for _ in range(2)])
    planned = tree_map_only(torch.Tensor, lambda tensor: tensor.to("meta"), planned)
    with NoCopies():
        assert views.prepare(planned).views[1].shape == (2, 3, 4, 6)
    with NoCopies(), pytest.raises(AssertionError, match="waits"):
        torch.ones(2).to("meta")


def test_channels_are_chosen_without_a_copy_from_the_host():
    encoder = ViTConfig(patch_size=(1, 5), in_channels=3, dim=16, heads=2, depth=1)
    part = dataclasses.replace(encoder, in_channels=2)
    tokenizer = Tokenizer(part, CodebookConfig(num_codes=8, dim=4), channels=(2, 0)).to("meta")
    model = MaskedCodeModel(encoder, 8, mixed_channels=(1,)).to("meta")
    assert {"places", "is_mixed"}.isdisjoint(name for kept in (tokenizer, model) for name in kept.state_dict())
    images, columns = torch.zeros(2, 3, 4, 15, device="meta"), torch.zeros(2, 3, dtype=torch.bool, device="meta")
    with NoCopies():
        assert tokenizer.select(images).shape == (2, 2, 4, 15)
        assert model.conceal(images, columns).shape == images.shape
    with NoCopies(), pytest.raises(AssertionError, match="may wait"):
        _ = images[:, (2, 0)]


def test_the_check_can_fail():
    with (
        FakeTensorMode(),
        pytest.raises(Exception, match=r"data-dependent|DataDependent|aten\._local_scalar_dense"),
    ):
        torch.ones(3).sum().item()
