"""CLS by itself, where nobody asks for patches, against the whole pass."""

import pytest
import torch

from vision.config import ViTConfig
from vision.nn.vit import VisionTransformer


@pytest.mark.parametrize(
    "changes",
    [
        {"num_registers": 2, "layer_scale": 0.5, "drop_path": 0.5},
        {"row_position": "none", "column_position": "none", "relative_position": "shared"},
        {"row_position": "none", "column_position": "none", "relative_position": "block"},
        {"row_position": "rotary", "column_position": "rotary"},
        {"scope": "causal"},
        {"attention": "axial"},  # which works on all patches whatever is asked
    ],
    ids=lambda changes: next(reversed(changes.values())),
)
def test_cls_alone_is_that_of_the_whole_pass_and_so_is_its_gradient(changes):
    torch.manual_seed(0)
    encoder = VisionTransformer(
        ViTConfig(
            **{"patch_size": (2, 3), "dim": 16, "depth": 2, "heads": 2, "max_rows": 3, "max_columns": 4, **changes}
        )
    ).train()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    images = [torch.randn(2, 3, 6, 12), torch.randn(3, 3, 4, 6)]
    valid = torch.rand(2, 12) > 0.3
    results = []
    for only_cls in (None, [False, True], [True, True]):
        torch.manual_seed(1)  # of stochastic depth
        tokens = [encoder.embed(part) for part in images]
        grids = [encoder.grid(part) for part in images]
        encoded = encoder.encode(tokens, grids, [valid, None], only_cls=only_cls)
        encoder.zero_grad()
        torch.cat([part.cls for part in encoded]).square().sum().backward()
        gradients = [p.grad.clone() for p in encoder.parameters() if p.grad is not None]
        results.append((encoded, gradients))
    (whole, expected), *others = results
    for encoded, gradients in others:
        for part, wanted in zip(encoded, whole, strict=True):
            torch.testing.assert_close(part.cls, wanted.cls)
            torch.testing.assert_close(part.cls_raw, wanted.cls_raw)
        for gradient, wanted in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(others[0][0][0].patches, whole[0].patches)
    num_patches = [[part.patches.shape[1] for part in encoded] for encoded, _ in results]
    assert num_patches == ([[12, 4]] * 3 if "attention" in changes else [[12, 4], [12, 0], [0, 0]])
