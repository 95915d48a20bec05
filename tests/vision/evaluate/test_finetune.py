"""Fine-tuning: which layer has which rate, and that the encoder learns."""

import pytest
import torch

from vision.config import NEEDS
from vision.errors import DivergedError
from vision.evaluate.config import FinetuneConfig, finetune_pooling
from vision.evaluate.finetune import Classifier, accuracy_of, finetune, layer_groups

QUICK = FinetuneConfig(epochs=3, batch_size=32, learning_rate=2e-2, warmup_epochs=0.5, drop_path=0.0)


@pytest.fixture
def striped():
    """(images, labels): the class is the sign of the left half against the right one."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (160,), generator=generator)
    images = torch.randn(160, 3, 8, 15, generator=generator)
    images[..., :6] += (2.0 * labels - 1).view(-1, 1, 1, 1)
    return images, labels


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_whole_encoder_learns_and_the_original_does_not_move(pooling, make_encoder, striped):
    images, labels = striped
    encoder = make_encoder(depth=2)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    config = FinetuneConfig(**{**vars(QUICK), "pooling": pooling})
    epochs = []
    result = finetune(encoder, images[:128], labels[:128], images[128:], labels[128:], config,
                      augment=lambda batch: batch + 0.1 * torch.randn_like(batch),
                      on_epoch=lambda epoch, loss: epochs.append(epoch))  # fmt: skip
    assert result.losses[-1] < result.losses[0]
    assert result.accuracy > 0.8
    assert result.accuracy == result.accuracies[-1]
    assert epochs == [1, 2, 3]
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert not torch.equal(
        result.classifier.encoder.patch_embed.projection.weight, before["patch_embed.projection.weight"]
    )
    assert "accuracy" in result.summary()


def test_a_shared_table_becomes_one_in_each_block_with_the_same_features(make_encoder, striped):
    encoder = make_encoder(depth=2, relative_position="shared")
    torch.nn.init.normal_(encoder.relative.table)
    classifier = Classifier(encoder, 2, FinetuneConfig(pooling="cls", drop_path=0.0)).eval()
    images = striped[0][:4]
    torch.testing.assert_close(classifier.encoder(images).cls, encoder.eval()(images).cls)
    tables = [block.attention.relative.table for block in classifier.encoder.blocks]
    assert len({id(table) for table in tables}) == 2


def test_layers_have_the_rates_of_beit(make_encoder):
    encoder = make_encoder(depth=3, row_position="table", column_position="table", relative_position="shared")
    classifier = Classifier(encoder, 2, FinetuneConfig(layer_decay=0.5, drop_path=0.3))
    named = {id(parameter): name for name, parameter in classifier.named_parameters()}
    rates = {
        named[id(parameter)]: (group["rate_scale"], group["weight_decay"] > 0)
        for group in layer_groups(classifier, layer_decay=0.5, weight_decay=0.05)
        for parameter in group["params"]
    }
    assert rates.keys() == {name for name, _ in classifier.named_parameters()}
    assert rates["encoder.patch_embed.projection.weight"] == (0.5**4, True)
    assert rates["encoder.positions.table"] == (0.5**4, False)
    assert rates["encoder.cls_token"] == (0.5**4, False)
    assert rates["encoder.blocks.0.mlp.0.weight"] == (0.5**3, True)
    assert rates["encoder.blocks.2.attention.qkv.bias"] == (0.5, False)
    assert rates["encoder.blocks.1.attention.relative.table"] == (0.5**2, True)
    assert rates["norm.weight"] == (1.0, False)
    assert rates["head.weight"] == (1.0, True)
    assert classifier.encoder.blocks[2].drop2.rate == 0.3


def test_the_mean_patch_is_normed_after_pooling(make_encoder, images):
    encoder = make_encoder()
    classifier = Classifier(encoder, 2, FinetuneConfig(drop_path=0.0)).eval()
    torch.nn.init.normal_(classifier.head.weight)
    grid = encoder.grid(images)
    states = encoder.encode([encoder.embed(images)], [grid], layers=(4,))[0].layers[4]
    normed = torch.nn.functional.layer_norm(states.mean(dim=1), (32,), eps=1e-6)
    assert torch.allclose(classifier(images), classifier.head(normed), atol=1e-4)
    assert all(p.grad is not None for p in _with_gradients(classifier, images))


def test_the_last_block_works_on_what_the_classifier_reads(make_encoder, images):
    tokens = {}
    for pooling in ("cls", "mean"):
        classifier = Classifier(make_encoder(), 2, FinetuneConfig(pooling=pooling))
        mlp = classifier.encoder.blocks[-1].mlp
        mlp.register_forward_hook(lambda _, inputs, output, name=pooling: tokens.update({name: len(output)}))
        classifier(images)
    every = len(images) * (1 + classifier.encoder.grid(images).num_patches)
    assert tokens == {"cls": len(images), "mean": every}


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_classifier_knows_nothing_of_what_was_not_observed(pooling, make_encoder, images, gappy):
    encoder, (with_gaps, seen) = make_encoder(), gappy
    classifier = Classifier(encoder, 2, FinetuneConfig(drop_path=0.0, pooling=pooling)).eval()
    torch.nn.init.normal_(classifier.head.weight)
    encoded = classifier.encoder(images, ~with_gaps.isnan().any(dim=1))
    pooled = classifier.norm(encoded.patches[1][seen[1]].mean(dim=0)) if pooling == "mean" else encoded.cls[1]
    logits = classifier(with_gaps)
    assert torch.allclose(logits[1], classifier.head(pooled), atol=1e-4)
    assert logits[2].isnan().all()
    named = logits.argmax(dim=1)  # 0 of NaN
    assert accuracy_of(classifier, with_gaps, named, 4, "cpu") == 5 / 6


def _with_gradients(classifier, images):
    classifier(images).square().sum().backward()
    return [p for name, p in classifier.named_parameters() if "cls_token" not in name]


def test_each_method_is_fine_tuned_by_what_its_paper_reads(make_encoder):
    assert {name for name in NEEDS if finetune_pooling(name, has_cls=True) == "cls"} == {"dino", "ibot", "dinov2"}
    assert finetune_pooling("dino", has_cls=False) == finetune_pooling(None, has_cls=True) == "mean"
    assert Classifier(make_encoder(depth=1), 2, FinetuneConfig()).is_mean


def test_paths_are_dropped_from_none_in_the_first_block_to_the_rate_in_the_last(make_encoder):
    encoder = make_encoder(drop_path=0.3, drop_path_shape="uniform")  # DINOv2's pre-training
    own = Classifier(encoder, 2, FinetuneConfig(drop_path=0.1)).encoder.config
    assert (own.drop_path, own.drop_path_shape) == (0.1, "linear")


def test_a_loss_that_is_not_a_number_stops_the_run(make_encoder, striped):
    images, labels = striped
    config = FinetuneConfig(**{**vars(QUICK), "epochs": 1})
    with pytest.raises(DivergedError, match="nan in epoch 1: lower the learning rate"):
        finetune(make_encoder(depth=1), images * torch.nan, labels, images, labels, config)
    with pytest.raises(ValueError, match="needs a CLS token"):
        finetune(make_encoder(has_cls=False), images, labels, images, labels, FinetuneConfig(pooling="cls"))


@torch.no_grad()  # as in a notebook that has switched gradients off
def test_a_seed_gives_the_same_classifier_whatever_was_drawn_before(make_encoder, striped):
    encoder, (images, labels) = make_encoder(drop_path=0.3), striped
    config = FinetuneConfig(epochs=1, batch_size=16, seed=3)
    found = []
    for before in (0, 1):
        torch.manual_seed(before)
        found.append(finetune(encoder, images, labels, images, labels, config))
        assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(before)))
    assert found[0].losses == found[1].losses
