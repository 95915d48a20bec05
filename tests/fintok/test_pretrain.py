"""Pretraining: the same seed gives the same bundle, interrupted or not; what is wrong is said in one sentence."""

import hashlib
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fintok.bundle import load
from fintok.errors import InputError
from fintok.panel import Panel
from fintok.pretrain import _Run, pretrain
from fintok.progress import quiet
from fintok.sample import simulate_panel
from fintok.training import describe_panel
from vision.train import module as training


def fingerprint(run: Path) -> dict[str, str]:
    """A hash of every file with learned numbers."""
    files = sorted(run.rglob("*.safetensors"))
    return {str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_the_same_seed_gives_the_identical_bundle(small_run, small_panel, tmp_path, small_config, train_end):
    pretrain(small_panel, train_end=train_end, out=tmp_path / "again", config=small_config(), progress=False)
    assert fingerprint(tmp_path / "again") == fingerprint(small_run)
    assert len(fingerprint(small_run)) == 4  # teacher, tokenizer, predictor, arrays


def test_another_seed_gives_another_bundle(small_run, small_panel, tmp_path, small_config, train_end):
    pretrain(small_panel, train_end=train_end, out=tmp_path / "b", config=small_config(1), progress=False)
    assert fingerprint(tmp_path / "b") != fingerprint(small_run)


@pytest.mark.parametrize("step", [3, 8, 16])  # one in each stage of six steps
def test_interrupted_and_resumed_is_identical_to_uninterrupted(
    small_run, small_panel, tmp_path, monkeypatch, step, small_config, train_end
):
    begun = 0
    take_step = training.PretrainModule.training_step

    def interrupt(module, *args):
        nonlocal begun
        begun += 1
        if begun == step:
            raise KeyboardInterrupt
        return take_step(module, *args)

    def run(resume: bool) -> None:
        out = tmp_path / "run"
        pretrain(small_panel, train_end=train_end, out=out, config=small_config(), resume=resume, progress=False)

    monkeypatch.setattr(training.PretrainModule, "training_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(resume=False)
    with pytest.raises(InputError, match="training has not finished"):
        load(tmp_path / "run")
    with pytest.raises(InputError, match="--resume to go on"):
        run(resume=False)
    run(resume=True)
    assert fingerprint(tmp_path / "run") == fingerprint(small_run)


def test_a_finished_run_is_returned_as_it_is(small_run, small_panel, small_config, train_end):
    before = fingerprint(small_run)
    bundle = pretrain(
        small_panel, train_end=train_end, out=small_run, config=small_config(), resume=True, progress=False
    )
    assert bundle.codebook_size == 24
    assert fingerprint(small_run) == before


def test_rows_after_train_end_teach_nothing(small_run, small_panel, noise_after, tmp_path, small_config, train_end):
    cut = int((small_panel.dates <= np.datetime64(train_end)).sum())
    spoilt = noise_after(small_panel, cut)
    pretrain(spoilt, train_end=train_end, out=tmp_path / "run", config=small_config(), progress=False)
    assert fingerprint(tmp_path / "run") == fingerprint(small_run)


def one_asset() -> Panel:
    dates = np.arange("2020-01-01", "2021-01-01", dtype="datetime64[D]")
    return Panel.from_arrays(np.linspace(1, 2, len(dates))[:, None], dates, ["ONE"], source="one.parquet")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p: {"panel": p[:30]}, "too few; a window of 20 days"),
        (lambda p: {"panel": one_asset()}, "one asset, 'ONE'"),
        (lambda p: {"train_end": "1999-01-01"}, "train_end 1999-01-01 lies outside the data"),
        (lambda p: {"train_end": "2050-01-01"}, "train_end 2050-01-01 lies outside the data"),
        (lambda p: {"panel": replace(p, returns=p.returns * np.nan)}, "nothing to learn from"),
        (lambda p: {"panel": replace(p, returns=p.returns * 0.0)}, "nothing to learn from"),
        (lambda p: {"config": None, "preset": "bse"}, "no preset 'bse'; choose among tiny, base, large"),
        (lambda p: {"config": {"seed": 1}}, "config is a dict, expected a PretrainConfig"),
        (lambda p: {"out": __file__}, "test_pretrain.py is a file; name a folder"),
    ],
    ids=["few rows", "one asset", "too early", "too late", "all NaN", "constant prices", "preset", "config", "file"],
)
def test_bad_input_is_one_sentence_and_writes_nothing(small_panel, tmp_path, change, sentence, small_config):
    given = {"panel": small_panel, "out": tmp_path / "run", "config": small_config(), "progress": False}
    with pytest.raises(InputError, match=sentence) as error:
        pretrain(**{**given, **change(small_panel)})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_run_is_never_overwritten_without_being_told(small_run, small_panel, tmp_path, small_config, train_end):
    before = fingerprint(small_run)
    with pytest.raises(InputError, match="exists already; give --overwrite"):
        pretrain(small_panel, out=small_run, config=small_config(), progress=False)
    with pytest.raises(InputError, match="another configuration"):
        pretrain(small_panel, train_end=train_end, out=small_run, config=small_config(7), resume=True, progress=False)
    with pytest.raises(InputError, match="another panel or train_end"):
        pretrain(small_panel, train_end="2015-02-27", out=small_run, config=small_config(), resume=True, progress=False)
    assert fingerprint(small_run) == before
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(InputError, match="was not made by fintok pretrain"):
        pretrain(small_panel, out=tmp_path, config=small_config(), overwrite=True, progress=False)
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def test_overwriting_a_run_leaves_other_files_in_its_folder_alone(small_run, small_panel, tmp_path, small_config):
    out = tmp_path / "run"
    shutil.copytree(small_run, out)
    (out / "scores.parquet").write_text("years of them")
    with pytest.raises(InputError, match="are too few"):
        pretrain(small_panel[:10], out=out, config=small_config(), overwrite=True, progress=False)
    assert fingerprint(out) == fingerprint(small_run)
    pretrain(small_panel, out=out, config=small_config(1), overwrite=True, progress=False)
    assert (out / "scores.parquet").read_text() == "years of them"
    assert not set(fingerprint(out).values()) & set(fingerprint(small_run).values())


@pytest.fixture(scope="module")
def hourly() -> Panel:
    """Six assets, fewer than a window's eight, of which the last row is of 2015-02."""
    whole = simulate_panel(10, 300, num_faults=0, seed=12).panel
    panel = whole.select(whole.assets[:6])
    dates = np.datetime64("2015-02-20T00", "h") - np.arange(300)[::-1]
    return replace(panel, dates=dates.astype("datetime64[ns]"), source="hourly.parquet")


@pytest.fixture(scope="module")
def joint_run(small_panel, hourly, small_config, train_end, tmp_path_factory):
    out = tmp_path_factory.mktemp("joint") / "run"
    pretrain([small_panel, hourly], train_end=train_end, out=out, config=small_config(), progress=False)
    return out


def test_several_panels_give_one_vocabulary(joint_run, small_bundle, small_panel, hourly):
    """Codes of all panels are counted; regimes and the first panel's figures come from the first."""
    bundle = load(joint_run)
    assert [panel["num_assets"] for panel in bundle.training_panels] == [12, 6]
    until = [int((panel.dates <= bundle.train_end).sum()) for panel in (small_panel, hourly)]
    assert until[1] == hourly.num_days  # a panel that ends before is learned from as a whole
    tokens = [(bundle.codes(panel)[:rows] >= 0).sum() for panel, rows in zip((small_panel, hourly), until, strict=True)]
    assert bundle.vocabulary.counts.sum() == sum(tokens)
    np.testing.assert_array_equal(bundle.training_dates, small_bundle.training_dates)
    assert "18 assets of 2 panels" in repr(bundle)
    assert bundle.summary().loc["training source (2)", "value"] == "hourly.parquet"
    assert np.isfinite(bundle.figures["masked NLL asset"])


def test_windows_of_all_panels_are_drawn(joint_run, small_run):
    assert not set(fingerprint(joint_run).values()) & set(fingerprint(small_run).values())


def test_what_follows_train_end_teaches_nothing_in_any_panel(
    joint_run, small_panel, hourly, noise_after, tmp_path, small_config, train_end
):
    cut = int((small_panel.dates <= np.datetime64(train_end)).sum())
    panels = [hourly, noise_after(small_panel, cut)]
    with pytest.raises(InputError, match="another panel or train_end"):  # in their order
        pretrain(panels, train_end=train_end, out=joint_run, config=small_config(), resume=True, progress=False)
    pretrain(panels[::-1], train_end=train_end, out=tmp_path / "run", config=small_config(), progress=False)
    assert fingerprint(tmp_path / "run") == fingerprint(joint_run)


def test_each_of_several_panels_needs_rows_to_learn_from(small_panel, hourly, tmp_path, small_config):
    with pytest.raises(InputError, match=r"hourly\.parquet: 0 rows up to 2014"):
        pretrain([small_panel, hourly], train_end="2014-12-31", out=tmp_path / "run", config=small_config())
    with pytest.raises(InputError, match="no panel to learn from"):
        pretrain([], out=tmp_path / "run", config=small_config())
    assert not (tmp_path / "run").exists()


def test_a_bundle_reads_another_panel_with_other_symbols_and_another_number(small_bundle):
    other = simulate_panel(30, 400, num_faults=0, seed=11).panel
    tokens = small_bundle.tokenize(other)
    assert tokens.codes.shape == (400, 30)
    assert (tokens.codes >= 0).mean() > 0.8
    assert np.isfinite(small_bundle.forecast(other)[60:]).all()


def test_odd_assets_are_read_as_documented(small_bundle):
    """A gap, a late start, an end, a constant price, nothing at all: no token where nothing is observed."""
    returns = np.random.default_rng(0).normal(0, 0.01, (300, 6))
    returns[100:130, 0] = np.nan  # gap
    returns[:150, 1] = np.nan  # late start
    returns[200:, 2] = np.nan  # end
    returns[:, 3] = 0.0  # constant price
    returns[:, 4] = np.nan  # nothing
    dates = np.busday_offset("2018-01-01", np.arange(300), roll="forward")
    panel = Panel.from_arrays(returns, dates, list("GLECNX"), values="returns")
    tokens = small_bundle.tokenize(panel)
    has_token = tokens.codes >= 0
    assert not has_token[100:130, 0].any()
    assert has_token[130:, 0].all()
    first = 150 + small_bundle.config.imaging.min_observations
    assert not has_token[:first, 1].any()
    assert has_token[first:, 1].all()
    assert has_token[100:200, 2].all()
    assert not has_token[200:, 2].any()
    assert not has_token[:, 3:5].any()
    surprise = small_bundle.surprise(panel)
    for name, values in surprise._asdict().items():
        assert np.isnan(values[~has_token]).all(), name
        assert np.isfinite(values[60:][has_token[60:]]).all(), name
    without = Panel.from_arrays(returns[:, [0, 1, 2, 5]], dates, list("GLEX"), values="returns")
    np.testing.assert_array_equal(small_bundle.codes(without), tokens.codes[:, [0, 1, 2, 5]])


def test_a_run_that_is_replaced_is_not_taken_for_finished(small_panel, small_config, tmp_path, monkeypatch):
    (tmp_path / "stages").mkdir()
    for name in ("bundle.json", "arrays.safetensors", "config.yaml", "stages/run.yaml"):
        (tmp_path / name).write_text("of the run before")

    def interrupt(self, resume):
        raise KeyboardInterrupt

    monkeypatch.setattr(_Run, "_teach", interrupt)
    for again in ({"overwrite": True}, {"resume": True}):  # it goes on, and does not come back with the run before
        with pytest.raises(KeyboardInterrupt):
            pretrain(small_panel, out=tmp_path, config=small_config(), progress=False, **again)
        assert not (tmp_path / "bundle.json").exists()
        assert not (tmp_path / "arrays.safetensors").exists()


def test_a_predictor_of_fewer_steps_has_a_shorter_warmup(
    small_panel, small_bundle, small_config, train_end, tmp_path, monkeypatch
):
    whole, optims = small_config(), []
    optim = replace(whole.predictor.optim, steps=5000, warmup_steps=500)
    config = replace(whole, predictor=replace(whole.predictor, optim=optim, max_passes=1.0))
    monkeypatch.setattr(_Run, "_fit", lambda self, method, view, optim, *_: optims.append(optim) or {})
    _Run([small_panel], train_end, tmp_path, config, progress=False)._predict(small_bundle.tokenizer, resume=False)
    (found,) = optims
    assert 10 <= found.steps < 5000
    assert found.warmup_steps == found.steps // 10


def test_where_it_is_quiet_training_shows_nothing(small_panel, small_config, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(_Run, "go", lambda run, **options: asked.append(run.progress))
    for around in (nullcontext, quiet):
        with around():
            pretrain(small_panel, out=tmp_path / "run", config=small_config())
    assert asked == [True, False]


def test_a_panel_is_known_by_its_bars_too(small_panel):
    volume = np.ones(small_panel.returns.shape, dtype=np.float32)
    seen = {
        describe_panel(replace(small_panel, fields=fields))["sha256"]
        for fields in ({}, {"volume": volume}, {"volume": 2 * volume}, {"high": volume})
    }
    assert len(seen) == 4
