import pickle

import numpy as np
import pytest
import torch

from tests.vision.view_makers import SingleView
from vision.config import ConfigError
from vision.data.loader import SampleStream, StreamSampler, collate, make_loader, unwrapped
from vision.errors import InputError
from vision.masks import RandomMask

SIZE, PATCH = (4, 6), (2, 3)


class Numbers:
    """Image i is filled with i."""

    def __init__(self, length=10, observed=None):
        self.length, self.observed = length, observed

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return torch.full((1, *SIZE), float(index)), self.observed


def jitter(image, observed, rng):
    return [[(image + float(rng.random()), observed, None)]]


def read(start, stop, **options):
    return list(make_loader(Numbers(), jitter, 4, start, stop, seed=3, **options))


def test_every_round_of_the_stream_visits_every_sample_once_in_a_new_order():
    stream = SampleStream(Numbers(10), jitter, seed=3)
    order = [stream.sample_index(position) for position in range(30)]
    rounds = [order[:10], order[10:20], order[20:]]
    assert all(sorted(part) == list(range(10)) for part in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    assert stream.sample_index(4) == order[4]  # and back
    assert [SampleStream(Numbers(10), jitter, seed=4).sample_index(p) for p in range(10)] != rounds[0]


def test_a_sample_is_a_function_of_seed_and_position():
    stream = SampleStream(Numbers(10), jitter, seed=3)
    [[(image, _, _)]] = stream[17]
    expected = stream.sample_index(17) + np.random.default_rng((3, 17)).random()
    assert image.unique().item() == pytest.approx(expected)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_later_start_gives_the_rest_of_the_same_batches(num_workers):
    whole, rest = read(0, 32), read(12, 32, num_workers=num_workers)
    assert len(whole) == 8
    assert all(torch.equal(a.views[0], b.views[0]) for a, b in zip(whole[3:], rest, strict=True))


def test_two_processes_read_together_what_one_reads_with_the_doubled_batch():
    one = list(make_loader(Numbers(), jitter, 8, 0, 32, seed=3))
    parts = [read(0, 32, rank=rank, world_size=2) for rank in (0, 1)]
    for batch, first, second in zip(one, *parts, strict=True):
        assert torch.equal(batch.views[0], torch.cat([first.views[0], second.views[0]]))


@pytest.mark.parametrize("kind", [InputError, ConfigError])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_in_a_worker_comes_out_as_it_was_raised(kind, num_workers):
    def broken(image, observed, rng):
        raise kind("row 7: no image")

    with pytest.raises(kind) as caught:
        list(make_loader(Numbers(), broken, 4, 0, 8, seed=3, num_workers=num_workers))
    error = unwrapped(caught.value)
    assert (type(error), str(error)) == (kind, "row 7: no image")


def test_positions_must_be_whole_batches():
    with pytest.raises(ValueError, match="whole number"):
        StreamSampler(0, 10, 4)
    assert len(StreamSampler(0, 0, 4)) == 0


def test_empty_dataset_is_refused():
    with pytest.raises(ValueError, match="empty"):
        SampleStream(Numbers(0), jitter, seed=0)


def test_views_lie_view_by_view_with_masks_and_validity_alike():
    def views(image, observed, rng):
        hidden = np.zeros((2, 2), dtype=bool)
        hidden[0, int(image[0, 0, 0])] = True
        return [[(image, observed, hidden), (image + 10, observed, None)], [(image[:, :2], None, None)]]

    observed = torch.ones(SIZE, dtype=torch.bool)
    observed[:2, :3] = False
    samples = [views(*Numbers(observed=observed)[index], None) for index in (0, 1)]
    batch = collate(samples, [3, 0])
    assert batch.views[0][:, 0, 0, 0].tolist() == [0, 1, 10, 11]
    assert batch.views[1].shape == (2, 1, 2, 6)
    assert (batch.batch_size, batch.num_views(0), batch.num_views(1)) == (2, 2, 1)
    assert batch.masks[1] is None
    assert batch.valid[1] is None
    mask = batch.masks[0]
    assert mask.hidden.int().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert mask.index[:2].tolist() == [0, 5]
    assert mask.weight.tolist() == [0, 1] + 10 * [0]  # the first sample hides a patch that was not observed


def test_counts_come_from_the_batch_where_the_views_do_not_say():
    def views(image, observed, rng):
        return [[(image, None, np.array([[True, True], [False, False]]))]]

    batch = next(iter(make_loader(Numbers(), views, 4, 0, 4, seed=0)))
    assert batch.masks[0].index.tolist() == [0, 1, 4, 5, 8, 9, 12, 13]


def test_one_view_without_validity_is_observed_where_another_has_gaps():
    seen = torch.zeros(SIZE, dtype=torch.bool)
    image = torch.zeros(1, *SIZE)
    batch = collate([[[(image, seen, None)]], [[(image, None, None)]]])
    assert batch.valid[0].flatten(1).any(1).tolist() == [False, True]


def test_spawned_workers_can_receive_how_batches_are_put_together():
    views = SingleView(SIZE, PATCH, RandomMask(0.5))
    sent = pickle.loads(pickle.dumps(make_loader(Numbers(), views, 4, 0, 4, seed=0).collate_fn))
    samples = [views(*Numbers()[index], np.random.default_rng(index)) for index in range(4)]
    assert sent(samples).masks[0].index.shape == (8,)


def test_masks_have_one_length_in_every_batch():
    views = SingleView(SIZE, PATCH, RandomMask(0.5))
    shapes = {batch.masks[0].index.shape for batch in make_loader(Numbers(), views, 4, 0, 16, seed=0)}
    assert shapes == {(8,)}
