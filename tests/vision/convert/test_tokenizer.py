"""The official BEiT v2 tokenizer, from a file made by hand with its names."""

import pytest
import torch
from torch.nn import functional as F

from vision.config import CodebookConfig
from vision.convert.files import ConvertError
from vision.convert.tokenizer import read_tokenizer, write_tokenizer
from vision.convert.write import write_encoder
from vision.nn.tokenizer import Tokenizer


@pytest.fixture
def official(make_encoder, tmp_path):
    """(encoder, tensors of the file): the encoder under "encoder.", its norm named fc_norm."""
    encoder = make_encoder()
    write_encoder(encoder, tmp_path / "encoder.pth", "beit2")
    tensors = torch.load(tmp_path / "encoder.pth")["model"]
    named = {f"encoder.{name.replace('norm.', 'fc_norm.') if name.startswith('norm.') else name}": tensor
             for name, tensor in tensors.items()}  # fmt: skip
    generator = torch.Generator().manual_seed(3)
    codes = F.normalize(torch.randn(20, 8, generator=generator), dim=1)
    rest = {
        "encode_task_layer.0.weight": torch.randn(32, 32, generator=generator) * 0.2,
        "encode_task_layer.0.bias": torch.zeros(32),
        "encode_task_layer.2.weight": torch.randn(8, 32, generator=generator),
        "encode_task_layer.2.bias": torch.zeros(8),
        "quantize.embedding.weight": codes,
        "quantize.embedding.initted": torch.ones(1),
        "quantize.embedding.cluster_size": torch.zeros(20),
        "quantize.embedding.embed_avg": codes.clone(),
        "quantize.cluster_size": torch.arange(20.0),
        "decoder.cls_token": torch.zeros(1, 1, 32),
        "decode_task_layer.0.bias": torch.zeros(32),
    }
    return encoder, {**named, **rest}


def test_codes_are_those_of_the_official_computation(official, images, tmp_path):
    encoder, tensors = official
    torch.save({"model": tensors, "epoch": 99}, tmp_path / "vqkd.pth")
    converted = read_tokenizer(tmp_path / "vqkd.pth", heads=4)
    with torch.no_grad():
        hidden = F.linear(encoder(images).patches, *(tensors[f"encode_task_layer.0.{p}"] for p in ("weight", "bias")))
        vectors = F.linear(hidden.tanh(), *(tensors[f"encode_task_layer.2.{p}"] for p in ("weight", "bias")))
    expected = (F.normalize(vectors, dim=-1) @ tensors["quantize.embedding.weight"].T).argmax(dim=-1)
    codes = converted.tokenizer.codes(images)
    assert codes.unique().numel() > 1
    assert torch.equal(codes, expected)
    assert torch.equal(converted.tokenizer.codebook.cluster_size[0], torch.arange(20.0))
    assert converted.tokenizer.codebook.is_started  # training on does not start with k-means
    assert set(converted.unused.values()) == {"decoder", "statistics of the k-means start", "entry of the file"}
    assert "20 codes of 8" in converted.summary()
    torch.save({"model": {}, "ema": tensors}, tmp_path / "vqkd.pth")
    again = read_tokenizer(tmp_path / "vqkd.pth", entry="ema", heads=4)
    assert torch.equal(again.tokenizer.codes(images), expected)


def test_what_is_written_has_the_official_names_and_gives_the_same_codes(official, images, tmp_path):
    _, tensors = official
    torch.save({"model": tensors}, tmp_path / "vqkd.pth")
    tokenizer = read_tokenizer(tmp_path / "vqkd.pth", heads=4).tokenizer
    write_tokenizer(tokenizer, tmp_path / "again.pth")
    written = torch.load(tmp_path / "again.pth")["model"]
    assert written.keys() == {name for name in tensors if not name.startswith("deco")}
    kept = [name for name in written if name.startswith(("encoder.", "encode_task", "quantize.embedding.weight"))]
    assert all(torch.equal(written[name], tensors[name]) for name in kept)
    again = read_tokenizer(tmp_path / "again.pth", heads=4).tokenizer
    assert torch.equal(again.codes(images), tokenizer.codes(images))
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in tokenizer.state_dict().items())


def test_a_tokenizer_without_a_place_there_is_refused(make_encoder, tmp_path):
    config = make_encoder().config
    for tokenizer in (
        Tokenizer(config, CodebookConfig(num_codes=8, dim=4, levels=2)),
        Tokenizer(config, CodebookConfig(num_codes=8, dim=4), channels=(2, 1, 0)),
    ):
        with pytest.raises(ConvertError, match="one level of codes and reads all channels"):
            write_tokenizer(tokenizer, tmp_path / "t.pth")
    with pytest.raises(ConvertError, match=r"expected \.pth"):
        write_tokenizer(Tokenizer(config, CodebookConfig(num_codes=8, dim=4)), tmp_path / "t.npz")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: t.pop("quantize.embedding.weight"), "lacks 'quantize.embedding.weight'"),
        (lambda t: t.pop("encoder.fc_norm.bias"), "lacks 'fc_norm.bias'"),
        (lambda t: t.update(odd=torch.zeros(1)), "holds 'odd'"),
        (lambda t: t.update({"encoder.odd": torch.zeros(1)}), "holds 'odd'"),
        (lambda t: t.update({"quantize.embedding.weight": torch.zeros(20, 9)}), r"shape \(8, 32\), where"),
    ],
)
def test_a_tampered_tokenizer_names_the_tensor(change, fault, official, tmp_path):
    _, tensors = official
    change(tensors)
    torch.save({"model": tensors}, tmp_path / "vqkd.pth")
    with pytest.raises(ConvertError, match=fault):
        read_tokenizer(tmp_path / "vqkd.pth", heads=4)
