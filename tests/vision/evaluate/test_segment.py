"""Segmentation: the measure against a naive count, both heads, windows."""

import dataclasses
import itertools
import math
from typing import cast

import pytest
import torch

from vision.config import ConfigError
from vision.errors import DivergedError, InputError
from vision.evaluate.config import SegmentConfig
from vision.evaluate.finetune import copy_to_train, layer_groups
from vision.evaluate.segment import (
    SegmentationResult,
    confusion_of,
    cut_and_mirror,
    intersection_over_union,
    predict,
    segment,
    window_starts,
)
from vision.evaluate.segment_heads import Segmenter

VOID = 9


@pytest.fixture
def scenes():
    """(images (n, 3, 12, 18), masks): left and right of a random border are two classes; a column is void."""
    generator = torch.Generator().manual_seed(0)
    border = torch.randint(2, 5, (40,), generator=generator) * 3
    masks = (torch.arange(18) >= border[:, None]).long()[:, None].expand(-1, 12, -1).clone()
    images = torch.randn(40, 3, 12, 18, generator=generator) * 0.5 + (2.0 * masks[:, None] - 1)
    masks[:, :, 0] = VOID
    return images, masks


def test_intersection_over_union_is_the_naive_count():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(4, (3, 5, 6), generator=generator)
    predicted = torch.randint(4, (3, 5, 6), generator=generator)
    truth[0, 0] = VOID
    confusion = confusion_of(predicted, truth, 5, VOID)
    assert int(confusion.sum()) == 3 * 5 * 6 - 6
    ious = intersection_over_union(confusion).tolist()
    pairs = [(int(t), int(p)) for t, p in zip(truth.flatten(), predicted.flatten(), strict=True) if t != VOID]
    for number in range(4):
        both = sum(t == p == number for t, p in pairs)
        either = sum(number in pair for pair in pairs)
        assert ious[number] == pytest.approx(both / either)
    assert math.isnan(ious[4])  # neither there nor predicted: it does not count
    segmenter = cast(Segmenter, None)
    result = SegmentationResult(
        ious=[0.5, math.nan, 1.0], pixel_accuracy=1.0, num_images=1, segmenter=segmenter, names="abc"
    )
    assert result.mean_iou == 0.75
    assert "75.00%" in repr(result)


@pytest.mark.parametrize("head", ["linear", "uper"])
@pytest.mark.parametrize("is_frozen", [True, False])
def test_both_heads_learn_two_halves(head, is_frozen, make_encoder, scenes):
    images, masks = scenes
    encoder = make_encoder(patch_size=(3, 3), depth=2, dim=16)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    config = SegmentConfig(head=head, is_encoder_frozen=is_frozen, hidden_dim=8, steps=30, batch_size=8, crop=(9, 12),
                           learning_rate=2e-2, encoder_learning_rate=1e-3, warmup_steps=2)  # fmt: skip
    result = segment(
        encoder, images[:32], masks[:32], images[32:], masks[32:], 2, config, ignore=VOID, names=("a", "b")
    )
    assert result.mean_iou > 0.7
    assert result.mean_iou == pytest.approx(sum(result.ious) / 2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    moved = not torch.equal(
        result.segmenter.encoder.patch_embed.projection.weight, before["patch_embed.projection.weight"]
    )
    assert moved is not is_frozen
    assert "mIoU" in result.summary()


@torch.no_grad()  # as in a notebook that has switched gradients off
def test_a_trained_encoder_is_a_function_of_the_seed_and_drops_paths_as_configured(make_encoder, scenes):
    images, masks = scenes
    pretrained = {"drop_path": 0.6, "drop_path_shape": "uniform"}
    encoder, weights = make_encoder(patch_size=(3, 3), depth=2, dim=16, **pretrained), []
    config = SegmentConfig(is_encoder_frozen=False, steps=3, batch_size=4, drop_path=0.3, encoder_learning_rate=1e-2)
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        segmenter = segment(encoder, images, masks, images, masks, 2, config, ignore=VOID).segmenter
        assert torch.equal(torch.get_rng_state(), before)
        assert segmenter.encoder.config == dataclasses.replace(encoder.config, drop_path=0.3, drop_path_shape="linear")
        weights.append(torch.cat([parameter.flatten() for parameter in segmenter.parameters()]))
    assert torch.equal(*weights)


def test_an_encoder_that_trains_is_slower_from_layer_to_layer(make_encoder):
    encoder = make_encoder(patch_size=(3, 3), depth=2, relative_position="shared")
    own = copy_to_train(encoder, 0.1, final_norm=True)
    assert own.config.relative_position == "block"
    segmenter = Segmenter(own, 2, SegmentConfig(is_encoder_frozen=False))
    named = {id(parameter): name for name, parameter in segmenter.named_parameters()}
    groups = layer_groups(segmenter, layer_decay=0.5, weight_decay=0.1, encoder_scale=0.1)
    rates = {named[id(parameter)]: group for group in groups for parameter in group["params"]}
    assert rates.keys() == {name for name, _ in segmenter.named_parameters()}
    for name, scale, decay in (
        ("head.head.weight", 1.0, 0.1),
        ("head.norm.weight", 1.0, 0.0),
        ("encoder.norm.weight", 0.1, 0.0),
        ("encoder.blocks.1.mlp.0.weight", 0.1 * 0.5, 0.1),
        ("encoder.patch_embed.projection.weight", 0.1 * 0.5**3, 0.1),
    ):
        assert rates[name]["rate_scale"] == pytest.approx(scale)
        assert rates[name]["weight_decay"] == decay
    frozen = Segmenter(own, 2, SegmentConfig())
    parts = [group["params"] for group in layer_groups(frozen, 0.5, 0.1, 0.1)]
    assert {id(part) for some in parts for part in some} == {id(part) for part in frozen.head.parameters()}


def test_a_class_that_does_not_count_is_no_answer_and_not_in_the_mean(make_encoder, scenes):
    images, masks = scenes[0], scenes[1].clone()
    masks[masks != VOID] += 1
    masks[masks == VOID] = 0  # as ADE20K's
    config = SegmentConfig(steps=1, batch_size=4)  # so that any class may be answered
    result = segment(make_encoder(patch_size=(3, 3)), images, masks, images, masks, 3, config, ignore=0)
    assert math.isnan(result.ious[0])
    assert result.mean_iou == pytest.approx(sum(result.ious[1:]) / 2)


def test_a_batch_without_any_pixel_that_counts_teaches_nothing_and_stops_nothing(make_encoder, scenes, recwarn):
    images, masks = scenes[0], scenes[1].clone()
    masks[1:] = VOID  # so that the step whose loss is looked at has none
    config = SegmentConfig(steps=100, batch_size=1, warmup_steps=0, learning_rate=1e-2)
    segmenter = segment(make_encoder(patch_size=(3, 3)), images, masks, images, masks, 2, config, ignore=VOID).segmenter
    assert all(parameter.isfinite().all() for parameter in segmenter.parameters())
    assert [str(warning.message) for warning in recwarn if "requires_grad" in str(warning.message)] == []


def test_a_short_run_whose_loss_is_not_a_number_says_so(make_encoder, scenes):
    config = SegmentConfig(steps=5, batch_size=4, warmup_steps=0, learning_rate=1e30, is_encoder_frozen=False)
    with pytest.raises(DivergedError, match="at step 5: lower the learning rate"):
        segment(make_encoder(patch_size=(3, 3)), *scenes, *scenes, 2, config, ignore=VOID)


def test_logits_have_the_size_of_the_image_and_every_parameter_gets_a_gradient(make_encoder):
    images = torch.randn(2, 3, 9, 15)  # 3 x 5 patches: odd sides survive the pyramid
    config = SegmentConfig(head="uper", is_encoder_frozen=False, hidden_dim=8)
    segmenter = Segmenter(make_encoder(patch_size=(3, 3), dim=16, depth=6), 4, config)
    assert segmenter.blocks == (2, 3, 5, 6)
    logits = segmenter(images)
    assert logits.shape == (2, 4, 9, 15)
    logits.square().sum().backward()
    without = [
        name for name, p in segmenter.named_parameters() if p.grad is None and not name.startswith("encoder.norm.")
    ]
    assert without == []


def test_a_frozen_encoder_stays_in_eval_mode(make_encoder):
    segmenter = Segmenter(make_encoder(), 2, SegmentConfig()).train()
    assert segmenter.head.training
    assert not segmenter.encoder.training
    assert not any(parameter.requires_grad for parameter in segmenter.encoder.parameters())


def test_windows_cover_the_image_and_one_window_is_the_whole(make_encoder):
    for length, window in [(320, 96), (240, 96), (10, 10), (11, 10), (12, 5)]:
        starts = window_starts(length, window)
        assert starts[0] == 0
        assert starts[-1] + window == length
        assert all(0 < after - before <= window * 2 / 3 for before, after in itertools.pairwise(starts))
    segmenter = Segmenter(make_encoder(patch_size=(3, 3)), 2, SegmentConfig())
    images = torch.randn(2, 3, 12, 18)
    assert torch.allclose(predict(segmenter, images, (12, 18)), predict(segmenter, images), atol=1e-5)
    assert torch.allclose(predict(segmenter, images, (99, 99)), predict(segmenter, images), atol=1e-5)
    assert predict(segmenter, images, (6, 9)).shape == (2, 2, 12, 18)


def test_images_and_masks_are_cut_and_mirrored_together():
    images = torch.arange(4 * 6 * 8, dtype=torch.float32).view(4, 1, 6, 8)
    batch, masks = cut_and_mirror(images, images[:, 0].long(), (3, 5), torch.Generator().manual_seed(0))
    assert batch.shape == (4, 1, 3, 5)
    assert torch.equal(batch[:, 0].long(), masks)
    steps = set((masks[:, 0, 1] - masks[:, 0, 0]).tolist())
    assert steps == {-1, 1}  # some are mirrored


def test_masks_that_do_not_fit_are_refused(make_encoder, scenes):
    images, masks = scenes
    with pytest.raises(ValueError, match="need classes from 0 to 1, or 255 to leave"):
        segment(make_encoder(), images, masks, images, masks, 2)
    with pytest.raises(ValueError, match=r"expected \(n, 12, 18\)"):
        segment(make_encoder(), images, masks[:, :, :-1], images, masks, 2, ignore=VOID)
    with pytest.raises(ValueError, match="40 images and 39 masks"):
        segment(make_encoder(), images, masks[:-1], images, masks, 2, ignore=VOID)
    with pytest.raises(InputError, match="num_classes is 1, expected two or more"):
        segment(make_encoder(), images, masks, images, masks, 1, ignore=VOID)
    with pytest.raises(ConfigError, match="at least 2 with head 'uper'"):
        SegmentConfig(head="uper", batch_size=1)


def test_what_was_not_observed_is_not_attended_to(make_encoder, images, gappy):
    with_gaps, seen = gappy
    segmenter = Segmenter(make_encoder(), 2, SegmentConfig())
    with torch.no_grad():
        maps = segmenter._maps(with_gaps, has_gaps=True)[0].flatten(2).transpose(1, 2)
        expected = segmenter.encoder(images, ~with_gaps.isnan().any(dim=1)).patches
    assert torch.allclose(maps[seen], expected[seen], atol=1e-5)
    assert segmenter(with_gaps).isfinite().all()
