"""The compiled inner loop of :mod:`napari_unet.core.arrays.normalisation`; importing this imports numba."""

from typing import Any

from napari_unet.core.arrays.compiling import compiled


@compiled()
def count(pixels: Any, counts: Any) -> None:
    """Add to ``counts`` (n,) int64 how often each of 0 to n - 1 is among the ``pixels`` (Y, X)."""
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            counts[pixels[y, x]] += 1
