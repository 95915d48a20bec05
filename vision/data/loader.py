"""The one stream of samples that every run reads, and the loader that batches it.

A run is a walk along positions p = 0, 1, 2, … of an endless stream. What stands at position p is a function
of (seed, p) alone: the sample is entry ``p % n`` of the ``p // n``-th permutation of the dataset, and all
randomness of its views (crops, masks) comes from ``np.random.default_rng((seed, p))``. Number of workers,
number of processes and interruptions therefore change nothing, and to resume a run is to start at a later
position. There are no epochs to restart and no sampler state to save.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from vision.batch import Batch, Mask
from vision.errors import InputError
from vision.nn.grid import PatchGrid

View: TypeAlias = tuple[Tensor, Tensor | None, np.ndarray | None]
"""(image (C, H, W), observed (H, W) bool or None = all, hidden (rows, columns) bool or None = nothing)."""

ViewMaker: TypeAlias = Callable[[Tensor, Tensor | None, np.random.Generator], Any]
"""(image, observed, rng) -> for each crop size, its views; numbers and sizes as for every other sample.

A view maker may have a ``collate`` of its own, samples -> what the loader gives, and then a ``prepare``, which
makes the Batch of that on the device (:class:`vision.data.augment.ImageViews`).
"""


class ImageDataset(Protocol):
    """Anything with a length whose items are (image (C, H, W), observed (H, W) bool or None = all)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Tensor, Tensor | None]: ...


class StreamSampler(Sampler[list[int]]):
    """Batches of stream positions: of every global batch, process ``rank`` takes the rank-th part.

    Two processes with batch size B thus see, step by step, what one process with batch size 2B sees, in
    the same order once their batches are put end to end.

    Parameters
    ----------
    start, stop : first position and the position after the last; a whole number of global batches apart.
    batch_size : samples per process and batch.
    rank, world_size : this process and the number of processes.

    Raises
    ------
    ValueError : when ``stop - start`` is not a multiple of ``batch_size * world_size``.
    """

    def __init__(self, start: int, stop: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.stride = batch_size * world_size
        if stop < start or (stop - start) % self.stride:
            raise ValueError(f"positions {start} to {stop} are not a whole number of batches of {self.stride} samples")
        self.start, self.stop, self.batch_size = start, stop, batch_size
        self.offset = rank * batch_size

    def __len__(self) -> int:
        return (self.stop - self.start) // self.stride

    def __iter__(self) -> Iterator[list[int]]:
        for first in range(self.start + self.offset, self.stop, self.stride):
            yield list(range(first, first + self.batch_size))


class SampleStream(Dataset[Any]):
    """Position -> the views of the sample that stands there (see the module's first lines)."""

    def __init__(self, dataset: ImageDataset, views: ViewMaker, seed: int) -> None:
        if len(dataset) == 0:
            raise ValueError("the dataset is empty: there is nothing to learn from")
        self.dataset, self.views, self.seed = dataset, views, seed
        self._round, self._order = -1, np.empty(0, dtype=np.int64)

    def sample_index(self, position: int) -> int:
        """Index in the dataset of the sample at a position: every ``n`` positions visit every sample once."""
        size = len(self.dataset)
        if position // size != self._round:
            self._round = position // size
            # the trailing 1 keeps this stream apart from the samples' own, default_rng((seed, position))
            self._order = np.random.default_rng((self.seed, self._round, 1)).permutation(size)
        return int(self._order[position % size])

    def __getitem__(self, index: int) -> Any:
        image, observed = self.dataset[self.sample_index(index)]
        return self.views(image, observed, np.random.default_rng((self.seed, index)))


def collate(samples: Sequence[Sequence[Sequence[View]]], num_masked: Sequence[int] | None = None) -> Batch:
    """Samples -> Batch: one tensor per crop size, view-major; masks and validity likewise.

    Parameters
    ----------
    samples : for each sample, for each crop size, its views.
    num_masked : for each crop size, the most patches a view ever hides: M of ``Mask``. None: the most in this batch.
    """
    images, masks, valid = [], [], []
    for size in range(len(samples[0])):
        views = [sample[size][view] for view in range(len(samples[0][size])) for sample in samples]
        images.append(torch.stack([image for image, _, _ in views]))
        observed = _stack_observed(views)
        valid.append(observed)
        masks.append(_stack_hidden(views, observed, None if num_masked is None else num_masked[size]))
    return Batch(tuple(images), tuple(masks), tuple(valid), len(samples))


def _stack_observed(views: Sequence[View]) -> Tensor | None:
    if all(observed is None for _, observed, _ in views):
        return None
    return torch.stack(
        [
            torch.ones(image.shape[-2:], dtype=torch.bool) if observed is None else observed
            for image, observed, _ in views
        ]
    )


def _stack_hidden(views: Sequence[View], observed: Tensor | None, num_masked: int | None) -> Mask | None:
    shapes = {hidden.shape for _, _, hidden in views if hidden is not None}
    if not shapes:
        return None
    (shape,) = shapes  # one crop size has one grid
    nothing = np.zeros(shape, dtype=bool)
    hidden = torch.from_numpy(np.stack([nothing if h is None else h for _, _, h in views]))
    patch_valid = None
    if observed is not None:
        height, width = observed.shape[-2:]
        patch_valid = PatchGrid.of(height, width, (height // shape[0], width // shape[1])).pool_any(observed)
    hidden = hidden.flatten(1)
    count = int(hidden.sum(1).max()) if num_masked is None else num_masked
    return Mask.from_hidden(hidden, count, patch_valid)


def unwrapped(error: InputError) -> InputError:
    """The error as it was raised: out of a worker it comes in that one's traceback."""
    kind = type(error)
    return kind(str(error).strip().splitlines()[-1].removeprefix(f"{kind.__module__}.{kind.__qualname__}: "))


def prepare_worker(_: int) -> None:
    """Leave Ctrl-C to the main process, and one thread to each worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def make_loader(
    dataset: ImageDataset,
    views: ViewMaker,
    batch_size: int,
    start_position: int,
    stop_position: int,
    seed: int,
    num_workers: int = 0,
    *,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Any]:
    """Loader of the ``Batch``es between two positions of the stream.

    Parameters
    ----------
    dataset, views : where images come from, and what is made of each. A view maker may carry
        ``num_masked``, a tuple with the most patches hidden per crop size; or its own ``collate``.
    batch_size : samples per process and batch.
    start_position, stop_position : the part of the stream to read; resume = a later start.
    seed : of the whole stream.
    num_workers : processes that prepare batches; 0 = in this process. Does not change what is read.
    rank, world_size : this process and their number.
    """
    return DataLoader(
        SampleStream(dataset, views, seed),
        batch_sampler=StreamSampler(start_position, stop_position, batch_size, rank, world_size),
        collate_fn=getattr(views, "collate", None) or partial(collate, num_masked=getattr(views, "num_masked", None)),
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=prepare_worker,
        prefetch_factor=4 if num_workers else None,
    )
