"""Encoders as programs of other runtimes."""

import warnings

import pytest
import torch

from vision.convert.export import export_onnx, export_program
from vision.convert.files import ConvertError


@pytest.fixture
def encoder(make_encoder):
    return make_encoder(depth=1, num_registers=1, max_rows=2, max_columns=3).train()


def test_an_exported_program_gives_the_same_features_at_any_batch(encoder, tmp_path):
    export_program(encoder, tmp_path / "encoder.pt2", (8, 16))  # 2 x 4 patches: positions are resized in it
    assert encoder.training
    program = torch.export.load(tmp_path / "encoder.pt2").module()
    for batch in (1, 5):
        images = torch.randn(batch, 3, 8, 16)
        with torch.no_grad():
            cls, patches = program(images)
            encoded = encoder.eval()(images)
        assert torch.allclose(cls, encoded.cls, atol=1e-5)
        assert torch.allclose(patches, encoded.patches, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"relative_position": "shared"}, {"relative_position": "block"}])
def test_onnx_gives_the_same_features(options, make_encoder, tmp_path, caplog):
    encoder = make_encoder(**{"depth": 1, "num_registers": 1, "max_rows": 2, "max_columns": 3, **options}).train()
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        export_onnx(encoder, tmp_path / "encoder.onnx", (8, 12))
    assert "torchvision" not in caplog.text
    session = runtime.InferenceSession(tmp_path / "encoder.onnx", providers=["CPUExecutionProvider"])
    images = torch.randn(3, 3, 8, 12)
    cls, patches = session.run(["cls", "patches"], {"images": images.numpy()})
    with torch.no_grad():
        encoded = encoder.eval()(images)
    assert torch.allclose(torch.from_numpy(cls), encoded.cls, atol=1e-4)
    assert torch.allclose(torch.from_numpy(patches), encoded.patches, atol=1e-4)


def test_what_torch_cannot_write_as_onnx_is_one_sentence(encoder, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")

    def fail(*given, **options):
        raise torch.onnx.OnnxExporterError("failed to convert\nthe program")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ConvertError, match=r"as ONNX \(failed to convert the program\): write a torch.export program"):
        export_onnx(encoder, tmp_path / "encoder.onnx", (8, 12))
    assert not list(tmp_path.iterdir())


def test_a_wrong_suffix_or_size_is_refused(encoder, tmp_path):
    with pytest.raises(ConvertError, match=r"expected \.pt2"):
        export_program(encoder, tmp_path / "encoder.onnx", (8, 12))
    with pytest.raises(ValueError, match="do not fill"):
        export_program(encoder, tmp_path / "encoder.pt2", (9, 12))
