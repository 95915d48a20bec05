"""Two processes give what one gives with the doubled batch: codebook, centre, Sinkhorn-Knopp, weighted means."""

import torch
from torch import distributed, multiprocessing

from vision import collectives
from vision.config import CodebookConfig
from vision.losses import masked_l1, masked_mse
from vision.nn.codebook import Codebook
from vision.targets import Centering, SinkhornKnopp

STEPS = 4


def test_one_process_is_the_identity():
    tensor = torch.randn(3)
    functions = ("sum_over_ranks", "mean_over_ranks", "max_over_ranks", "gather_over_ranks", "copy_from_first")
    assert all(getattr(collectives, name)(tensor) is tensor for name in functions)
    assert (collectives.rank(), collectives.world_size()) == (0, 1)


def _run(batches, weights):
    """Codebook, centre, Sinkhorn-Knopp and losses over some steps -> everything they leave."""
    config = CodebookConfig(num_codes=24, dim=5, levels=2, revive_after=2, decay=0.8)
    codebook, centering, sinkhorn = Codebook(config).train(), Centering(5), SinkhornKnopp()
    codes, balanced, losses = [], [], []
    for vectors, weight in zip(batches, weights, strict=True):
        quantized = codebook(vectors, weight)
        codes.append(quantized.codes)
        pair = vectors[None], torch.zeros_like(vectors)[None], weight[None]
        terms = torch.stack([masked_mse(*pair), masked_l1(*pair), quantized.commitment])
        losses.append(collectives.mean_over_ranks(terms))  # as DDP averages the gradients
        centering(vectors, 0.1, weight)
        balanced.append(sinkhorn(vectors, 0.5, weight))
    return {
        **codebook.state_dict(),
        "center": centering.center,
        "codes": torch.stack(codes),
        "losses": torch.stack(losses),
        "balanced": torch.stack(balanced),
    }


def _process(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    try:
        batches, weights = torch.load(f"{folder}/data.pt")
        torch.save(_run(batches.chunk(2, 1)[rank], weights.chunk(2, 1)[rank]), f"{folder}/{rank}.pt")
    finally:
        distributed.destroy_process_group()


def test_two_processes_equal_one_with_the_doubled_batch(tmp_path):
    generator = torch.Generator().manual_seed(0)
    batches = torch.randn(STEPS, 60, 5, generator=generator)
    batches[1:, :, 0] += 3  # most codes of the start die, and are revived
    weights = (torch.rand(STEPS, 60, generator=generator) > 0.3).float()
    weights[:, 30:50] = 0  # the second process observes far less than the first
    torch.save((batches, weights), tmp_path / "data.pt")
    multiprocessing.spawn(_process, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    expected = _run(batches, weights)
    for name in ("weight", "cluster_size", "codes_used_for", "updates", "center", "losses"):
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(first[name].double(), expected[name].double(), atol=1e-5), name
    assert int(expected["codes_used_for"].max()) <= 2  # revival happened
    for name in ("codes", "balanced"):
        assert torch.allclose(torch.cat([first[name], second[name]], 1).double(), expected[name].double(), atol=1e-5)
