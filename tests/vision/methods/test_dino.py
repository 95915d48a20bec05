import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from vision.config import DINOConfig, OptimConfig, ViTConfig
from vision.methods.dino import DINO
from vision.train.optim import make_optimizer, set_step

CONFIG = DINOConfig(num_prototypes=64, hidden_dim=32, bottleneck_dim=16, freeze_last_layer=0.0)


@pytest.fixture
def method(encoder):
    torch.manual_seed(0)
    return DINO(encoder, CONFIG)


def test_first_loss_is_ln_k(encoder, make_batch):
    torch.manual_seed(0)
    method = DINO(encoder, DINOConfig(num_prototypes=256, hidden_dim=32, bottleneck_dim=1024))
    batch = make_batch(8, num_global=2, num_local=2)
    (loss,) = method.loss(method.predict(batch), method.targets(batch), batch).values()
    assert loss.item() == pytest.approx(math.log(256), rel=0.05)


def test_loss_falls(method, make_batch, train):
    batch = make_batch(8, num_global=2, num_local=2)
    method.train()
    for _ in range(40):  # until the centre has found its place; before, all views share one prototype
        method.targets(batch)
    losses = train(method, batch, steps=60)
    assert losses[-1] < 0.8 * losses[0]


def test_loss_and_centre_are_the_loop_of_the_paper_over_several_steps(method, make_batch):
    """Algorithm 1 with multi-crop: teacher view g, student view v ≠ g; the centre moves after its use."""
    centre = torch.zeros(64)
    for step in range(3):
        batch = make_batch(4, num_global=2, num_local=3, seed=step)
        network = method.teacher.module
        teacher = [network.head(network.encoder(view).cls) for view in batch.views[0].chunk(2)]
        views = [*batch.views[0].chunk(2), *batch.views[1].chunk(3)]
        student = [method.student.head(method.student.encoder(view).cls) for view in views]
        total, terms = 0.0, 0
        for g in range(2):
            q = F.softmax((teacher[g] - centre) / 0.04, dim=-1)
            for v in range(5):
                if v != g:
                    total += torch.sum(-q * F.log_softmax(student[v] / 0.1, dim=-1), dim=-1).mean().item()
                    terms += 1
        assert terms == 2 * (2 + 3) - 2
        (loss,) = method.loss(method.predict(batch), method.targets(batch), batch).values()
        assert loss.item() == pytest.approx(total / terms, rel=1e-5)
        centre = 0.9 * centre + 0.1 * torch.cat(teacher).mean(0).detach()
        torch.testing.assert_close(method.centering.center, centre)


def test_every_trainable_parameter_gets_a_gradient_and_the_teacher_none(method, make_batch, check_gradients):
    check_gradients(method, make_batch(4, num_global=2, num_local=1))


def test_teacher_starts_as_the_student_head_included_and_follows_after_the_step(method, make_batch, train):
    pairs = list(zip(method.student.parameters(), method.teacher.module.parameters(), strict=True))
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    before = [theirs.clone() for _, theirs in pairs]
    train(method, make_batch(4, num_global=2), steps=1)
    for (ours, theirs), old in zip(pairs, before, strict=True):
        torch.testing.assert_close(theirs, 0.996 * old + 0.004 * ours.detach())


def test_momentum_rises_on_a_cosine_and_at_one_the_teacher_does_not_move(method):
    weight = method.teacher.module.head.mlp[0].weight
    with torch.no_grad():
        method.student.head.mlp[0].weight.add_(1.0)
    for progress, expected in ((1.0, 0.0), (0.5, 0.002), (0.0, 0.004)):  # from .996 to 1
        before = weight.clone()
        method.begin_step(progress)
        method.end_step()
        torch.testing.assert_close(weight - before, torch.full_like(weight, expected), rtol=0.01, atol=1e-8)


def test_only_the_student_has_stochastic_depth(encoder, make_batch):
    method = DINO(dataclasses.replace(encoder, drop_path=0.5), CONFIG).train()
    batch = make_batch(4, num_global=2)
    assert not method.teacher.module.training
    method.centering.eval()
    assert torch.equal(method.targets(batch).cls, method.targets(batch).cls)
    assert not torch.equal(method.predict(batch), method.predict(batch))


def test_teacher_sees_global_views_alone_and_masks_have_no_part(method, make_batch):
    batch = make_batch(4, num_global=2, num_local=1, mask_ratio=0.4)
    method.eval()
    moved = batch._replace(views=(batch.views[0], batch.views[1] + 1.0), masks=(None, None))
    first, second = method.predict(batch), method.predict(moved)
    assert torch.equal(method.targets(batch).cls, method.targets(moved).cls)
    torch.testing.assert_close(first[:2], second[:2])
    assert not torch.allclose(first[2], second[2])


def test_last_layer_is_held_still_for_the_first_share_of_the_run(encoder, make_batch, loss_of):
    config = dataclasses.replace(CONFIG, norm_last_layer=False, freeze_last_layer=0.5)
    method, batch = DINO(encoder, config), make_batch(2, num_global=2)
    for progress, is_free in ((0.0, False), (0.49, False), (0.5, True)):
        method.zero_grad()
        method.begin_step(progress)
        loss_of(method, batch).backward()
        method.before_update()
        last = method.student.head.last_layer
        assert (last.weight_v.grad is not None, last.weight_g.grad is not None) == (is_free, is_free)
        assert method.student.head.mlp[0].weight.grad is not None


def test_what_is_held_still_gets_no_moments_and_tokens_decay(encoder, make_batch, loss_of):
    """Adam knows nothing of a gradient that was dropped (DINOv2's rate of 0 would move its moments)."""
    config = dataclasses.replace(CONFIG, norm_last_layer=False, freeze_last_layer=0.5)
    method, batch = DINO(encoder, config), make_batch(2, num_global=2)
    optim = OptimConfig(weight_decay=0.04)
    optimizer = make_optimizer(method.parameters_to_train(), optim)
    set_step(optimizer, 0, optim)
    method.begin_step(0.0)
    loss_of(method, batch).backward()
    method.before_update()
    before = [p.clone() for p in method.student.head.last_layer.parameters()]
    optimizer.step()
    last = list(method.student.head.last_layer.parameters())
    assert all(torch.equal(p, old) for p, old in zip(last, before, strict=True))
    assert not any(p in optimizer.state for p in last)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay[id(method.student.encoder.cls_token)] == 0.04  # two dimensions: the official rule goes by shape
    assert decay[id(method.student.encoder.norm.weight)] == 0.0


def test_teacher_temperature_warms_up_with_progress(encoder):
    method = DINO(encoder, dataclasses.replace(CONFIG, final_teacher_temperature=0.07))
    for progress, expected in ((0.0, 0.04), (0.15, 0.055), (0.3, 0.07), (1.0, 0.07)):
        method.begin_step(progress)
        assert method.temperature().item() == pytest.approx(expected)


def test_what_was_not_observed_changes_nothing(method, make_batch):
    batch = make_batch(4, num_global=2, num_local=1, is_partly_observed=True)
    method.eval()
    (loss,) = method.loss(method.predict(batch), method.targets(batch), batch).values()
    other = batch._replace(views=tuple(torch.nan_to_num(view, nan=77.0) for view in batch.views))
    (again,) = method.loss(method.predict(other), method.targets(other), other).values()
    assert torch.isfinite(loss)
    assert torch.equal(loss, again)


def test_batch_of_one(method, make_batch, train):
    assert all(math.isfinite(loss) for loss in train(method, make_batch(1, num_global=2), 2))


def test_state_loads_into_a_new_method_and_gives_the_same_numbers(method, encoder, make_batch, train, loss_of):
    batch = make_batch(4, num_global=2)
    train(method, batch, steps=3)
    other = DINO(encoder, CONFIG)
    other.load_state_dict(method.state_dict())
    for one in (method, other):
        one.eval()
        one.begin_step(0.5)
    assert torch.equal(loss_of(method, batch), loss_of(other, batch))


def test_encoder_without_cls_and_a_single_view_are_refused(method, make_batch, loss_of):
    with pytest.raises(ValueError, match="has_cls"):
        DINO(ViTConfig(has_cls=False), CONFIG)
    with pytest.raises(ValueError, match="no pair of different views"):
        loss_of(method, make_batch(2, num_global=1))


@pytest.mark.slow
def test_predict_and_loss_compile_to_one_graph(method, make_batch):
    batch = make_batch(4, num_global=2, num_local=1)
    targets = method.targets(batch)

    def step(batch, targets):
        return method.loss(method.predict(batch), targets, batch)["cls"]

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(batch, targets), step(batch, targets))
