"""Cross-entropy over the painted pixels: of their classes, each with its own weight, and of their depth."""

import torch
from torch import Tensor
from torch.nn import functional


def weighted_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    r"""Return :math:`\sum_x w(x) \, [-\log p_{t(x)}(x)] \, / \, \sum_x w(x)`.

    The soft-max cross-entropy with pixel weights of Ronneberger, Fischer & Brox (2015), eq. 1. It is divided
    by the sum of the weights, not by the number of pixels, so that a patch with few painted pixels teaches as
    strongly as a full one.

    Parameters
    ----------
    logits : Tensor (B, K, ...), any floating dtype
        Output of the network.
    target : Tensor (B, ...), uint8 or int64
        Class of every pixel, 0..K-1; anything (below K) where ``weight`` is 0.
    weight : Tensor (B, ...), float32
        Not negative; 0 where the class is unknown. Logits there change neither the loss nor any gradient.

    Returns
    -------
    Tensor (), float32
        0, with zero gradient, where all weights are 0.
    """
    # Filled first: an infinite or NaN logit at an unknown pixel would spoil the sum and every gradient, 0
    # times or not. float32 throughout: bfloat16 sums over a patch would lose most of its pixels.
    logits = logits.float().masked_fill((weight == 0).unsqueeze(1), 0.0)
    entropy = functional.cross_entropy(logits, target.long(), reduction="none")
    return (entropy * weight).sum() / weight.sum().clamp_min(torch.finfo(torch.float32).tiny)


def distance_loss(logits: Tensor, distance: Tensor, weight: Tensor) -> Tensor:
    """Return the mean cross-entropy of ``sigmoid(logits)`` against the distance where both are known.

    Cross-entropy with a target between 0 and 1: its gradient, ``sigmoid(logit) - distance``, is that of a
    regression, and as large far from the truth as near it.

    Parameters
    ----------
    logits : Tensor (B, ...), any floating dtype
        Output of the distance head.
    distance : Tensor (B, ...), float32
        In [0, 1] where it is known, else negative; see :mod:`napari_unet.core.painted.object_distance`.
    weight : Tensor (B, ...), float32
        0 where nothing may be learnt, such as held-out paint; otherwise its size plays no part.

    Returns
    -------
    Tensor (), float32
        0, with zero gradient, where nothing is known.
    """
    known = (weight > 0) & (distance >= 0)
    # Filled first, as in :func:`weighted_cross_entropy`.
    logits = logits.float().masked_fill(~known, 0.0)
    entropy = functional.binary_cross_entropy_with_logits(logits, distance.clamp(0, 1), reduction="none")
    return (entropy * known).sum() / known.sum().clamp_min(1)
