"""Encoders for places without this library: a torch.export program, or ONNX."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from vision.convert.files import ConvertError
from vision.files import write_bytes
from vision.nn.vit import VisionTransformer


class Features(nn.Module):
    """Images (B, C, H, W) -> CLS (B, D) and patches (B, N, D), or patches alone without a CLS token."""

    def __init__(self, encoder: VisionTransformer) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        encoded = self.encoder(images)
        return (encoded.patches,) if encoded.cls is None else (encoded.cls, encoded.patches)


def export_program(encoder: VisionTransformer, path: str | Path, image_size: tuple[int, int]) -> None:
    """Write a ``.pt2`` file for ``torch.export.load``: one image size (height, width), any batch.

    Its result is that of :class:`Features`. Raises ConvertError for a path that does not end in ``.pt2``, and
    ValueError when patches do not fill the image.
    """
    target = _checked(path, ".pt2")
    file = io.BytesIO()
    torch.export.save(_program(encoder, image_size), file)
    write_bytes(file.getbuffer(), target)


def export_onnx(encoder: VisionTransformer, path: str | Path, image_size: tuple[int, int]) -> None:
    """Write an ``.onnx`` file with input "images" and outputs "cls" (where there is one) and "patches".

    One image size (height, width), any batch. Raises ConvertError for another suffix, without onnx and onnxscript, or
    where torch cannot write the encoder so, and ValueError when patches do not fill the image.
    """
    target = _checked(path, ".onnx")
    try:
        import onnxscript  # noqa: F401  # pyright: ignore[reportMissingImports, reportUnusedImport]
    except ImportError:
        raise ConvertError("writing ONNX needs onnx and onnxscript: pip install 'fintok[export]'") from None
    names = ["cls", "patches"] if encoder.config.has_cls else ["patches"]
    said = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = said.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")  # of torch, about itself
        said.setLevel(logging.ERROR)  # that torchvision, which is not needed, is not there
        try:
            program = _as_onnx(_program(encoder, image_size), names)
        finally:
            said.setLevel(level)
    assert program is not None
    write_bytes(program.model_proto.SerializeToString(), target)


def _as_onnx(program: torch.export.ExportedProgram, names: list[str]) -> torch.onnx.ONNXProgram | None:
    """The program in ONNX. Raises ConvertError where torch cannot say it so."""
    try:
        return torch.onnx.export(program, dynamo=True, input_names=["images"], output_names=names, verbose=False)
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise ConvertError(
            f"this encoder cannot be written as ONNX ({reason}): write a torch.export program, .pt2"
        ) from None


def _program(encoder: VisionTransformer, image_size: tuple[int, int]) -> torch.export.ExportedProgram:
    features = Features(copy.deepcopy(encoder)).eval()
    device = next(encoder.parameters()).device
    images = torch.zeros(2, encoder.config.in_channels, *image_size, device=device)
    encoder.grid(images)  # refuses a size that patches do not fill, in one sentence
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(features, (images,), dynamic_shapes={"images": {0: batch}})


def _checked(path: str | Path, suffix: str) -> Path:
    target = Path(path)
    if target.suffix != suffix:
        raise ConvertError(f"{target} ends in {target.suffix!r}, expected {suffix}")
    return target
