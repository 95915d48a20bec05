"""The command ``fintok``: which commands there are, one-line errors, exit codes.

What the commands do is in fintok/commands. Imports neither torch nor a data-frame library: a command's module
is imported when that command is called.
Exit codes: 0 done; 2 wrong use or wrong input, nothing written; 1 a failed run; 130 interrupted.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from cyclopts import App, CycloptsError, Group, Parameter

from fintok import __version__
from fintok.commands.layers import ConfigLayers
from fintok.errors import InputError
from vision.commands.layers import refuse_fractions

START = Group("Start here", sort_key=0)
TRAIN = Group("Train", sort_key=1)
READ = Group("Read the market", sort_key=2)
IMAGES = Group("Images", sort_key=3)

_COMMANDS = {
    "demo": (START, "Train on the bundled panel, then label, score and report: minutes on two CPU cores."),
    "sample": (START, "Write the bundled panel, or a simulated one with its truth beside it."),
    "check": (START, "What the reader sees in a panel: symbols, calendar, gaps, stale runs, faults."),
    "pretrain": (TRAIN, "Learn a vocabulary from a panel of prices; leaves a model folder."),
    "inspect": (TRAIN, "What a model holds: what it learned from, train_end, channels, codebook health, figures."),
    "tokenize": (READ, "Tokens of every asset and date: code, word, surprise."),
    "label": (READ, "Market regime of every date, from that date and earlier ones only."),
    "score": (READ, "Anomaly score of every asset and date, with calibrated alerts and their reasons."),
    "audit": (READ, "Does any token, label or score change when the future does? None may."),
    "evaluate": (READ, "Regimes, anomaly scores and tokens beside the usual rivals, after train_end."),
    "report": (READ, "One self-contained HTML page: regimes, anomalies, tokens."),
}
_RESUMABLE = ("pretrain", "demo", "vision pretrain")
_BY_PARTS = ("evaluate", "vision evaluate")  # written as each part ends
_WHOLE = {"lr": "learning-rate", "wd": "weight-decay", "bs": "batch-size"}
_SAVED = (("vision.train.interrupt", "Interrupted"),)
_RUN_ERRORS = (  # they say themselves what to do; by name: importing them here would import torch
    ("vision.errors", "DivergedError"),
    ("fintok.audit_result", "LookAheadError"),
)

app = App(
    name="fintok",
    version=f"fintok {__version__}",
    help="A vocabulary for markets: tokens, regimes and anomaly scores from a panel of prices.",
    help_epilogue="The first ten minutes: fintok demo, then fintok check YOUR_PRICES.parquet. "
    "Add --debug to any command for the traceback of an error.",
    default_parameter=Parameter(negative=(), consume_multiple=True),
    config=(refuse_fractions, ConfigLayers()),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.command("vision.cli:app", name="vision", help="The same machinery on images, of any channels.", group=IMAGES)
app.register_install_completion_command()
app.command(  # an app, in a package of its own; the library knows it by name only
    "fintok_dashboard.command:dashboard",
    name="dashboard",
    help="Regimes, anomalies and tokens in a browser; alerts to mark.",
    group=READ,
)
for _name, (_group, _help) in _COMMANDS.items():
    app.command(f"fintok.commands.{_name}:{_name}", name=_name, help=_help, group=_group)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    # Threads that wait without spinning: on a machine that does other work too, spinning ones make torch several
    # times slower than a single thread. Read when torch is imported, hence here; the user's own choice stands.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a symbol that the terminal cannot show is written as on stderr
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return the exit code. Errors become one line on stderr."""
    tokens = [token for token in arguments if token != "--debug"]
    is_debug = len(tokens) < len(arguments)
    try:
        _show_whole_help(tokens)
        app(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()  # here, where a reader that has gone is no error
    except CycloptsError as error:
        return _fail(2, _with_remedy(" ".join(str(error).split())))
    except KeyboardInterrupt as error:
        return _fail(130, _interrupted(error, tokens))
    except (BrokenPipeError, SystemExit) as error:  # the reader of our output has gone: `fintok check P | head`
        if BrokenPipeError not in (type(error), type(error.__context__)):  # rich, which writes the help, exits itself
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if is_debug:
            traceback.print_exc()
        known = _input_error(error, tokens)
        if known is not None:
            return _fail(2, str(known))
        if _is_one_of(error, _RUN_ERRORS):
            return _fail(1, str(error))
        hint = "" if is_debug else " (run again with --debug for the traceback)"
        return _fail(1, f"{type(error).__name__}: {error}{hint}")
    return 0


def _show_whole_help(tokens: Sequence[str]) -> None:
    """Where help on one command is asked for, show its docstring: its line in the listing imports nothing."""
    if not {"--help", "-h"} & set(tokens):
        return
    command = app
    for token in tokens:
        if token.startswith("-") or token not in command:
            break
        command = command[token]
    if command.default_command is not None:
        command.help = None


def _fail(code: int, message: str) -> int:
    print(f"fintok: {message}", file=sys.stderr)
    return code


def _with_remedy(message: str) -> str:
    """The message, with the whole name of an option that is one of the field's short names, and how to turn off what
    is on."""
    if re.search(r"Unused Tokens: \['(true|false)'\]", message, re.IGNORECASE):
        return f"{message} A switch takes its value after an equals sign: --name=false"
    found = re.search(r"Unknown option: (--\S*optim\.)(lr|wd|bs)\b", message)
    if found is None:
        return message
    return f"Unknown option: {found[1]}{found[2]}. Did you mean {found[1]}{_WHOLE[found[2]]}?"


def _input_error(error: Exception, tokens: Sequence[str]) -> Exception | None:
    """The error to show as the user's to mend, or None."""
    if isinstance(error, InputError):
        return error
    if isinstance(error, OSError):
        from vision.files import explain_write_error

        return explain_write_error(error, error.filename or _output(tokens))
    return None


def _output(tokens: Sequence[str]) -> Path | None:
    """What --out names, if it is there."""
    apart = [value for option, value in pairwise(tokens) if option == "--out"]
    joined = [token.removeprefix("--out=") for token in tokens if token.startswith("--out=")]
    return next((Path(value) for value in (*apart, *joined)), None)


def _is_one_of(error: BaseException, names: Sequence[tuple[str, str]]) -> bool:
    """Whether the error is of a class with one of these names, (module, class)."""
    return any((kind.__module__, kind.__qualname__) in names for kind in type(error).__mro__)


def _interrupted(error: KeyboardInterrupt, tokens: Sequence[str]) -> str:
    if any(" ".join(tokens).startswith(command) for command in _BY_PARTS):
        out = _output(tokens)
        if out is not None and out.is_dir() and any(out.iterdir()):
            return f"interrupted; the parts that had ended are in {out}"
        return "interrupted before a part had ended; nothing was written"
    if not any(" ".join(tokens).startswith(command) for command in _RESUMABLE):
        return "interrupted; nothing was written"
    if "--overwrite" in tokens and not _is_one_of(error, _SAVED):  # --resume could find the run of before
        return f"interrupted before anything was saved; to start again: {shlex.join(['fintok', *tokens])}"
    again = [token for token in tokens if token not in ("--overwrite", "--resume")]
    return f"interrupted; to go on where it stopped: {shlex.join(['fintok', *again, '--resume'])}"
