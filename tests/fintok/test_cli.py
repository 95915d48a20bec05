"""How a command ends: its exit code and its last line."""

import os
import subprocess
import sys

import pytest

from fintok import cli
from fintok.cli import run
from vision.train.interrupt import Interrupted

COMMANDS = [(name,) for name in cli.app if name[0] != "-" and name != "vision"]
VISION = [("vision", name) for name in cli.app["vision"] if name[0] != "-"]


@pytest.mark.parametrize("command", [*COMMANDS, *VISION], ids=" ".join)
def test_the_help_says_of_every_option_what_it_is(command):
    app = cli.app
    for word in command:
        app = app[word]
    options = app.assemble_argument_collection(parse_docstring=True).filter_by(show=True)
    assert not [option.name for option in options if not option.parameter.help]


def test_an_unexpected_error_is_one_line_and_a_traceback_only_with_debug(monkeypatch, capsys):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the moon")

    monkeypatch.setattr(cli, "app", fail)
    assert run(["check", "x"]) == 1
    assert capsys.readouterr().err == ("fintok: RuntimeError: the moon (run again with --debug for the traceback)\n")
    assert run(["check", "x", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("is_saved", [True, False])
def test_an_interruption_says_how_to_go_on(is_saved, monkeypatch, capsys):
    def interrupt(*_: object, **__: object) -> None:
        raise Interrupted if is_saved else KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupt)
    words = ["pretrain", "--panel", "my prices.csv", "--out", "runs/us"]
    assert run(words) == 130
    assert "fintok pretrain --panel 'my prices.csv' --out runs/us --resume\n" in capsys.readouterr().err
    assert run([*words, "--overwrite"]) == 130
    last_word = "--resume" if is_saved else "--overwrite"  # what is there may be the run of before
    assert f"fintok pretrain --panel 'my prices.csv' --out runs/us {last_word}\n" in capsys.readouterr().err
    assert run(["label", "--model", "m"]) == 130
    assert "nothing was written" in capsys.readouterr().err


def test_an_interrupted_evaluation_says_what_is_in_its_folder(monkeypatch, capsys, tmp_path):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupt)
    for words in (["evaluate", "--out", str(tmp_path)], ["evaluate", f"--out={tmp_path}"], ["vision", "evaluate"]):
        assert run(words) == 130
        assert capsys.readouterr().err == "fintok: interrupted before a part had ended; nothing was written\n"
    (tmp_path / "evaluation.html").write_text("")
    for words in (["evaluate", "--out", str(tmp_path)], ["vision", "evaluate", f"--out={tmp_path}"]):
        assert run(words) == 130
        assert capsys.readouterr().err == f"fintok: interrupted; the parts that had ended are in {tmp_path}\n"


def test_an_interruption_while_the_command_line_is_imported_shows_no_traceback(root):
    code = (
        "import runpy, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'cyclopts': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "runpy.run_module('fintok', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "fintok: interrupted; nothing was written\n")
    assert 'fintok = "fintok.__main__:main"' in (root / "pyproject.toml").read_text()


def test_help_on_a_command_is_its_docstring_and_the_listing_a_line(capsys):
    for words, sentence in ((["score"], "With --append, a file"), (["vision", "pretrain"], "Values come from")):
        assert run([*words, "--help"]) == 0
        assert sentence in " ".join(capsys.readouterr().out.split())
        assert run([*words[:-1], "--help"]) == 0
        assert sentence not in " ".join(capsys.readouterr().out.split())


def test_the_program_itself_ends_with_the_code(tmp_path, root):
    result = subprocess.run(
        [sys.executable, "-m", "fintok", "check", str(tmp_path / "nowhere.parquet")],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "nowhere.parquet" in result.stderr


@pytest.mark.parametrize("words", ["--help", "vision --help", "--version", "check fintok/data/us20.parquet"])
def test_a_reader_that_stops_listening_is_no_error(root, words):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "fintok", *words.split()]
    try:
        done = subprocess.run(command, cwd=root, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_symbol_that_the_terminal_cannot_show_ends_no_run(tmp_path, root):
    panel = tmp_path / "prices.csv"
    panel.write_text("date,北,B\n2020-01-01,,1\n2020-01-02,1,2\n2020-01-03,2,3\n", encoding="utf-8")  # 北 starts late
    command = [sys.executable, "-m", "fintok", "check", str(panel)]
    done = subprocess.run(command, cwd=root, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert rb"\u5317" in done.stdout
