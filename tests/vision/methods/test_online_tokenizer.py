import math

import pytest
import torch
from torch.nn import functional as F

from vision.config import OnlineTokenizerConfig
from vision.methods.online_tokenizer import OnlineTokenizer, divergence_from_equal_use, validation_mask

SMALL = {"num_codes": 16, "code_dim": 8, "tokenizer_depth": 1}


@pytest.fixture
def build(encoder):
    def make(**changes):
        torch.manual_seed(0)
        return OnlineTokenizer(encoder, OnlineTokenizerConfig(**{**SMALL, **changes}))

    return make


def test_the_loss_falls_below_what_a_blind_model_reaches(build, make_batch, train):
    method, batch = build(), make_batch(8, mask_ratio=0.4)
    losses = train(method, batch, steps=60)
    assert losses[-1] < 0.8 * losses[0]
    method.targets(batch)
    recon = method.loss(method.predict(batch), method.targets(batch), batch)["recon"]
    assert recon < method.metrics()["code_entropy"] - 0.3


def test_every_trainable_parameter_gets_a_gradient_and_the_momentum_tokenizer_none(build, make_batch, check_gradients):
    method = build()
    check_gradients(method, make_batch(4, mask_ratio=0.4))
    assert method.tokenizer.codebook.grad.any()


def test_terms_are_what_the_formulas_say(build, make_batch):
    method = build(momentum_weight=0.5, beta=0.25, usage_weight=2.0, temperature=0.2)
    batch = make_batch(4, mask_ratio=0.4, is_partly_observed=True)
    method.eval()
    predictions, targets = method.predict(batch), method.targets(batch)
    terms = method.loss(predictions, targets, batch)
    valid = method.tokenizer.encoder.grid(batch.views[0]).pool_any(batch.valid[0])
    codes = method.momentum.module.codes(batch.views[0], batch.valid[0])
    mask, codebook = batch.masks[0], method.tokenizer.codebook.detach()
    recon, momentum, distance, mean = [], [], [], torch.zeros(16)
    for b in range(4):
        held_out = mask.hidden[b].flip(0)
        for n in (mask.hidden[b] & valid[b]).nonzero().flatten().tolist():
            row = mask.index.tolist().index(20 * b + n)
            recon.append(-F.log_softmax(predictions.logits[row], -1)[codes[b, n]])
        for n in valid[b].nonzero().flatten().tolist():
            feature = predictions.features[b, n]
            squares = (feature - codebook).square().sum(-1)
            share = (-squares / 0.2).softmax(-1)
            mean += share.detach() / valid.sum()
            if held_out[n]:
                momentum.append(-share[codes[b, n]].log())
            else:
                distance.append(1.25 * squares.min())
    torch.testing.assert_close(terms["recon"], torch.stack(recon).mean())
    torch.testing.assert_close(terms["momentum"], 0.5 * torch.stack(momentum).mean())
    torch.testing.assert_close(terms["codebook"], torch.stack(distance).mean())
    torch.testing.assert_close(terms["usage"], 2 * ((mean * mean.log()).sum() + math.log(16)))


def test_the_validation_mask_is_the_mask_turned_and_hides_its_patches_from_the_tokenizer(build, make_batch):
    method, batch = build(), make_batch(4, mask_ratio=0.4)
    method.eval()
    held_out = validation_mask(batch.masks[0])
    assert torch.equal(held_out.hidden.view(4, 4, 5), batch.masks[0].hidden.view(4, 4, 5).rot90(2, (1, 2)))
    assert torch.equal(held_out.index.sort().values, held_out.hidden.flatten().nonzero().flatten())
    assert (held_out.hidden != batch.masks[0].hidden).any(1).all()
    hidden = held_out.hidden.view(4, 4, 5).repeat_interleave(2, 1).repeat_interleave(3, 2)
    other = batch._replace(views=(torch.where(hidden[:, None], 5.0, batch.views[0]),))
    torch.testing.assert_close(method.predict(other).features, method.predict(batch).features)
    hidden = batch.masks[0].hidden.view(4, 4, 5).repeat_interleave(2, 1).repeat_interleave(3, 2)
    other = batch._replace(views=(torch.where(hidden[:, None], 5.0, batch.views[0]),))
    torch.testing.assert_close(method.predict(other).logits, method.predict(batch).logits)


def test_without_the_validation_mask_agreement_would_be_trivial(build, make_batch):
    """On the same pixels the tokenizer and its copy are one network: the nearest code is the copy's, untrained."""
    method, batch = build(), make_batch(8, mask_ratio=0.4)
    method.eval()
    codes = method.targets(batch).codes
    assert torch.equal(method.tokenizer.codes(batch.views[0]), codes)
    behind_mask = method.tokenizer.nearest(method.predict(batch).features)
    hidden = validation_mask(batch.masks[0]).hidden
    assert (behind_mask[hidden] != codes[hidden]).any()


def test_the_copy_follows_by_momentum_codebook_and_all(build, make_batch, train):
    method, batch = build(momentum=0.9, revive_after=0), make_batch(4, mask_ratio=0.4)
    assert torch.equal(method.momentum.module.codebook, method.tokenizer.codebook)
    before = [p.clone() for p in method.momentum.module.parameters()]
    train(method, batch, steps=1)
    for old, copy, own in zip(before, method.momentum.module.parameters(), method.tokenizer.parameters(), strict=True):
        torch.testing.assert_close(copy, 0.9 * old + 0.1 * own)


def test_the_first_loss_does_not_reach_the_tokenizer_nor_the_second_the_encoder(build, make_batch):
    method, batch = build(), make_batch(4, mask_ratio=0.4)
    terms = method.loss(method.predict(batch), method.targets(batch), batch)
    terms["recon"].backward(retain_graph=True)
    assert all(p.grad is None for p in method.tokenizer.parameters())
    assert any(p.grad is not None for p in method.model.parameters())
    method.zero_grad(set_to_none=True)
    (terms["momentum"] + terms["codebook"] + terms["usage"]).backward()
    assert all(p.grad is None for p in method.model.parameters())
    assert any(p.grad is not None for p in method.tokenizer.parameters())


def test_all_codes_are_in_use_with_pressure_and_revival_and_not_without(build, make_batch, train):
    batch, used = make_batch(16, mask_ratio=0.4), {}
    for name, changes in {"kept": {"revive_after": 5}, "left": {"revive_after": 0, "usage_weight": 0.0}}.items():
        method = build(num_codes=64, **changes)
        train(method, batch, steps=25)
        used[name] = float(method.metrics()["codebook_usage"])
    assert used["kept"] == 1.0
    assert used["left"] < 0.7


def test_revived_codes_stand_on_features_in_both_codebooks(build, make_batch, train):
    method, batch = build(), make_batch(8, mask_ratio=0.4, is_partly_observed=True)
    train(method, batch, steps=1)  # all codes start on patches of the first batch
    features, targets = method._last
    own = features[targets.valid > 0]
    method.eval()
    for codebook in (method.tokenizer.codebook, method.momentum.module.codebook):
        nearest = torch.cdist(codebook.detach(), own).amin(1)
        assert int((nearest < 1e-5).sum()) >= 16 - len(targets.codes.unique())
    assert torch.equal(method.tokenizer.codebook[nearest < 1e-5], method.momentum.module.codebook[nearest < 1e-5])


def test_divergence_from_equal_use_by_hand():
    one_hot = F.one_hot(torch.tensor([[0, 1, 2, 3]]), 4).float()
    everything = torch.ones(1, 4)
    assert float(divergence_from_equal_use(one_hot, everything)) == pytest.approx(0.0, abs=1e-5)
    assert float(divergence_from_equal_use(one_hot, torch.tensor([[1.0, 0, 0, 0]]))) == pytest.approx(math.log(4))
    half = torch.tensor([[1.0, 1, 0, 0]])
    assert float(divergence_from_equal_use(one_hot, half)) == pytest.approx(math.log(2), abs=1e-5)


def test_equal_use_is_of_all_processes_and_so_is_its_gradient_once_averaged(monkeypatch):
    torch.manual_seed(0)
    logits, valid = torch.randn(2, 3, 5, 4), torch.tensor([[[1.0, 1, 1, 0, 1]] * 3, [[0.0, 1, 0, 1, 0]] * 3])
    joint = logits.clone().requires_grad_()
    together = divergence_from_equal_use(joint.softmax(-1).flatten(0, 1), valid.flatten(0, 1))
    together.backward()
    sums = [(logits[rank].softmax(-1) * valid[rank][..., None]).sum((0, 1)) for rank in (0, 1)]
    shares = [torch.cat([sums[rank], valid[rank].sum()[None]]) for rank in (0, 1)]
    monkeypatch.setattr("vision.methods.online_tokenizer.world_size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr("vision.methods.online_tokenizer.sum_over_ranks", lambda x, r=rank: x + shares[1 - r])
        own = logits[rank].clone().requires_grad_()
        value = divergence_from_equal_use(own.softmax(-1), valid[rank])
        value.backward()
        torch.testing.assert_close(value, together)
        torch.testing.assert_close(own.grad / 2, joint.grad[rank])  # processes' gradients are averaged


def test_not_observed_pixels_change_nothing(build, make_batch):
    method, batch = build(), make_batch(4, mask_ratio=0.4, is_partly_observed=True)
    method.eval()
    other = batch._replace(views=(torch.nan_to_num(batch.views[0], nan=77.0),))
    first, second = (method.loss(method.predict(b), method.targets(b), b) for b in (batch, other))
    for name in first:
        assert torch.isfinite(first[name])
        torch.testing.assert_close(first[name], second[name])


def test_batch_of_one_and_a_state_that_loads_give_the_same_numbers(build, make_batch, train, loss_of):
    method, other, batch = build(), build(), make_batch(1, mask_ratio=0.4)
    assert method.metrics() == {}
    assert all(math.isfinite(loss) for loss in train(method, batch, 2))
    other.load_state_dict(method.state_dict())
    assert torch.equal(loss_of(method, batch), loss_of(other, batch))


def test_what_it_leaves_names_the_codes_of_its_own_tokenizer(build, make_batch):
    method, batch = build(), make_batch(2, mask_ratio=0.4)
    left = method.artifact().eval()
    method.eval()
    assert torch.equal(left.tokenizer.codes(batch.views[0]), method.targets(batch).codes)
    assert left.model.logits(batch.views[0], None, batch.masks[0].hidden).shape == (2, 20, left.tokenizer.num_codes)
    with pytest.raises(ValueError, match="online_tokenizer learns from hidden patches"):
        method.predict(make_batch(2))


@pytest.mark.slow
def test_predict_and_loss_compile_to_one_graph(build, make_batch):
    method, batch = build(), make_batch(4, mask_ratio=0.4)
    targets = method.targets(batch)

    def step(batch, targets):
        return sum(method.loss(method.predict(batch), targets, batch).values())

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(batch, targets), step(batch, targets))
