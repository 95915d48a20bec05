"""Heads run on the patches that are hidden: how many rows that are changes no number."""

import pytest
import torch

from vision import batch as batches
from vision.batch import Mask
from vision.config import DINOv2Config, IBOTConfig
from vision.methods.dinov2 import DINOv2
from vision.methods.ibot import IBOT

HEAD = {"num_prototypes": 16, "hidden_dim": 16, "bottleneck_dim": 8, "center_momentum": 0.5}
METHODS = {
    "ibot": (IBOT, IBOTConfig(**HEAD)),
    "dinov2": (DINOv2, DINOv2Config(**HEAD, patch_prototypes=16, patch_bottleneck_dim=8)),
    "centering": (DINOv2, DINOv2Config(**HEAD, shared_head=True, assignment="centering")),
}


@pytest.fixture(params=METHODS)
def method(request, encoder):
    torch.manual_seed(0)
    kind, config = METHODS[request.param]
    return kind(encoder, config)


def _step(method, batch):
    """Number of rows, terms, and gradients by name."""
    method.zero_grad()
    targets, predictions = method.targets(batch), method.predict(batch)
    terms = method.loss(predictions, targets, batch)
    sum(terms.values()).backward()
    gradients = {name: parameter.grad.clone() for name, parameter in method.parameters_to_train()}
    return len(predictions.patches), {name: term.detach() for name, term in terms.items()}, gradients


@pytest.mark.parametrize("is_partly_observed", [False, True])
def test_a_step_is_that_of_rows_for_all_that_could_be_hidden(method, make_batch, monkeypatch, is_partly_observed):
    batch = make_batch(
        16, num_global=2, num_local=1, mask_ratio=0.5, share_unmasked=0.7, is_partly_observed=is_partly_observed
    )
    hidden, state = batch.masks[0].hidden, {name: value.clone() for name, value in method.state_dict().items()}
    num_rows, terms, gradients = _step(method, batch)
    moved = {name: value.clone() for name, value in method.state_dict().items()}
    assert hidden.sum() <= num_rows < hidden.sum() + 64 < hidden.shape[0] * 10
    monkeypatch.setattr(batches, "ROUND", 320)
    valid = None if batch.valid[0] is None else method.student.encoder.grid(batch.views[0]).pool_any(batch.valid[0])
    method.load_state_dict(state)
    padded = batch._replace(masks=(Mask.from_hidden(hidden, 10, valid), *batch.masks[1:]))
    num_rows, expected, expected_gradients = _step(method, padded)
    assert num_rows == 320
    torch.testing.assert_close(terms, expected)
    torch.testing.assert_close(gradients, expected_gradients)
    torch.testing.assert_close(dict(method.state_dict()), moved)


def test_a_batch_that_hides_nothing_has_a_patch_loss_of_zero_and_finite_gradients(method, make_batch):
    batch = make_batch(4, num_global=2, mask_ratio=0.5)
    nothing = Mask.from_hidden(torch.zeros_like(batch.masks[0].hidden), 10)
    _, terms, gradients = _step(method, batch._replace(masks=(nothing, *batch.masks[1:])))
    assert terms["patch"] == 0
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert all(value.isfinite().all() for value in method.state_dict().values())
