"""A few tiny images, a panel of returns, networks of two blocks, and command lines that must be refused."""

import io
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fintok.cli import run

NETWORK = "--encoder.dim 24 --encoder.depth 2 --encoder.heads 2"
TRAINING = "--max-steps 2 --optim.batch-size 4 --log-every 1 --accelerator cpu"
OWN = {  # flags that make each method small
    "mae": "--mae.decoder-dim 16 --mae.decoder-depth 1 --mae.decoder-heads 2",
    "simmim": "",
    "dvae": "--dvae.num-codes 16 --dvae.code-dim 8 --dvae.decoder-depth 1",
    "beit": "",
    "vqkd": "--vqkd.codebook.num-codes 16 --vqkd.codebook.dim 8",
    "beit2": "--beit2.early-layer 1 --beit2.aggregation-depth 1",
    "dino": "--dino.num-prototypes 16 --dino.hidden-dim 16 --dino.bottleneck-dim 8",
    "ibot": "--ibot.num-prototypes 16 --ibot.hidden-dim 16 --ibot.bottleneck-dim 8",
    "dinov2": "--dinov2.num-prototypes 16 --dinov2.patch-prototypes 16 --dinov2.hidden-dim 16 "
    "--dinov2.bottleneck-dim 8 --dinov2.patch-bottleneck-dim 8",
    "online_tokenizer": "--online-tokenizer.num-codes 16 --online-tokenizer.code-dim 8",
}
PANEL = "--encoder.patch-size 1 5 --views.flip 0"
PARENTS = {"vqkd": ("--teacher", "dino"), "beit": ("--tokenizer", "dvae"), "beit2": ("--tokenizer", "vqkd")}


def encoded(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder with images.parquet (RGB, 16 x 16, labels, label maps) and panel.npy (returns, with NaN)."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    masks = rng.integers(0, 3, (20, 16, 16), dtype=np.uint8)
    columns = {
        "image": [encoded(image) for image in images],
        "label": ["a", "b"] * 10,
        "mask": [encoded(mask) for mask in masks],
    }
    pq.write_table(pa.table(columns), folder / "images.parquet")
    panel = rng.standard_normal((16, 2, 6, 20)).astype(np.float32)
    panel[3, :, 2, 5:12] = np.nan  # an asset that was not observed for a while
    np.save(folder / "panel.npy", panel)
    return folder


@pytest.fixture(scope="session")
def train(data, tmp_path_factory):
    """(method, kind of data) -> the folder of a run of two steps, made once."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def make(method: str, kind: str = "images"):
        if (method, kind) not in made:
            words = ["vision", "pretrain", "--method", method, "--out", folder / f"{method}-{kind}"]
            words += ["--data", data / ("panel.npy" if kind == "panel" else "images.parquet")]
            words += f"{NETWORK} {TRAINING} {OWN[method]} {PANEL if kind == 'panel' else ''}".split()
            if method in PARENTS:
                option, parent = PARENTS[method]
                words += [option, make(parent, kind)]
            assert run([str(word) for word in words]) == 0
            made[method, kind] = folder / f"{method}-{kind}"
        return made[method, kind]

    return make


@pytest.fixture
def refuse(capsys) -> Callable[..., str]:
    """Runs ``fintok vision`` with words that must be refused: code 2, one line, no traceback. Returns the line."""

    def check(*words: object) -> str:
        capsys.readouterr()  # of runs that were made for it
        assert run(["vision", *(str(word) for word in words)]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("fintok: ")
        return lines[0]

    return check
