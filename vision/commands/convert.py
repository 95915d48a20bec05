"""``fintok vision convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from vision.commands.options import Overwrite, say_next, say_wrote
from vision.config import to_dict
from vision.errors import InputError

if TYPE_CHECKING:
    from vision.train.inputs import Inputs

Form = Literal["dino", "ibot", "dinov2", "mae", "beit", "beit2", "vqkd", "timm", "huggingface", "program", "onnx"]


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
        Parameter(help="The form of another library's encoder, where its names do not tell."),
    ] = None,
    tokenizer: Annotated[bool, Parameter(help="The checkpoint is a BEiT v2 tokenizer.")] = False,
    entry: Annotated[str | None, Parameter(help="Of the file, that holds the weights: teacher, model, …")] = None,
    heads: Annotated[int | None, Parameter(help="Attention heads, where the file does not tell.")] = None,
    grid: Annotated[tuple[int, int] | None, Parameter(help="Rows and columns of patches, likewise.")] = None,
    mean: Annotated[
        tuple[float, ...] | None, Parameter(help="Of each channel, of pixels in [0, 1]; else as the source says.")
    ] = None,
    std: Annotated[tuple[float, ...] | None, Parameter(help="Likewise.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Checkpoints of other libraries to ours and back; ONNX and torch.export.

    With --to a run's encoder is written for others, without it another library's checkpoint is read, of which all
    options but --out and --overwrite say something. Every tensor is accounted for: what was not used is listed, and
    what is missing is an error.
    """
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists: choose another --out, or allow it with --overwrite")
    if (mean is None) != (std is None) or (to is not None and mean is not None):
        raise InputError("--mean and --std go together, and with a checkpoint that is read, without --to")
    of_reading = {"--form": form, "--tokenizer": tokenizer, "--entry": entry, "--heads": heads, "--grid": grid}
    given_too = [name for name, value in of_reading.items() if value not in (None, False)]
    if to is not None and given_too:
        raise InputError(f"{given_too[0]} is of a checkpoint that is read: leave it out with --to")
    if tokenizer and form is not None:
        raise InputError("--form is of encoders, and --tokenizer says the form: leave one of them out")
    if to is not None:
        _write(source, out, to)
        say_wrote(out)
    else:
        given = None if mean is None or std is None else (mean, std)
        _read(source, out, form, is_tokenizer=tokenizer, entry=entry, heads=heads, grid=grid, given=given)
        say_wrote(out)
        say_next("vision", "inspect", out)


def _write(source: Path, out: Path, to: Form) -> None:
    from vision.commands.reading import inputs_of
    from vision.convert.export import export_onnx, export_program
    from vision.convert.files import ConvertError
    from vision.convert.scale import Scale
    from vision.convert.tokenizer import write_tokenizer
    from vision.convert.write import write_encoder
    from vision.nn.tokenizer import Tokenizer
    from vision.train.artifacts import open_encoder, open_tokenizer
    from vision.train.foreign import tensors_beside

    if to == "vqkd":
        tokenizer, extra = open_tokenizer(source)
        if not isinstance(tokenizer, Tokenizer):
            raise InputError(f"{source} holds a {type(tokenizer).__name__}, the official form is of vqkd's tokenizer")
        write_tokenizer(tokenizer, out)
        print("note: encoder and codebook, which give the codes; the official code loads them with strict=False")
        if "inputs" in extra:
            _say_scale(inputs_of(source, extra), source)
        return
    encoder, extra = open_encoder(source)
    if to in ("program", "onnx"):
        export = export_program if to == "program" else export_onnx
        inputs = inputs_of(source, extra)
        export(encoder, out, inputs.image_size)
        _say_scale(inputs, source)
    else:
        try:
            beside = tensors_beside(source, to)
        except ConvertError as error:
            print(f"note: the encoder alone is written, for {error}")
            beside = {}
        inputs = inputs_of(source, extra) if "inputs" in extra else None
        scale = None if inputs is None else Scale(inputs.mean, inputs.std, f"of {source}")
        write_encoder(encoder, out, to, beside, scale)
        if inputs is not None:
            _say_scale(inputs, source, is_written=to == "huggingface")


def _say_scale(inputs: Inputs, source: Path, *, is_written: bool = False) -> None:
    from vision.convert.scale import Scale

    kept = "written along" if is_written else "for which the file has no place: give images scaled so"
    print(f"scale: {Scale(inputs.mean, inputs.std, f'of {source}').summary()}, {kept}")


def _read(
    source: Path,
    out: Path,
    form: str | None,
    *,
    is_tokenizer: bool,
    entry: str | None,
    heads: int | None,
    grid: tuple[int, int] | None,
    given: tuple[tuple[float, ...], tuple[float, ...]] | None,
) -> None:
    from vision.convert.read import read_encoder
    from vision.convert.scale import make_scale, read_scale
    from vision.convert.tokenizer import ConvertedTokenizer, read_tokenizer
    from vision.train.artifacts import save_artifacts
    from vision.train.folder import RUN_FILE, check_replaceable, clear_folder
    from vision.train.foreign import save_converted
    from vision.train.inputs import Inputs

    check_replaceable(out)
    if (source / RUN_FILE).is_file():
        raise InputError(f"{source} is a run: say with --to in which form to write it")
    if is_tokenizer:
        read = read_tokenizer(source, entry=entry, heads=heads, grid=grid)
        config, title = read.tokenizer.encoder.config, "BEiT v2 tokenizer"
    else:
        read = read_encoder(source, form, entry=entry, heads=heads, grid=grid)
        config, title = read.encoder.config, read.form
    print(read.summary())
    if given is None:
        scale = read_scale(source, title, config.in_channels)
    else:
        scale = make_scale(*given, "as given", config.in_channels)
    print(f"scale: {scale.summary()}")
    rows, columns = config.patch_size
    size = (rows * config.max_rows, columns * config.max_columns)
    inputs = Inputs(image_size=size, channels=config.in_channels, mean=scale.mean, std=scale.std)
    extra = {"inputs": to_dict(inputs), "converted_from": str(source)}
    if isinstance(read, ConvertedTokenizer):
        clear_folder(out)
        save_artifacts(out, read.tokenizer, {**extra, "method": "vqkd"})
    elif (beside := save_converted(out, read, inputs, extra)) is not None:
        print(f"kept beside the encoder: {beside}")
