import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import fintok
from fintok.anomaly import AnomalyScorer
from fintok.config import PretrainConfig
from fintok.errors import InputError
from fintok.inference import Vocabulary
from fintok.page import Page
from fintok.plots.vocabulary import TokenPictures, vocabulary_gallery
from fintok.regimes import RegimeLabeler
from fintok.report import _yardstick, write_report
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns

FACTS = {"train_end": np.datetime64("2001-12-31"), "nll": 2.15}
FIGURES = {"masked NLL asset": 2.1, "masked NLL asset marginal": 5.3, "masked NLL asset factor": 2.0, "seconds": 9}


class DescribedBundle(FakeBundle):
    config, facts, figures = PretrainConfig(), FACTS, FIGURES
    vocabulary = Vocabulary(np.ones((32, 5)), np.ones((32, 5)), np.arange(32), np.arange(32))

    def summary(self):
        return pd.DataFrame({"value": self.facts})

    def plot(self):
        return vocabulary_gallery(TokenPictures(self.vocabulary.patch_mean, self.vocabulary.counts))


def write(path, bundle, panel, *, run=None, scores=None, **options):
    regimes = RegimeLabeler(bundle, n_regimes=3).fit(panel).label(panel)
    scores = scores or AnomalyScorer(bundle).fit(panel).score(panel)
    return write_report(path, bundle, panel, regimes, scores, {}, run or path.parent / "no run", **options)


@pytest.fixture(scope="module")
def panel():
    returns, _ = simulate_returns(1200, 5)
    return make_panel(returns)


@pytest.fixture(scope="module")
def whole(panel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "stages").mkdir()
    (folder / "stages" / "teacher.csv").write_text("step,loss\n1,5.0\n2,4.0\n")
    return write(folder / "report.html", DescribedBundle(panel[:800]), panel, run=folder).read_text()


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
    for fact in (
        "budget 1<",
        "<summary>Configuration</summary>",
        "<td>teacher.encoder.dim</td>",
        "2.15",
        "2001-12-31",
        "0 · calm",
        "Alarms per 1,000",
    ):
        assert fact in whole
    for term in ("Token, code, word", "Perplexity", "Nats per token"):
        assert f"<dt>{term}</dt>" in whole


def test_every_figure_has_its_box_and_its_data(whole):
    boxes = re.findall(r'<div class="scroll"><div class="figure" id="([\w-]+)" role="img" aria-label="[^"]+"', whole)
    data = re.findall(r'<script type="application/json" id="([\w-]+)-data">(.*?)</script>', whole, re.DOTALL)
    assert boxes == [name for name, _ in data]
    assert len(boxes) == 10
    for _, text in data:
        assert json.loads(text)["data"]


def test_what_was_not_measured_is_left_out(panel, tmp_path):
    bundle = DescribedBundle(panel[:800])
    text = write(tmp_path / "r.html", bundle, panel).read_text()
    assert "Measured on the rows after train end" in text
    assert "The three stages of pretraining" not in text
    bundle.figures = {}
    text = write(tmp_path / "s.html", bundle, panel).read_text()
    assert "How good is the model" not in text
    assert "What was run" in text


def test_rows_that_are_hours_are_called_so(panel, tmp_path):
    hourly = replace(panel, dates=panel.dates[0] + np.arange(1200) * np.timedelta64(1, "h"))
    text = write(tmp_path / "r.html", DescribedBundle(hourly[:800]), hourly).read_text()
    text = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL).replace("a day late", "")  # figures stay
    text = re.sub(r"configuration\.\S*", "", text)
    assert re.findall(r".{0,50}\b(?:to)?days?\b.{0,30}", text, re.IGNORECASE) == []
    for words in ("From one hour to the next", "coming few hours", "1,000 asset-hours", "<th>Hours</th>"):
        assert words in text


def test_a_long_path_breaks_in_a_narrow_window(whole):
    assert re.search(r"header p \{[^}]*overflow-wrap:anywhere", whole)


def test_scores_without_a_p_value_are_no_rate_of_alarms(panel, tmp_path):
    scores = AnomalyScorer(FakeBundle(panel[:50])).fit().score(panel[:150])
    bundle = DescribedBundle(panel[:800])
    regimes = RegimeLabeler(bundle).fit().label(panel[:150])
    text = write_report(tmp_path / "r.html", bundle, panel[:150], regimes, scores, {}, tmp_path).read_text()
    count = int(np.isfinite(scores.score).sum())
    assert f"no asset-day is calibrated yet ({count} scores; p-values need 1,000 in the trailing window)" in text
    assert "nan" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_names_from_the_data_cannot_become_markup(panel, tmp_path):
    name = "</script><script>alert(1)</script>"
    odd = replace(panel, assets=(name, *panel.assets[1:]), source=name)
    bundle = DescribedBundle(panel[:800])
    bundle.facts = {name: name}
    scores = AnomalyScorer(bundle, alarms_per_1000=20.0).fit().score(odd)
    text = write(tmp_path / "r.html", bundle, odd, scores=scores).read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_an_existing_page_is_kept_unless_overwriting_is_asked_for(panel, tmp_path):
    path = tmp_path / "r.html"
    path.write_text("mine")
    bundle = DescribedBundle(panel[:800])
    with pytest.raises(InputError):
        write(path, bundle, panel)
    assert path.read_text() == "mine"
    write(path, bundle, panel, overwrite=True)
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


def test_the_face_has_the_report_as_a_function(small_bundle, small_panel, tmp_path, capsys):
    path = fintok.report(small_bundle, small_panel, tmp_path / "report.html", n_regimes=2)
    assert path.read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(InputError, match=r"report\.html exists"):
        fintok.report(small_bundle, small_panel, path)
    assert "reading scores of" in capsys.readouterr().err
    with fintok.quiet():
        fintok.report(small_bundle, small_panel, path, overwrite=True)
    assert capsys.readouterr().err == ""


def test_of_a_model_of_several_panels_the_first_is_judged():
    bundle = DescribedBundle(make_panel(simulate_returns(800, 5)[0]))
    bundle.figures = {**FIGURES, **{f"{name} (2)": 9.0 for name in FIGURES}}
    assert _yardstick(bundle) == {"asset": {"model": 2.1, "marginal": 5.3, "factor model": 2.0}}
