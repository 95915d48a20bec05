import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import fintok
from fintok.anomaly import AnomalyScorer
from fintok.errors import InputError
from fintok.page import Page
from fintok.plots.vocabulary import TokenPictures
from fintok.regimes import RegimeLabeler
from fintok.report import write_report
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns

SUMMARY = {"train_end": np.datetime64("2001-12-31"), "config": {"dim": 64, "codes": 512}, "nll": 2.15}


@pytest.fixture(scope="module")
def panel():
    returns, _ = simulate_returns(1200, 5)
    return make_panel(returns)


@pytest.fixture(scope="module")
def whole(panel, tmp_path_factory):
    bundle = FakeBundle(panel[:800])
    rng = np.random.default_rng(0)
    path = write_report(
        tmp_path_factory.mktemp("report") / "report.html",
        bundle_summary=SUMMARY,
        panel=panel,
        regimes=RegimeLabeler(bundle, n_regimes=3).fit(panel).label(panel),
        scores=AnomalyScorer(bundle).fit(panel).score(panel),
        vocabulary=TokenPictures(rng.standard_normal((32, 5)), rng.integers(1, 50, 32)),
        code_counts=rng.integers(0, 50, 512),
        yardstick={"assets": {"model": 2.1, "marginal": 5.3, "factor model": 2.0}},
        curves={"teacher": {"step": np.arange(50), "loss": np.linspace(5, 1, 50)}},
    )
    return path.read_text()


def test_the_page_is_whole_small_and_asks_the_network_for_nothing(whole):
    assert whole.startswith("<!DOCTYPE html>")
    assert whole.rstrip().endswith("</html>")
    assert len(whole) < 8_000_000
    own = re.sub(r"<script>.*?</script>", "", whole, flags=re.DOTALL)  # less plotly.js, which only names hosts
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", own)
    assert whole.count("<script>") == 2  # plotly.js once, and the page's own


def test_the_story_runs_from_regimes_to_the_glossary(whole):
    order = [
        "Market regimes",
        "Unusual behaviour",
        "The vocabulary",
        "How good is the model",
        "What was run",
    ]
    places = [whole.index(f"<h2>{heading}</h2>") for heading in order]
    assert places == sorted(places)
    for fact in ("config.dim", "512", "2001-12-31", "0 · calm", "Alarms per 1,000"):
        assert fact in whole


def test_every_figure_has_its_box_and_its_data(whole):
    boxes = re.findall(r'<div class="figure" id="([\w-]+)"', whole)
    data = re.findall(r'<script type="application/json" id="([\w-]+)-data">(.*?)</script>', whole, re.DOTALL)
    assert boxes == [name for name, _ in data]
    assert len(boxes) == 10
    for _, text in data:
        assert json.loads(text)["data"]


def test_parts_that_are_not_given_are_left_out(panel, tmp_path):
    text = write_report(tmp_path / "r.html", bundle_summary={}, panel=panel).read_text()
    assert "Market regimes" not in text
    assert "Plotly" not in text
    assert "What was run" in text


def test_rows_that_are_hours_are_called_so(panel, tmp_path):
    hourly = replace(panel, dates=panel.dates[0] + np.arange(1200) * np.timedelta64(1, "h"))
    bundle = FakeBundle(hourly[:800])
    text = write_report(
        tmp_path / "r.html",
        bundle_summary={},
        panel=hourly,
        regimes=RegimeLabeler(bundle, n_regimes=3).fit(hourly).label(hourly),
        scores=AnomalyScorer(bundle).fit(hourly).score(hourly),
        vocabulary=TokenPictures(np.ones((32, 5)), np.arange(32)),
    ).read_text()
    text = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL).replace("a day late", "")  # figures stay
    assert re.findall(r".{0,50}\b(?:to)?days?\b.{0,30}", text, re.IGNORECASE) == []
    for words in ("From one hour to the next", "coming few hours", "1,000 asset-hours", "<th>Hours</th>"):
        assert words in text


def test_scores_without_a_p_value_are_no_rate_of_alarms(panel, tmp_path):
    scores = AnomalyScorer(FakeBundle(panel[:50])).fit().score(panel[:150])
    text = write_report(tmp_path / "r.html", bundle_summary={}, panel=panel[:150], scores=scores).read_text()
    count = int(np.isfinite(scores.score).sum())
    assert f"no asset-day is calibrated yet ({count} scores; p-values need 1,000)" in text
    assert "nan" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_names_from_the_data_cannot_become_markup(panel, tmp_path):
    name = "</script><script>alert(1)</script>"
    odd = replace(panel, assets=(name, *panel.assets[1:]), source=name)
    scores = AnomalyScorer(FakeBundle(panel[:800]), alarms_per_1000=20.0).fit().score(odd)
    summary = {name: name}
    text = write_report(tmp_path / "r.html", bundle_summary=summary, panel=odd, scores=scores).read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_an_existing_page_is_kept_unless_overwriting_is_asked_for(panel, tmp_path):
    path = tmp_path / "r.html"
    path.write_text("mine")
    with pytest.raises(InputError):
        write_report(path, bundle_summary={}, panel=panel)
    assert path.read_text() == "mine"
    write_report(path, bundle_summary={}, panel=panel, overwrite=True)
    assert path.read_text() != "mine"
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]


def test_tables_set_numbers_flush_right_and_escape_text():
    page = Page("t", "s")
    page.section("One", "")
    columns = {"Name": ["<a>", "b"], "Share": ["1.5%", "–"], "p": ["< 0.00001", "0.00013"], "Days": ["1,000", "−3"]}
    page.table(pd.DataFrame(columns))
    html = page.render()
    assert "&lt;a&gt;" in html
    assert '<td class="number">1.5%</td>' in html
    assert '<td class="number">−3</td>' in html
    assert '<td class="number">0.00013</td>' in html
    assert "<td>b</td>" in html


def test_the_face_has_the_report_as_a_function(small_bundle, small_panel, tmp_path):
    path = fintok.report(small_bundle, small_panel, tmp_path / "report.html", n_regimes=2)
    assert path.read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(InputError, match=r"report\.html exists"):
        fintok.report(small_bundle, small_panel, path)
