"""Features: what is pooled from which block, whatever the batches."""

import pytest
import torch

from vision.errors import InputError
from vision.evaluate.features import extract_features


def test_features_are_what_the_encoder_says(make_encoder, images):
    encoder = make_encoder(num_registers=2)
    with torch.no_grad():
        encoded = encoder(images)
    assert torch.allclose(extract_features(encoder, images), encoded.cls, atol=1e-5)
    assert torch.allclose(extract_features(encoder, images, pooling="mean"), encoded.patches.mean(1), atol=1e-5)
    both = extract_features(encoder, images, pooling="cls+mean")
    assert torch.allclose(both, torch.cat([encoded.cls, encoded.patches.mean(1)], dim=1), atol=1e-5)


def test_last_blocks_are_normed_and_come_in_their_order(make_encoder, images):
    encoder = make_encoder()
    grid = encoder.grid(images)
    with torch.no_grad():
        encoded = encoder.encode([encoder.embed(images)], [grid], layers=(3, 4))[0]
        third, last = (encoder.norm(encoded.cls_layers[number]) for number in (3, 4))
    features = extract_features(encoder, images, last_blocks=2)
    assert torch.allclose(features, torch.cat([third, last], dim=1), atol=1e-5)
    assert not torch.allclose(third, last, atol=0.1)


@pytest.mark.parametrize("last_blocks", [1, 2])
def test_the_last_block_works_on_cls_alone_where_nobody_asks_for_patches(make_encoder, images, last_blocks):
    encoder, tokens = make_encoder(), []
    encoder.blocks[-1].mlp.register_forward_hook(lambda _, inputs, output: tokens.append(len(output)))
    for pooling in ("cls", "cls+mean"):
        extract_features(encoder, images, pooling=pooling, last_blocks=last_blocks)
    assert tokens == [len(images), len(images) * (1 + encoder.grid(images).num_patches)]


def test_batches_and_mode_change_nothing(make_encoder, images):
    encoder = make_encoder(drop_path=0.5).train()
    whole = extract_features(encoder, images)
    assert encoder.training
    assert torch.allclose(extract_features(encoder, images, batch_size=4), whole, atol=1e-5)
    assert torch.allclose(extract_features(encoder, iter([images[:1], images[1:]])), whole, atol=1e-5)
    assert whole.dtype == torch.float32
    assert not whole.requires_grad
    encoder.blocks[0].eval()  # as where only the last blocks are tuned
    extract_features(encoder, images)
    assert [block.training for block in encoder.blocks] == [False, True, True, True]
    assert encoder.training


@pytest.mark.parametrize(("of_images", "of_network"), [(torch.float64, torch.float32), (torch.float32, torch.bfloat16)])
def test_images_are_read_in_the_type_of_the_network(make_encoder, images, of_images, of_network):
    encoder = make_encoder()
    whole = extract_features(encoder, images)
    features = extract_features(encoder.to(of_network), images.to(of_images))
    torch.testing.assert_close(features, whole, rtol=0, atol=1e-5 if of_network == torch.float32 else 0.05)


@pytest.mark.parametrize("observed_channel", [False, True])
def test_what_was_not_observed_is_neither_attended_to_nor_averaged(make_encoder, images, gappy, observed_channel):
    encoder = make_encoder(observed_channel=observed_channel)
    with_gaps, seen = gappy
    with torch.no_grad():
        encoded = encoder(images, ~with_gaps.isnan().any(dim=1))
    mean = torch.stack([patches[is_seen].mean(dim=0) for patches, is_seen in zip(encoded.patches, seen, strict=True)])
    features = extract_features(encoder, with_gaps, pooling="cls+mean", batch_size=4)
    assert features[2].isnan().all()  # nothing of it was observed
    rest = [0, 1, 3, 4, 5]
    assert torch.allclose(features[rest], torch.cat([encoded.cls, mean], dim=1)[rest], atol=1e-5)
    assert extract_features(encoder, with_gaps[2:3]).isnan().all()


def test_what_cannot_be_asked_is_refused(make_encoder, images):
    with pytest.raises(ValueError, match="needs a CLS token, which this encoder lacks"):
        extract_features(make_encoder(has_cls=False), images, pooling="cls+mean")
    with pytest.raises(InputError, match="pooling is 'avg', expected one of 'cls', 'mean', 'cls"):
        extract_features(make_encoder(), images, pooling="avg")
    with pytest.raises(
        ValueError, match=r"images are uint8 of shape .*, expected floating point of shape \(B, 3, H, W\)"
    ):
        extract_features(make_encoder(), images.to(torch.uint8))
    with pytest.raises(ValueError, match=r"images are float32 of shape \(3, 8, 15\), expected floating"):
        make_encoder()(images[0])
    with pytest.raises(ValueError, match="last_blocks is 5, expected 1 to 4"):
        extract_features(make_encoder(), images, last_blocks=5)
    with pytest.raises(ValueError, match="no image"):
        extract_features(make_encoder(), [])
