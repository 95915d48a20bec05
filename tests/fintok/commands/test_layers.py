"""Configuration: strict, in layers, and printed as it is used."""

import pytest
import yaml

from fintok.cli import run
from fintok.config import PretrainConfig
from vision.config import to_dict


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("imaging: {windw_days: 40}", ["imaging", "unknown key 'windw_days'", "did you mean 'window_days'?"]),
        ("imaging: {window_days: big}", ["imaging", "window_days", "'big'", "int"]),
        ("imaging: [1, 2]", ["imaging", "expected a mapping"]),
        ("imaging: {window_days: 41}", ["window_days", "41", "multiple of patch_days"]),
        ("imaging: {", ["not valid YAML"]),
    ],
)
def test_a_bad_yaml_names_the_file_and_the_key(tmp_path, refuse, text, words):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    line = refuse("pretrain", "--panel", "x.parquet", "-c", path)
    assert "mine.yaml" in line
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pretain"], 'Did you mean "pretrain"?'),
        (["pretrain", "--imaging.window-day", "3"], "--imaging.window-days?"),
        (["pretrain", "--seed", "x"], 'Invalid value for --seed: unable to convert "x" into int'),
        (["pretrain", "--seed", "1.5"], "--seed is 1.5, expected a whole number"),
        (["label", "--regimes", "2.5"], "--regimes is 2.5, expected a whole number"),
        (["pretrain", "--teacher.optim.steps", "10.9"], "--teacher.optim.steps is 10.9, expected a whole number"),
        (["pretrain", "--preset", "tyni"], 'Choose from: "tiny", "base", "large"'),
        (["pretrain", "-c", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["pretrain"], "pretrain needs --panel"),
        (["pretrain", "--print-config", "--imaging.patch-days", "7"], "multiple of patch_days = 7"),
        (["label", "--model", "m", "--panel", "p"], "--out"),
        (["check"], "PANEL"),
        (["check", "p", "--values", "price"], 'Did you mean "prices"?'),
    ],
)
def test_a_wrong_command_line_is_put_right(refuse, words, said):
    assert said in refuse(*words)


def test_later_layers_win_and_the_printed_config_is_itself_a_config(tmp_path, capsys):
    one, two, merged = (tmp_path / f"{name}.yaml" for name in ("one", "two", "merged"))
    one.write_text("seed: 1\nteacher: {optim: {steps: 7, batch_size: 3}}")
    two.write_text("seed: 2\nteacher: {optim: {learning_rate: 1e-4}}")
    words = ["pretrain", "--print-config", "-c", str(one), "-c", str(two), "--teacher.optim.steps", "9"]
    assert run(words) == 0
    printed = capsys.readouterr().out
    merged.write_text(printed)
    assert run(["pretrain", "--print-config", "-c", str(merged)]) == 0
    assert capsys.readouterr().out == printed

    values = yaml.safe_load(printed)
    optim = values["teacher"]["optim"]
    assert (values["seed"], optim["steps"], optim["batch_size"], optim["learning_rate"]) == (2, 9, 3, 1e-4)


def test_a_flag_leaves_its_neighbours_as_the_run_has_them(capsys):
    assert run(["pretrain", "--print-config", "--teacher.optim.steps", "9"]) == 0
    values = yaml.safe_load(capsys.readouterr().out)
    expected = to_dict(PretrainConfig())
    expected["teacher"]["optim"]["steps"] = 9
    assert values == expected  # OptimConfig by itself has other defaults than a teacher's
