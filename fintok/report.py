"""The report: one HTML page that tells what the model learned and what it says of a panel."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.config import STAGES
from fintok.files import check_output, write_text
from fintok.market import read_market
from fintok.page import Page
from fintok.panel import require_panel
from fintok.report_tables import day, events_table, facts_table, panel_facts, summary_table
from vision.config import to_dict

if TYPE_CHECKING:
    from fintok.bundle import Bundle
    from fintok.panel import Panel
    from fintok.regime_result import Regimes
    from fintok.score_result import Scores

_RIVALS = {"": "model", "marginal": "marginal", "factor": "factor model"}  # in the names of a bundle's figures
_GLOSSARY = [
    (
        "Regime",
        "A group of {row}s on which much the same coming {week} is expected, and moves of much the same size. Number 0 "
        "is the calmest by the volatility of the market in it. A label uses its own {row} and earlier {row}s only.",
    ),
    (
        "Token, code, word",
        "A token tells what one asset did in one {week}: a code, the number of one of the pictures that the model has "
        "learned, its codebook. Words are codes of a kind put together, so that there are few enough to look at.",
    ),
    (
        "Perplexity",
        "How many codes would be in use if all were used equally often.",
    ),
    (
        "Score",
        "How strange an asset's newest {row}s are given the other assets and its own past: what nine "
        "kinds of evidence say together, each as the negative base-10 logarithm of its tail probability. How rare "
        "such a score is, the p-value tells.",
    ),
    (
        "p-value",
        "The share of the scores over the trailing 750 dates, of all assets or of the group, that were at least as "
        "high. Small is strange.",
    ),
    (
        "Alarm and alert",
        "The score alarms when its p-value falls below a level that adapts to keep to the budget in the "
        "long run. An alert is such an alarm or a named data check that fired.",
    ),
    (
        "Train end and in sample",
        "The model was trained on {row}s up to the dashed line. What it says of those {row}s is in sample; judge "
        "it by the {row}s after. So it is with assets that it was not trained on: they lived through the same "
        "{row}s, and how rare each kind of evidence is was learned from this panel's own {row}s up to there.",
    ),
    (
        "Nats per token",
        "How badly hidden tokens are predicted (negative log-likelihood). The marginal only knows how often "
        "each token occurs; the factor model is a classical linear model of the cross-section.",
    ),
]


_DEVIATIONS = (
    "This panel holds returns in units of their own, so they are described in deviations, σ: each asset's return "
    "over its own usual size up to the {row} before. A volatility of 1 a year is an asset's own usual one; the market, "
    "the mean over assets, moves less the less they move together."
)


def report(
    bundle: "Bundle",
    panel: "Panel",
    out: str | Path,
    *,
    n_regimes: int = 4,
    switches_per_year: float = 4.0,
    alarms_per_1000: float = 1.0,
    errors: object = None,
    groups: Mapping[str, object] | str | Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Read a panel with a bundle and write what it says as one self-contained page of HTML; return its path.

    `errors` are those of `AnomalyScorer.score`, `groups` those of `AnomalyScorer`. Raises InputError for what is no
    bundle or panel, a number out of range, and where `out` exists and `overwrite` is False.
    """
    require_panel(panel)
    path = check_output(out, overwrite=overwrite)
    reading = read_market(
        bundle,
        panel,
        n_regimes=n_regimes,
        switches_per_year=switches_per_year,
        alarms_per_1000=alarms_per_1000,
        errors=errors,
        groups=groups,
    )
    return write_report(path, bundle, panel, *reading, overwrite=overwrite)


def write_report(
    path: str | Path,
    bundle: "Bundle",
    panel: "Panel",
    regimes: "Regimes",
    scores: "Scores",
    asked: Mapping[str, float],
    run: Path | None = None,
    *,
    title: str = "fintok report",
    overwrite: bool = False,
) -> Path:
    """Write one self-contained HTML page of what a bundle says of a panel, and return its path.

    The page opens offline in any browser, in light or dark. `asked` is what was asked for, by name. `run` is the
    folder of the bundle, if it has one: training curves are shown where they are there. Raises InputError when the
    file exists and `overwrite` is False, or cannot be written; nothing half-written is left.
    """
    path = check_output(path, overwrite=overwrite)
    page = Page(title, _subtitle(panel))
    _tell_regimes(page, regimes)
    _tell_scores(page, scores)
    _tell_vocabulary(page, panel, bundle)
    _tell_quality(page, _yardstick(bundle), {} if run is None else _curves(run))
    page.section("What was run", "The model behind this page and the panel it was given.")
    of_panel = {f"panel {name}": value for name, value in panel_facts(panel).items()}
    of_model = {str(name): value for name, value in bundle.summary()["value"].items()}
    page.table(facts_table({**of_panel, **{f"asked for: {name}": value for name, value in asked.items()}, **of_model}))
    page.folded("Configuration", facts_table(to_dict(bundle.config)))
    page.section("How to read this page", "")
    page.definitions([(term, _in_words(text, panel)) for term, text in _GLOSSARY])
    return write_text(page.render(), path, overwrite=overwrite)


def _in_words(text: str, panel: "Panel") -> str:
    """A text with the panel's word for its rows and for the few of them that a token covers."""
    noun = panel.row_noun
    return text.format(row=noun, week="week" if noun == "day" else f"few {noun}s")


def _subtitle(panel: "Panel") -> str:
    if panel.num_days == 0:
        return f"{panel.num_assets:,} assets, no dates"
    first, last = day(panel.dates[0]), day(panel.dates[-1])
    return f"{panel.num_assets:,} assets, {panel.num_days:,} dates, {first} to {last} · {panel.source}"


def _tell_regimes(page: Page, regimes: "Regimes") -> None:
    from fintok.plots.regimes import (
        format_signature,
        regime_probabilities,
        regime_ribbon,
        transition_heat_map,
    )

    noun, labelled = regimes.panel.row_noun, np.flatnonzero(regimes.labels >= 0)
    if len(labelled):
        last = labelled[-1]
        now = regimes.labels[last]
        since = labelled[np.append(True, np.diff(regimes.labels[labelled]) != 0)][-1]
        chance = regimes.probabilities[last, now]
        since, until = (day(regimes.dates[int(row)]) for row in (since, last))
        page.fact(regimes.names[now], f"regime on {until}, since {since}, p = {chance:.0%}")
        page.fact(f"{regimes.switches_per_year:.1f}", "regime switches a year")
    page.section(
        "Market regimes",
        _in_words(
            "Each {row} gets the regime that the coming {week} and size of moves expected fit best", regimes.panel
        )
        + ", with a price on switching so that labels persist. No label knows its future.",
    )
    page.figure(
        regime_ribbon(regimes),
        f"The line is the equal-weight market; the colour behind it is the regime of each {noun}.",
    )
    page.heading("What each regime looks like")
    page.table(format_signature(regimes.summary(), noun, is_relative=regimes.moves.is_relative))
    if not regimes.moves.is_relative:
        page.paragraph(_in_words(_DEVIATIONS, regimes.panel))
    for sentence in regimes.remarks():
        page.paragraph(f"{sentence[0].upper()}{sentence[1:]}.")
    page.figure(regime_probabilities(regimes), "How sure the labels are, with what was known at the time.")
    page.figure(transition_heat_map(regimes), f"The diagonal is persistence: the chance to stay for another {noun}.")


def _tell_scores(page: Page, scores: "Scores") -> None:
    from fintok.plots.scores import alarm_rates, event_windows, score_heat_map, top_events
    from fintok.score_result import uncalibrated

    noun, summary = scores.panel.row_noun, scores.summary()
    period = scores.told_of
    when = {"all": "on all rows"}.get(period, period.replace("_", " "))
    if summary.loc[period, "asset_days"]:
        rate, asked = summary.loc[period, "alarms_per_1000"], scores.alarms_per_1000
        page.fact(f"{rate:.2f}", f"alarms per 1,000 asset-{noun}s, {when}; budget {asked:g}")
    else:
        page.fact("–", uncalibrated(scores, np.ones(len(scores.dates), dtype=bool)))
    page.fact(f"{summary.loc[period, 'alerts']:,.0f}", f"alerts, {when}")
    page.section(
        "Unusual behaviour",
        f"Every asset is scored on every {noun} by how badly its newest {noun}s fit the other assets and its own "
        "past. Circles mark alerts: alarms of the score, or a data check that fired.",
    )
    for sentence in scores.remarks():
        page.paragraph(f"{sentence[0].upper()}{sentence[1:]}.")
    page.figure(
        score_heat_map(scores),
        f"Strong colours are strange, blank is everyday or without a score. Vertical stripes are {noun}s that "
        "surprised many assets at once.",
    )
    shown = top_events(scores, num_events=20)
    if len(shown):
        unit = "" if scores.panel.values == "prices" else f", in deviations: 1 is the asset's usual move of one {noun}"
        page.figure(event_windows(scores), f"Cumulative return of the asset and of the market around each event{unit}.")
        page.heading("The strangest events" + (", in sample" if np.any(shown["in_sample"]) else " after train end"))
        page.table(events_table(shown, noun))
    page.figure(alarm_rates(scores), "A well-calibrated score stays near its budget in quiet and in loud years.")
    page.table(summary_table(summary, noun))
    counts = scores.reason_counts()
    if len(counts):
        page.heading("Alerts by reason")
        page.table(counts.map("{:,}".format).rename_axis("Reason").reset_index(name="Alerts"))


def _tell_vocabulary(page: Page, panel: "Panel", bundle: "Bundle") -> None:
    from fintok.plots.vocabulary import codebook_usage

    page.section(
        "The vocabulary",
        _in_words("The model speaks of a {week} of one asset in one token. ", panel)
        + "These are the pictures it learned, in units of the asset's own scale.",
    )
    page.figure(
        bundle.plot(),
        "Each picture is the mean cumulative return over a token's rows; above it, its number and share.",
    )
    page.figure(
        codebook_usage(bundle.vocabulary.counts), "A healthy codebook uses nearly all codes and none dominates."
    )


def _tell_quality(
    page: Page, yardstick: dict[str, dict[str, float]], curves: dict[str, dict[str, NDArray[np.float64]]]
) -> None:
    from fintok.plots.training import training_curves, yardstick_bars

    if not yardstick and not curves:
        return
    page.section(
        "How good is the model",
        "Tokens are hidden and predicted from the rest, beside two rivals that need no network. A model that "
        "does not beat the marginal has learned nothing.",
    )
    if yardstick:
        page.figure(yardstick_bars(yardstick), "Measured on the rows after train end where there are any.")
    if curves:
        page.figure(training_curves(curves), "The three stages of pretraining.")


def _yardstick(bundle: "Bundle") -> dict[str, dict[str, float]]:
    """The bundle's masked NLL: mask -> {"model", "marginal", "factor model"} -> nats; of the first panel."""
    table: dict[str, dict[str, float]] = {}
    for name, value in bundle.figures.items():
        if name.startswith("masked NLL ") and not name.endswith(")"):  # "… (2)": of the second panel
            mask, _, rival = name.removeprefix("masked NLL ").partition(" ")
            if rival in _RIVALS:
                table.setdefault(mask, {})[_RIVALS[rival]] = float(value)
    return table


def _curves(run: Path) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Loss by step of each stage that left its metrics."""
    from vision.train.metrics import read_metrics

    curves = {}
    for stage in STAGES:
        rows = read_metrics(run / "stages" / f"{stage}.csv")
        if rows:
            curves[stage] = {name: np.array([row[name] for row in rows]) for name in ("step", "loss")}
    return curves
