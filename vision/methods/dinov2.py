"""DINOv2: learning robust visual features without supervision (Oquab et al. 2023, arXiv 2304.07193).

DINO's loss on CLS and iBOT's on masked patches, each with a head of its own, targets by Sinkhorn-Knopp, and
KoLeo, which spreads the features of a batch (§4). With the student's logits h and the teacher's
probabilities P_t, x_i the student's CLS of image i at unit length, before the head,

    L_DINO  = mean of −P_t(x) · log softmax(h(x') / τ_s) over global views x and all views x' ≠ x
    L_iBOT  = mean over images of the mean over their masked patches of −P_t · log softmax(h / τ_s)
    L_KoLeo = −1/n Σ_i log min_{j ≠ i} ‖x_i − x_j‖, for each global view, summed
    L       = L_DINO + L_iBOT + .1 L_KoLeo

P_t balances the prototypes over the batch: three rounds of Sinkhorn-Knopp on exp(logits / τ_t), CLS over all
global views, patches over the masked ones (``assignment`` "centering", the official short recipe: DINO's
centre, which for patches follows the masked ones, where iBOT's follows all). Differences from the official
code: which images have a mask is drawn per image, not dealt out exactly per batch, so that a sample does not
depend on its batch; the last layer is held still at first by dropping its gradient, where the official rate is
0 and Adam's moments move; a patch that was not observed is neither seen nor predicted nor counted. KoLeo is
per process. For the paper's networks see ``ViTConfig``: layer_scale 1e-5, drop_path .3 "uniform", ViT-g swiglu.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vision.batch import Batch
from vision.collapse import Branch, Distillation, PatchDistillation
from vision.config import DINOv2Config, ViTConfig
from vision.losses import koleo, patch_cross_entropy, view_cross_entropy
from vision.methods.base import MaskToken, cls_of, encode_views, mask_of, take
from vision.methods.distillation import DistilledNetwork, SelfDistillation
from vision.nn.heads import DINOHead
from vision.nn.vit import VisionTransformer
from vision.targets import Centering, SinkhornKnopp


class DINOv2Targets(NamedTuple):
    """The teacher on the G global views, nothing hidden."""

    cls: Tensor  # (G, B, K) probabilities
    patches: Tensor  # (R, K') probabilities at the masked places
    features: Tensor  # (G, B, D) CLS before the head


class DINOv2Predictions(NamedTuple):
    """The student on all views, the global ones masked."""

    cls: Tensor  # (V, B, K) logits: global views, then local ones
    patches: Tensor  # (R, K') logits at the masked places
    features: Tensor  # (G, B, D) CLS of the global views before the head


class DINOv2Network(DistilledNetwork):
    """What student and teacher both have: encoder and heads (``patch_head`` None = CLS's serves patches too)."""

    def __init__(self, encoder: ViTConfig, config: DINOv2Config) -> None:
        super().__init__()
        self.encoder = VisionTransformer(encoder)
        if self.encoder.cls_token is not None:
            nn.init.normal_(self.encoder.cls_token, std=1e-6)  # official ``init_weights``; DINO and iBOT: .02
        self.head = _head(encoder, config, config.num_prototypes, config.bottleneck_dim)
        self.patch_head = (
            None if config.shared_head else _head(encoder, config, config.patch_prototypes, config.patch_bottleneck_dim)
        )

    def prototypes(self) -> list[nn.Parameter]:
        heads = [head for head in (self.head, self.patch_head) if head is not None]
        return [parameter for head in heads for parameter in head.last_layer.parameters()]

    def patch_logits(self, patches: Tensor) -> Tensor:
        """Patches (..., D) -> logits (..., K')."""
        return (self.head if self.patch_head is None else self.patch_head)(patches)


class DINOv2(SelfDistillation[DINOv2Network]):
    """See the module's docstring. Batches: crop size 0 holds the global views with their masks (paper:
    StratifiedBlockMask), the rest local ones.

    Parameters
    ----------
    encoder : needs a CLS token.
    config : knobs of the method.

    Raises
    ------
    ValueError : the encoder has no CLS token; or a batch has no masks or no second view.
    """

    def __init__(self, encoder: ViTConfig, config: DINOv2Config) -> None:
        super().__init__(DINOv2Network(encoder, config), config)
        self.config, self.assignment = config, config.assignment
        self.mask_token = MaskToken(encoder.dim, std=0.0)
        patch_setting = "num_prototypes" if config.shared_head else "patch_prototypes"
        num_patch: int = getattr(config, patch_setting)
        if config.patch_weight:
            self.branches += (Branch.of_patches(num_patch, patch_setting),)
        self.cls_assignment = _assignment(config, config.num_prototypes)
        self.patch_assignment = _assignment(config, num_patch)

    @torch.no_grad()
    def targets(self, batch: Batch) -> DINOv2Targets:
        """The teacher's distributions, balanced over the batch."""
        mask, temperature = mask_of(batch, "DINOv2"), self.temperature()
        network = self.teacher.module
        encoded = network.encoder(batch.views[0], batch.valid[0])
        features = cls_of(encoded).unflatten(0, (-1, batch.batch_size))  # (G, B, D)
        cls = self.cls_assignment(network.head(features), temperature)
        logits = network.patch_logits(take(encoded.patches, mask.index))
        return DINOv2Targets(cls, self.patch_assignment(logits, temperature, mask.weight), features)

    def predict(self, batch: Batch) -> DINOv2Predictions:
        """The student, all views packed into one pass."""
        mask = mask_of(batch, "DINOv2")
        encoded = encode_views(self.student.encoder, batch, self.mask_token, mask.hidden)
        cls = torch.cat([cls_of(part) for part in encoded]).unflatten(0, (-1, batch.batch_size))
        patches = self.student.patch_logits(take(encoded[0].patches, mask.index))
        return DINOv2Predictions(self.student.head(cls), patches, cls[: batch.num_views(0)])

    def loss(self, predictions: DINOv2Predictions, targets: DINOv2Targets, batch: Batch) -> dict[str, Tensor]:
        config = self.config
        temperature = config.student_temperature
        share = mask_of(batch, "DINOv2").share()
        cls = view_cross_entropy(predictions.cls, targets.cls, temperature)
        patch = patch_cross_entropy(predictions.patches, targets.patches, share, temperature)
        spread = torch.stack([koleo(view) for view in predictions.features]).sum()
        self._last = Distillation(
            targets.cls, targets.features, cls.detach(), PatchDistillation(targets.patches, share, patch.detach())
        )
        return {
            "cls": config.cls_weight * cls,
            "patch": config.patch_weight * patch,
            "koleo": config.koleo_weight * spread,
        }


def _head(encoder: ViTConfig, config: DINOv2Config, num_prototypes: int, bottleneck_dim: int) -> DINOHead:
    """As DINO's; the lengths of its prototypes are always learned."""
    return DINOHead(
        encoder.dim,
        num_prototypes,
        config.hidden_dim,
        bottleneck_dim,
        config.head_layers,
        norm_last_layer=False,
    )


def _assignment(config: DINOv2Config, num_prototypes: int) -> Centering | SinkhornKnopp:
    if config.assignment == "centering":
        return Centering(num_prototypes, config.center_momentum)
    return SinkhornKnopp()
