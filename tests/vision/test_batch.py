"""Masks as lists of hidden patches, and batches that a trainer can move."""

import pytest
import torch

from vision.batch import Batch, Mask


def test_a_mask_lists_the_hidden_patches_of_all_images_and_what_is_left_over_has_weight_zero():
    hidden = torch.tensor([[False, True, False, True], [False, False, False, True], [False] * 4])
    mask = Mask.from_hidden(hidden, num_masked=3)
    assert mask.index[:3].tolist() == [1, 3, 7]
    assert mask.weight.tolist() == [1, 1, 1] + 6 * [0]
    assert mask.index.unique().shape == (9,)
    assert not hidden.flatten()[mask.index[3:]].any()


def test_patches_that_were_not_observed_have_weight_zero_but_stay_hidden():
    hidden = torch.tensor([[True, True, False]])
    mask = Mask.from_hidden(hidden, 2, patch_valid=torch.tensor([[False, True, True]]))
    assert mask.index.tolist() == [0, 1]
    assert mask.weight.tolist() == [0.0, 1.0]
    assert torch.equal(mask.hidden, hidden)


@pytest.mark.parametrize("num_masked", [1, 5])
def test_a_length_that_cannot_hold_the_mask_is_refused(num_masked):
    with pytest.raises(ValueError, match=f"num_masked is {num_masked}, expected 2"):
        Mask.from_hidden(torch.tensor([[True, True, False]]), num_masked)


@pytest.mark.parametrize(("num_hidden", "expected"), [(0, 64), (1, 64), (64, 64), (65, 128), (193, 200)])
def test_there_are_as_many_rows_as_hidden_patches_up_to_a_round_number(num_hidden, expected):
    hidden = (torch.arange(200) < num_hidden).view(10, 20).flip(1)
    mask = Mask.from_hidden(hidden, 20)
    assert mask.index.shape == mask.weight.shape == (expected,)
    assert int(mask.weight.sum()) == num_hidden


def test_images_that_hide_one_number_have_rows_of_one_number():
    hidden = torch.tensor([[True, True, False], [False, True, True]])
    assert Mask.from_hidden(hidden, 2).index.tolist() == [0, 1, 4, 5]
    assert Mask.from_hidden(torch.zeros(2, 3, dtype=torch.bool), 0).index.shape == (1,)  # never none


def test_the_shares_are_of_a_mean_over_all_images_of_the_mean_over_their_rows_that_count():
    hidden = torch.tensor([[True, True, True, False], [False, True, False, False], [False] * 4])
    valid = torch.tensor([[True, False, True, True]] * 3)
    share = Mask.from_hidden(hidden, 3, valid).share()
    torch.testing.assert_close(share, torch.tensor([1 / 6, 0, 1 / 6] + 6 * [0.0]))
    assert not Mask.from_hidden(hidden & False, 3).share().any()


def test_batch_counts_views_per_crop_size():
    batch = Batch((torch.zeros(6, 1, 4, 4), torch.zeros(12, 1, 2, 2)), (None, None), (None, None), batch_size=3)
    assert [batch.num_views(crop) for crop in range(2)] == [2, 4]
