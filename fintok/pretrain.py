"""Pretraining: prices in, bundle out. Three stages, each resumable.

1. teacher: iBOT self-distillation on crops of return images; its features know what goes together.
2. tokenizer: VQ-KD turns every patch (one asset, a few days) into one of K codes that tells the teacher's features
   and the patch itself.
3. predictor: BEiT v2 learns p(code | what is visible) with assets, the coming patch, or blocks hidden.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset

from fintok import inference
from fintok.augment import LevelJitter, MaskedWindow, ReturnMultiCrop, WindowDataset
from fintok.bundle import ARRAYS, Bundle, load
from fintok.bundle_header import HEADER
from fintok.config import STAGES, EncoderConfig, PretrainConfig
from fintok.errors import InputError
from fintok.expected_size import size_predictors
from fintok.hints import HIDDEN_COLUMNS, HINTS, draw_hints
from fintok.imaging import CROSS_SECTIONAL
from fintok.memory import Memory
from fintok.moves import moves_of
from fintok.panel import Panel, require_panel
from fintok.progress import is_quiet
from fintok.recipes import recipe_path
from fintok.spans import DateLike
from fintok.training import describe_panel, training_panels
from fintok.usage import usage_of
from fintok.vocabulary import learn_vocabulary
from fintok.yardstick import measure
from vision.config import OptimConfig, ViTConfig, load_yaml, to_dict
from vision.data.loader import ViewMaker
from vision.files import write_bytes
from vision.masks import AxisMask, BlockMask, ForecastMask, MaskGenerator, MixedMask
from vision.methods.base import Method
from vision.methods.beit2 import BEiT2
from vision.methods.codes import MaskedCodeModel
from vision.methods.ibot import IBOT
from vision.methods.vqkd import VQKD
from vision.nn.tokenizer import Tokenizer
from vision.nn.vit import VisionTransformer
from vision.train.checkpoint import save_encoder
from vision.train.fit import fit

CONFIG_FILE = "config.yaml"

M = TypeVar("M", bound=Method)


def pretrain(
    panel: Panel | Sequence[Panel],
    *,
    train_end: DateLike | None = None,
    out: str | Path | None = None,
    config: PretrainConfig | None = None,
    preset: Literal["tiny", "base", "large"] = "base",
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> Bundle:
    """Learn a vocabulary from a panel, or one from several: other markets, other frequencies.

    Parameters
    ----------
    panel : rows after ``train_end`` are used for the closing figures only. Of several the training windows are
        drawn alike, and a window has assets of one of them; ``RegimeLabeler.fit()`` learns from the first.
    train_end : last date to learn from, of all panels; None = the first 80 % of the rows.
    out : folder of the run; None = ``runs/`` and the source's name. It ends with the bundle, ``config.yaml``
        (a valid ``-c``) and the stages' metrics.
    config : None = the recipe ``preset``.
    resume : go on with the run in ``out``, which must have the same panel, train_end and configuration; what comes
        out is what the uninterrupted run gives. A finished run is returned as it is.
    overwrite : replace the run in ``out``; other files there are left alone.
    progress : show each stage's progress on stderr; never within `fintok.quiet`.

    Raises
    ------
    InputError : too few rows or assets, train_end outside the data, an unknown preset, ``out`` is a file, or holds a
        run without ``resume`` or ``overwrite``.
    KeyboardInterrupt : after saving; call again with ``resume``.
    """
    panels = [panel] if isinstance(panel, Panel) or not isinstance(panel, Sequence) else list(panel)
    for one in panels:
        require_panel(one)
    if not panels:
        raise InputError("there is no panel to learn from")
    config = load_yaml(PretrainConfig, recipe_path(preset)) if config is None else config
    if not isinstance(config, PretrainConfig):
        kind = type(config).__name__
        raise InputError(f"config is a {kind}, expected a PretrainConfig: vision.load_yaml(PretrainConfig, FILE)")
    run = _Run(
        panels, train_end, Path(out or Path("runs") / Path(panels[0].source).stem), config, progress and not is_quiet()
    )
    return run.go(resume=resume, overwrite=overwrite)


class _Run:
    """One run: its images, its folder, its stages."""

    def __init__(
        self, panels: Sequence[Panel], train_end: DateLike | None, out: Path, config: PretrainConfig, progress: bool
    ) -> None:
        self.out, self.config, self.progress = out, config, progress
        self.train_end, self.sources = training_panels(panels, train_end, config)
        self.num_assets = min(config.max_assets, max(panel.num_assets for panel in panels))
        self.jitter = LevelJitter(config.imaging.channels, config.level_jitter)
        described = [describe_panel(panel) for panel in panels]
        identity = {"panels": described, "train_end": str(np.datetime_as_string(self.train_end))}
        self.identity = yaml.safe_dump(identity, sort_keys=False).encode()

    def go(self, *, resume: bool, overwrite: bool) -> Bundle:
        if self._open(resume=resume, overwrite=overwrite):
            return load(self.out)
        began = time.monotonic()
        teacher = self._teach(resume)
        tokenizer = self._tokenize(teacher, resume)
        predictor, figures = self._predict(tokenizer, resume)
        bundle = self._bundle(tokenizer, predictor, {**figures, "seconds": round(time.monotonic() - began, 1)})
        save_encoder(self.out / "teacher", teacher)
        bundle.save(self.out, overwrite=True)
        for stage in STAGES:  # what a resume needs; the metrics stay
            (self.out / "stages" / f"{stage}.ckpt").unlink(missing_ok=True)
        return bundle

    def _open(self, *, resume: bool, overwrite: bool) -> bool:
        """Prepare the folder; True if a finished run with the same identity is already there."""
        path = self.out / CONFIG_FILE
        identity_file = self.out / "stages" / "run.yaml"
        if self.out.is_file():
            raise InputError(f"{self.out} is a file; name a folder for the run")
        if self.out.exists() and any(self.out.iterdir()):
            if resume and identity_file.is_file() and path.is_file():
                self._check_same(identity_file, path)
                return (self.out / HEADER).is_file()
            if resume:
                raise InputError(f"{self.out} holds no run to resume; choose another --out, or give --overwrite")
            if not overwrite:
                finished = (self.out / HEADER).is_file()
                hint = "" if finished else "--resume to go on with the run in it, "
                raise InputError(f"{self.out} exists already; give {hint}--overwrite to replace it, or another --out")
            if not identity_file.is_file():
                raise InputError(f"{self.out} was not made by fintok pretrain and is left alone; name another --out")
            self._clear()
        write_bytes(yaml.safe_dump(to_dict(self.config), sort_keys=False).encode(), path)
        write_bytes(self.identity, identity_file)
        return False

    def _clear(self) -> None:
        """Remove what a run has left in the folder, and nothing else: scores and reports may lie beside it."""
        for name in (HEADER, ARRAYS, CONFIG_FILE):
            (self.out / name).unlink(missing_ok=True)
        for name in ("teacher", "tokenizer", "predictor", "stages"):
            shutil.rmtree(self.out / name, ignore_errors=True)

    def _check_same(self, identity_file: Path, config_file: Path) -> None:
        if identity_file.read_bytes() != self.identity:
            raise InputError(
                f"the run in {self.out} has another panel or train_end ({identity_file}); resume it with the same, "
                "or give --overwrite"
            )
        if load_yaml(PretrainConfig, config_file) != self.config:
            raise InputError(f"the run in {self.out} has another configuration; resume it with -c {config_file}")

    def _teach(self, resume: bool) -> VisionTransformer:
        config, window = self.config.teacher, self.config.imaging
        num_assets, columns = max(1, self.num_assets * 3 // 4), window.num_columns - window.num_columns // 4
        days, masks = columns * window.patch_days, BlockMask(0.3, min_patches=4)
        crops = ReturnMultiCrop(num_assets, days, window.patch_days, config.num_local_crops, self.jitter, masks)
        method = self._build(0, lambda: IBOT(self._window_encoder(config.encoder, has_cls=True), config.method))
        self._fit(method, crops, config.optim, "teacher", resume)
        return method.artifact()

    def _tokenize(self, teacher: VisionTransformer, resume: bool) -> Tokenizer:
        config, window = self.config.tokenizer, self.config.imaging
        places = tuple(window.channels.index(name) for name in config.channels)
        encoder = config.encoder.patch(window, len(places))
        needs_teacher = config.method.target != "patches"
        method = self._build(1, lambda: VQKD(encoder, config.method, teacher if needs_teacher else None, places))
        view = MaskedWindow(self.num_assets, window.window_days, window.patch_days, self.jitter)
        self._fit(method, view, config.optim, "tokenizer", resume)
        return method.artifact().eval()

    def _predict(self, tokenizer: Tokenizer, resume: bool) -> tuple[MaskedCodeModel, dict[str, float]]:
        config, window = self.config.predictor, self.config.imaging
        has_cls = config.method.aggregation_depth > 0
        encoder = self._window_encoder(config.encoder, has_cls=has_cls)
        mixed = tuple(place for place, name in enumerate(window.channels) if name in CROSS_SECTIONAL)
        method = self._build(2, lambda: BEiT2(encoder, config.method, tokenizer, mixed, len(HINTS)))
        masks: tuple[MaskGenerator, ...] = (
            AxisMask("rows", 0.25, last=HIDDEN_COLUMNS),
            ForecastMask(1),
            BlockMask(0.3, min_patches=4),
        )
        num_windows = [len(source.ends) for source in self.sources]
        draws_to_see_all = [max(source.panel.num_assets / self.num_assets, 1.0) for source in self.sources]
        steps, shares = config.schedule(sum(num_windows), float(np.average(draws_to_see_all, weights=num_windows)))
        mask = MixedMask(masks, shares)
        rng = np.random.default_rng((self.config.seed, len(STAGES)))
        hinted = [
            draw_hints(
                source.images,
                len(inference.asset_groups(source.images, window.window_days)),
                window.window_days,
                window.patch_days,
                rng,
            )
            for source in self.sources
        ]
        jitter = LevelJitter((*window.channels, *HINTS), self.config.level_jitter)
        view = MaskedWindow(self.num_assets, window.window_days, window.patch_days, jitter, mask, has_hints=True)
        optim = replace(config.optim, steps=steps, warmup_steps=min(config.optim.warmup_steps, steps // 10))
        figures = self._fit(method, view, optim, "predictor", resume, hinted)
        return method.artifact().eval(), figures

    def _window_encoder(self, encoder: EncoderConfig, *, has_cls: bool) -> ViTConfig:
        return encoder.window(self.config.imaging, len(self.config.imaging.channels), has_cls=has_cls)

    def _build(self, stage: int, build: Callable[[], M]) -> M:
        """A method with weights that are a function of the seed and the stage."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed * len(STAGES) + stage)
            return build()

    def _fit(
        self,
        method: Method,
        views: ViewMaker,
        optim: OptimConfig,
        name: str,
        resume: bool,
        values: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> dict[str, float]:
        days = self.config.imaging.window_days
        dataset: ConcatDataset[tuple[torch.Tensor, torch.Tensor | None]] = ConcatDataset(
            WindowDataset(source.images, days, source.ends, hinted, self.num_assets)
            for source, hinted in zip(self.sources, values or [None] * len(self.sources), strict=True)
        )
        number = STAGES.index(name) + 1
        if self.progress:
            print(f"stage {number} of {len(STAGES)}: {name}", file=sys.stderr, flush=True)
        result = fit(
            method,
            dataset,
            views,
            optim,
            seed=self.config.seed,
            out=self.out / "stages",
            name=name,
            resume=resume,
            progress=self.progress,
        )
        method.eval()
        return {f"{name} loss": value for key, value in result.metrics.items() if key == "code_loss"}

    def _bundle(self, tokenizer: Tokenizer, predictor: MaskedCodeModel, figures: dict[str, float]) -> Bundle:
        """Put everything together, and measure it."""
        window, first = self.config.imaging, self.sources[0]
        read = [(one.images, inference.read_codes(tokenizer, one.images, window.patch_days)) for one in self.sources]
        vocabulary = learn_vocabulary(read, window.patch_days, predictor.num_codes, self.config.tokenizer.num_words)
        forecast = inference.read_forecast(predictor, first.images, window.window_days, window.patch_days)
        rows = np.flatnonzero(np.isfinite(forecast[:, 0]))
        usage = usage_of(vocabulary.counts)
        bundle = Bundle(
            config=self.config,
            tokenizer=tokenizer,
            predictor=predictor,
            vocabulary=vocabulary,
            train_end=self.train_end,
            training_panels=[describe_panel(source.training) for source in self.sources],
            training_dates=first.training.dates[rows],
            training_forecast=forecast[rows].astype(np.float16).astype(np.float32),  # as it will be read back
            training_returns_market=moves_of(first.training).market[rows].astype(np.float32),
            training_sizes=size_predictors(first.training)[rows],
            memories=[Memory.of(source.training, window.min_observations) for source in self.sources],
            figures={**figures, "codebook usage": usage.used, "codebook perplexity": usage.perplexity},
        )
        for number, source in enumerate(self.sources):
            yardstick = measure(bundle, source.panel, self.config.seed)
            of_panel = "" if number == 0 else f" ({number + 1})"
            for name, value in yardstick._asdict().items():
                if np.isfinite(value):
                    bundle.figures[f"masked NLL {name.replace('_', ' ')}{of_panel}"] = round(value, 4)
            if self.progress:
                name = f"{Path(source.panel.source).name}: " if len(self.sources) > 1 else ""
                print(f"{name}{yardstick.summary()}", file=sys.stderr, flush=True)
        return bundle
