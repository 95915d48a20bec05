"""iBOT: image BERT pre-training with an online tokenizer (Zhou et al., ICLR 2022, arXiv 2111.07832).

The teacher is a momentum copy of the student and sees whole views; the student sees masked views and local
crops. It learns the teacher's distribution over prototypes: on CLS across views, and on every masked patch of the
same view. With g teacher and h student logits, of CLS or of a patch, and no gradient into the teacher,

    P_t = softmax((g − c) / τ_t),  P_s = softmax(h / τ_s),  c ← m c + (1 − m) · mean of g
    L_CLS = mean of −P_t(u) · log P_s(v) over global views u and all views v ≠ u      (DINO's loss)
    L_MIM = mean over images of the mean over their masked patches of −P_t · log P_s  (eq. 2)
    θ_t ← λ θ_t + (1 − λ) θ_s,  λ on a cosine from .996 to 1

CLS and patches have a centre each. As in the official code, that of patches follows all of them, not the masked
ones; L_MIM is a mean per image, then over all images, those without a mask included. Differences: schedules run
per step; a patch that was not observed is neither seen, nor predicted, nor counted in the centre.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vision.batch import Batch
from vision.collapse import Branch, Distillation, PatchDistillation
from vision.config import IBOTConfig, ViTConfig
from vision.losses import patch_cross_entropy, view_cross_entropy
from vision.methods.base import MaskToken, cls_of, encode_views, mask_of, observed_patches, take
from vision.methods.distillation import DistilledNetwork, SelfDistillation
from vision.nn.heads import DINOHead, WeightNormLinear
from vision.nn.vit import VisionTransformer
from vision.targets import Centering


class IBOTTargets(NamedTuple):
    """The teacher on the G global views: probabilities over K prototypes."""

    cls: Tensor  # (G, B, K)
    patches: Tensor  # (R, K) at the masked places
    features: Tensor  # (G, B, D) CLS before the head


class IBOTPredictions(NamedTuple):
    """Student logits over K prototypes."""

    cls: Tensor  # (V, B, K): global views, then local ones
    patches: Tensor  # (R, K) at the masked places


class IBOTNetwork(DistilledNetwork):
    """What student and teacher both have: encoder and head (one last layer for CLS and patches if shared)."""

    def __init__(self, encoder: ViTConfig, config: IBOTConfig) -> None:
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
        self.patch_layer = (
            None
            if config.shared_head
            else WeightNormLinear(config.bottleneck_dim, config.num_prototypes, config.norm_last_layer)
        )

    def prototypes(self) -> list[nn.Parameter]:
        layers = [layer for layer in (self.head.last_layer, self.patch_layer) if layer is not None]
        return [parameter for layer in layers for parameter in layer.parameters()]

    def patch_logits(self, bottleneck: Tensor) -> Tensor:
        """Bottleneck features of patches (..., d) -> logits (..., K)."""
        return (self.head.last_layer if self.patch_layer is None else self.patch_layer)(bottleneck)


class IBOT(SelfDistillation[IBOTNetwork]):
    """See the module's docstring. Batches: crop size 0 holds the global views with their masks, the rest
    local ones.

    Parameters
    ----------
    encoder : needs a CLS token.
    config : knobs of the method.

    Raises
    ------
    ValueError : the encoder has no CLS token.
    """

    def __init__(self, encoder: ViTConfig, config: IBOTConfig) -> None:
        super().__init__(IBOTNetwork(encoder, config), config)
        self.config = config
        if config.patch_weight:
            self.branches += (Branch.of_patches(config.num_prototypes),)
        self.mask_token = MaskToken(encoder.dim, std=0.0)
        self.cls_centering = Centering(config.num_prototypes, config.center_momentum)
        self.patch_centering = Centering(config.num_prototypes, config.center_momentum)

    @torch.no_grad()
    def targets(self, batch: Batch) -> IBOTTargets:
        """The teacher on the global views, nothing hidden."""
        images, observed, mask = batch.views[0], batch.valid[0], mask_of(batch, "iBOT")
        network = self.teacher.module
        encoded = network.encoder(images, observed)
        features = cls_of(encoded).unflatten(0, (-1, batch.batch_size))  # (G, B, D)
        bottleneck = network.head.bottleneck(encoded.patches)  # (G·B, N, d)
        valid = observed_patches(observed, network.encoder.grid(images))
        valid = torch.ones(bottleneck.shape[:2], device=bottleneck.device) if valid is None else valid.float()
        # the last layer is linear: the mean of its logits over all patches is its logit of their mean
        mean = (bottleneck * valid.unsqueeze(-1)).sum((0, 1)) / valid.sum().clamp(min=1)  # (d,)
        logits = network.patch_logits(torch.cat([take(bottleneck, mask.index), mean[None]]))
        weight = torch.cat([torch.zeros_like(mask.weight), valid.sum()[None]])
        patches = self.patch_centering(logits, self.temperature(), weight)[:-1]
        cls = self.cls_centering(network.head(features), self.temperature())
        return IBOTTargets(cls, patches, features)

    def predict(self, batch: Batch) -> IBOTPredictions:
        """The student on all views, the global ones masked; packed into one pass."""
        mask = mask_of(batch, "iBOT")
        encoded = encode_views(self.student.encoder, batch, self.mask_token, mask.hidden)
        cls = self.student.head(torch.cat([cls_of(part) for part in encoded]))
        patches = self.student.head.bottleneck(take(encoded[0].patches, mask.index))
        return IBOTPredictions(cls.unflatten(0, (-1, batch.batch_size)), self.student.patch_logits(patches))

    def loss(self, predictions: IBOTPredictions, targets: IBOTTargets, batch: Batch) -> dict[str, Tensor]:
        config, share = self.config, mask_of(batch, "iBOT").share()
        temperature = config.student_temperature
        cls = view_cross_entropy(predictions.cls, targets.cls, temperature)
        patch = patch_cross_entropy(predictions.patches, targets.patches, share, temperature)
        self._last = Distillation(
            targets.cls, targets.features, cls.detach(), PatchDistillation(targets.patches, share, patch.detach())
        )
        return {"cls": config.cls_weight * cls, "patch": config.patch_weight * patch}
