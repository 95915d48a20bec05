"""Two processes with batch size B learn what one learns with 2B: the same losses, weights, centres and codebook,
though one of them observes less than the other.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vision.train.metrics import read_metrics
from vision.train.state import load_training_state

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
from pathlib import Path
import torch
from vision.config import (
    BEiT2Config, CodebookConfig, IBOTConfig, MAEConfig, OnlineTokenizerConfig, OptimConfig, SimMIMConfig, ViTConfig,
    VQKDConfig)
from tests.vision.view_makers import MultiCrop, SingleView
from vision.masks import RandomMask
from vision.methods.beit2 import BEiT2
from vision.methods.ibot import IBOT
from vision.methods.mae import MAE
from vision.methods.online_tokenizer import OnlineTokenizer
from vision.methods.simmim import SimMIM
from vision.methods.vqkd import VQKD
from vision.nn.tokenizer import Tokenizer
from vision.train.fit import fit

torch.set_num_threads(1)
out, devices, strategy = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

class Images:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(24, 1, 4, 9, generator=generator)
    observed = torch.rand(24, 4, 9, generator=generator) > torch.rand(24, 1, 1, generator=generator)
    def __len__(self): return 24
    def __getitem__(self, index): return self.images[index], self.observed[index]

torch.manual_seed(0)
encoder = ViTConfig(patch_size=(2, 3), in_channels=1, dim=16, depth=2, heads=2)
codebook = CodebookConfig(num_codes=8, dim=4, revive_after=3)
online = OnlineTokenizerConfig(num_codes=8, code_dim=4, tokenizer_depth=1, revive_after=3)
mask = RandomMask(0.4)
crops = MultiCrop((2, 3), (4, 9), (2, 6), num_local=1, global_scale=(0.5, 1.0), mask=mask)
view = SingleView((4, 9), (2, 3), mask)
runs = {
    "mae": (MAE(encoder, MAEConfig(decoder_dim=16, decoder_depth=1, decoder_heads=2)), view),
    "simmim": (SimMIM(encoder, SimMIMConfig()), view),
    "ibot": (IBOT(encoder, IBOTConfig(num_prototypes=16, hidden_dim=16, bottleneck_dim=8)), crops),
    "vqkd": (VQKD(encoder, VQKDConfig(codebook=codebook, target="patches")), SingleView((4, 9), (2, 3))),
    "beit2": (BEiT2(encoder, BEiT2Config(early_layer=1), Tokenizer(encoder, codebook)), view),
    "online_tokenizer": (OnlineTokenizer(encoder, online), view),
}
for name, (method, views) in runs.items():
    config = OptimConfig(steps=8, batch_size=8 // devices, learning_rate=2e-3, warmup_steps=2, clip_norm=1.0)
    fit(method, Images(), views, config, seed=3, out=out, name=name, progress=False, log_every=1,
        accelerator="cpu", devices=devices, strategy=strategy)
"""


NAMES = ("mae", "simmim", "ibot", "vqkd", "beit2", "online_tokenizer")

FIGURES = {  # of the batches of all processes
    "ibot": ("teacher_entropy", "prototype_perplexity", "patch_teacher_entropy", "patch_perplexity"),
    "vqkd": ("codebook_perplexity",),
}


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """(devices, strategy) -> the folder of its runs."""
    folder = tmp_path_factory.mktemp("runs")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def run(devices, strategy):
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"] if devices == 2 else []
        out = folder / f"{strategy}-{devices}"
        if not out.exists():
            command = [sys.executable, *launch, str(script), str(out), str(devices), strategy]
            subprocess.run(command, check=True, env=environment, cwd=folder, capture_output=True, timeout=280)
        return out

    return run


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_equal_one_with_the_doubled_batch(train, strategy):
    folders = train(2, strategy), train(1, "ddp")
    for name in NAMES:
        two, one = (read_metrics(folder / f"{name}.csv") for folder in folders)
        losses = [[row["loss"] for row in rows] for rows in (two, one)]
        assert len(losses[0]) == 8
        assert losses[0] == pytest.approx(losses[1], rel=1e-3), name
        for figure in FIGURES.get(name, ()):
            assert [row[figure] for row in two] == pytest.approx([row[figure] for row in one], rel=1e-2), figure
        states = [load_training_state(folder / f"{name}.ckpt")["method"] for folder in folders]
        for key in states[0]:
            if states[0][key].is_floating_point():
                difference = (states[0][key] - states[1][key]).abs().max()
                assert difference < 2e-3, (name, key)
