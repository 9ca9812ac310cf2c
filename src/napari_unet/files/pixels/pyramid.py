"""Smaller copies of a large image, so that a viewer can show it without reading all of it."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 4096
"""Most pixels of the smallest copy along an axis; images that are no larger get no copy."""


def build_levels(group: Any, *, is_label: bool) -> Iterator[float]:
    """Add smaller copies to an OME-Zarr image, each half as large along Y and X as the one before.

    The group has an array "0" and the metadata of OME-Zarr 0.4; copies from an interrupted run are replaced.
    Copies of labels keep every second pixel, others the mean of four. Yields, after every written chunk, the
    part of the work that is done.
    """
    attributes = group.attrs.asdict()
    if "multiscales" not in attributes:
        return
    sizes = []
    shape = tuple(group["0"].shape)
    while max(shape[-2:]) > LARGEST:
        shape = (*shape[:-2], *(-(-size // 2) for size in shape[-2:]))
        sizes.append(shape)
    chunks = group["0"].chunks
    work = [
        (level, place)
        for level, size in enumerate(sizes, start=1)
        for place in itertools.product(
            *(range(0, length, side) for length, side in zip(size, chunks, strict=True))
        )
    ]
    larger = smaller = group["0"]
    made = 0
    for number, (level, corner) in enumerate(work, start=1):
        if level > made:
            made, larger = level, smaller
            smaller = group.create_array(
                str(level),
                shape=sizes[level - 1],
                chunks=chunks,
                dtype=larger.dtype,
                fill_value=0,
                chunk_key_encoding={"name": "v2", "separator": "/"},
                overwrite=True,
            )
        box = [
            slice(start, min(start + side, length))
            for start, side, length in zip(corner, chunks, smaller.shape, strict=True)
        ]
        twice = [slice(2 * part.start, 2 * part.stop) for part in box[-2:]]
        pixels = np.asarray(larger[(*box[:-2], *twice)])
        smaller[tuple(box)] = pixels[..., ::2, ::2] if is_label else _mean_of_four(pixels)
        yield number / len(work)
    multiscale = attributes["multiscales"][0]
    scale, *offset = multiscale["datasets"][0]["coordinateTransformations"]
    first = scale["scale"]
    multiscale["datasets"] = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [*first[:-2], *(2**level * size for size in first[-2:])]},
                *offset,
            ],
        }
        for level in range(len(sizes) + 1)
    ]
    group.attrs.update(attributes)


def _mean_of_four(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the means of 2 x 2 pixels, or of fewer at the far end of an odd side."""
    odd = [(0, 0)] * (pixels.ndim - 2) + [(0, size % 2) for size in pixels.shape[-2:]]
    even = np.pad(pixels, odd, mode="edge")
    total = even[..., ::2, ::2] + even[..., 1::2, ::2] + even[..., ::2, 1::2] + even[..., 1::2, 1::2]
    mean: NDArray[Any] = (total / 4).astype(pixels.dtype)
    return mean
