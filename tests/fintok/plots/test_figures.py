import json
import re
from dataclasses import replace

import numpy as np
import pytest

from fintok.anomaly import AnomalyScorer
from fintok.plots.regimes import (
    format_signature,
    regime_probabilities,
    regime_ribbon,
    transition_heat_map,
)
from fintok.plots.scores import alarm_rates, event_windows, score_heat_map
from fintok.plots.theme import (
    MAX_CELLS,
    MAX_POINTS,
    moments,
    plain,
    pool_max,
    regime_colours,
    stepped_scale,
    thin,
)
from fintok.plots.training import training_curves, yardstick_bars
from fintok.plots.vocabulary import TokenPictures, codebook_usage, vocabulary_gallery
from fintok.regimes import RegimeLabeler
from fintok.report_tables import dates_as_text, events_table
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns


@pytest.fixture(scope="module")
def panel():
    returns, _ = simulate_returns(1500, 6)
    returns[1200, 3] += 0.3
    return make_panel(returns)


@pytest.fixture(scope="module")
def regimes(panel):
    bundle = FakeBundle(panel[:800])
    return RegimeLabeler(bundle, n_regimes=3).fit(panel).label(panel)


@pytest.fixture(scope="module")
def scores(panel):
    bundle = FakeBundle(panel[:800])
    return AnomalyScorer(bundle).fit(panel).score(panel)


def size_of(figure):
    return len(json.dumps(json.loads(figure.to_json())))


def test_every_figure_has_a_title_and_survives_its_way_to_json(regimes, scores):
    figures = [
        regimes.plot(),
        regime_probabilities(regimes),
        transition_heat_map(regimes),
        scores.plot(),
        event_windows(scores),
        alarm_rates(scores),
    ]
    for figure in figures:
        assert figure.layout.title.text
        assert len(figure.data) > 0
        assert json.loads(figure.to_json(), parse_constant=pytest.fail)  # NaN is no JSON; as letters it may occur


def test_the_ribbon_has_one_cell_per_spell_and_a_line_of_at_most_5000_points():
    returns, _ = simulate_returns(9000, 2)
    panel = make_panel(returns)
    labels = np.repeat(np.arange(-1, 3), 2250)
    from fintok.regime_result import Regimes

    p = np.full((9000, 3), 1 / 3)
    regimes = Regimes(panel=panel, labels=labels, probabilities=p, names=("a", "b", "c"), train_end=panel.dates[4000])
    figure = regime_ribbon(regimes)
    ribbon, line = figure.data[0], figure.data[-1]
    assert np.asarray(ribbon.z).shape == (1, 4)
    assert np.isnan(np.asarray(ribbon.z)[0, 0])  # no forecast: no colour
    assert len(ribbon.x) == 5
    assert len(line.y) <= MAX_POINTS
    assert np.asarray(line.y)[-1] == pytest.approx(returns.mean(axis=1).sum(), rel=1e-4)
    assert figure.layout.shapes[0].x0.startswith(str(panel.dates[4000])[:10])


def test_days_without_a_label_do_not_cut_the_ribbon_and_hours_are_told(regimes):
    from fintok.regime_result import Regimes

    hours = regimes.dates[0] + np.arange(len(regimes.dates)) * np.timedelta64(1, "h")
    labels = np.where(np.arange(len(hours)) % 7 == 6, -1, np.repeat([0, 1], len(hours) // 2))
    holed = Regimes(
        panel=replace(regimes.panel, dates=hours),
        labels=labels,
        probabilities=np.where(labels[:, None] >= 0, 1 / 3, np.nan) * np.ones(3),
        names=regimes.names,
        train_end=hours[0],
    )
    ribbon = holed.plot().data[0]
    assert np.asarray(ribbon.z).shape == (1, 2)
    assert "%H:%M" in ribbon.hovertemplate
    assert "%H:%M" not in regimes.plot().data[0].hovertemplate


def test_heat_map_pools_by_maximum_so_that_no_alert_vanishes(scores):
    figure = score_heat_map(scores, max_columns=40)
    assert figure.layout.yaxis.type == "category"  # symbols may be numbers: 600519
    cells = np.asarray(figure.data[0].z)
    assert cells.size <= MAX_CELLS
    assert cells.shape[0] == 6
    assert np.nanmax(cells[3]) == pytest.approx(np.nanmax(scores.score[:, 3]), rel=1e-5)  # hovered: as it is
    assert "highest score of 38 days" in figure.data[0].hovertemplate
    assert "highest" not in score_heat_map(scores, max_columns=1500).data[0].hovertemplate
    marks = figure.data[1]
    assert len(marks.x) == len(scores.events())


def test_heat_map_of_a_wide_panel_stays_small():
    returns, _ = simulate_returns(400, 300)
    panel = make_panel(returns)
    scores = AnomalyScorer(FakeBundle(panel[:200])).fit().score(panel)
    figure = score_heat_map(scores)
    assert np.asarray(figure.data[0].z).size <= MAX_CELLS
    assert "60 strangest of 300 assets" in figure.layout.title.text
    assert size_of(figure) < 1_500_000


def test_names_too_long_for_the_side_of_the_heat_map_are_short_there_and_whole_when_hovered(scores):
    name = "Actions ordinaires & au porteur, nominal 1 €"
    assets = (name, *scores.assets[1:])
    figure = score_heat_map(replace(scores, panel=replace(scores.panel, assets=assets)))
    assert figure.data[0].y[0] == plain(name)
    assert figure.layout.yaxis.tickvals[0] == plain(name)
    assert figure.layout.yaxis.ticktext[:2] == ("Actions ordinaires &amp; au…", scores.assets[1])


@pytest.mark.parametrize("num_events", [2, 6])
def test_the_legend_of_the_events_lies_between_their_names_and_the_title(scores, num_events):
    layout = event_windows(scores, num_events=num_events).layout
    height = layout.height - layout.margin.t - layout.margin.b
    assert (layout.legend.y - 1.0) * height == pytest.approx(26.0)


def test_among_hours_midnight_is_told_and_no_seconds_are(scores):
    hours = np.datetime64("2001-01-01T00", "ns") + np.arange(len(scores.dates)) * np.timedelta64(1, "h")
    hourly = replace(scores, panel=replace(scores.panel, dates=hours))
    table = events_table(hourly.events(), "hour")
    assert all(re.fullmatch(r"[\d-]{10} \d\d:\d\d( to [\d-]{10} \d\d:\d\d)?", text) for text in table["Hours"])
    titles = [note.text.split(" · ")[1] for note in event_windows(hourly).layout.annotations]
    assert all(re.fullmatch(r"[\d-]{10} \d\d:\d\d", title) for title in titles)
    assert dates_as_text(hours[:2]) == ["2001-01-01 00:00", "2001-01-01 01:00"]
    assert dates_as_text(scores.dates[:1]) == [str(scores.dates[0])[:10]]


def test_event_windows_show_the_event_inside_its_window(scores):
    figure = event_windows(scores, num_events=3)
    assert len(figure.data) == 6
    assert len(figure.layout.shapes) == 3
    for place, shape in enumerate(figure.layout.shapes):
        x = figure.data[2 * place].x
        assert np.datetime64(shape.x0) >= np.datetime64(x[0]) - np.timedelta64(1, "D")
        assert np.datetime64(shape.x1) <= np.datetime64(x[-1]) + np.timedelta64(1, "D")


@pytest.mark.parametrize(("values", "format_of_ticks"), [("prices", ".2~%"), ("returns", "~g")])
def test_the_ticks_of_small_moves_are_told_apart(scores, values, format_of_ticks):
    figure = event_windows(replace(scores, panel=replace(scores.panel, values=values)))
    assert {axis.tickformat for axis in figure.select_yaxes()} == {format_of_ticks}  # 0.05%, 0.1%: not 0%, 0%


def test_a_year_of_alarms_stands_over_its_number(scores):
    (bars,) = alarm_rates(scores).data
    assert list(bars.x) == [2000, 2001, 2002, 2003, 2004][: len(bars.x)]
    axis = alarm_rates(scores).layout.xaxis
    assert (axis.tickformat, axis.dtick) == ("d", 1)


def test_the_rates_of_alarms_stand_beside_the_budget(scores):
    figure = alarm_rates(replace(scores, alarms_per_1000=2.5))
    assert [(line.y0, line.y1) for line in figure.layout.shapes] == [(2.5, 2.5)]
    assert "the budget, 2.5" in figure.layout.title.text
    assert scores.alarms_per_1000 == 1.0


def test_figures_without_anything_to_show_are_empty_not_broken(panel):
    bundle = FakeBundle(panel[:800])
    short = panel[:10]
    scores = AnomalyScorer(bundle).fit().score(short)
    regimes = RegimeLabeler(bundle, n_regimes=2).fit().label(short)
    for figure in (scores.plot(), event_windows(scores), alarm_rates(scores), regimes.plot()):
        assert figure.to_json()
    assert regime_probabilities(regimes).to_json()
    assert transition_heat_map(regimes).to_json()


def test_gallery_shows_the_most_used_words_and_clips_nothing_to_nan():
    rng = np.random.default_rng(0)
    vocabulary = TokenPictures(rng.standard_normal((64, 5)), np.arange(64))
    figure = vocabulary_gallery(vocabulary, num_shown=10)
    labels = next(trace.text for trace in figure.data if trace.mode == "text")
    assert {label.split(" ")[0] for label in labels} == {str(k) for k in range(54, 64)}
    assert vocabulary_gallery(TokenPictures(np.zeros((4, 5)), np.zeros(4, dtype=int))).to_json()


def test_codebook_usage_counts_codes_and_perplexity():
    title = codebook_usage(np.array([5, 5, 5, 5, 0, 0])).layout.title.text
    assert "4 of 6 codes used" in title
    assert "perplexity 4" in title
    assert codebook_usage(np.zeros(3, dtype=int)).to_json()


def test_yardstick_and_training_take_what_was_measured():
    bars = yardstick_bars({"assets": {"model": 2.0, "marginal": 5.0}, "forecast": {"model": 4.0}})
    assert [bar.name for bar in bars.data] == ["model", "marginal"]
    assert np.isnan(np.asarray(bars.data[1].y)[1])
    steps = np.arange(50_000)
    loss = np.where(steps % 2, np.nan, 1.0 / (1 + steps))
    curves = training_curves({"teacher": {"step": steps, "loss": loss}, "tokenizer": {"loss": loss[:10]}})
    assert all(len(line.y) <= MAX_POINTS for line in curves.data)
    assert [line.showlegend for line in curves.data] == [True, False]


def test_pooling_keeps_maxima_and_nan_only_where_all_is_nan():
    values = np.array([[1.0, np.nan, 5.0, 2.0, np.nan], [np.nan, np.nan, 0.0, -1.0, 3.0]])
    pooled, starts = pool_max(values, 3)
    np.testing.assert_array_equal(starts, [0, 2, 4])
    np.testing.assert_array_equal(pooled, [[1.0, 5.0, np.nan], [np.nan, 0.0, 3.0]])
    same, _ = pool_max(values, 100)
    np.testing.assert_array_equal(same, values)


def test_thinning_keeps_both_ends():
    shown = thin(12_345, 5000)
    assert (shown[0], shown[-1], len(shown)) == (0, 12_344, 5000)
    np.testing.assert_array_equal(thin(3, 5000), [0, 1, 2])


def test_colours_scales_dates_and_plain_text():
    assert len(set(regime_colours(6))) == 6
    assert len(regime_colours(1)) == 1
    scale = stepped_scale(("red", "blue"))
    assert scale == [(0.0, "red"), (0.5, "red"), (0.5, "blue"), (1.0, "blue")]
    days = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[ns]")
    assert moments(days).dtype == "datetime64[D]"
    assert moments(days + np.timedelta64(1, "h")).dtype == "datetime64[s]"
    assert plain("A<b>&C") == "A&lt;b&gt;&amp;C"


def test_event_windows_of_a_panel_of_returns_are_in_deviations_not_per_cent(scores):
    """Differences of prices, a hundred points a day, are no logarithms: their exponential overflows."""
    panel = replace(scores.panel, returns=scores.panel.returns * 1e4, values="returns", prices=None)
    figure = event_windows(replace(scores, panel=panel), num_events=3)
    assert all(np.abs(line.y).max() < 100 for line in figure.data)
    assert figure.layout.yaxis.tickformat == "~g"


def test_regimes_of_a_panel_of_returns_are_drawn_and_told_in_deviations(regimes):
    panel = replace(regimes.panel, returns=regimes.panel.returns * 1e4, values="returns", prices=None)
    regimes = replace(regimes, panel=panel)
    line = next(trace for trace in regime_ribbon(regimes).data if trace.name == "market")
    assert np.abs(line.y).max() < 100
    assert "σ" in regime_ribbon(regimes).layout.yaxis.title.text
    table = format_signature(regimes.summary(), "day", is_relative=False)
    assert table.columns[3] == "Volatility p.a., own σ"
    assert not table.iloc[:, 3].str.contains("%").any()
