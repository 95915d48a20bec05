"""What a step must not do on an accelerator: ask it for a value, or lose its precision."""

import copy

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vision.batch import Batch, Mask
from vision.config import DINOConfig, DINOv2Config, IBOTConfig, MAEConfig, SimMIMConfig, ViTConfig
from vision.methods.dino import DINO
from vision.methods.dinov2 import DINOv2
from vision.methods.ibot import IBOT
from vision.methods.mae import MAE
from vision.methods.simmim import SimMIM

ENCODER = ViTConfig(patch_size=(2, 3), in_channels=2, dim=16, depth=2, heads=2, drop_path=0.2)
HEAD = {"num_prototypes": 16, "hidden_dim": 16, "bottleneck_dim": 8}
METHODS = {
    "mae": lambda: MAE(ENCODER, MAEConfig(decoder_dim=16, decoder_depth=1, decoder_heads=2)),
    "simmim": lambda: SimMIM(ENCODER, SimMIMConfig(normalise_pixels=True)),
    "dino": lambda: DINO(ENCODER, DINOConfig(**HEAD)),
    "ibot": lambda: IBOT(ENCODER, IBOTConfig(**HEAD)),
    "dinov2": lambda: DINOv2(ENCODER, DINOv2Config(**HEAD, patch_prototypes=16, patch_bottleneck_dim=8)),
}


def _batch():
    hidden = torch.zeros(4, 8, dtype=torch.bool)
    hidden[:, ::2] = True
    mask = Mask(hidden, torch.arange(0, 32, 2), torch.ones(16), 4)
    return Batch((torch.randn(4, 2, 4, 12),), (mask,), (torch.ones(4, 4, 12, dtype=torch.bool),), 2)


def _step(method, batch):
    method.begin_step(0.3)
    terms = method.loss(method.predict(batch), method.targets(batch), batch)
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    method.before_update()
    method.end_step()
    return loss


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # the teacher's copy
@pytest.mark.parametrize("name", METHODS)
def test_a_step_asks_the_device_for_no_value(name, monkeypatch):
    """On fake tensors, which have none, it runs through; that this can fail, tests/vision/test_synchronisation.py."""
    monkeypatch.setattr(torch.nn.init, "trunc_normal_", lambda tensor, **_: tensor)  # at build time it looks at values
    with FakeTensorMode() as mode:
        deepcopy = copy.deepcopy
        monkeypatch.setattr(copy, "deepcopy", lambda module: deepcopy(module, {id(mode): mode}))  # tensors, not mode
        method, batch = METHODS[name]().train(), _batch()
        assert _step(method, batch).shape == ()


@pytest.mark.parametrize("name", METHODS)
def test_a_step_in_bfloat16_has_a_loss_in_float32_near_the_full_one(name):
    torch.manual_seed(0)
    method, batch = METHODS[name]().eval(), _batch()
    method.begin_step(0.3)
    with torch.no_grad():
        full = torch.stack(list(method.loss(method.predict(batch), method.targets(batch), batch).values())).sum()
    with torch.autocast("cpu", torch.bfloat16):
        loss = _step(method, batch)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(full.item(), rel=0.02)


def _moved(batch, **to):
    """The batch on another device, or its numbers in another precision."""

    def move(tensor):
        return tensor.to(**to) if tensor.is_floating_point() or "device" in to else tensor

    mask = batch.masks[0]
    masks = (Mask(move(mask.hidden), move(mask.index), move(mask.weight), mask.num_masked),)
    valid = tuple(one if one is None else move(one) for one in batch.valid)
    return Batch(tuple(move(view) for view in batch.views), masks, valid, batch.batch_size)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", METHODS)
def test_a_step_has_the_loss_and_the_gradients_of_one_in_double_precision(name, device):
    torch.manual_seed(0)
    method, batch = METHODS[name]().eval(), _batch()
    exact, again = copy.deepcopy(method).double(), method.to(device)
    expected, loss = _step(exact, _moved(batch, dtype=torch.float64)), _step(again, _moved(batch, device=device))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    gradients = {key: value.grad for key, value in again.named_parameters() if value.grad is not None}
    assert len(gradients) > 10
    for key, value in exact.named_parameters():
        if key in gradients:
            torch.testing.assert_close(gradients[key].double().cpu(), value.grad, rtol=1e-2, atol=1e-5, msg=key)


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_a_step_on_a_gpu_waits_for_nothing(name):
    method, batch = METHODS[name]().cuda().train(), _moved(_batch(), device="cuda")
    _step(method, batch)  # what is set up once may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        _step(method, batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
