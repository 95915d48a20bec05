"""Bundle: everything that must travel together to read a panel. A folder of JSON and safetensors."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fintok import inference
from fintok.bundle_header import HEADER, read_header, write_header
from fintok.config import PretrainConfig
from fintok.counterfactual import Counterfactual, counterfactual
from fintok.errors import InputError
from fintok.imaging import BAR_CHANNELS, ReturnImages, imager
from fintok.inference import Surprise, Vocabulary
from fintok.memory import Memory, Recall, recall
from fintok.panel import Panel, require_panel
from fintok.signature import row_noun
from fintok.spans import DateLike
from fintok.tokenizer import Tokens
from vision.config import from_dict, to_dict
from vision.files import write_bytes
from vision.methods.codes import MaskedCodeModel
from vision.nn.tokenizer import Tokenizer
from vision.train.checkpoint import (
    CheckpointError,
    load_masked_model,
    load_tokenizer,
    read_tensors,
    save_masked_model,
    save_tokenizer,
)

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

T = TypeVar("T")

ARRAYS = "arrays.safetensors"
SHIPPED = Path(__file__).parent / "data" / "us20-base"  # how it was made: data/README.md
_PARTS = (
    ARRAYS,
    *(f"{part}/{name}" for part in ("tokenizer", "predictor") for name in ("config.json", "model.safetensors")),
)


class PanelReading(NamedTuple):
    """What a bundle makes of a panel."""

    images: ReturnImages
    codes: NDArray[np.int32]  # (T, A), -1 = no token
    surprise: Surprise  # (T, A) each


@dataclass(frozen=True, eq=False)
class Bundle:
    """A pretrained model of a market: imager, tokenizer, vocabulary and predictor.

    It reads any panel: other assets, another number of them, another market. Nothing it says of a date depends
    on later rows. Dates up to ``train_end`` were seen in training: what it says of them is in-sample.
    """

    config: PretrainConfig
    tokenizer: Tokenizer
    predictor: MaskedCodeModel
    vocabulary: Vocabulary
    train_end: np.datetime64
    """Last date of the training rows."""
    training_panels: Sequence[dict[str, Any]]
    """What it was trained on, of each panel: source, sha256 of the returns, rows, assets."""
    training_dates: NDArray[np.datetime64]
    """Training dates of the first panel with a forecast, (D,)."""
    training_forecast: NDArray[np.float32]
    """Their predicted distributions over codes, (D, K)."""
    training_returns_market: NDArray[np.float32]
    """Market move of those dates, (D,): mean log return, or of a panel of returns mean annual deviation."""
    training_sizes: NDArray[np.float32]
    """What those dates told of the size of the next ones' moves, (D, 6): `fintok.expected_size.size_predictors`."""
    memories: Sequence[Memory]
    """What it remembers of the assets of each training panel."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What training measured: seconds, codebook usage, perplexity, masked NLL beside its yardsticks (nats)."""
    _last: dict[str, tuple[weakref.ref[Panel], Any]] = field(default_factory=dict, init=False, repr=False)
    """What was read of the last panel: another estimator, or the tokens after the scores, cost no second pass."""

    @property
    def codebook_size(self) -> int:
        return self.predictor.num_codes

    @property
    def word_of_code(self) -> NDArray[np.int64]:
        """(K,) the word of each code."""
        return self.vocabulary.word_of_code

    @property
    def num_words(self) -> int:
        return self.vocabulary.num_words

    @property
    def bar_fields(self) -> tuple[str, ...]:
        """Columns of bars that its channels are made of, beside returns."""
        channels = self.config.imaging.channels
        return tuple(dict.fromkeys(column for name in channels for column in BAR_CHANNELS.get(name, ())))

    @property
    def fingerprint(self) -> str:
        """Tells this model from others, by what it learned: the same before saving and after loading."""
        digest = hashlib.sha256(self.training_forecast.tobytes())
        digest.update(self.vocabulary.patch_mean.tobytes())
        return digest.hexdigest()[:16]

    def images(self, panel: Panel) -> ReturnImages:
        """The panel as the models see it. Raises InputError for what is no Panel."""
        require_panel(panel)
        return imager(self.config).transform(panel, self.recall(panel).past)

    def recall(self, panel: Panel) -> Recall:
        """What the model remembers of the panel's assets from before its first row, and what is to be said of it.

        A panel that begins later than the training panel, or after it, is read in the same units as one that began
        with it, if it holds the same market: see `Memory.recall`.
        """
        return recall(self.memories, panel, self.config.imaging.min_observations)

    def codes(self, panel: Panel) -> NDArray[np.int32]:
        """Codes (T, A); -1 where there is no token."""
        return inference.read_codes(self.tokenizer, self.images(panel), self.config.imaging.patch_days)

    def tokenize(self, panel: Panel) -> Tokens:
        """Code, word and surprise of every asset and date."""
        _, codes, found = self.read(panel)
        words = np.where(codes >= 0, self.word_of_code[codes], -1).astype(np.int32)
        return Tokens(codes, words, found.surprise, panel.dates, panel.assets, self.codebook_size, self.num_words)

    def forecast(self, panel: Panel, since: int = 0) -> NDArray[np.float32]:
        """Predicted distribution over codes of the patch after each date, mean over assets: (T, K).

        NaN rows: fewer days so far than a window less the patch that is asked for, or nothing observed that day.
        Rows before `since` are not read: NaN. The others come out as they do in the whole pass, bit for bit.
        """
        return self._once("forecast", panel, since, self._read_forecast)

    def surprise(self, panel: Panel, since: int = 0) -> Surprise:
        """How strange each asset's newest patch is; (T, A) arrays, NaN where there is no token.

        Rows before `since` are not read: NaN. The others come out as they do in the whole pass, bit for bit.
        """
        return self.read(panel, since).surprise

    def counterfactual(self, panel: Panel, date: DateLike, symbol: str) -> Counterfactual:
        """The newest patch of an asset at a date beside the one that the model expected there.

        One window is read. Raises InputError for a date or symbol that the panel lacks, and where there is no token.
        """
        return counterfactual(self, panel, date, symbol)

    def read(self, panel: Panel, since: int = 0) -> PanelReading:
        """Images, codes and surprise of a panel at once. Rows before `since` have neither code nor surprise."""
        return self._once("read", panel, since, self._read)

    def _once(self, what: str, panel: Panel, since: int, read: Callable[[Panel, int], T]) -> T:
        """What was read of the very same panel, where all its rows are asked for; else it is read now."""
        require_panel(panel)
        if since:
            return read(panel, since)
        last = self._last.get(what)
        if last is None or last[0]() is not panel:
            last = self._last[what] = (weakref.ref(panel, lambda _: self._last.pop(what, None)), read(panel, 0))
        return last[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last": {}}  # other processes read for themselves

    def _read_forecast(self, panel: Panel, since: int) -> NDArray[np.float32]:
        window, images = self.config.imaging, self.images(panel)
        forecast = inference.read_forecast(self.predictor, images, window.window_days, window.patch_days, since)
        forecast.flags.writeable = False
        return forecast

    def _read(self, panel: Panel, since: int) -> PanelReading:
        window, images = self.config.imaging, self.images(panel)
        codes = inference.read_codes(self.tokenizer, images, window.patch_days, since)
        surprise = inference.read_surprise(
            self.predictor, images, codes, self.vocabulary, window.window_days, window.patch_days, since
        )
        for array in (codes, *surprise):
            array.flags.writeable = False
        return PanelReading(images, codes, surprise)

    def __repr__(self) -> str:
        num_assets = sum(panel["num_assets"] for panel in self.training_panels)
        where = f" of {len(self.training_panels)} panels" if len(self.training_panels) > 1 else ""
        until = np.datetime_as_string(self.train_end, unit="D")
        return f"Bundle({self.codebook_size} codes, trained on {num_assets} assets{where} to {until})"

    def summary(self) -> pd.DataFrame:
        """What it holds, a row a fact."""
        import pandas as pd

        rows = f"{row_noun(self.training_dates)}s"
        facts: dict[str, Any] = {
            "train_end": np.datetime_as_string(self.train_end, unit="D"),
            **{
                f"training {key}{'' if number == 0 else f' ({number + 1})'}": value
                for number, panel in enumerate(self.training_panels)
                for key, value in panel.items()
                if key != "assets"
            },
            "codes": self.codebook_size,
            "words": self.num_words,
            "patch": f"1 asset x {self.config.imaging.patch_days} {rows}",
            "window": f"{self.config.imaging.window_days} {rows}",
            "channels": ", ".join(self.config.imaging.channels),
            **{name: f"{value:.3f}" if isinstance(value, float) else value for name, value in self.figures.items()},
        }
        return pd.DataFrame({"value": facts}).rename_axis("fact")

    def plot(self) -> go.Figure:
        """The most used words as small return pictures."""
        from fintok.plots.vocabulary import TokenPictures, vocabulary_gallery

        return vocabulary_gallery(TokenPictures(*self.words()))

    def words(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Mean patch of each word, (W, P) in units of the asset's slow scale, and its training count (W,)."""
        return self.vocabulary.words()

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write it into a folder. An old header goes first and the new one comes last: a folder with one is complete.

        Raises InputError where a model is there and `overwrite` is False.
        """
        from safetensors.numpy import save as to_bytes

        folder = Path(folder)
        if (folder / HEADER).exists() and not overwrite:
            raise InputError(f"{folder} holds a model: name another folder, or allow it with overwrite=True")
        (folder / HEADER).unlink(missing_ok=True)
        save_tokenizer(folder / "tokenizer", self.tokenizer)
        save_masked_model(folder / "predictor", self.predictor)
        arrays = {
            **self.vocabulary._asdict(),
            "training_dates": self.training_dates.astype("datetime64[ns]").astype(np.int64),
            "training_forecast": self.training_forecast.astype(np.float16),
            "training_returns_market": self.training_returns_market,
            "training_sizes": self.training_sizes,
        }
        for number, memory in enumerate(self.memories):
            arrays.update(memory.arrays(number))
        write_bytes(to_bytes({name: np.ascontiguousarray(a) for name, a in arrays.items()}), folder / ARRAYS)
        facts = {
            "train_end": str(np.datetime_as_string(self.train_end)),
            "training_panels": list(self.training_panels),
            "memories": [memory.facts for memory in self.memories],
            "figures": self.figures,
            "config": to_dict(self.config),
        }
        write_header(folder, facts, _PARTS)


def load(folder: str | Path | None = None) -> Bundle:
    """Read a bundle; None = the one that comes with fintok, of 20 US stocks and their index up to 2022-12-28.

    Raises InputError (no bundle there) or CheckpointError (damaged, of two models, or of another version).
    """
    folder = SHIPPED if folder is None else Path(folder)
    header = read_header(folder)
    arrays = {name: tensor.numpy() for name, tensor in read_tensors(folder / ARRAYS).items()}
    try:
        vocabulary = Vocabulary(**{name: arrays[name] for name in Vocabulary._fields})
        dates = arrays["training_dates"].astype("datetime64[ns]")
        forecast = arrays["training_forecast"].astype(np.float32)
        market, sizes = arrays["training_returns_market"], arrays["training_sizes"]
        memories = [
            Memory.from_arrays(arrays, number, header["training_panels"][number]["assets"], facts)
            for number, facts in enumerate(header["memories"])
        ]
    except KeyError as error:
        raise CheckpointError(f"{folder / ARRAYS} lacks {error}; the file is damaged") from None
    return Bundle(
        config=from_dict(PretrainConfig, header["config"], str(folder / HEADER)),
        tokenizer=load_tokenizer(folder / "tokenizer", Tokenizer),
        predictor=load_masked_model(folder / "predictor"),
        vocabulary=vocabulary,
        train_end=np.datetime64(header["train_end"], "ns"),
        training_panels=header["training_panels"],
        training_dates=dates,
        training_forecast=forecast,
        training_returns_market=market,
        training_sizes=sizes,
        memories=memories,
        figures=header["figures"],
    )
