"""Codebook: cosine, averages, straight-through gradient, k-means start, revival, residual levels."""

import copy

import pytest
import torch
from torch.nn import functional as F

from vision.config import CodebookConfig
from vision.nn.codebook import Codebook


def _codebook(**options):
    return Codebook(CodebookConfig(**{"num_codes": 16, "dim": 6, **options})).train()


def _vectors(*shape, seed=0):
    return torch.randn(*shape, 6, generator=torch.Generator().manual_seed(seed))


def test_codes_are_the_nearest_rows_by_cosine():
    codebook = _codebook().eval()
    vectors = _vectors(3, 7)
    result = codebook(vectors)
    cosine = F.normalize(vectors, dim=-1) @ codebook.weight[0].T
    assert torch.equal(result.codes, cosine.argmax(-1))
    assert torch.allclose(result.quantized, codebook.weight[0][result.codes], atol=1e-6)
    assert torch.allclose(result.distance, 2 - 2 * cosine.amax(-1), atol=1e-5)
    assert float(result.commitment) == pytest.approx(float((2 - 2 * cosine.amax(-1)).mean() / 6), rel=1e-4)


def test_one_update_is_the_naive_loop():
    codebook = _codebook()
    codebook(_vectors(200))
    before = codebook.weight[0].clone()
    vectors = _vectors(100, seed=1)
    codes = codebook(vectors).codes
    unit = F.normalize(vectors, dim=-1)
    for k in range(16):
        own, expected = unit[codes == k], before[k]
        if len(own):
            expected = F.normalize(0.99 * before[k] + 0.01 * F.normalize(own.mean(0), dim=0), dim=0)
        assert torch.allclose(codebook.weight[0, k], expected, atol=1e-6)
    assert int(codebook.updates) == 2


def test_rows_have_unit_length_after_updates():
    codebook = _codebook(decay=0.5, revive_after=1)
    for seed in range(5):
        codebook(_vectors(30, seed=seed))
        assert torch.allclose(codebook.weight[0].norm(dim=1), torch.ones(16), atol=1e-5)


def test_unused_rows_stay():
    codebook = _codebook()
    codebook(_vectors(200))
    before = codebook.weight[0].clone()
    code = int(codebook(before[3].expand(10, 6)).codes[0])
    assert code == 3
    others = torch.arange(16) != 3
    assert torch.equal(codebook.weight[0][others], before[others])
    assert codebook.codes_used_for[0].tolist() == [0 if k == 3 else 1 for k in range(16)]


def test_eval_mode_leaves_every_buffer_and_never_starts():
    codebook = _codebook().eval()
    before = copy.deepcopy(codebook.state_dict())
    codebook(_vectors(50))
    assert not codebook.is_started
    assert all(torch.equal(value, before[name]) for name, value in codebook.state_dict().items())
    codebook.train().assign(_vectors(50))  # assign moves nothing in training either
    assert all(torch.equal(value, before[name]) for name, value in codebook.state_dict().items())


def test_gradient_passes_straight_through_to_the_unit_vector():
    codebook = _codebook().eval()
    vectors = _vectors(5).requires_grad_()
    upstream = _vectors(5, seed=9)
    (codebook(vectors).quantized * upstream).sum().backward()
    same = _vectors(5).requires_grad_()
    (F.normalize(same, dim=-1) * upstream).sum().backward()
    assert vectors.grad is not None
    assert same.grad is not None
    assert torch.allclose(vectors.grad, same.grad, atol=1e-6)


def test_commitment_pulls_vectors_to_their_rows_and_rows_have_no_gradient():
    codebook = _codebook().eval()
    assert list(codebook.parameters()) == []
    vectors = _vectors(5).requires_grad_()
    before = codebook(vectors)
    before.commitment.backward()
    assert vectors.grad is not None
    after = codebook((vectors - vectors.grad).detach())
    assert after.commitment < before.commitment.detach()


@pytest.mark.parametrize("levels", [1, 2])
def test_vectors_of_weight_zero_never_count(levels):
    vectors, weight = _vectors(4, 50), torch.rand(4, 50, generator=torch.Generator().manual_seed(1)) > 0.4
    first, second = (_codebook(levels=levels, revive_after=1) for _ in range(2))
    other = torch.where(weight[..., None], vectors, _vectors(4, 50, seed=5) * 100)
    for _ in range(3):
        one, two = first(vectors, weight), second(other, weight.float())
        assert torch.equal(one.commitment, two.commitment)
        assert torch.equal(one.codes[weight], two.codes[weight])
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_a_batch_in_which_nothing_counts_moves_no_row():
    codebook = _codebook(revive_after=1)
    before = codebook.weight.clone()
    result = codebook(_vectors(20), torch.zeros(20))
    assert float(result.commitment) == 0.0
    assert torch.equal(codebook.weight, before)


def test_start_puts_rows_on_the_clusters_of_the_first_batch():
    centres = F.normalize(_vectors(16, seed=7), dim=-1)
    vectors = centres.repeat(30, 1) + 0.01 * _vectors(480, seed=2)
    codebook = _codebook(decay=0.0)
    result = codebook(vectors)
    assert float(result.distance.mean()) < 0.5 * float(_codebook().eval()(vectors).distance.mean())
    assert codebook.is_started


def test_with_fewer_vectors_than_codes_rows_are_not_duplicates():
    codebook = _codebook()
    codebook(_vectors(5))
    similarity = codebook.weight[0] @ codebook.weight[0].T - 2 * torch.eye(16)
    assert float(similarity.max()) < 0.999


def test_dead_codes_are_put_on_vectors_of_the_batch():
    codebook = _codebook(revive_after=3)
    codebook.is_started = True
    cluster = F.normalize(torch.ones(1, 6) + 0.2 * _vectors(64), dim=-1)
    codebook(cluster)
    used = int((codebook.codes_used_for[0] == 0).sum())
    assert used < 16
    for _ in range(3):
        codebook(cluster)
    on_vector = (codebook.weight[0] @ cluster.T).amax(1) > 1 - 1e-5
    assert int(on_vector.sum()) >= 16 - used
    assert int((codebook(cluster).codes.unique()).numel()) > used


def test_without_revival_dead_codes_stay_dead():
    codebook = _codebook(revive_after=0)
    codebook.is_started = True
    before = codebook.weight[0].clone()
    for _ in range(5):
        codebook(F.normalize(torch.ones(8, 6), dim=-1))
    assert int(codebook.codes_used_for[0].max()) == 5
    assert (codebook.weight[0] == before).all(1).sum() >= 15


def test_residual_levels_reduce_the_error():
    vectors = _vectors(600)
    errors = []
    for levels in (1, 2, 4):
        codebook = _codebook(levels=levels, decay=0.9)
        for _ in range(20):
            result = codebook(vectors)
        errors.append(float(result.distance.mean()))
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] < 0.8 * errors[1]


def test_codes_of_several_levels_look_up_the_sum_of_their_rows():
    codebook = _codebook(levels=3).eval()
    result = codebook(_vectors(4, 5))
    assert result.codes.shape == (4, 5, 3)
    expected = sum(codebook.weight[level][result.codes[..., level]] for level in range(3))
    assert torch.allclose(codebook.lookup(result.codes), expected, atol=1e-6)
    assert torch.allclose(result.quantized, expected, atol=1e-6)
    assert torch.equal(codebook.assign(_vectors(4, 5)), result.codes)


def test_lookup_of_one_level_takes_codes_of_any_shape():
    codebook = _codebook()
    codes = torch.tensor([[3], [15]])
    assert torch.equal(codebook.lookup(codes), codebook.weight[0][codes])


def test_permuting_the_rows_permutes_the_codes_only():
    codebook = _codebook().eval()
    before = codebook(_vectors(40))
    order = torch.randperm(16)
    codebook.weight.copy_(codebook.weight[:, order])
    after = codebook(_vectors(40))
    assert torch.equal(order[after.codes], before.codes)
    assert torch.equal(after.quantized, before.quantized)


def test_quantisation_is_float32_under_autocast():
    vectors = _vectors(300)
    plain, cast = _codebook(), _codebook()
    expected = plain(vectors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = cast(vectors)
    assert torch.equal(result.codes, expected.codes)
    assert result.quantized.dtype == torch.float32
    assert torch.equal(cast.weight, plain.weight)


def test_a_loaded_codebook_goes_on_as_if_nothing_had_happened():
    trained = _codebook(revive_after=2)
    for seed in range(3):
        trained(_vectors(20, seed=seed))
    loaded = _codebook(revive_after=2, seed=0)
    loaded.load_state_dict(trained.state_dict())
    assert loaded.is_started
    for seed in range(3, 8):
        trained(_vectors(20, seed=seed))
        loaded(_vectors(20, seed=seed))
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in trained.state_dict().items())
    fresh = _codebook()
    fresh.load_state_dict(_codebook().state_dict())
    assert not fresh.is_started


def test_the_seed_decides_every_draw():
    def train(seed):
        codebook = _codebook(seed=seed, revive_after=1)
        for batch in range(3):
            codebook(_vectors(12, seed=batch))
        return codebook.weight

    assert torch.equal(train(1), train(1))
    assert not torch.equal(train(1), train(2))


def test_health_counts_used_codes_and_their_evenness():
    codebook = _codebook(num_codes=4)
    codebook.is_started = True
    assert float(codebook.usage()) == 0.0
    rows = codebook.weight[0].clone()
    codebook(rows[[0, 1]].repeat(8, 1))
    assert float(codebook.usage()) == 0.5
    assert float(codebook.perplexity()) == pytest.approx(2.0, rel=1e-4)
    for _ in range(3):
        codebook(rows[:1])
    assert float(codebook.usage(within=2)) == 0.25


def test_training_compiles_to_one_graph_from_the_first_batch():
    torch._dynamo.reset()
    plain, compiled = (_codebook(levels=2, revive_after=2, kmeans_iterations=2) for _ in range(2))
    step = torch.compile(compiled, fullgraph=True, backend="eager")
    for seed in range(3):
        vectors = _vectors(2, 30, seed=seed)
        weight = torch.ones(2, 30)
        assert torch.equal(step(vectors, weight).codes, plain(vectors, weight).codes)
    assert torch.allclose(plain.weight, compiled.weight, atol=1e-6)


def _started(**options):
    codebook = _codebook(**options)
    codebook.is_started = True
    return codebook


def _cluster():
    """64 unit vectors close together, which most codes are far from."""
    return F.normalize(torch.ones(1, 6) + 0.2 * _vectors(64), dim=-1)


def test_a_code_is_revived_at_the_update_that_makes_it_unused_for_so_many_and_then_counts_as_used():
    codebook = _started(revive_after=3)
    for update in (1, 2):
        before = codebook.weight[0].clone()
        codebook(_cluster())
        dead = codebook.codes_used_for[0] == update
        assert dead.any()
        assert torch.equal(codebook.weight[0][dead], before[dead])
    codebook(_cluster())
    assert int(codebook.codes_used_for.max()) < 3
    assert not torch.isclose(codebook.weight[0][dead], before[dead]).all(dim=1).any()


def test_a_dead_code_of_a_further_level_is_put_on_what_the_levels_before_left_over():
    codebook, vectors = _started(levels=2, revive_after=1), _cluster()
    left = vectors - codebook.weight[0][codebook.assign(vectors)[:, 0]]
    codebook(vectors)
    is_left = torch.cdist(codebook.weight[1], left).amin(1) < 1e-5
    assert int(is_left.sum()) > 4
    assert not (torch.cdist(codebook.weight[1], vectors).amin(1) < 1e-5).any()


def test_usage_within_two_updates_forgets_what_was_used_before_these():
    codebook = _started(num_codes=4)
    rows = codebook.weight[0].clone()
    codebook(rows[[0, 1]].repeat(8, 1))
    codebook(rows[:1])
    assert float(codebook.usage(within=2)) == 0.5
    codebook(rows[:1])
    assert float(codebook.usage(within=2)) == 0.25
