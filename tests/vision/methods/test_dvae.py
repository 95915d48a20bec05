import dataclasses
import math

import pytest
import torch

from vision.config import BEiTConfig, DVAEConfig
from vision.methods.beit import BEiT
from vision.methods.dvae import DVAE
from vision.nn.dvae import divergence_from_uniform

SMALL = {"num_codes": 32, "code_dim": 16, "decoder_depth": 1}


@pytest.fixture
def build(encoder):
    def make(encoder_changes=None, **changes):
        torch.manual_seed(0)
        config = DVAEConfig(**{**SMALL, **changes})
        return DVAE(dataclasses.replace(encoder, depth=1, **(encoder_changes or {})), config)

    return make


@pytest.mark.parametrize(
    ("likelihood", "sample"), [("laplace", "relaxed"), ("squared", "relaxed"), ("squared", "straight_through")]
)
def test_it_learns_pictures_from_codes_and_uses_many_of_them(build, make_batch, train, likelihood, sample):
    """From the most likely codes alone, without noise: four templates of 20 patches, 32 codes."""
    method, batch = build(likelihood=likelihood, sample=sample), make_batch(8)
    images = batch.views[0]
    before = (method.tokenizer.reconstruct(images) - images).square().mean()
    train(method, batch, steps=120, learning_rate=3e-3)
    after = (method.tokenizer.eval().reconstruct(images) - images).square().mean()
    assert after < 0.7 * before
    assert len(method.tokenizer.codes(images).unique()) >= 12
    assert float(method.metrics()["codebook_usage"]) >= 0.5
    assert float(method.metrics()["codebook_perplexity"]) > 8


def test_every_trainable_parameter_gets_a_gradient(build, make_batch, check_gradients):
    method = build()
    method.begin_step(0.5)
    check_gradients(method, make_batch(4))


def test_terms_are_what_the_formula_says(build, make_batch):
    method, batch = build(kl_weight=0.3), make_batch(4, is_partly_observed=True)
    method.begin_step(1.0)
    method.eval()
    predictions, targets = method.predict(batch), method.targets(batch)
    terms = method.loss(predictions, targets, batch)
    centre, log_scale = predictions.pixels.chunk(2, dim=-1)
    grid = method.tokenizer.encoder.grid(batch.views[0])
    pixels = grid.patchify(batch.views[0])
    seen = grid.patchify(batch.valid[0][:, None].expand_as(batch.views[0]))
    density = torch.distributions.Laplace(centre, log_scale.exp())
    torch.testing.assert_close(terms["pixel"], -density.log_prob(torch.where(seen, pixels, 0.0))[seen].mean())
    valid = grid.pool_any(batch.valid[0])
    assert not valid.all()
    torch.testing.assert_close(terms["kl"], 0.3 * divergence_from_uniform(predictions.logits)[valid].mean())


def test_the_kl_is_a_mean_over_patches_whatever_batch_and_grid(build, make_batch):
    method, batch = build(), make_batch(4)
    method.begin_step(1.0)
    method.eval()
    twice = batch._replace(views=(torch.cat([batch.views[0]] * 2),), batch_size=8)
    one, two = (method.loss(method.predict(b), method.targets(b), b)["kl"] for b in (batch, twice))
    torch.testing.assert_close(one, two)


def test_schedules_are_those_of_dall_e(build):
    """τ from 1 to 1/16 and β from 0 to 6.6 / 192, each half a cosine over its share of the run, then constant."""
    method = build(temperature_decay=0.5, kl_warmup=0.1)
    for progress, temperature, weight in (
        (0.0, 1.0, 0.0),
        (0.05, None, 0.017),
        (0.1, None, 0.034),
        (0.25, (1 + 1 / 16) / 2, 0.034),
        (0.5, 1 / 16, 0.034),
        (1.0, 1 / 16, 0.034),
    ):
        method.begin_step(progress)
        assert float(method.kl_weight()) == pytest.approx(weight, abs=1e-6)
        if temperature is not None:
            assert float(method.temperature()) == pytest.approx(temperature, abs=1e-6)
    at_once = build(temperature_decay=0.0, kl_warmup=0.0)
    assert (float(at_once.temperature()), float(at_once.kl_weight())) == (0.0625, pytest.approx(0.034))


def test_draws_are_random_in_training_and_codes_are_sure_in_evaluation(build, make_batch):
    method, batch = build(), make_batch(4)
    method.train()
    assert not torch.equal(method.predict(batch).pixels, method.predict(batch).pixels)
    torch.manual_seed(5)
    first = method.predict(batch).pixels
    torch.manual_seed(5)
    assert torch.equal(method.predict(batch).pixels, first)
    updates = int(method.usage.updates)
    method.eval()
    assert torch.equal(method.predict(batch).pixels, method.predict(batch).pixels)
    grid = method.tokenizer.encoder.grid(batch.views[0])
    mean = method.tokenizer.likelihood.mean(method.predict(batch).pixels)
    assert torch.allclose(grid.unpatchify(mean, 2), method.tokenizer.reconstruct(batch.views[0]))
    assert int(method.usage.updates) == updates


def test_not_observed_pixels_change_nothing(build, make_batch):
    method, batch = build(), make_batch(4, is_partly_observed=True)
    method.begin_step(1.0)
    method.eval()
    other = batch._replace(views=(torch.nan_to_num(batch.views[0], nan=77.0),))
    first, second = (method.loss(method.predict(b), method.targets(b), b) for b in (batch, other))
    for name in first:
        assert torch.isfinite(first[name])
        assert torch.equal(first[name], second[name])


def test_losses_are_float32_under_autocast(build, make_batch):
    method, batch = build(), make_batch(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predictions = method.predict(batch)
        terms = method.loss(predictions, method.targets(batch), batch)
    assert predictions.logits.dtype == torch.float32
    assert all(term.dtype == torch.float32 for term in terms.values())


def test_axial_causal_and_own_patch_encoders_train(build, make_batch, train):
    without_cls = {"has_cls": False}
    for changes in ({"attention": "axial"}, {"scope": "causal", **without_cls}, {"scope": "patch", **without_cls}):
        assert math.isfinite(train(build(changes), make_batch(2, is_partly_observed=True), 2)[-1])
    with pytest.raises(ValueError, match="causal"):
        build({"scope": "causal"})


def test_beit_learns_from_its_codes(build, encoder, make_batch, train):
    tokenizer = build()
    train(tokenizer, make_batch(8), steps=20)
    method, batch = BEiT(encoder, BEiTConfig(), tokenizer.artifact()), make_batch(8, mask_ratio=0.4)
    losses = train(method, batch, steps=30)
    assert losses[0] == pytest.approx(math.log(32), rel=0.05)
    assert losses[-1] < 0.8 * losses[0]
    expected = tokenizer.artifact().eval().codes(batch.views[0])[batch.masks[0].hidden]
    assert torch.equal(method.targets(batch), expected)


def test_batch_of_one_and_a_state_that_loads_give_the_same_numbers(build, make_batch, train, loss_of):
    method, other, batch = build(), build(), make_batch(1)
    assert all(math.isfinite(loss) for loss in train(method, batch, 2))
    other.load_state_dict(method.state_dict())
    for one in (method, other):
        one.eval()
        one.begin_step(0.7)
    assert torch.equal(loss_of(method, batch), loss_of(other, batch))


@pytest.mark.slow
def test_predict_and_loss_compile_to_one_graph(build, make_batch):
    method, batch = build(), make_batch(4)
    targets = method.targets(batch)

    def step(batch, targets):
        torch.manual_seed(0)
        return sum(method.loss(method.predict(batch), targets, batch).values())

    compiled = torch.compile(
        lambda b, t: sum(method.loss(method.predict(b), t, b).values()), fullgraph=True, backend="aot_eager"
    )
    torch.manual_seed(0)
    value = compiled(batch, targets)
    torch.testing.assert_close(value, step(batch, targets))
