"""Tokens: how well hidden ones are told from the rest, how much of the vocabulary is in use, and what carries over."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.evaluate.codes import agreement, shared_information
from fintok.evaluate.result import Findings
from fintok.progress import track
from fintok.spans import rows_until
from fintok.training import describe_panel
from fintok.usage import usage_of
from fintok.yardstick import Yardstick, measure

if TYPE_CHECKING:
    import pandas as pd

    from fintok.bundle import Bundle
    from fintok.panel import Panel

MASKS = {"asset": "a group of assets", "forecast": "the coming patch of all", "block": "blocks"}


def evaluate_tokens(bundle: Bundle, panel: Panel, *, seed: int = 0, others: Sequence[Bundle] = ()) -> Findings:
    """Judge the tokens of a bundle on the rows of a panel after train_end.

    Parameters
    ----------
    others
        Bundles of other seeds, or of the same market to another date: do they read the panel alike?

    Raises InputError for a panel that does not go on for ten windows of days after train_end, and for `others` that
    cannot be compared (`check_others`).
    """
    check_others(bundle, panel, others)
    cut = rows_until(panel.dates, bundle.train_end)
    read = bundle.read(panel, since=max(2 * cut - panel.num_days, 0))  # as many days before train_end as after it
    found = measure(bundle, panel, seed, read)
    if np.isnan(found.asset):
        raise InputError(
            f"{panel.source}: too few rows after the model's train_end, "
            f"{np.datetime_as_string(bundle.train_end, unit='D')}, for ten windows of "
            f"{bundle.config.imaging.window_days} days"
        )
    codes, surprise = read.codes, read.surprise.surprise
    tables = {
        "masked nll": _nll_table(found),
        "codebook": _codebook_table(bundle, codes, cut),
        "transfer": _transfer_table(bundle, panel, found, surprise, cut),
        "by asset": _asset_table(bundle, panel, codes, surprise, cut),
    }
    if others:
        tables["stability"] = _stability_table([bundle, *others], panel)
    from fintok.plots.training import yardstick_bars
    from fintok.plots.vocabulary import codebook_usage

    bars = {
        row["hidden"]: {
            name.replace("_", " "): row[name]
            for name in ("model", "factor_model", "marginal")
            if np.isfinite(row[name])
        }
        for row in tables["masked nll"].to_dict("records")
    }
    figures = {
        "Mean negative log-likelihood of hidden tokens; the marginal only knows how often each code occurs.": (
            yardstick_bars(bars)
        ),
        "How often each code occurs after train end, most frequent first.": codebook_usage(
            np.bincount(codes[cut:][codes[cut:] >= 0], minlength=bundle.codebook_size)
        ),
    }
    return Findings(tables, figures, _verdicts(tables))


def _nll_table(found: Yardstick) -> pd.DataFrame:
    """A row a mask: nats per token of each predictor, and what the model is worth beside them."""
    import pandas as pd

    rows = []
    for mask, hidden in MASKS.items():
        model, marginal = (float(getattr(found, name)) for name in (mask, f"{mask}_marginal"))
        factor = found.asset_factor if mask == "asset" else float("nan")
        rows.append(
            {
                "hidden": hidden,
                "model": model,
                "factor_model": factor,
                "marginal": marginal,
                "bits_gained": (marginal - model) / np.log(2.0),
                "perplexity": np.exp(model),
                "above_factor_model": model / factor - 1.0,
                "error_of_difference": found.asset_factor_error if mask == "asset" else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def _codebook_table(bundle: Bundle, codes: NDArray[np.int32], cut: int) -> pd.DataFrame:
    """Use of the codes in training, and on the rows after train_end."""
    import pandas as pd

    judged = codes[cut:]
    counts = {
        "in training": bundle.vocabulary.counts,
        "after train end": np.bincount(judged[judged >= 0], minlength=bundle.codebook_size),
    }
    return pd.DataFrame(
        {"rows": rows, "codes": bundle.codebook_size, **usage_of(each)._asdict()} for rows, each in counts.items()
    )


def _transfer_table(
    bundle: Bundle, panel: Panel, found: Yardstick, surprise: NDArray[np.float32], cut: int
) -> pd.DataFrame:
    """What was not seen in training beside what was: nats per token with a group of assets hidden, and the
    ratio of perplexities, unseen to seen."""
    import pandas as pd

    rows = []

    def compare(what: str, unseen: float, seen: float) -> None:
        if np.isfinite(unseen) and np.isfinite(seen):
            ratio = float(np.exp(unseen - seen))
            rows.append({"unseen": what, "nll_unseen": unseen, "nll_seen": seen, "perplexity_ratio": ratio})

    is_own = describe_panel(panel[:cut])["sha256"] in {seen["sha256"] for seen in bundle.training_panels}
    if is_own:
        compare("days after train end, beside days before it", _mean(surprise[cut:]), _mean(surprise[:cut]))
    else:
        seen = float(bundle.figures.get("masked NLL asset", np.nan))
        known = np.isin(panel.assets, [name for seen in bundle.training_panels for name in seen["assets"]])
        if not known.all():  # else nothing here is unseen: other rows of assets that were in training
            compare("this panel, beside the training panel, both after train end", found.asset, seen)
        if known.any() and not known.all():
            unseen, seen = _mean(surprise[cut:, ~known]), _mean(surprise[cut:, known])
            compare("assets that were not in training, beside those that were", unseen, seen)
    return pd.DataFrame(rows, columns=["unseen", "nll_unseen", "nll_seen", "perplexity_ratio"])


def _asset_table(
    bundle: Bundle, panel: Panel, codes: NDArray[np.int32], surprise: NDArray[np.float32], cut: int
) -> pd.DataFrame:
    """A row an asset: nats per token after train_end when it is hidden with others, a quarter of all or half."""
    import pandas as pd

    marginal = np.where(codes[cut:] >= 0, -np.log(bundle.vocabulary.marginal)[codes[cut:]], np.nan)
    known = np.isfinite(surprise[cut:])
    return pd.DataFrame(
        {
            "symbol": name,
            "tokens": int(known[:, asset].sum()),
            "model": _mean(surprise[cut:, asset]),
            "marginal": _mean(np.where(known[:, asset], marginal[:, asset], np.nan)),
        }
        for asset, name in enumerate(panel.assets)
    )


def check_others(bundle: Bundle, panel: Panel, others: Sequence[Bundle]) -> None:
    """Raises InputError for bundles whose codes cannot be matched with those of a bundle on the panel's later rows."""
    for other in others:
        if _vocabulary(other) != _vocabulary(bundle):
            raise InputError(
                f"{_name(other)} has {_vocabulary(other)}, the model that is judged {_vocabulary(bundle)}: others are "
                "runs of the same configuration, with another seed or train_end"
            )
        if not (panel.dates > other.train_end).any():
            raise InputError(f"{panel.source}: no row lies after the train_end of the other model, {_name(other)}")


def _vocabulary(bundle: Bundle) -> str:
    config = bundle.config
    channels = ", ".join(config.tokenizer.channels)
    return f"{bundle.codebook_size} codes of {config.imaging.patch_days} rows of {channels}"


def _name(bundle: Bundle) -> str:
    return f"{bundle!r} by seed {bundle.config.seed}"


def _stability_table(bundles: Sequence[Bundle], panel: Panel) -> pd.DataFrame:
    """Do bundles read the rows after all their train_ends alike? Each beside the one before it, codes matched on
    earlier rows."""
    import pandas as pd

    cut = rows_until(panel.dates, max(bundle.train_end for bundle in bundles))
    reads = [bundle.codes(panel) for bundle in track(bundles, "codes of all models")]
    rows = []
    for (one, first), (other, second) in pairwise(zip(bundles, reads, strict=True)):
        both = (first >= 0) & (second >= 0)
        early, late = both[:cut], both[cut:]
        row: dict[str, object] = {"models": f"{_name(one)} and {_name(other)}"}
        for what, a, b in (
            ("codes", first, second),
            ("words", one.word_of_code[first], other.word_of_code[second]),
        ):
            pairs = (a[:cut][early], b[:cut][early]), (a[cut:][late], b[cut:][late])
            row[f"{what}_agreement"] = agreement(*pairs)
            row[f"{what}_shared_information"] = shared_information(*pairs[1])
        rows.append(row)
    return pd.DataFrame(rows)


def _verdicts(tables: dict[str, pd.DataFrame]) -> list[str]:
    """What the tables say, a sentence each."""
    rows = tables["masked nll"].set_index("hidden")
    first = rows.loc[MASKS["asset"]]
    place = f"{abs(first['above_factor_model']):.1%} {'above' if first['above_factor_model'] > 0.0 else 'below'}"
    gains = ", ".join(f"{row['bits_gained']:.2f} with {hidden} hidden" for hidden, row in rows.iterrows())
    codebook = tables["codebook"].set_index("rows")
    verdicts = [
        f"With a group of assets hidden, a token costs {first['model']:.2f} nats: {place} the linear factor "
        f"model's {first['factor_model']:.2f} (a difference of {abs(first['model'] - first['factor_model']):.3f} ± "
        f"{first['error_of_difference']:.3f}); the marginal pays {first['marginal']:.2f}.",
        f"Bits gained per token over the marginal: {gains}.",
        f"After train end {codebook.loc['after train end', 'used']:.0%} of the codes occur, at a perplexity of "
        f"{codebook.loc['after train end', 'perplexity']:.0f}; in training "
        f"{codebook.loc['in training', 'perplexity']:.0f} of {codebook.loc['in training', 'codes']}.",
    ]
    transfer = [
        f"Perplexity unseen to seen ({row['unseen']}): {row['perplexity_ratio']:.2f} "
        f"({row['nll_unseen']:.2f} against {row['nll_seen']:.2f} nats)."
        for row in tables["transfer"].to_dict("records")
    ]
    stability = [
        f"{row['models']}: the panel has no days that both learned from, by which to match their codes."
        if np.isnan(row["codes_agreement"])
        else f"{row['models']}: {row['codes_agreement']:.0%} of the codes and "
        f"{row['words_agreement']:.0%} of the words are the same once matched on earlier days."
        for row in (tables["stability"].to_dict("records") if "stability" in tables else ())
    ]
    return [*verdicts, *transfer, *stability]


def _mean(values: NDArray[np.floating]) -> float:
    """Of the finite values; NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
