"""Reading a panel with trained models, one window a date, on fixed batch shapes.

Every number at a date comes from a window that ends there. Windows are read in batches of one shape (the last
one is filled up), so that a panel cut short gives the same bits up to the cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fintok.hints import HIDDEN_COLUMNS, group_hints
from fintok.imaging import ReturnImages
from fintok.progress import track
from vision.methods.codes import MaskedCodeModel
from vision.nn.last_column import Question, can_read_last_column, read_last_column
from vision.nn.tokenizer import Tokenizer

TOKENS_PER_BATCH = 4_096  # of A x columns: their activations stay in the cache of a core, a quarter faster than 16,384
NUM_GROUPS = 4  # a quarter of the assets is hidden at a time …
LARGE_UNIVERSE = 100  # … or a half in a universe so large that the other half still tells: twice as fast

Array = NDArray[np.float32]


class Vocabulary(NamedTuple):
    """What the codes look like, learned from training patches. K codes, P days a patch, standardised returns."""

    patch_mean: Array  # (K, P) mean of the channel "return" over the patches of a code
    patch_variance: Array  # (K, P) variance around that mean
    counts: NDArray[np.int64]  # (K,) training patches of a code
    word_of_code: NDArray[np.int64]  # (K,) the coarse code each one belongs to

    @property
    def marginal(self) -> NDArray[np.float64]:
        """(K,) probability of each code in training, as if half a patch more had it: none is 0."""
        counts = self.counts + 0.5
        return counts / counts.sum()

    @property
    def num_words(self) -> int:
        return int(self.word_of_code.max()) + 1

    def words(self) -> tuple[Array, NDArray[np.int64]]:
        """Mean patch of each word, (W, P) in units of the asset's slow scale, and its training count (W,)."""
        counts = np.bincount(self.word_of_code, self.counts, self.num_words)
        total = np.zeros((self.num_words, self.patch_mean.shape[1]))
        np.add.at(total, self.word_of_code, np.sinh(self.patch_mean) * self.counts[:, None])
        return (total / np.maximum(counts, 1)[:, None]).astype(np.float32), counts.astype(np.int64)


class Surprise(NamedTuple):
    """What the model makes of each asset's newest patch; (T, A) float32, NaN where there is no token.

    The patch, and the one before it, are hidden for a quarter of the assets at a time (half of them in a
    universe of more than a hundred), so that the prediction comes from the other assets and from the asset's own past.
    """

    surprise: Array  # -log p(code), nats
    expected: Array  # its mean under p: the entropy of p, nats
    deviation: Array  # its standard deviation under p, nats
    distance: Array  # mean squared distance of the patch to its code over the code's own variance; about 1


@dataclass(frozen=True, eq=False)
class Windows:
    """All windows of the images, as views: nothing is copied until a batch is cut."""

    values: Tensor  # (T - W + 1, C, A, W)
    observed: Tensor  # (T - W + 1, A, W)
    hints: Tensor | None  # (T - W + 1, 3, A, W), channels that come after those of the values
    batch_size: int
    ends: NDArray[np.int64] = field(repr=False)  # (T - W + 1,) row of each window's last day

    @classmethod
    def of(cls, images: ReturnImages, days: int, batch_tokens: int, hints: Array | None = None) -> Windows:
        """Windows of `days` rows; batches of about `batch_tokens` (asset, day) cells."""
        values = torch.from_numpy(images.values).unfold(2, days, 1).permute(2, 0, 1, 3)
        observed = torch.from_numpy(images.observed).unfold(1, days, 1).permute(1, 0, 2)
        batch_size = max(1, batch_tokens // (images.num_assets * days))
        more = None if hints is None else torch.from_numpy(hints).unfold(2, days, 1).permute(2, 0, 1, 3)
        return cls(values, observed, more, batch_size, np.arange(days - 1, images.num_days))

    def cut(self, chosen: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, C, A', W) and observed (B, A', W) of the chosen windows (B,) and assets (A',): a copy."""
        values = self.values[chosen][:, :, places]
        if self.hints is not None:
            values = torch.cat([values, self.hints[chosen][:, :, places]], dim=1)
        return values, self.observed[chosen][:, places]

    def batches(self, description: str, since: int = 0) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
        """(rows of the answer, places of the assets (A',), images (B, C, A', W), observed (B, A', W)); B is the same
        for every batch.

        A batch of a single window, as in large universes, leaves out the assets of which it shows nothing: they tell
        nothing and are told nothing of. Batches that end before row `since` are left out; the others are those of the
        whole pass, bit for bit.
        """
        count, everyone = len(self.ends), torch.arange(self.values.shape[2])
        start = max(since - int(self.ends[0]), 0) // self.batch_size * self.batch_size
        for first in track(range(start, count, self.batch_size), description):
            chosen = torch.arange(first, first + self.batch_size).clamp(max=count - 1)
            rows = slice(int(self.ends[first]), int(self.ends[first]) + min(self.batch_size, count - first))
            is_shown = self.observed[first].any(dim=1)
            places = everyone[is_shown] if self.batch_size == 1 and is_shown.any() else everyone
            yield rows, places, *self.cut(chosen, places)


def read_codes(tokenizer: Tokenizer, images: ReturnImages, patch_days: int, since: int = 0) -> NDArray[np.int32]:
    """Code of the patch that ends at each date, (T, A) int32; -1 where the asset is not observed that day.

    Rows before `since` are not read: -1.
    """
    codes = np.full((images.num_days, images.num_assets), -1, np.int32)
    if images.num_days < patch_days:
        return codes
    windows = Windows.of(images, patch_days, TOKENS_PER_BATCH * patch_days)
    with reading(tokenizer):
        for rows, places, values, observed in windows.batches("codes", since):
            codes[rows, places.numpy()] = tokenizer.codes(values, observed)[: rows.stop - rows.start].numpy()
    codes[:since] = -1
    return np.where(images.observed.T, codes, np.int32(-1))


def read_forecast(
    model: MaskedCodeModel, images: ReturnImages, window_days: int, patch_days: int, since: int = 0
) -> Array:
    """p(code of the coming patch | the rest of the window, up to each date), averaged over assets: (T, K).

    Of each date those that were observed in the patch that ends there: where markets keep calendars of their own, one
    that is closed has its part all the same, and a weekend is not of the coins alone. NaN rows: fewer than
    ``window_days - patch_days`` days so far, no asset observed that day, or before `since`: not read.
    """
    forecast = np.full((images.num_days, model.num_codes), np.nan, np.float32)
    seen_days = window_days - patch_days
    if images.num_days < seen_days:
        return forecast
    windows = Windows.of(images, seen_days, TOKENS_PER_BATCH * patch_days)
    with reading(model):
        for rows, places, values, observed in windows.batches("forecast", since):
            is_open = observed[:, :, -1:].any(dim=1, keepdim=True)
            is_there = observed[:, :, -patch_days:].any(dim=2, keepdim=True) & is_open
            values = torch.nn.functional.pad(values, (0, patch_days, 0, 0, 0, model.hint_channels))  # no hint: 0
            observed = torch.cat([observed, is_there.expand(-1, -1, patch_days)], dim=2)
            everyone = Question(torch.ones(len(places), 1, dtype=torch.bool), None)
            probability = _last_column(model, values, observed, [everyone])[0].softmax(-1)
            weight = is_there.float()
            mean = (probability * weight).sum(1) / weight.sum(1)  # 0 / 0 = NaN: nobody was observed
            forecast[rows] = mean[: rows.stop - rows.start].numpy()
    forecast[:since] = np.nan
    return forecast


def read_surprise(
    model: MaskedCodeModel,
    images: ReturnImages,
    codes: NDArray[np.int32],
    vocabulary: Vocabulary,
    window_days: int,
    patch_days: int,
    since: int = 0,
) -> Surprise:
    """How strange each asset's newest patch is, given the other assets and its own past (see Surprise).

    Rows before `since` are not read: NaN.
    """
    shape = (images.num_days, images.num_assets)
    answer = np.full((len(Surprise._fields), *shape), np.nan, np.float32)
    if images.num_days < window_days:
        return Surprise(*answer)
    groups = asset_groups(images, window_days)
    hints = panel_hints(model, images, window_days, patch_days, max(since - HIDDEN_COLUMNS * patch_days + 1, 0))
    windows = Windows.of(images, window_days, TOKENS_PER_BATCH * patch_days, hints)
    mean, variance = torch.from_numpy(vocabulary.patch_mean), torch.from_numpy(vocabulary.patch_variance)
    channel = images.channel_names.index("return")
    with reading(model):
        for rows, places, values, observed in windows.batches("surprise", since):
            count = rows.stop - rows.start
            members = [torch.isin(places, group).nonzero().flatten() for group in groups]
            questions = [Question(_hide(group, len(places)), group) for group in members if len(group)]
            code = torch.from_numpy(codes[rows, places.numpy()].astype(np.int64))
            code = torch.cat([code, code[-1:].expand(values.shape[0] - count, -1)])
            patch, seen = values[:, channel, :, -patch_days:], observed[:, :, -patch_days:]
            answers = _last_column(model, values, observed, questions)
            for (_, group), logits in zip(questions, answers, strict=True):
                part = _judge(logits, code[:, group], patch[:, group], seen[:, group], mean, variance)
                answer[:, rows, places[group].numpy()] = part[:, :count].numpy()
    answer[:, :since] = np.nan
    return Surprise(*np.where(images.observed.T, answer, np.float32(np.nan)))


def read_expectation(
    model: MaskedCodeModel, images: ReturnImages, row: int, column: int, window_days: int, patch_days: int
) -> Array:
    """p(code of one asset's patch that ends at a row | the other assets, its own past), (K,): asked as above.

    The row must have a whole window of days.
    """
    hints = panel_hints(model, images, window_days, patch_days, since=row - HIDDEN_COLUMNS * patch_days + 1)
    windows = Windows.of(images, window_days, TOKENS_PER_BATCH * patch_days, hints)
    values, observed = windows.cut(torch.tensor([row - int(windows.ends[0])]), torch.arange(images.num_assets))
    group = next(group for group in asset_groups(images, window_days) if column in group)
    question = Question(_hide(group, images.num_assets), torch.tensor([column]))
    with reading(model):
        return _last_column(model, values, observed, [question])[0][0, 0].softmax(-1).numpy()


def panel_hints(
    model: MaskedCodeModel, images: ReturnImages, window_days: int, patch_days: int, since: int = 0
) -> Array | None:
    """Hints (3, A, T) of each of the `asset_groups` by the assets outside it; None for a model that takes none."""
    if not model.hint_channels:
        return None
    groups = [group.numpy() for group in asset_groups(images, window_days)]
    return group_hints(images, groups, window_days, patch_days, since)


def asset_groups(images: ReturnImages, window_days: int) -> list[Tensor]:
    """Places of the assets hidden together: by rank of their first rows, and of their names among those of one row.

    The order of columns plays no part, and those that list later change nothing for the others: whether the universe is
    large is told by those of the first window.
    """
    is_listed = images.observed.any(axis=1)
    first = np.where(is_listed, images.observed.argmax(axis=1), images.num_days)
    ranked = torch.from_numpy(np.lexsort((np.asarray(images.assets), first)))
    is_large = int((first < window_days).sum()) > LARGE_UNIVERSE
    num_groups = NUM_GROUPS // 2 if is_large else NUM_GROUPS
    return [ranked[group::num_groups] for group in range(min(num_groups, images.num_assets))]


def _judge(logits: Tensor, code: Tensor, patch: Tensor, seen: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Logits (B, A, K), code (B, A), patch and seen (B, A, P) -> the numbers of Surprise (4, B, A)."""
    log_p = logits.log_softmax(-1)
    p = log_p.exp()
    known = code.clamp(min=0).unsqueeze(-1)
    entropy = -(p * log_p).sum(-1)
    deviation = ((p * log_p**2).sum(-1) - entropy**2).clamp(min=1e-6).sqrt()
    days = seen.sum(-1).clamp(min=1)
    own = known.squeeze(-1)
    distance = ((patch - mean[own]) ** 2 / variance[own] * seen).sum(-1) / days
    return torch.stack([-log_p.gather(-1, known).squeeze(-1), entropy, deviation, distance])


def _hide(group: Tensor, num_assets: int) -> Tensor:
    """(A, HIDDEN_COLUMNS) bool: the group's newest patches."""
    hidden = torch.zeros(num_assets, HIDDEN_COLUMNS, dtype=torch.bool)
    hidden[group] = True
    return hidden


def _last_column(
    model: MaskedCodeModel, values: Tensor, observed: Tensor, questions: Sequence[Question]
) -> list[Tensor]:
    """Logits (B, Q, K) of the newest patch of each question's assets."""
    encoder, grid = model.encoder, model.encoder.grid(values)
    if can_read_last_column(encoder.config):
        in_question = torch.arange(grid.columns) >= grid.columns - questions[0].hidden.shape[1]
        shown = model.conceal(model.without_hints(values), in_question[None])
        tokens, seen = encoder.embed(shown, observed), grid.pool_any(observed)
        states = read_last_column(encoder, tokens, grid, seen, model.stand_ins(values), questions)
        newest_hints = model.hint_patches(values).unflatten(1, (grid.rows, grid.columns))[:, :, -1]
        return [
            model.classify(state, newest_hints if rows is None else newest_hints[:, rows])
            for state, (_, rows) in zip(states, questions, strict=True)
        ]
    answers = []
    for hidden, rows in questions:
        whole = torch.nn.functional.pad(hidden, (grid.columns - hidden.shape[1], 0))
        logits = model.logits(values, observed, whole.flatten().expand(len(values), -1))
        newest = logits.unflatten(1, whole.shape)[:, :, -1]
        answers.append(newest if rows is None else newest[:, rows])
    return answers


@contextmanager
def reading(model: torch.nn.Module) -> Iterator[None]:
    """Eval mode, no gradient."""
    model.eval()
    with torch.inference_mode():
        yield
