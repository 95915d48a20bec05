"""What a run is told: nothing where it is well, whatever the method, and its fault where it has one."""

import pytest
import torch

from tests.vision.methods.test_collapse import spread_weights
from vision.config import (
    BEiT2Config,
    BEiTConfig,
    CodebookConfig,
    DINOConfig,
    DINOv2Config,
    DVAEConfig,
    IBOTConfig,
    OnlineTokenizerConfig,
    VQKDConfig,
)
from vision.methods import METHODS
from vision.train.concern import Concern

HEAD = {
    "num_prototypes": 16,
    "hidden_dim": 16,
    "bottleneck_dim": 8,
    "head_layers": 2,
    "momentum": 0.99,
    "center_momentum": 0.8,
}
PATCH_HEAD = {"patch_prototypes": 16, "patch_bottleneck_dim": 8}
CONFIGS = {
    "dino": DINOConfig(**HEAD),
    "ibot": IBOTConfig(**HEAD),
    "dinov2": DINOv2Config(**HEAD, **PATCH_HEAD),
    "vqkd": VQKDConfig(codebook=CodebookConfig(num_codes=16, dim=8), target="patches", decoder_depth=1),
    "dvae": DVAEConfig(num_codes=16, code_dim=8, decoder_depth=1),
    "beit": BEiTConfig(),
    "beit2": BEiT2Config(early_layer=2, aggregation_depth=1),
    "online_tokenizer": OnlineTokenizerConfig(num_codes=16, code_dim=8, tokenizer_depth=1, momentum=0.9),
}


@pytest.fixture
def told(encoder, tokenizer, make_batch):
    """What a run of a method, with a row of figures after every second step, tells of itself."""

    def run(name, config, learning_rate=2e-3, steps=60):
        torch.manual_seed(0)
        needed = (tokenizer,) if name.startswith("beit") else ()
        method, concern = METHODS[name](encoder, config, *needed).train(), Concern(steps, every=2)
        optimizer = torch.optim.AdamW([p for _, p in method.parameters_to_train()], lr=learning_rate)
        is_distilled, is_rebuilt = name in ("dino", "ibot", "dinov2"), name in ("dino", "vqkd", "dvae")
        if is_distilled:
            spread_weights(method)
        texts = []
        for step in range(1, steps + 1):
            views = {"num_global": 2, "num_local": 2} if is_distilled else {}
            batch = make_batch(16, **views, mask_ratio=None if is_rebuilt else 0.4, seed=step)
            method.begin_step((step - 1) / steps)
            terms = method.loss(method.predict(batch), method.targets(batch), batch)
            optimizer.zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            method.before_update()
            optimizer.step()
            method.end_step()
            if step % 2 == 0:  # as the trainer does
                losses = {f"{term}_loss": value.item() for term, value in terms.items()}
                figures = {figure: value.item() for figure, value in method.metrics().items()}
                texts.append(concern.hear(step, method.warning({**losses, **figures})))
        return [text for text in texts if text is not None]

    return run


@pytest.mark.parametrize("name", CONFIGS)
def test_a_healthy_run_is_told_nothing(told, name):
    assert told(name, CONFIGS[name]) == []


@pytest.mark.parametrize("name", ["beit", "beit2", "online_tokenizer"])
def test_a_loss_that_stays_at_ln_k_is_told(told, name):
    texts = told(name, CONFIGS[name], learning_rate=0.0)
    assert len(texts) == 1
    assert "since step 2: the loss of the codes stands at ln 16 = 2.773" in texts[0]
    assert "learning_rate higher" in texts[0]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("vqkd", "codebook.revive_after 100"), ("dvae", "kl_weight higher"), ("online_tokenizer", "usage_weight higher")],
)
def test_a_codebook_that_has_died_is_told_with_the_remedy_of_the_method(encoder, name, remedy):
    figures = {"codebook_usage": 1 / 16, "codebook_perplexity": 1.03}
    warning = METHODS[name](encoder, CONFIGS[name]).warning(figures)
    assert "the codebook has collapsed (1 of 16 codes in use" in str(warning)
    assert remedy in str(warning)
