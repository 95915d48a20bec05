import copy
import dataclasses
import math
from itertools import pairwise

import pytest
import torch

from vision.batch import Batch
from vision.config import CodebookConfig, ViTConfig, VQKDConfig
from vision.methods.vqkd import VQKD
from vision.nn.vit import VisionTransformer

CODEBOOK = CodebookConfig(num_codes=16, dim=8)
TARGETS = ("features", "patches", "both")


@pytest.fixture
def build(encoder):
    def make(target="features", codebook=CODEBOOK, **changes):
        torch.manual_seed(0)
        teacher = None if target == "patches" else VisionTransformer(encoder)
        config = VQKDConfig(codebook=codebook, target=target, decoder_depth=1)
        return VQKD(dataclasses.replace(encoder, **changes), config, teacher)

    return make


@pytest.mark.parametrize("target", TARGETS)
def test_loss_falls(build, make_batch, train, target):
    losses = train(build(target), make_batch(8), steps=40)
    assert losses[-1] < 0.8 * losses[1]


@pytest.mark.parametrize("target", TARGETS)
def test_every_trainable_parameter_gets_a_gradient_and_the_teacher_none(build, make_batch, check_gradients, target):
    check_gradients(build(target), make_batch(4))


def test_untrained_decoder_stands_at_right_angles_to_the_teacher(build, make_batch):
    method = build("features")
    batch = make_batch(8)
    terms = method.loss(method.predict(batch), method.targets(batch), batch)
    assert terms["feature"].item() == pytest.approx(1.0, abs=0.5)
    assert set(terms) == {"feature", "commitment"}


def test_terms_are_what_the_paper_says(build, make_batch):
    method, batch = build("both"), make_batch(4)
    method.train()
    method.predict(batch)  # the codebook starts
    method.eval()
    predictions, targets = method.predict(batch), method.targets(batch)
    terms = method.loss(predictions, targets, batch)
    cosine = torch.cosine_similarity(predictions.features, targets.features, dim=-1)
    torch.testing.assert_close(terms["feature"], (1 - cosine).mean())
    torch.testing.assert_close(terms["patch"], (predictions.patches - targets.patches).square().mean())
    vectors = torch.nn.functional.normalize(method.tokenizer.encode(batch.views[0]), dim=-1)
    rows = method.tokenizer.codebook.lookup(method.tokenizer.codes(batch.views[0]))
    torch.testing.assert_close(terms["commitment"], (rows - vectors).square().mean())


def test_the_averages_lower_the_term_of_the_objective_that_is_no_loss(build, make_batch):
    """‖sg[ℓ₂(h)] − ℓ₂(v_z)‖² of the vectors of a batch, step by step."""
    method, batch = build("features", CodebookConfig(num_codes=16, dim=8, kmeans_iterations=0)), make_batch(8)
    codebook = method.tokenizer.codebook
    vectors = torch.nn.functional.normalize(method.tokenizer.encode(batch.views[0]), dim=-1).detach()
    distances = []
    for _ in range(6):
        codebook.train()(vectors)
        rows = codebook.eval()(vectors).quantized
        distances.append((vectors - rows).square().sum().item())
    assert all(later <= before for before, later in pairwise(distances))
    assert distances[-1] < distances[0]


def test_patch_target_counts_observed_pixels_only(build, make_batch):
    method, batch = build("patches"), make_batch(4, is_partly_observed=True)
    method.eval()
    predictions, targets = method.predict(batch), method.targets(batch)
    grid = method.tokenizer.encoder.grid(batch.views[0])
    seen = grid.patchify(batch.valid[0][:, None].expand_as(batch.views[0]))
    pixels = grid.patchify(batch.views[0])
    expected = (predictions.patches[seen] - pixels[seen]).square().mean()
    torch.testing.assert_close(method.loss(predictions, targets, batch)["patch"], expected)


@pytest.mark.parametrize("target", TARGETS)
def test_not_observed_pixels_change_nothing(build, make_batch, target):
    numbers = []
    for fill in (None, 77.0):
        method, batch = build(target), make_batch(4, is_partly_observed=True)
        if fill is not None:
            batch = batch._replace(views=(torch.nan_to_num(batch.views[0], nan=fill),))
        method.train()
        terms = method.loss(method.predict(batch), method.targets(batch), batch)
        numbers.append([*terms.values(), method.tokenizer.codebook.weight])
        assert all(torch.isfinite(term) for term in terms.values())
    assert all(torch.equal(one, other) for one, other in zip(*numbers, strict=True))


def test_codebook_moves_in_training_only_and_the_teacher_never(build, make_batch, train):
    method, batch = build("features"), make_batch(8)
    teacher = {name: value.clone() for name, value in method.teacher.state_dict().items()}
    train(method, batch, steps=2)
    assert not method.teacher.module.training
    assert all(torch.equal(value, teacher[name]) for name, value in method.teacher.state_dict().items())
    before = method.tokenizer.codebook.weight.clone()
    method.eval()
    method.predict(batch)
    assert torch.equal(before, method.tokenizer.codebook.weight)


def test_scope_patch_decodes_each_code_by_itself(build, make_batch):
    method = build("patches", scope="patch", has_cls=False, row_position="none", column_position="none")
    batch = make_batch(2)
    method.train()
    method.predict(batch)
    method.eval()
    first = method.predict(batch).patches
    images = batch.views[0].clone()
    images[..., 3:] += 1.0  # all but the first column of patches
    second = method.predict(batch._replace(views=(images,))).patches
    torch.testing.assert_close(first[:, ::5], second[:, ::5])
    assert not torch.allclose(first, second)


def test_several_levels(build, make_batch, train):
    method = build("patches", CodebookConfig(num_codes=4, dim=8, levels=2))
    batch = make_batch(8)
    losses = train(method, batch, steps=20)
    assert losses[-1] < losses[1]
    assert method.artifact().codes(batch.views[0]).shape == (8, 20)


def test_batch_of_one(build, make_batch, train):
    assert all(math.isfinite(loss) for loss in train(build("both"), make_batch(1), 3))


def test_state_loads_into_a_new_method_and_gives_the_same_numbers(build, make_batch, train):
    method, other, batch = build("both"), build("both"), make_batch(4)
    train(method, batch, steps=3)
    other.load_state_dict(method.state_dict())
    assert train(method, batch, 2) == train(other, batch, 2)
    assert torch.equal(method.tokenizer.codebook.weight, other.tokenizer.codebook.weight)


def test_figures(build, make_batch, train):
    method = build("patches")
    train(method, make_batch(8), steps=3)
    figures = method.metrics()
    assert 0 < figures["codebook_usage"] <= 1
    assert 1 <= figures["codebook_perplexity"] <= 16


def test_teacher_and_target_must_fit(encoder):
    with pytest.raises(ValueError, match="takes a teacher"):
        VQKD(encoder, VQKDConfig(), None)
    with pytest.raises(ValueError, match="takes no teacher"):
        VQKD(encoder, VQKDConfig(target="patches"), VisionTransformer(encoder))
    with pytest.raises(ValueError, match="patch_size"):
        VQKD(dataclasses.replace(encoder, patch_size=(1, 1)), VQKDConfig(), VisionTransformer(encoder))
    with pytest.raises(ValueError, match="has_cls"):
        VQKD(dataclasses.replace(encoder, scope="causal"), VQKDConfig(target="patches"))


@pytest.mark.slow
def test_predict_and_loss_compile_to_one_graph(build, make_batch):
    method, batch = build("both"), make_batch(4)
    method.train()
    method.predict(batch)  # the codebook's start is outside the graph: it happens once
    targets = method.targets(batch)

    def step(batch, targets):
        return sum(method.loss(method.predict(batch), targets, batch).values())

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    state = {name: value.clone() for name, value in method.state_dict().items()}
    expected = step(batch, targets)
    method.load_state_dict(state)
    torch.testing.assert_close(compiled(batch, targets), expected)


@pytest.fixture
def half_seen():
    """A method whose codebook stands, and two images of which the first was not observed, each of six patches."""
    encoder = ViTConfig(patch_size=(2, 3), in_channels=2, dim=16, depth=1, heads=2, max_rows=2, max_columns=3)
    codebook = CodebookConfig(num_codes=8, dim=4, kmeans_iterations=0)
    torch.manual_seed(0)
    method = VQKD(encoder, VQKDConfig(codebook=codebook, target="patches")).train()
    method.tokenizer.codebook.is_started = True
    observed = torch.ones(2, 4, 9, dtype=torch.bool)
    observed[0] = False
    return method, Batch((torch.randn(2, 2, 4, 9),), (None,), (observed,), 2)


def test_a_patch_that_was_not_observed_moves_no_code(half_seen):
    method, batch = half_seen
    alone = copy.deepcopy(method)
    method.predict(batch)
    alone.predict(Batch((batch.views[0][1:],), (None,), (batch.valid[0][1:],), 1))
    found, expected = (part.tokenizer.codebook.cluster_size for part in (method, alone))
    torch.testing.assert_close(found, expected)


def test_places_are_the_observed_patches(half_seen):
    method, batch = half_seen
    assert float(method.num_places(method.targets(batch), batch)) == 6
