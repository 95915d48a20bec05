import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from tests.vision.methods.hugging_face import named, randomise, take_encoder
from vision.batch import Batch, Mask
from vision.config import DINOConfig, DINOv2Config, IBOTConfig, ViTConfig
from vision.losses import koleo
from vision.methods.base import take
from vision.methods.dino import DINO
from vision.methods.dinov2 import DINOv2
from vision.methods.ibot import IBOT
from vision.nn.grid import PatchGrid

SMALL = {"num_prototypes": 48, "hidden_dim": 32, "bottleneck_dim": 16}
CONFIG = DINOv2Config(**SMALL, patch_prototypes=32, patch_bottleneck_dim=12, freeze_last_layer=0.0)
CENTERING = dataclasses.replace(CONFIG, assignment="centering")
SHARED = dataclasses.replace(CONFIG, shared_head=True)
OF_PATCHES = "the teacher of masked patches is uniform (entropy 3.466 of ln 32"


@pytest.fixture
def build(encoder):
    def make(config=CONFIG, **changes):
        torch.manual_seed(0)
        return DINOv2(dataclasses.replace(encoder, **changes), config)

    return make


@pytest.fixture
def method(build):
    return build()


def test_first_loss_is_ln_k_on_cls_and_share_of_masked_images_times_ln_k_on_patches(build, make_batch):
    config = dataclasses.replace(
        CONFIG, num_prototypes=256, patch_prototypes=128, bottleneck_dim=1024, patch_bottleneck_dim=1024
    )
    method = build(config)
    batch = make_batch(16, num_global=2, num_local=2, mask_ratio=0.4, share_unmasked=0.5)
    terms = method.loss(method.predict(batch), method.targets(batch), batch)
    masked = batch.masks[0].hidden.any(1).float().mean().item()
    assert terms["cls"].item() == pytest.approx(math.log(256), rel=0.1)
    assert terms["patch"].item() == pytest.approx(masked * math.log(128), rel=0.1)


@pytest.mark.parametrize(
    ("config", "head", "said", "setting"),
    [
        (CONFIG, "head", "the teacher is uniform (entropy 3.871 of ln 48", "num_prototypes"),
        (CONFIG, "patch_head", OF_PATCHES, "patch_prototypes"),
        (SHARED, "head", "uniform (entropy 3.871 of ln 48", "num_prototypes"),
        (CENTERING, "patch_head", OF_PATCHES, "patch_prototypes"),
    ],
)
def test_a_uniform_teacher_is_told_of_each_head_with_its_own_prototypes(
    build, make_batch, loss_of, config, head, said, setting
):
    method, batch = build(config).eval(), make_batch(4, num_global=2, mask_ratio=0.4)  # the centre stays
    loss_of(method, batch)
    assert method.warning({name: value.item() for name, value in method.metrics().items()}) is None
    getattr(method.teacher.module, head).last_layer.weight_g.data.zero_()
    loss_of(method, batch)
    warning = str(method.warning({name: value.item() for name, value in method.metrics().items()}))
    assert said in warning
    assert f"Set {setting}" in warning


def test_loss_falls(method, make_batch, train):
    losses = train(method, make_batch(8, num_global=2, num_local=1, mask_ratio=0.4), steps=40)
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize("config", [CONFIG, CENTERING, SHARED])
def test_terms_are_the_loops_of_the_docstring(build, make_batch, config):
    method = build(config)
    batch = make_batch(3, num_global=2, num_local=2, mask_ratio=0.4, share_unmasked=0.4, seed=3)
    mask, network, head = batch.masks[0], method.teacher.module, method.student
    hidden = [mask.hidden[b].nonzero().flatten() for b in range(6)]
    assert {len(places) for places in hidden} == {0, 8}
    encoded = network.encoder(batch.views[0])
    teacher = _naive_assignment(network.head(encoded.cls), config).view(2, 3, 48)
    rows = torch.cat([encoded.patches[b, places] for b, places in enumerate(hidden)])
    teacher_patches = iter(_naive_assignment(network.patch_logits(rows), config))
    student = method.predict(batch)
    cls, patch, spread = 0.0, 0.0, 0.0
    for g in range(2):
        for v in range(4):
            if v != g:
                cls += -(teacher[g] * (student.cls[v] / 0.1).log_softmax(-1)).sum(-1).mean().item() / 6
    tokens = head.encoder.embed(batch.views[0])
    tokens = torch.where(mask.hidden[..., None], method.mask_token.weight, tokens)
    masked = head.encoder.encode([tokens], [head.encoder.grid(batch.views[0])])[0]
    for b, places in enumerate(hidden):
        for place in places:
            log_p = (head.patch_logits(masked.patches[b, place]) / 0.1).log_softmax(-1)
            patch += -(next(teacher_patches) * log_p).sum().item() / len(places) / 6
    for view in masked.cls.view(2, 3, 32):
        points = F.normalize(view, dim=-1)
        for i in range(3):
            spread -= math.log(min((points[i] - points[j]).norm().item() for j in range(3) if j != i)) / 3
    terms = method.loss(student, method.targets(batch), batch)
    assert terms["cls"].item() == pytest.approx(cls, rel=1e-4)
    assert terms["patch"].item() == pytest.approx(patch, rel=1e-4)
    assert terms["koleo"].item() == pytest.approx(0.1 * spread, rel=1e-4)


def _naive_assignment(logits, config):
    """Official ``sinkhorn_knopp_teacher``, three rounds on exp(logits / τ); or the softmax around a centre of 0."""
    if config.assignment == "centering":
        return (logits / 0.04).softmax(-1)
    mass = (logits.double() / 0.04).exp()
    mass /= mass.sum()
    for _ in range(3):
        for k in range(mass.shape[1]):
            mass[:, k] /= mass[:, k].sum() * mass.shape[1]
        for b in range(mass.shape[0]):
            mass[b] /= mass[b].sum() * mass.shape[0]
    return (mass * mass.shape[0]).float()


def test_prototypes_are_used_evenly_after_sinkhorn_knopp_and_by_all_views_together(method, make_batch):
    batch = make_batch(32, num_global=2, mask_ratio=0.4)
    targets = method.targets(batch)
    torch.testing.assert_close(targets.cls.sum(-1), torch.ones(2, 32))
    mass = targets.cls.flatten(0, 1).sum(0)
    torch.testing.assert_close(mass, torch.full((48,), 64 / 48), rtol=0.3, atol=0)


def test_with_one_head_and_a_centre_the_terms_are_ibots_and_dinos(encoder, make_batch):
    """The same weights under all three methods, at the first step, when no centre has moved."""
    torch.manual_seed(0)
    ibot = IBOT(encoder, IBOTConfig(**SMALL))
    dino = DINO(encoder, DINOConfig(**SMALL))
    dinov2 = DINOv2(encoder, DINOv2Config(**SMALL, shared_head=True, assignment="centering"))
    for method in (dino, dinov2):
        method.student.load_state_dict(ibot.student.state_dict())
        method.teacher.update(0.0)
    batch = make_batch(4, num_global=2, num_local=2, mask_ratio=0.4, share_unmasked=0.4)
    terms = {}
    for method in (ibot, dinov2):
        terms[method] = method.loss(method.predict(batch), method.targets(batch), batch)
    torch.testing.assert_close(terms[dinov2]["cls"], terms[ibot]["cls"])
    torch.testing.assert_close(terms[dinov2]["patch"], terms[ibot]["patch"])
    bare = batch._replace(masks=(Mask.from_hidden(torch.zeros_like(batch.masks[0].hidden), 1), None))
    ibot.cls_centering.center.zero_()
    first, second = (method.loss(method.predict(bare), method.targets(bare), bare) for method in (ibot, dino))
    torch.testing.assert_close(second["cls"], first["cls"])


def test_patch_center_follows_masked_patches_alone(build, make_batch):
    """Where iBOT's follows all patches."""
    method, batch = build(CENTERING), make_batch(4, num_global=2, mask_ratio=0.4, is_partly_observed=True)
    network, mask = method.teacher.module, batch.masks[0]
    encoded = network.encoder(batch.views[0], batch.valid[0])
    logits = network.patch_head(take(encoded.patches, mask.index))
    method.targets(batch)
    assert 0 < mask.weight.mean() < 1  # some masked patches were not observed
    torch.testing.assert_close(method.patch_assignment.center, 0.1 * logits[mask.weight > 0].mean(0))
    torch.testing.assert_close(method.cls_assignment.center, 0.1 * network.head(encoded.cls).mean(0))


def test_dinov2_of_hugging_face_with_masks_and_swiglu():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 24, "patch_size": 6}
    config = transformers.Dinov2Config(**sizes, num_channels=2, use_swiglu_ffn=True)
    theirs = transformers.Dinov2Model(config).eval()
    randomise(theirs)
    encoder = ViTConfig(patch_size=(6, 6), in_channels=2, dim=32, depth=2, heads=4, mlp="swiglu", layer_scale=1e-5)
    ours = DINOv2(encoder, CONFIG).eval()
    rest = theirs.state_dict()
    table = ours.student.encoder.positions(torch.zeros(1, 16, 32), PatchGrid(4, 4, 6, 6))
    rest["embeddings.position_embeddings"].copy_(torch.cat([torch.zeros(1, 1, 32), table], dim=1))
    rest.pop("embeddings.position_embeddings")
    mask_token = rest.pop("embeddings.mask_token")
    state = take_encoder(rest, "embeddings", "encoder.layer", "layernorm", 2)
    assert not rest
    ours.student.encoder.load_state_dict(state)
    ours.load_state_dict({**ours.state_dict(), **named("mask_token", {"weight": mask_token})})
    images, hidden = torch.randn(3, 2, 24, 24), torch.rand(3, 16) < 0.4
    mask = Mask.from_hidden(hidden, 16)
    with torch.no_grad():
        expected = theirs(images, bool_masked_pos=hidden)
        predicted = ours.predict(Batch((images,), (mask,), (None,), 3))
        patches = ours.student.patch_logits(take(expected.last_hidden_state[:, 1:], mask.index))
    torch.testing.assert_close(predicted.features[0], expected.pooler_output, rtol=0, atol=1e-5)
    torch.testing.assert_close(predicted.patches, patches, rtol=0, atol=1e-5)


def test_koleo_is_of_each_global_view_and_reaches_the_encoder_and_no_head(method, make_batch):
    batch = make_batch(4, num_global=2, num_local=1, mask_ratio=0.4)
    predictions = method.predict(batch)
    term = method.loss(predictions, method.targets(batch), batch)["koleo"]
    assert term.item() == pytest.approx(0.1 * sum(koleo(view).item() for view in predictions.features), rel=1e-5)
    term.backward()
    assert method.student.encoder.cls_token.grad is not None
    assert all(parameter.grad is None for parameter in method.student.head.parameters())


@pytest.mark.parametrize("config", [CONFIG, CENTERING, SHARED])
def test_every_trainable_parameter_gets_a_gradient_and_the_teacher_none(build, make_batch, check_gradients, config):
    check_gradients(build(config), make_batch(4, num_global=2, num_local=1, mask_ratio=0.4))


def test_heads_are_two_or_one_and_the_lengths_of_their_prototypes_are_learned(build):
    assert build().student.head.last_layer.weight_v.shape == (48, 16)
    assert build().student.patch_head.last_layer.weight_v.shape == (32, 12)
    assert build(SHARED).student.patch_head is None
    assert all(parameter.requires_grad for parameter in build().student.prototypes())
    assert len(build().student.prototypes()) == 2 * len(build(SHARED).student.prototypes()) == 4


def test_teacher_starts_as_the_student_heads_included_and_follows_after_the_step(method, make_batch, train):
    pairs = list(zip(method.student.parameters(), method.teacher.module.parameters(), strict=True))
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    before = [theirs.clone() for _, theirs in pairs]
    train(method, make_batch(4, num_global=2, mask_ratio=0.4), steps=1)
    for (ours, theirs), old in zip(pairs, before, strict=True):
        torch.testing.assert_close(theirs, 0.994 * old + 0.006 * ours.detach())


def test_teacher_and_local_views_are_never_masked_and_hidden_pixels_are_not_seen(method, make_batch):
    batch = make_batch(4, num_global=2, num_local=1, mask_ratio=0.4)
    hidden = batch.masks[0].hidden.view(8, 4, 5).repeat_interleave(2, 1).repeat_interleave(3, 2)[:, None]
    other = batch._replace(views=(torch.where(hidden, batch.views[0] + 1.0, batch.views[0]), batch.views[1]))
    first, second = method.predict(batch), method.predict(other)
    torch.testing.assert_close(first.cls, second.cls)
    torch.testing.assert_close(first.patches, second.patches)
    assert not torch.allclose(method.targets(batch).cls, method.targets(other).cls)
    moved = batch._replace(views=(batch.views[0], batch.views[1] + 1.0))
    assert not torch.allclose(method.predict(moved).cls[2], first.cls[2])


def test_tokens_start_at_zero_or_near_it_and_the_last_layers_are_held_still_at_first(build, make_batch, loss_of):
    method = build(dataclasses.replace(CONFIG, freeze_last_layer=0.5))
    assert not method.mask_token.weight.any()
    assert 0 < method.student.encoder.cls_token.abs().max() < 1e-5
    batch = make_batch(2, num_global=2, mask_ratio=0.4)
    for progress, is_free in ((0.0, False), (0.5, True)):
        method.zero_grad()
        method.begin_step(progress)
        loss_of(method, batch).backward()
        method.before_update()
        assert [p.grad is not None for p in method.student.prototypes()] == [is_free] * 4


@pytest.mark.parametrize("config", [CONFIG, CENTERING])
def test_what_was_not_observed_changes_nothing(build, make_batch, config):
    method = build(config).eval()
    batch = make_batch(4, num_global=2, num_local=1, mask_ratio=0.4, is_partly_observed=True)
    terms = method.loss(method.predict(batch), method.targets(batch), batch)
    other = batch._replace(views=tuple(torch.nan_to_num(view, nan=77.0) for view in batch.views))
    again = method.loss(method.predict(other), method.targets(other), other)
    assert all(torch.isfinite(term) for term in terms.values())
    assert all(torch.equal(terms[name], again[name]) for name in terms)


def test_batch_of_one_has_no_koleo(method, make_batch, train):
    batch = make_batch(1, num_global=2, mask_ratio=0.4)
    assert all(math.isfinite(loss) for loss in train(method, batch, 2))
    assert method.loss(method.predict(batch), method.targets(batch), batch)["koleo"].item() == 0.0


@pytest.mark.parametrize("config", [CONFIG, CENTERING])
def test_state_loads_into_a_new_method_and_gives_the_same_numbers(build, make_batch, train, loss_of, config):
    method, batch = build(config), make_batch(4, num_global=2, mask_ratio=0.4)
    train(method, batch, steps=3)
    other = DINOv2(method.student.encoder.config, config)
    other.load_state_dict(method.state_dict())
    for one in (method, other):
        one.eval()
        one.begin_step(0.5)
    assert torch.equal(loss_of(method, batch), loss_of(other, batch))


def test_encoder_without_cls_and_batch_without_mask_are_refused(method, make_batch):
    with pytest.raises(ValueError, match="has_cls"):
        DINOv2(ViTConfig(has_cls=False), CONFIG)
    with pytest.raises(ValueError, match="give its views a mask generator"):
        method.predict(make_batch(2, num_global=2))


@pytest.mark.slow
def test_predict_and_loss_compile_to_one_graph(method, make_batch):
    batch = make_batch(4, num_global=2, num_local=1, mask_ratio=0.4)
    targets = method.targets(batch)

    def step(batch, targets):
        return sum(method.loss(method.predict(batch), targets, batch).values())

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(batch, targets), step(batch, targets))
