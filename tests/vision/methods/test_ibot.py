import math

import pytest
import torch
from torch.nn import functional as F

from vision.config import IBOTConfig, ViTConfig
from vision.methods.base import take
from vision.methods.ibot import IBOT

CONFIG = IBOTConfig(num_prototypes=64, hidden_dim=32, bottleneck_dim=16, freeze_last_layer=0.0)


@pytest.fixture
def method(encoder):
    torch.manual_seed(0)
    return IBOT(encoder, CONFIG)


def test_first_loss_is_ln_k_on_cls_and_share_of_masked_images_times_ln_k_on_patches(encoder, make_batch):
    torch.manual_seed(0)
    method = IBOT(encoder, IBOTConfig(num_prototypes=256, hidden_dim=32, bottleneck_dim=1024))
    batch = make_batch(16, num_global=2, num_local=2, mask_ratio=0.4, share_unmasked=0.5)
    terms = method.loss(method.predict(batch), method.targets(batch), batch)
    masked = batch.masks[0].hidden.any(1).float().mean().item()
    assert 0.2 < masked < 0.8
    assert terms["cls"].item() == pytest.approx(math.log(256), rel=0.1)
    assert terms["patch"].item() == pytest.approx(masked * math.log(256), rel=0.1)


def test_terms_and_centres_are_the_loops_of_the_docstring_over_several_steps(method, make_batch):
    centre, patch_centre = torch.zeros(64), torch.zeros(64)
    student, teacher = method.student, method.teacher.module
    for step in range(2):
        batch = make_batch(3, num_global=2, num_local=1, mask_ratio=0.4, share_unmasked=0.4, seed=3 + step)
        hidden = batch.masks[0].hidden
        seen = teacher.encoder(batch.views[0])
        g_cls, g_patches = teacher.head(seen.cls).view(2, 3, 64), teacher.head(seen.patches)
        tokens = torch.where(hidden[..., None], method.mask_token.weight, student.encoder.embed(batch.views[0]))
        masked = student.encoder.encode([tokens], [student.encoder.grid(batch.views[0])])[0]
        local = student.encoder(batch.views[1])
        h_cls = student.head(torch.cat([masked.cls, local.cls])).view(3, 3, 64)
        h_patches = student.head(masked.patches)
        cls, patch = 0.0, 0.0
        for u in range(2):
            for v in range(3):
                if v != u:
                    p_t = ((g_cls[u] - centre) / 0.04).softmax(-1)
                    cls += -(p_t * (h_cls[v] / 0.1).log_softmax(-1)).sum(-1).mean().item() / 4
        for image in range(6):
            places = hidden[image].nonzero().flatten().tolist()
            for place in places:
                p_t = ((g_patches[image, place] - patch_centre) / 0.04).softmax(-1)
                patch += -(p_t * (h_patches[image, place] / 0.1).log_softmax(-1)).sum().item() / len(places) / 6
        terms = method.loss(method.predict(batch), method.targets(batch), batch)
        assert terms["cls"].item() == pytest.approx(cls, rel=1e-4)
        assert terms["patch"].item() == pytest.approx(patch, rel=1e-4)
        centre = 0.9 * centre + 0.1 * g_cls.flatten(0, 1).mean(0)
        patch_centre = 0.9 * patch_centre + 0.1 * g_patches.flatten(0, 1).mean(0)
        torch.testing.assert_close(method.cls_centering.center, centre)
        torch.testing.assert_close(method.patch_centering.center, patch_centre)


def test_loss_falls(method, make_batch, train):
    batch = make_batch(8, num_global=2, num_local=2, mask_ratio=0.4)
    method.train()
    for _ in range(40):  # until the centres have found their place; before, all views share one prototype
        method.targets(batch)
    losses = train(method, batch, steps=60)
    assert losses[-1] < 0.8 * losses[0]


def test_every_trainable_parameter_gets_a_gradient_and_the_teacher_none(method, make_batch, check_gradients):
    check_gradients(method, make_batch(4, num_global=2, num_local=1, mask_ratio=0.4))


def test_separate_patch_layer_is_trained_and_copied(encoder, make_batch, check_gradients):
    method = IBOT(encoder, IBOTConfig(num_prototypes=64, hidden_dim=32, bottleneck_dim=16, shared_head=False))
    theirs, ours = method.teacher.module.patch_layer, method.student.patch_layer
    assert torch.equal(theirs.weight_v, ours.weight_v)
    assert not torch.equal(ours.weight_v, method.student.head.last_layer.weight_v)
    check_gradients(method, make_batch(4, num_global=2, mask_ratio=0.4))


def test_teacher_starts_as_the_student_and_follows_after_the_step(method, make_batch, train):
    pairs = list(zip(method.student.parameters(), method.teacher.module.parameters(), strict=True))
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    before = [theirs.clone() for _, theirs in pairs]
    train(method, make_batch(4, num_global=2, mask_ratio=0.4), steps=1)
    for (ours, theirs), old in zip(pairs, before, strict=True):
        torch.testing.assert_close(theirs, 0.996 * old + 0.004 * ours.detach())


def test_teacher_and_local_views_are_never_masked_and_hidden_pixels_are_not_seen(method, make_batch):
    batch = make_batch(4, num_global=2, num_local=1, mask_ratio=0.4)
    method.eval()
    hidden_pixels = batch.masks[0].hidden.view(8, 4, 5).repeat_interleave(2, 1).repeat_interleave(3, 2)
    changed = torch.where(hidden_pixels[:, None], batch.views[0] + 1.0, batch.views[0])
    other = batch._replace(views=(changed, batch.views[1]))
    first, second = method.predict(batch), method.predict(other)
    torch.testing.assert_close(first.cls, second.cls)
    torch.testing.assert_close(first.patches, second.patches)
    assert not torch.allclose(method.targets(batch).patches, method.targets(other).patches)
    moved = batch._replace(views=(batch.views[0], batch.views[1] + 1.0))
    assert not torch.allclose(method.predict(moved).cls[2], first.cls[2])


def test_mask_token_replaces_the_embedding_before_the_position_is_added(method, make_batch):
    batch = make_batch(2, num_global=2, mask_ratio=0.4)
    encoder = method.student.encoder
    with torch.no_grad():
        method.mask_token.weight.fill_(0.3)
    tokens = encoder.embed(batch.views[0]).detach().clone()
    tokens[batch.masks[0].hidden] = 0.3
    encoded = encoder.encode([tokens], [encoder.grid(batch.views[0])])[0]
    expected = method.student.head(take(encoded.patches, batch.masks[0].index))
    torch.testing.assert_close(method.predict(batch).patches, expected)


def test_patch_center_follows_all_observed_patches_and_not_only_masked_ones(method, make_batch):
    batch = make_batch(4, num_global=2, mask_ratio=0.4, is_partly_observed=True)
    network = method.teacher.module
    encoded = network.encoder(batch.views[0], batch.valid[0])
    logits = network.head(encoded.patches)
    valid = network.encoder.grid(batch.views[0]).pool_any(batch.valid[0])
    targets = method.targets(batch)
    torch.testing.assert_close(method.patch_centering.center, 0.1 * logits[valid].mean(0))
    torch.testing.assert_close(method.cls_centering.center, 0.1 * network.head(encoded.cls).mean(0))
    expected = F.softmax(take(logits, batch.masks[0].index) / 0.04, dim=-1)  # the centre before it moved: 0
    torch.testing.assert_close(targets.patches, expected)


def test_center_stays_in_eval_mode(method, make_batch):
    method.eval()
    method.targets(make_batch(2, num_global=2, mask_ratio=0.4))
    assert method.patch_centering.center.abs().sum() == 0


def test_last_layer_is_held_still_for_the_first_share_of_the_run(encoder, make_batch, loss_of):
    config = IBOTConfig(
        num_prototypes=64, hidden_dim=32, bottleneck_dim=16, norm_last_layer=False, freeze_last_layer=0.5
    )
    method = IBOT(encoder, config)
    batch = make_batch(2, num_global=2, mask_ratio=0.4)
    for progress, is_free in ((0.0, False), (0.49, False), (0.5, True)):
        method.zero_grad()
        method.begin_step(progress)
        loss_of(method, batch).backward()
        method.before_update()
        assert [p.grad is not None for p in method.student.prototypes()] == [is_free, is_free]
        assert method.student.head.mlp[0].weight.grad is not None


def test_teacher_temperature_warms_up_with_progress(method):
    for progress, expected in ((0.0, 0.04), (0.15, 0.055), (0.3, 0.07), (1.0, 0.07)):
        method.begin_step(progress)
        assert method.temperature().item() == pytest.approx(expected)


def test_not_observed_pixels_change_nothing(method, make_batch):
    batch = make_batch(4, num_global=2, num_local=1, mask_ratio=0.4, is_partly_observed=True)
    method.eval()
    terms = method.loss(method.predict(batch), method.targets(batch), batch)
    other = batch._replace(views=tuple(torch.nan_to_num(view, nan=77.0) for view in batch.views))
    again = method.loss(method.predict(other), method.targets(other), other)
    assert all(torch.isfinite(term) for term in terms.values())
    assert all(torch.equal(terms[name], again[name]) for name in terms)


def test_batch_of_one(method, make_batch, train):
    assert all(math.isfinite(loss) for loss in train(method, make_batch(1, num_global=2, mask_ratio=0.4), 2))


def test_state_loads_into_a_new_method_and_gives_the_same_numbers(method, encoder, make_batch, train, loss_of):
    batch = make_batch(4, num_global=2, mask_ratio=0.4)
    train(method, batch, steps=3)
    other = IBOT(encoder, CONFIG)
    other.load_state_dict(method.state_dict())
    for one in (method, other):
        one.eval()
        one.begin_step(0.5)
    assert torch.equal(loss_of(method, batch), loss_of(other, batch))


def test_figures_tell_one_hot_from_uniform(method, make_batch, loss_of):
    assert method.metrics() == {}
    loss_of(method, make_batch(4, num_global=2, mask_ratio=0.4))
    figures = method.metrics()
    assert 0 < figures["teacher_entropy"] <= math.log(64) + 1e-4
    assert 1 <= figures["prototype_perplexity"] <= 64 + 1e-3


@pytest.mark.parametrize("patch_weight", [1.0, 0.0])
def test_patches_that_all_have_one_prototype_or_none_are_told_where_they_are_learned(
    encoder, make_batch, loss_of, patch_weight
):
    sizes = {"num_prototypes": 64, "hidden_dim": 64, "bottleneck_dim": 32}
    for bias, said in ((-50.0, "one prototype to every masked patch"), (0.0, "teacher of masked patches is uniform")):
        method = IBOT(encoder, IBOTConfig(**sizes, shared_head=False, patch_weight=patch_weight))
        method.patch_centering.center[3] = bias
        for part in (method.teacher.module.patch_layer, method.teacher.module.head.last_layer):
            part.weight_g.mul_(0.01 if bias == 0 and part is method.teacher.module.patch_layer else 1.0)
        loss_of(method, make_batch(4, num_global=2, mask_ratio=0.4))
        figures = {name: value.item() for name, value in method.metrics().items()}
        assert figures["prototype_perplexity"] > 1.1
        assert figures["teacher_entropy"] < 0.95 * math.log(64)
        warning = method.warning(figures)
        assert warning is None if patch_weight == 0 else said in str(warning)


def test_images_of_all_processes_tell_whether_a_batch_may_be_all_alike(method, make_batch, loss_of, monkeypatch):
    loss_of(method, make_batch(2, num_global=2, mask_ratio=0.4))
    uniform = {**method.metrics(), "teacher_entropy": math.log(64)}
    assert method.warning(uniform) is None
    monkeypatch.setattr("vision.methods.distillation.world_size", lambda: 2)
    assert "for 4 images a step" in str(method.warning(uniform))


def test_encoder_without_cls_and_batch_without_mask_are_refused(method, make_batch):
    with pytest.raises(ValueError, match="has_cls"):
        IBOT(ViTConfig(has_cls=False), CONFIG)
    with pytest.raises(ValueError, match="mask"):
        method.predict(make_batch(2, num_global=2))


@pytest.mark.slow
def test_predict_and_loss_compile_to_one_graph(method, make_batch):
    batch = make_batch(4, num_global=2, num_local=1, mask_ratio=0.4)
    targets = method.targets(batch)

    def step(batch, targets):
        return sum(method.loss(method.predict(batch), targets, batch).values())

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(batch, targets), step(batch, targets))
