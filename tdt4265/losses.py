"""Losses of dense detectors: what N anchors of B images said against what they should have said.

Every loss here is called as `loss(class_logits, box_offsets, target_labels, target_offsets)` with

    class_logits    float32 [B, N, L], L = `loss.num_logits(K)` for K classes of which 0 is background
    box_offsets     float32 [B, N, 4]
    target_labels   int64   [B, N], 0 for background, -1 for an anchor that does not count
    target_offsets  float32 [B, N, 4], of no meaning where the label is 0 or -1

returns {"classification": scalar, "bbox_regression": scalar}, both finite also when no image has a box. It says by
`loss.scores(class_logits)` what its logits mean: float32 [B, N, K - 1], the probability of each class but background;
and by `loss.prior_bias(prior, K)` which biases, float32 [L], make the head begin with this probability: for a softmax
that of all objects together, for sigmoids that of each class. A softmax has a logit for background, L = K; sigmoids
have none, L = K - 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, distributed


def positives_a_process(positive: Tensor) -> Tensor:
    """The number of positive anchors, averaged over the processes of a distributed run and at least one.

    Gradients are averaged over processes. Had each divided by its own count, images with few boxes would weigh
    more than in a single process; with the common one the gradients are the same (as in DETR's criterion).
    """
    count = positive.sum().float()
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(count)
        count /= distributed.get_world_size()
    return count.clamp(min=1)


def box_loss(box_offsets: Tensor, target_offsets: Tensor, positive: Tensor) -> Tensor:
    """Smooth L1 (Fast R-CNN, Girshick 2015, eq. 3), summed over the positive anchors; `positive` is bool [B, N]."""
    return F.smooth_l1_loss(box_offsets[positive], target_offsets[positive], reduction="sum")


def class_weights(counts: Sequence[int], beta: float, mean: float = 1000.0) -> tuple[float, ...]:
    """A weight for each class that is larger the fewer boxes it has, by the effective number of samples.

    n boxes count as (1 - beta^n) / (1 - beta) (Cui et al. 2019, https://arxiv.org/abs/1901.05555, eq. 2), and a class's
    weight is in inverse proportion to that: beta = 0 gives all classes the same, beta = 1 stands for its limit, n
    itself, the inverse frequency.

    Args:
        counts: boxes of each class. mean: of the weights, over all boxes. Rounded to whole numbers.
    """
    effective = [n if beta == 1 else (1 - beta**n) / (1 - beta) for n in counts]
    total = sum(n / e for n, e in zip(counts, effective, strict=True)) / sum(counts)
    return tuple(float(round(mean / e / total)) for e in effective)


class Softmax:
    """What the logits of a loss over a softmax mean."""

    @staticmethod
    def num_logits(num_classes: int) -> int:
        return num_classes

    @staticmethod
    def scores(class_logits: Tensor) -> Tensor:
        """[B, N, K] logits to [B, N, K - 1] probabilities of the classes but background."""
        return class_logits.softmax(dim=-1)[..., 1:]

    @staticmethod
    def prior_bias(prior: float, num_classes: int) -> Tensor:
        """float32 [K], all zero but the background's log((1 - prior) (K - 1) / prior).

        With it a softmax gives all objects together the probability `prior`. It plays the part of RetinaNet's prior,
        which is over sigmoids.
        """
        bias = torch.zeros(num_classes)
        bias[0] = math.log((1 - prior) * (num_classes - 1) / prior)
        return bias


@dataclass(frozen=True)
class MultiboxLoss(Softmax):
    """SSD's loss (Liu et al. 2016, eq. 1): cross-entropy with hard negatives, smooth L1, both over the positives.

    Attributes:
        negatives: for each positive anchor of an image, this many background anchors count: those with the
            largest loss (section 2.2, hard negative mining).
    """

    negatives: int = 3

    def __call__(self, class_logits, box_offsets, target_labels, target_offsets) -> dict[str, Tensor]:
        positive = target_labels > 0
        cross_entropy = F.cross_entropy(
            class_logits.flatten(0, 1), target_labels.flatten(), reduction="none", ignore_index=-1
        ).view_as(target_labels)
        hardest = cross_entropy.masked_fill(positive, 0).sort(dim=1, descending=True).values
        wanted = self.negatives * positive.sum(dim=1, keepdim=True)
        counts = torch.arange(hardest.shape[1], device=hardest.device) < wanted
        count = positives_a_process(positive)
        return {
            "classification": (cross_entropy[positive].sum() + hardest[counts].sum()) / count,
            "bbox_regression": box_loss(box_offsets, target_offsets, positive) / count,
        }


@dataclass(frozen=True)
class SoftmaxFocalLoss(Softmax):
    """The focal loss of the course's reports: over a softmax, weighted by class, averaged over all anchors that count.

    FL = -alpha_y (1 - p_y)^gamma log p_y, with p_y the softmax's probability of the true class y. RetinaNet's
    (Lin et al. 2017, https://arxiv.org/abs/1708.02002, eq. 5) is over sigmoids and is divided by the positives.

    Attributes:
        alpha_background, alpha_object: alpha_y for y = 0 and for all other classes, or a weight for each of those. They
            make up for the average over all anchors, of which one in some hundreds is positive.
        gamma: how much less an anchor counts that is already right; 0 is cross-entropy.
    """

    alpha_background: float = 10.0
    alpha_object: float | tuple[float, ...] = 1000.0
    gamma: float = 2.0

    def __call__(self, class_logits, box_offsets, target_labels, target_offsets) -> dict[str, Tensor]:
        positive, counts = target_labels > 0, target_labels >= 0
        log_softmax, label = class_logits.log_softmax(dim=-1), target_labels.clamp(min=0)[..., None]
        log_p = log_softmax.gather(-1, label).squeeze(-1)  # [B, N]
        # 1 - p as the sum of the others: where p rounds to 1 the gradient is finite, for any gamma.
        log_rest = log_softmax.scatter(-1, label, -math.inf).logsumexp(dim=-1)
        focal = -self._alpha(label, class_logits.shape[-1]) * torch.exp(self.gamma * log_rest) * log_p
        return {
            "classification": (focal * counts).sum() / counts.sum().clamp(min=1),
            "bbox_regression": box_loss(box_offsets, target_offsets, positive) / positives_a_process(positive),
        }

    def _alpha(self, label: Tensor, num_classes: int) -> Tensor:
        """alpha of each of these labels [B, N, 1]: float32 [B, N]."""
        objects = self.alpha_object if isinstance(self.alpha_object, tuple) else [self.alpha_object] * (num_classes - 1)
        if len(objects) != num_classes - 1:
            raise ValueError(f"alpha_object has {len(objects)} weights for {num_classes - 1} classes of objects")
        return torch.tensor([self.alpha_background, *objects], device=label.device)[label.squeeze(-1)]


@dataclass(frozen=True)
class SigmoidFocalLoss:
    """RetinaNet's focal loss (Lin et al. 2017, https://arxiv.org/abs/1708.02002, eq. 5), divided by the positives.

    Each class of each anchor is a question by itself, "is it one?", with a sigmoid: p_t is the probability given to the
    right answer, and FL = -alpha_t (1 - p_t)^gamma log p_t. `torchvision.ops.sigmoid_focal_loss` computes the same.

    Attributes:
        alpha: weight of the answer yes; no has 1 - alpha.
        gamma: how much less a question counts that is already answered right; 0 is cross-entropy.
    """

    alpha: float = 0.25
    gamma: float = 2.0

    def __call__(self, class_logits, box_offsets, target_labels, target_offsets) -> dict[str, Tensor]:
        positive = target_labels > 0
        classes = torch.arange(1, class_logits.shape[-1] + 1, device=class_logits.device)
        yes = target_labels[..., None] == classes  # [B, N, K - 1]
        right = torch.where(yes, class_logits, -class_logits)  # the logit of the right answer
        alpha = torch.where(yes, self.alpha, 1 - self.alpha)
        # (1 - p_t)^gamma through the logarithm: its gradient is finite where p_t rounds to 1, for any gamma. And
        # log (1 - p_t) = log p_t - right: of the loss's parts the logarithm takes longest.
        log_p = F.logsigmoid(right)
        focal = -alpha * torch.exp(self.gamma * (log_p - right)) * log_p * (target_labels >= 0)[..., None]
        count = positives_a_process(positive)
        return {
            "classification": focal.sum() / count,
            "bbox_regression": box_loss(box_offsets, target_offsets, positive) / count,
        }

    @staticmethod
    def num_logits(num_classes: int) -> int:
        return num_classes - 1

    @staticmethod
    def scores(class_logits: Tensor) -> Tensor:
        """[B, N, K - 1] logits to as many probabilities."""
        return class_logits.sigmoid()

    @staticmethod
    def prior_bias(prior: float, num_classes: int) -> Tensor:
        """float32 [K - 1], each -log((1 - prior) / prior), for which the sigmoid is `prior` (section 4.1)."""
        return torch.full((num_classes - 1,), -math.log((1 - prior) / prior))
