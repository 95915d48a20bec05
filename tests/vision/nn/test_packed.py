"""Packing sequences of several lengths."""

import torch

from vision.nn.grid import PatchGrid
from vision.nn.packed import Segment, pack, split

SEGMENTS = [Segment(2, PatchGrid(2, 3, 1, 1), 1, None), Segment(3, PatchGrid(1, 4, 1, 1), 1, None)]


def test_segment_lengths():
    assert [segment.length for segment in SEGMENTS] == [7, 5]
    assert [segment.num_tokens for segment in SEGMENTS] == [14, 15]


def test_split_is_the_inverse_of_pack():
    tokens = [torch.randn(2, 7, 8), torch.randn(3, 5, 8)]
    flat = pack(tokens)
    assert flat.shape == (29, 8)
    assert all(torch.equal(a, b) for a, b in zip(split(flat, SEGMENTS), tokens, strict=True))


def test_one_segment_is_packed_without_a_copy():
    tokens = torch.randn(2, 7, 8)
    assert pack([tokens]).data_ptr() == tokens.data_ptr()
