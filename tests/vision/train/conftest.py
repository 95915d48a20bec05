import signal

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from tests.vision.view_makers import MultiCrop, SingleView
from vision.config import (
    BEiT2Config,
    CodebookConfig,
    IBOTConfig,
    OptimConfig,
    ViTConfig,
    VQKDConfig,
)
from vision.masks import MixedMask, RandomMask, StratifiedBlockMask
from vision.methods.beit2 import BEiT2
from vision.methods.ibot import IBOT
from vision.methods.vqkd import VQKD
from vision.nn.tokenizer import Tokenizer
from vision.train.fit import fit
from vision.train.metrics import read_metrics
from vision.train.state import load_training_state

TIMES = {"steps_per_second": 0.0}
SIZE, PATCH = (4, 9), (2, 3)
ENCODER = ViTConfig(patch_size=PATCH, in_channels=1, dim=16, depth=2, heads=2, drop_path=0.2)
CODEBOOK = CodebookConfig(num_codes=8, dim=4, revive_after=3)


class Images:
    """24 images of which some pixels were not observed."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(24, 1, *SIZE, generator=generator)
        self.observed = torch.rand(24, *SIZE, generator=generator) > 0.1

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.observed[index]


@pytest.fixture
def dataset():
    return Images()


@pytest.fixture
def build():
    """Name of a method -> (freshly built, its views): every call gives the same weights."""

    def make(name):
        torch.manual_seed(0)
        if name == "ibot":
            config = IBOTConfig(num_prototypes=16, hidden_dim=16, bottleneck_dim=8, freeze_last_layer=0.2)
            mask = StratifiedBlockMask(min_patches=1)
            views = MultiCrop(PATCH, SIZE, (2, 6), num_local=2, global_scale=(0.5, 1.0), mask=mask)
            return IBOT(ENCODER, config), views
        if name == "vqkd":
            config = VQKDConfig(codebook=CODEBOOK, decoder_depth=1, target="patches")
            return VQKD(ENCODER, config), SingleView(SIZE, PATCH)
        tokenizer = Tokenizer(ENCODER, CODEBOOK)
        mask = MixedMask((RandomMask(0.5), RandomMask(0.2)), (0.5, 0.5))
        return BEiT2(ENCODER, BEiT2Config(early_layer=1), tokenizer), SingleView(SIZE, PATCH, mask)

    return make


@pytest.fixture
def config():
    return OptimConfig(
        steps=12,
        batch_size=4,
        learning_rate=5e-3,
        warmup_steps=3,
        weight_decay=0.05,
        final_weight_decay=0.4,
        clip_norm=1.0,
    )


class At(Callback):
    """Raises a signal or an error, once, at a hook of step ``step``; of its passes the first."""

    def __init__(self, step, raised=signal.SIGINT, hook="on_train_batch_start"):
        self.step, self.raised = step, raised
        setattr(self, hook, self.call)

    def call(self, trainer, pl_module, *_):
        if pl_module.step == self.step and self.raised is not None:
            raised, self.raised = self.raised, None
            if isinstance(raised, BaseException):
                raise raised
            signal.raise_signal(raised)


@pytest.fixture
def interrupted_and_resumed(run, tmp_path):
    def call(name, step, **options):
        with pytest.raises(KeyboardInterrupt):
            run(name, "cut", callbacks=[At(step)], **options)
        assert load_training_state(tmp_path / "cut" / f"{name}.ckpt")["step"] == step + 1  # the step was ended
        return run(name, "cut", resume=True, **options)

    return call


@pytest.fixture
def run(dataset, build, config, tmp_path):
    def call(name="vqkd", folder="run", config=config, **options):
        method, views = build(name)
        options = {"seed": 5, "log_every": 2, "progress": False, "accelerator": "cpu", **options}
        return method, fit(method, dataset, views, config, out=tmp_path / folder, name=name, **options)

    return call


def check_equal(one, other):
    (method, result), (again, repeated) = one, other
    assert result.steps == repeated.steps
    for (key, value), (same, expected) in zip(again.state_dict().items(), method.state_dict().items(), strict=True):
        assert key == same
        assert torch.equal(value, expected), key
    states = [load_training_state(r.checkpoint)["optimizer"]["state"] for r in (result, repeated)]
    for number, moments in states[0].items():
        assert all(torch.equal(value, states[1][number][key]) for key, value in moments.items())
    rows = [read_metrics(r.metrics_file) for r in (result, repeated)]
    for row, expected in zip(*rows, strict=True):
        np.testing.assert_equal({**row, **TIMES}, {**expected, **TIMES})  # where no patch was masked, nan is nan
