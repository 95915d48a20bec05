"""The whole evaluation: what it writes, what it says, what it refuses."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fintok.cli import run
from fintok.errors import InputError
from fintok.evaluate import regime_scores, regimes, result, runner, stability
from fintok.evaluate.alarms import WILD, alarm_verdicts
from fintok.evaluate.future import Foresight
from fintok.evaluate.page import readable
from fintok.evaluate.regime_frontier import but_level, standing
from fintok.evaluate.regime_rivals import RIVALS
from fintok.evaluate.regimes import _future_verdicts
from fintok.evaluate.result import Findings
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns


class DescribedBundle(FakeBundle):
    def summary(self) -> pd.DataFrame:
        return pd.DataFrame({"value": {"codes": 12}})


@pytest.fixture(scope="module")
def panel():
    return make_panel(simulate_returns(1200, 6)[0])


@pytest.fixture(scope="module")
def bundle(panel):
    return DescribedBundle(panel[:800])


@pytest.fixture(scope="module")
def evaluation(panel, bundle, tmp_path_factory):
    """Regimes beside the rivals that need no package, with few fits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regime_scores, "NUMBERS", (2, 3))
        patch.setattr(stability, "NUM_REFITS", 2)
        patch.setattr(regimes, "SWITCHES", (4.0, 25.0))
        patch.setattr(regimes, "RIVALS", [rival for rival in RIVALS if rival.package is None])
        return runner.evaluate(bundle, panel, tmp_path_factory.mktemp("out"), parts="regimes")


def test_every_table_is_a_file_with_its_rows(evaluation):
    tables = evaluation.findings["regimes"].tables
    assert list(tables) == ["frontier", "stability", "log score", "future", "strategy"]
    for path, table in zip(evaluation.tables, tables.values(), strict=True):
        assert len(pd.read_parquet(path)) == len(table) > 0
    assert {path.name for path in evaluation.page.parent.iterdir()} == {
        "evaluation.html", "regimes_frontier.parquet", "regimes_stability.parquet", "regimes_log_score.parquet",
        "regimes_future.parquet", "regimes_strategy.parquet",
    }  # fmt: skip


def test_an_evaluation_is_shown_in_a_line(evaluation):
    assert repr(evaluation) == f"Evaluation(regimes: {len(evaluation.verdicts)} verdicts, {evaluation.page})"


def test_all_methods_are_judged_and_regimes_beat_none(evaluation):
    table = evaluation.findings["regimes"].tables["log score"].set_index("method")
    assert set(table.index) == {
        "one regime", "fintok", "volatility quantiles", "HAR quantiles", "turbulence", "absorption ratio",
        "200-day rule",
    }  # fmt: skip
    plain = table.loc["one regime", "log_score"]
    assert (table.loc[["fintok", "volatility quantiles"], "log_score"] > plain).all()
    assert table.loc["HAR quantiles", "log_score"].median() > plain  # with a wide margin some never switch
    assert table.loc["fintok", "shift_p_value"].max() < 0.05


def test_the_table_and_the_verdict_name_the_best_at_each_budget(evaluation):
    tables = evaluation.findings["regimes"].tables
    own = tables["log score"].query("method == 'fintok' and switches_a_year <= 5")["log_score"].max()
    at_five = tables["frontier"].set_index("method").loc["fintok", "at most 5 a year"]
    assert at_five == own
    sentence = next(words for words in evaluation.verdicts if f"fintok {own:.4f} nats" in words)
    assert sentence.startswith("Log score at no more than")
    assert re.search("(ahead of|behind|level with) the best rival", sentence)


def test_what_cannot_be_judged_is_left_out_of_the_words():
    daily, name = np.array([0.5, 0.7, 0.9]), {"setting": "x", "num_regimes": 2}
    one, other = (SimpleNamespace(method=method, description=method, **name) for method in ("fintok", "HMM"))
    known, unknown = Foresight(0.3, 0.1, daily), Foresight(np.nan, np.nan, daily * np.nan)
    aims = {"volatility 20": known, "dispersion 20": unknown, "drawdown 20": known}
    said = _future_verdicts([(one, aims), (other, aims)], np.arange(5).astype("datetime64[D]"))
    assert [words.split(" of the next")[0] for words in said] == ["R² of the log volatility", "R² of the drawdown"]
    table = pd.DataFrame({"period": ["all", WILD], "asset_days": 3, "fintok": np.nan, "HMM": 1.0})
    assert alarm_verdicts(table, table, 1.0, [])[0].startswith("fintok had no p-values")


def test_what_the_future_holds_is_told_with_the_error_of_the_difference(evaluation):
    table = evaluation.findings["regimes"].tables["future"]
    for target in ("volatility", "dispersion", "drawdown"):
        sentence = next(words for words in evaluation.verdicts if f"{target} of the next 20 days" in words)
        found = re.search(
            r"fintok (\S+) \(.*\), (.*) the best rival, .*\), (\S+); difference (\S+) ± (\S+)\.$", sentence
        )
        own, verdict, other, difference, error = found.groups()
        column = table.set_index("method")[f"r2 {target} 20"]
        assert float(own) == pytest.approx(column["fintok"].max(), abs=1e-3)
        assert float(other) == pytest.approx(column.drop("fintok").max(), abs=1e-3)
        assert float(difference) == pytest.approx(float(own) - float(other), abs=2e-3)
        assert verdict == standing(float(difference), float(error))


@pytest.mark.parametrize(
    ("difference", "verdict"), [(0.019, "level with"), (-0.019, "level with"), (0.021, "ahead of"), (-0.021, "behind")]
)
def test_a_difference_below_two_standard_errors_is_none(difference, verdict):
    assert standing(difference, 0.01) == verdict


def test_what_says_the_same_is_level():
    assert standing(0.0, 0.0) == "level with"


def test_who_is_ahead_of_the_best_and_level_with_another_says_so():
    beside = {"a jump model": (0.006, 0.001), "the rule": (0.007, 0.004), "an HMM": (0.008, 0.001)}
    assert but_level("ahead of", beside, 4) == "; but level with the rule, +0.0070 ± 0.0040"
    assert but_level("level with", beside, 4) == ""
    assert but_level("ahead of", {"an HMM": (0.008, 0.001)}, 4) == ""


def test_refits_are_compared_at_the_worst(evaluation):
    table = evaluation.findings["regimes"].tables["stability"]
    assert (table["refits_min"] <= table["refits_mean"]).all()
    assert table["refits_mean"].between(0.0, 1.0, inclusive="right").all()
    quantiles = table[table["method"] == "volatility quantiles"]
    assert (quantiles["seeds_min"] == 1.0).all()  # nothing random in them


def test_the_page_holds_verdicts_figures_and_tables(evaluation):
    page = evaluation.page.read_text()
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", own)
    assert page.count('class="figure"') == 3
    assert all(sentence.split("±")[0][:60] in own for sentence in evaluation.verdicts)
    assert own.count("<table>") == 6  # and what was judged


def test_rivals_without_their_package_are_named(monkeypatch):
    monkeypatch.setattr(result, "find_spec", lambda name: None if name == "hmmlearn" else object())
    (sentence,) = result.left_out({"HMM": "hmmlearn", "jump model": "jumpmodels"})
    assert "HMM is left out" in sentence
    assert 'pip install "fintok[peers]"' in sentence


def test_a_part_that_cannot_be_judged_says_why(bundle, panel, tmp_path):
    short = make_panel(simulate_returns(1200, 6)[0], start=str(panel.dates[500]))  # 300 rows up to train_end
    with pytest.raises(InputError, match=r"nothing could be judged on simulated: Regimes were not judged: .*need 500"):
        runner.evaluate(bundle, short, tmp_path / "out", parts=("regimes",))
    assert not (tmp_path / "out").exists()


def test_parts_follow_one_another_on_the_page(bundle, panel, tmp_path, monkeypatch):
    table = pd.DataFrame({"kind": ["swap"], "recall": [0.5]})
    found = {"anomalies": Findings({"recall": table}, {}, ["One."]), "tokens": Findings({}, {}, ["Two."])}
    monkeypatch.setattr(runner, "_evaluator", lambda part: lambda *_, **__: found[part])
    done = runner.evaluate(bundle, panel, tmp_path / "out", parts=("anomalies", "tokens"))
    page = done.page.read_text()
    assert done.verdicts == ["One.", "Two."]
    assert page.index(">Anomalies</h2>") < page.index(">Recall</h3>") < page.index(">Tokens</h2>")


def test_a_part_that_has_ended_is_written_whatever_comes_next(bundle, panel, tmp_path, monkeypatch):
    told = []

    def evaluator(part):
        if part == "tokens":
            raise KeyboardInterrupt
        return lambda *_, **__: Findings({"recall": pd.DataFrame({"kind": ["swap"]})}, {}, ["One."])

    monkeypatch.setattr(runner, "_evaluator", evaluator)
    with pytest.raises(KeyboardInterrupt):
        runner.evaluate(
            bundle, panel, tmp_path / "out", parts=("anomalies", "tokens"), tell=lambda part, found: told.append(part)
        )
    assert told == ["anomalies"]
    assert "One." in (tmp_path / "out" / "evaluation.html").read_text()
    assert (tmp_path / "out" / "anomalies_recall.parquet").exists()
    with pytest.raises(KeyboardInterrupt):
        runner.evaluate(bundle, panel, tmp_path / "nothing", parts=("tokens",))
    assert not (tmp_path / "nothing").exists()


def test_a_panel_that_ends_with_the_training_is_refused(bundle, panel, tmp_path):
    with pytest.raises(InputError, match="no row lies after the model's train_end"):
        runner.evaluate(bundle, panel[:800], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_not_touched(bundle, panel, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="--overwrite"):
        runner.evaluate(bundle, panel, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_part_is_refused(tmp_path, capsys):
    words = f"evaluate --model none --panel none --out {tmp_path}/out --only regimes,tokes"
    assert run(words.split()) == 2
    assert "there is no part tokes; the parts are regimes, anomalies" in capsys.readouterr().err


def test_numbers_are_shown_with_the_decimals_they_differ_by():
    table = pd.DataFrame(
        {"log_score": [2.6012, 2.6551], "switches_a_year": [2.04, 25.3], "regimes": [2, 1200], "r2": [np.nan, 0.5]}
    )
    shown = readable(table)
    assert list(shown.columns) == ["Log score", "Switches a year", "Regimes", "R²"]
    assert shown.iloc[0].tolist() == ["2.6012", "2.0", "2", "–"]
    assert shown.iloc[1].tolist() == ["2.6551", "25.3", "1,200", "0.500"]
