"""Choices hashed on the device: without repeats, reproducible, spread."""

import pytest
import torch

from vision.nn.sampling import spread_choice


def test_choices_are_valid_distinct_and_reproducible():
    valid = torch.rand(1000, generator=torch.Generator().manual_seed(0)) > 0.3
    choice, is_repeat = spread_choice(valid, 200, seed=3, stream=0)
    assert choice.unique().numel() == 200
    assert valid[choice].all()
    assert not is_repeat.any()
    assert torch.equal(choice, spread_choice(valid, 200, seed=torch.tensor(3), stream=0)[0])


def test_seed_and_stream_change_the_choice():
    valid = torch.ones(1000, dtype=torch.bool)
    base = spread_choice(valid, 50, 0, 0)[0]
    for seed, stream in ((1, 0), (0, 1)):
        assert (spread_choice(valid, 50, seed, stream)[0] == base).float().mean() < 0.1


def test_every_place_is_as_likely():
    counts = torch.zeros(40)
    for seed in range(800):
        counts[spread_choice(torch.ones(40, dtype=torch.bool), 5, seed, 0)[0]] += 1
    assert float(counts.min()) > 60  # 100 expected, standard deviation 9.4
    assert float(counts.max()) < 140


@pytest.mark.parametrize("num_valid", [0, 1, 3])
def test_what_cannot_be_chosen_anew_is_marked_as_repeat(num_valid):
    valid = torch.arange(10) < num_valid
    choice, is_repeat = spread_choice(valid, 6, 0, 0)
    assert is_repeat.tolist() == [False] * num_valid + [True] * (6 - num_valid)
    assert choice[~is_repeat].unique().numel() == num_valid


def test_only_the_wanted_are_given_places():
    wanted = torch.tensor([False, True, False, True, True])
    choice, is_repeat = spread_choice(torch.arange(6) < 2, 5, 0, 0, wanted)
    assert is_repeat.tolist() == [True, False, True, False, True]
    assert set(choice[[1, 3]].tolist()) == {0, 1}
