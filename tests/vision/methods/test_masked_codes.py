"""What BEiT v2 offers beside the paper: a codebook head, mixed channels, hints of what is hidden."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from vision.config import BEiT2Config
from vision.methods.beit2 import BEiT2
from vision.nn.tokenizer import VisualTokenizer

MAIN = BEiT2Config(aggregation_depth=0)


def test_codebook_head_teaches_codes_alike_and_leaves_a_linear_head(encoder, tokenizer, make_batch, train):
    batch = make_batch(8, mask_ratio=0.4)
    torch.manual_seed(1)
    method = BEiT2(encoder, dataclasses.replace(MAIN, codebook_head=True), tokenizer)
    train(method, batch, steps=10)
    left = method.artifact()
    assert type(left.head) is torch.nn.Linear
    images, hidden = batch.views[0], batch.masks[0].hidden
    method.eval()
    left.eval()
    torch.testing.assert_close(left(images, None, hidden), method.model(images, None, hidden))
    # a step on one code alone moves the logit of its double as well
    shared = method.model.head
    known = tokenizer.codebook.weight[0]
    known = (known - known.mean(0)) / known.std(0)
    torch.testing.assert_close(shared.vectors, known)
    state = torch.randn(1, left.head.in_features)
    method.zero_grad()
    method.model.head(state)[0, 3].backward()
    expected = torch.outer(shared.vectors[3], state[0])
    torch.testing.assert_close(shared.directions.grad, expected)


def test_codebook_head_needs_a_codebook(encoder):
    class Plain(VisualTokenizer):
        num_codes, patch_size = 16, encoder.patch_size

    with pytest.raises(ValueError, match="codebook_head false"):
        BEiT2(encoder, dataclasses.replace(MAIN, codebook_head=True), Plain())


def test_mixed_channels_are_not_shown_beside_what_is_hidden(encoder, tokenizer, make_batch):
    batch = make_batch(4, mask_ratio=0.4)
    method = BEiT2(encoder, MAIN, tokenizer, mixed_channels=(1,)).eval()
    images, hidden = batch.views[0], batch.masks[0].hidden.clone()
    grid = method.model.encoder.grid(images)
    hidden = hidden.unflatten(1, (grid.rows, grid.columns))
    hidden[:, :, 0], hidden[:, 0, 1:] = False, True
    hidden, width = hidden.flatten(1), grid.patch_width
    before = method.model(images, None, hidden)
    changed = images.clone()
    changed[:, 1, :, width:] += 1.0
    assert torch.equal(method.model(changed, None, hidden), before)
    changed[:, 1, :, :width] += 1.0  # a column in which all is seen
    assert not torch.equal(method.model(changed, None, hidden), before)
    codes = method.targets(batch).patches
    changed = batch._replace(views=(changed,))
    assert not torch.equal(method.targets(changed).patches, codes)  # the tokenizer sees them everywhere


def test_hints_tell_of_hidden_patches_alone(encoder, tokenizer, make_batch):
    batch = make_batch(4, mask_ratio=0.4)
    method = BEiT2(encoder, MAIN, tokenizer, hint_channels=2).eval()
    images, hidden = batch.views[0], batch.masks[0].hidden
    grid = method.model.encoder.grid(images)
    hints = torch.randn(len(images), 2, *images.shape[-2:])
    hinted = torch.cat([images, hints], dim=1)
    before = method.model(hinted, None, hidden)
    where = hidden.unflatten(1, (grid.rows, grid.columns)).repeat_interleave(grid.patch_height, 1)
    where = where.repeat_interleave(grid.patch_width, 2)[:, None]  # pixels of hidden patches
    elsewhere = torch.cat([images, torch.where(where, hints, hints + 1.0)], dim=1)
    assert torch.equal(method.model(elsewhere, None, hidden), before)
    there = torch.cat([images, torch.where(where, hints + 1.0, hints)], dim=1)
    assert not torch.equal(method.model(there, None, hidden), before)
    whole = batch._replace(views=(hinted,))
    plain = BEiT2(encoder, MAIN, tokenizer)
    assert torch.equal(method.targets(whole).patches, plain.targets(batch).patches)  # the tokenizer does not see them
    assert method.predict(whole).patches.shape == plain.predict(batch).patches.shape


def test_a_hint_is_read_by_itself_and_learned_from_drawn_images(encoder, tokenizer, make_batch):
    batch, drawn = make_batch(4, mask_ratio=0.4), make_batch(4).views[0]
    hints = torch.randn(2, 4, 2, *drawn.shape[-2:])
    hints[1, 0] = 0.0  # nothing is told of the first drawn image
    views = tuple(torch.cat(pair, dim=1) for pair in zip((batch.views[0], drawn), hints, strict=True))
    both = batch._replace(views=views, masks=(batch.masks[0], None), valid=(None, None))
    method = BEiT2(encoder, MAIN, tokenizer, hint_channels=2)
    predictions, targets = method.predict(both), method.targets(both)
    assert torch.equal(targets.drawn, tokenizer.codes(drawn))
    assert not predictions.drawn[0].any()
    assert predictions.drawn[1:].any()
    terms = method.loss(predictions, targets, both)
    wanted = F.cross_entropy(predictions.drawn[1:].flatten(0, 1), targets.drawn[1:].flatten())
    torch.testing.assert_close(terms["hint"], wanted)
    alone = method.loss(method.predict(both._replace(views=views[:1])), targets, both)
    assert "hint" not in alone
    assert torch.equal(alone["code"], terms["code"])
    model, grid = method.model.eval(), method.model.encoder.grid(drawn)
    patches = grid.patchify(hints[0])
    states = torch.randn(*patches.shape[:2], encoder.dim)
    torch.testing.assert_close(model.classify(states, patches) - model.head(states), model.prior(patches))
    assert torch.equal(model.classify(states, torch.zeros_like(patches)), model.head(states))
