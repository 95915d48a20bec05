"""``fintok vision convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vision.commands.options import Overwrite, say_next, say_wrote
from vision.config import to_dict
from vision.errors import InputError

Form = Literal["dino", "ibot", "dinov2", "mae", "beit", "beit2", "vqkd", "timm", "huggingface", "program", "onnx"]
HALF = (0.5, 0.5, 0.5)  # BEiT v2's tokenizer reads images in [-1, 1]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def convert(
    source: Annotated[
        Path, Parameter(help="A run, or a checkpoint of another library: .pth, .safetensors, Hugging Face folder.")
    ],
    /,
    *,
    out: Annotated[Path, Parameter(help="Where to write: a folder for ours and Hugging Face's, else a file.")],
    to: Annotated[
        Form | None,
        Parameter(help="The form to write a run's encoder, or its tokenizer (vqkd), in; program is torch.export's."),
    ] = None,
    form: Annotated[
        Literal["dino", "ibot", "dinov2", "mae", "beit", "beit2", "timm"] | None,
        Parameter(help="The form of another library's checkpoint, where its names do not tell."),
    ] = None,
    tokenizer: Annotated[bool, Parameter(help="The checkpoint is a BEiT v2 tokenizer.")] = False,
    entry: Annotated[str | None, Parameter(help="Of the file, that holds the weights: teacher, model, …")] = None,
    heads: Annotated[int | None, Parameter(help="Attention heads, where the file does not tell.")] = None,
    grid: Annotated[tuple[int, int] | None, Parameter(help="Rows and columns of patches, likewise.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Checkpoints of other libraries to ours and back; ONNX and torch.export.

    With --to a run's encoder is written for others, without it another library's checkpoint is read. Every tensor is
    accounted for: what was not used is listed, and what is missing is an error.
    """
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists: choose another --out, or allow it with --overwrite")
    if to is not None:
        _write(source, out, to)
        say_wrote(out)
    else:
        _read(source, out, form, is_tokenizer=tokenizer, entry=entry, heads=heads, grid=grid)
        say_wrote(out)
        say_next("vision", "inspect", out)


def _write(source: Path, out: Path, to: Form) -> None:
    from vision.commands.reading import inputs_of
    from vision.convert.export import export_onnx, export_program
    from vision.convert.files import ConvertError
    from vision.convert.tokenizer import write_tokenizer
    from vision.convert.write import write_encoder
    from vision.nn.tokenizer import Tokenizer
    from vision.train.artifacts import open_encoder, open_tokenizer
    from vision.train.foreign import tensors_beside

    if to == "vqkd":
        tokenizer, _ = open_tokenizer(source)
        if not isinstance(tokenizer, Tokenizer):
            raise InputError(f"{source} holds a {type(tokenizer).__name__}, the official form is of vqkd's tokenizer")
        write_tokenizer(tokenizer, out)
        return
    encoder, extra = open_encoder(source)
    if to in ("program", "onnx"):
        export = export_program if to == "program" else export_onnx
        export(encoder, out, inputs_of(source, extra).image_size)
    else:
        try:
            beside = tensors_beside(source, to)
        except ConvertError as error:
            print(f"note: the encoder alone is written, for {error}")
            beside = {}
        write_encoder(encoder, out, to, beside)


def _read(
    source: Path,
    out: Path,
    form: str | None,
    *,
    is_tokenizer: bool,
    entry: str | None,
    heads: int | None,
    grid: tuple[int, int] | None,
) -> None:
    from vision.convert.read import read_encoder
    from vision.convert.tokenizer import ConvertedTokenizer, read_tokenizer
    from vision.train.artifacts import save_artifacts
    from vision.train.folder import check_replaceable, clear_folder
    from vision.train.foreign import save_converted
    from vision.train.inputs import Inputs

    check_replaceable(out)
    if is_tokenizer:
        read = read_tokenizer(source, entry=entry, heads=heads, grid=grid)
        config, scale = read.tokenizer.encoder.config, (HALF, HALF)
    else:
        read = read_encoder(source, form, entry=entry, heads=heads, grid=grid)
        config, scale = read.encoder.config, IMAGENET
    print(read.summary())
    rows, columns = config.patch_size
    if config.in_channels != 3:
        scale = ((0.0,) * config.in_channels, (1.0,) * config.in_channels)
    size = (rows * config.max_rows, columns * config.max_columns)
    inputs = Inputs(image_size=size, channels=config.in_channels, mean=scale[0], std=scale[1])
    extra = {"inputs": to_dict(inputs), "converted_from": str(source)}
    if isinstance(read, ConvertedTokenizer):
        clear_folder(out)
        save_artifacts(out, read.tokenizer, {**extra, "method": "vqkd"})
    elif (beside := save_converted(out, read, inputs, extra)) is not None:
        print(f"kept beside the encoder: {beside}")
