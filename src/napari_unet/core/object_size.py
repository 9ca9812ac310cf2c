"""How large the objects of an image are, before anything is known of them.

A disc of diameter d, on whatever ground, answers most strongly to a Laplacian of a Gaussian of standard
deviation d / sqrt(8), at its centre. So the places that answer more strongly than all around them, at coarser
and finer scales too, tell where something roundish is and how large.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMALLEST, LARGEST = 5.0, 250.0
"""Diameters in pixels between which is searched."""

_STEPS = 3
"""Scales for every doubling of the diameter."""

_STRONG = 0.3
"""Places whose answer is at least this part of the strongest (of the 95th percentile of all) count."""


def estimate_diameter(image: NDArray[np.float32]) -> float | None:
    """Return the diameter in pixels that most of the area of roundish things has; None where there are none.

    Parameters
    ----------
    image : array (Y, X) float32
        Normalised intensities of one plane; objects may be bright or dark.
    """
    # Gaps between bright objects are dark things; both count, for which of them are the objects is not known.
    sides = [_blobs(sign * image) for sign in (1, -1)]
    diameters, answers = (np.concatenate(values) for values in zip(*sides, strict=True))
    if not answers.size:
        return None
    # By area: one large thing says as much of the image as all the small ones in its place would.
    weight = np.where(answers >= _STRONG * np.percentile(answers, 95), answers * diameters**2, 0)
    order = np.argsort(diameters)
    share = np.cumsum(weight[order]) / weight.sum()
    return float(diameters[order][np.searchsorted(share, 0.5)])


def _blobs(image: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the diameters of bright things and how strongly they answer.

    After every doubling of the diameter the image is halved, so large things cost no more than small ones.
    """
    sizes = SMALLEST * 2 ** (np.arange(-1, _STEPS + 1) / _STEPS)
    diameters, answers, pixel = [np.zeros(0)], [np.zeros(0)], 1.0
    while pixel * SMALLEST <= LARGEST and min(image.shape) >= 2 * SMALLEST:
        layers = np.stack([_answer(image, size / math.sqrt(8)) for size in sizes])
        highest = ndimage.maximum_filter(layers, (3, 5, 5), mode="nearest")
        peaks = (layers == highest) & (layers > 0)
        for size, layer, is_peak in list(zip(sizes, layers, peaks, strict=True))[1:-1]:
            answers.append(layer[is_peak].astype(np.float64))
            diameters.append(np.full(answers[-1].size, size * pixel))
        image = _halved(image)
        pixel *= 2
    return np.concatenate(diameters), np.concatenate(answers)


def _answer(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    answer: NDArray[np.float32] = -(sigma**2) * ndimage.gaussian_laplace(image, sigma, mode="nearest")
    return answer


def _halved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (length // 2 for length in image.shape)
    halved: NDArray[np.float32] = image[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean((1, 3))
    return halved
