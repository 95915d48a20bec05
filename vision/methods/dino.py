"""DINO: self-distillation with no labels (Caron et al., ICCV 2021, arXiv 2104.14294).

The teacher is a momentum copy of the student and sees the global views; the student sees all views, and for
each learns what the teacher says of every other one. With g teacher and h student logits of CLS,

    P_t = softmax((g − c) / τ_t),  P_s = softmax(h / τ_s)                              (eq. 1)
    L   = mean of −P_t(x) · log P_s(x') over global views x and all views x' ≠ x       (eq. 3)
    c   ← m c + (1 − m) · mean of g over the batch                                     (eq. 4)
    θ_t ← λ θ_t + (1 − λ) θ_s,  λ on a cosine from .996 to 1                           (§3.1)

Centering alone makes the output uniform, sharpening (τ_t < τ_s) alone one-hot; together they keep it from
collapse (§5.3). The centre is used first and moved afterwards. As in the official code, except that schedules
run per step. A patch that was not observed is not seen. Masks in a batch have no part.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vision.batch import Batch
from vision.collapse import Distillation
from vision.config import DINOConfig, ViTConfig
from vision.losses import view_cross_entropy
from vision.methods.base import cls_of, encode_views
from vision.methods.distillation import DistilledNetwork, SelfDistillation
from vision.nn.heads import DINOHead
from vision.nn.vit import VisionTransformer
from vision.targets import Centering


class DINOTargets(NamedTuple):
    """The teacher on the G global views."""

    cls: Tensor  # (G, B, K) probabilities
    features: Tensor  # (G, B, D) CLS before the head


class DINONetwork(DistilledNetwork):
    """What student and teacher both have: encoder and head."""

    def __init__(self, encoder: ViTConfig, config: DINOConfig) -> None:
        super().__init__()
        self.encoder = VisionTransformer(encoder)
        self.head = DINOHead(
            encoder.dim,
            config.num_prototypes,
            config.hidden_dim,
            config.bottleneck_dim,
            config.head_layers,
            config.norm_last_layer,
        )

    def prototypes(self) -> list[nn.Parameter]:
        return list(self.head.last_layer.parameters())


class DINO(SelfDistillation[DINONetwork]):
    """See the module's docstring. Batches: crop size 0 holds the global views, the rest local ones.

    Parameters
    ----------
    encoder : needs a CLS token.
    config : knobs of the method.

    Raises
    ------
    ValueError : the encoder has no CLS token; or, in the loss, there is no second view.
    """

    def __init__(self, encoder: ViTConfig, config: DINOConfig) -> None:
        super().__init__(DINONetwork(encoder, config), config)
        self.config = config
        self.centering = Centering(config.num_prototypes, config.center_momentum)

    @torch.no_grad()
    def targets(self, batch: Batch) -> DINOTargets:
        """The teacher on the global views."""
        network = self.teacher.module
        features = cls_of(network.encoder(batch.views[0], batch.valid[0])).unflatten(0, (-1, batch.batch_size))
        return DINOTargets(self.centering(network.head(features), self.temperature()), features)

    def predict(self, batch: Batch) -> Tensor:
        """Student logits (V, B, K) of all views, global ones first; packed into one pass."""
        cls = torch.cat([cls_of(part) for part in encode_views(self.student.encoder, batch)])
        return self.student.head(cls).unflatten(0, (-1, batch.batch_size))

    def loss(self, predictions: Tensor, targets: DINOTargets, batch: Batch) -> dict[str, Tensor]:
        cls = view_cross_entropy(predictions, targets.cls, self.config.student_temperature)
        self._last = Distillation(targets.cls, targets.features, cls.detach())
        return {"cls": cls}
