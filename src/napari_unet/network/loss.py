"""Cross-entropy over the painted pixels, each with its own weight."""

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
