"""What the ten methods learn of CIFAR-10: k-NN, linear probe and fine-tuning beside the floors, as one table.

    python tests/benchmarks/cifar10_table.py TRAIN TEST --out RUNS [--seeds 0 1 2] [--minutes 3] [--images 20000 5000]
        [--pretrain "FLAGS"] [--evaluate "FLAGS"]

TRAIN and TEST are images with labels, as every fintok vision command takes them. Each method trains by its recipe for
small data: ViT-Ti, patches of 4 x 4, 200 epochs (tokenizers 50); with --minutes, by that recipe squeezed into as many
steps as fit into so many minutes, for which two hundred steps are timed. Minutes are of CPU time, of wall time where
there is a GPU. VQ-KD learns from the DINO run of the same seed, BEiT reads the codes of the dVAE run, BEiT v2 those of
the VQ-KD run: what these took is not in its own minutes. Tokenizers are judged by their encoders. FLAGS go to every
pretrain, or every evaluate; a flag of a method's own section, such as --beit2.early-layer 4, to that method alone. What
is done is not done again: started anew, the script goes on. The floors are raw pixels, and MAE's network with random
weights.
"""

import argparse
import json
import platform
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import polars as pl
import torch

from vision import __version__
from vision.config import NEEDS
from vision.files import write_bytes

METHODS = ("dino", "ibot", "dinov2", "mae", "simmim", "dvae", "online_tokenizer", "beit", "vqkd", "beit2")
PARENTS = {"vqkd": ("--teacher", "dino"), "beit": ("--tokenizer", "dvae"), "beit2": ("--tokenizer", "vqkd")}
FLOOR = "mae"  # the run whose network, with random weights, is the floor
TRIAL_STEPS = 200
COLUMNS = {"k-NN": "knn", "linear": "linear", "fine-tuned": "finetune"}


def fintok(*words: str | Path) -> float:
    """Run a ``fintok vision`` command; the seconds it took. Raises CalledProcessError where it fails."""
    print("$ fintok vision", shlex.join(map(str, words)), file=sys.stderr, flush=True)
    before = _seconds()
    subprocess.run([sys.executable, "-m", "fintok", "vision", *map(str, words)], check=True, stdout=sys.stderr)
    return _seconds() - before


def flags_of(method: str, flags: Sequence[str]) -> list[str]:
    """The flags without those of other methods' sections; a flag is --name and its values."""
    kept, is_kept = [], True
    for word in flags:
        if word.startswith("--"):
            section = word.removeprefix("--").split(".")[0].replace("-", "_")
            is_kept = "." not in word or section not in NEEDS or section == method
        kept += [word] if is_kept else []
    return kept


class Table:
    """The runs of one folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.out, self.train, self.test = options.out, options.train, options.test
        self.methods, self.minutes, self.seeds = options.methods, options.minutes, options.seeds
        self.pretrain_flags, self.evaluate_flags = shlex.split(options.pretrain), shlex.split(options.evaluate)
        self.judged = (self.train, self.test)
        if options.images:
            self.judged = tuple(self._first(*pair) for pair in zip(self.judged, options.images, strict=True))

    def make(self) -> None:
        """All runs and evaluations that are not there yet."""
        self._evaluate(self._run(FLOOR, 0), "pixels", ("pixels",))
        self._evaluate(self._run(FLOOR, 0), "random", ("knn", "linear", "finetune"), "--untrained")
        for seed in self.seeds:
            for method in self.methods:
                run = self._run(method, seed)
                self._evaluate(run, "evaluation", ("knn", "linear", "finetune"), "--finetune.seed", str(seed))

    def _run(self, method: str, seed: int) -> Path:
        run = self._folder(method, seed)
        if (run / "encoder").is_dir():
            return run
        words: list[str | Path] = ["pretrain", "--method", method, "--seed", str(seed)]
        if method in PARENTS:
            flag, parent = PARENTS[method]
            words += [flag, self._run(parent, seed)]
        words += flags_of(method, self.pretrain_flags)
        if self.minutes is not None:
            words += ["--max-steps", str(self._affordable_steps(method, words))]
        words += ["--data", self.train, "--out", run]
        again = "--resume" if (run / "pretrain.ckpt").is_file() else "--overwrite"
        write_bytes(json.dumps(fintok(*words, again)).encode(), self.out / f"{run.name}.seconds")
        return run

    def _affordable_steps(self, method: str, words: Sequence[str | Path]) -> int:
        """As many as fit into the minutes, by the time of a short run less that of a single step."""

        def seconds(name: str, steps: int, *words: str | Path) -> float:
            file = self.out / f"{name}.trial"
            if not file.is_file():  # on fewer images than the run's: reading them all takes longer than the steps
                trial = ("--data", self.judged[0], "--out", self.out / "trial", "--overwrite")
                write_bytes(json.dumps(fintok(*words, *trial, "--max-steps", str(steps))).encode(), file)
            return json.loads(file.read_text())

        start = seconds("start", 1, "pretrain", "--method", FLOOR, *flags_of(FLOOR, self.pretrain_flags))
        return round(60 * self.minutes * TRIAL_STEPS / (seconds(method, 1 + TRIAL_STEPS, *words) - start))

    def _evaluate(self, run: Path, name: str, tasks: Sequence[str], *words: str | Path) -> None:
        results = run / name / "results.json"
        if results.is_file() and json.loads(results.read_text()).keys() >= set(tasks):
            return
        train, test = self.judged
        flags = flags_of("", self.evaluate_flags)
        words = ("--out", run / name, "--overwrite", "--task", *tasks, *words, *flags)
        fintok("evaluate", "--model", run, "--data", train, "--test", test, *words)

    def _folder(self, method: str, seed: int) -> Path:
        return self.out / f"{method}-{seed}"

    def _first(self, table: Path, count: int) -> Path:
        """A Parquet table of the first rows of one."""
        part = self.out / f"{table.stem}-{count}.parquet"
        if not part.is_file():
            pl.scan_parquet(table).head(count).sink_parquet(part)
        return part

    def markdown(self) -> str:
        """The table: means over seeds, and their standard deviation where there are several."""
        lines = ["| | minutes | images seen | k-NN | linear | fine-tuned |", "|---|---|---|---|---|---|"]
        first = self._folder(FLOOR, 0)
        lines.append(_line("raw pixels", "", "", [_figures(first / "pixels")]))
        lines.append(_line("random network", "", "", [_figures(first / "random")]))
        for method in self.methods:
            runs = [self._folder(method, seed) for seed in self.seeds]
            seconds = mean(json.loads((self.out / f"{run.name}.seconds").read_text()) for run in runs)
            figures = [_figures(run / "evaluation") for run in runs]
            lines.append(_line(method, f"{seconds / 60:.1f}", f"{_images(runs[0]):,}", figures))
        return "\n".join(lines)


def _line(name: str, minutes: str, images: str, figures: Sequence[dict[str, float]]) -> str:
    cells = []
    for key in COLUMNS.values():
        values = [100 * one[key] for one in figures if key in one]
        spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
        cells.append(f"{mean(values):.1f}{spread}" if values else "")
    return f"| {' | '.join([name, minutes, images, *cells])} |"


def _figures(folder: Path) -> dict[str, float]:
    """Accuracies by task: k-NN with 20 neighbours."""
    results = json.loads((folder / "results.json").read_text())
    neighbours = results.get("knn", results.get("pixels"))
    found = {"knn": neighbours["k = 20"]} if neighbours else {}
    return found | {task: results[task]["accuracy"] for task in ("linear", "finetune") if task in results}


def _images(run: Path) -> int:
    """Images that a run has seen, the same one in two epochs twice."""
    import yaml

    optim = yaml.safe_load((run / "config.yaml").read_text())["optim"]
    return optim["steps"] * optim["batch_size"] * optim["accumulate"]


def _seconds() -> float:
    """Of CPU time of the commands that have ended; with a GPU, of wall time."""
    if torch.cuda.is_available():
        return time.monotonic()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("train", type=Path, help="images and labels to learn from")
    parser.add_argument("test", type=Path, help="images and labels to test on")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS, metavar="METHOD", help="default all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run of each method for each (default 0)")
    parser.add_argument("--minutes", type=float, help="of a run (default: the recipe's epochs)")
    parser.add_argument("--images", type=int, nargs=2, help="to judge by: the first so many of both")
    parser.add_argument("--pretrain", default="", help="flags for every pretrain, in one word")
    parser.add_argument("--evaluate", default="", help="flags for every evaluate, in one word")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    table = Table(options)
    table.make()
    print(f"{platform.machine()}, {device}, torch {torch.__version__}, vision {__version__}")
    print(shlex.join(sys.argv))
    print(table.markdown())


if __name__ == "__main__":
    main()
