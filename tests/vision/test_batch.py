"""Masks as index tensors of constant length, and batches that a trainer can move."""

import pytest
import torch

from vision.batch import Batch, Mask


def test_mask_indexes_the_hidden_patches_and_pads_with_weight_zero():
    hidden = torch.tensor([[False, True, False, True], [False, False, False, True], [False] * 4])
    mask = Mask.from_hidden(hidden, num_masked=3)
    assert mask.index.shape == mask.weight.shape == (3, 3)
    assert mask.weight.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert mask.index[0, :2].tolist() == [1, 3]
    assert mask.index[1, 0] == 3
    assert not hidden.gather(1, mask.index)[mask.weight == 0].any()


def test_patches_that_were_not_observed_have_weight_zero_but_stay_hidden():
    hidden = torch.tensor([[True, True, False]])
    mask = Mask.from_hidden(hidden, 2, patch_valid=torch.tensor([[False, True, True]]))
    assert mask.index.tolist() == [[0, 1]]
    assert mask.weight.tolist() == [[0.0, 1.0]]
    assert torch.equal(mask.hidden, hidden)


@pytest.mark.parametrize("num_masked", [1, 5])
def test_a_length_that_cannot_hold_the_mask_is_refused(num_masked):
    with pytest.raises(ValueError, match=f"num_masked is {num_masked}, expected 2"):
        Mask.from_hidden(torch.tensor([[True, True, False]]), num_masked)


def test_shapes_do_not_depend_on_the_draw():
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        hidden = torch.rand(6, 20, generator=generator) < 0.3
        mask = Mask.from_hidden(hidden, 15)
        assert mask.index.shape == (6, 15)
        assert torch.equal(mask.weight.sum(1).long(), hidden.sum(1))


def test_batch_counts_views_per_crop_size():
    batch = Batch((torch.zeros(6, 1, 4, 4), torch.zeros(12, 1, 2, 2)), (None, None), (None, None), batch_size=3)
    assert [batch.num_views(crop) for crop in range(2)] == [2, 4]
