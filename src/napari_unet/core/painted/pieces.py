"""Separate pieces that are painted with one number: most likely several objects, of which nobody said so."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import FIRST_OBJECT, find_pieces, lack_numbers
from napari_unet.core.painted.painted_pixels import PaintedPixels

_SPECK = 0.25
"""Part of the pixels of the largest piece of an object, below which one is a speck beside it."""


def separate_pieces(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Return the connected parts (full connectivity) of the mask of an object, each a mask of that shape.

    Specks, of less than a quarter of the pixels of the largest part, are left out.
    """
    parts, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    if count == 1:
        return [mask]
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    return [parts == 1 + piece for piece in np.flatnonzero(sizes >= _SPECK * sizes.max(initial=0))]


def number_pieces(
    paints: Sequence[PaintedPixels], images: Sequence[int]
) -> tuple[list[PaintedPixels], dict[int, int]]:
    """Return the paints of planes with a number for each piece, where the paint of their image lacks numbers.

    An object that is on several planes keeps one number: nothing tells which of its pieces are of one object.
    So do all in a volume.

    Parameters
    ----------
    paints : sequence of PaintedPixels
        In "objects" mode.
    images : sequence of int
        The image each paint is a plane of.

    Returns
    -------
    numbered : list of PaintedPixels
        As they were given; or with the numbers 2 and up, which differ where those of the paint do. Then what
        is in a rim is of the last of the pieces beside it.
    pieces : dict of int to int
        In how many pieces the objects of the images are that lack numbers, by their value.
    """
    members: dict[int, list[int]] = {}
    for member, image in enumerate(images):
        members.setdefault(image, []).append(member)
    numbered = list(paints)
    pieces: Counter[int] = Counter()
    for planes in members.values():
        of_image, in_image = _number_image([paints[plane] for plane in planes])
        pieces.update(in_image)
        for plane, pixels in zip(planes, of_image, strict=True):
            numbered[plane] = pixels
    return numbered, dict(pieces)


def _number_image(paints: Sequence[PaintedPixels]) -> tuple[Sequence[PaintedPixels], dict[int, int]]:
    pieces: list[NDArray[np.intp]] = []
    most: dict[int, int] = {}
    n_planes: Counter[int] = Counter()
    for pixels in paints:
        if len(pixels.shape) != 2:
            return paints, {}
        is_object = pixels.values >= FIRST_OBJECT
        flat, values = pixels.flat[is_object], pixels.values[is_object]
        pieces.append(find_pieces(flat, values, pixels.shape))
        present, counts = np.unique(values[pieces[-1] == flat], return_counts=True)
        n_planes.update(present.tolist())
        for value, count in zip(present.tolist(), counts.tolist(), strict=True):
            most[value] = max(most.get(value, 0), count)
    if not lack_numbers(most):
        return paints, {}
    shared = np.array(sorted(value for value, count in n_planes.items() if count > 1), np.int32)
    numbered = []
    n_numbers = FIRST_OBJECT + shared.size
    for pixels, piece in zip(paints, pieces, strict=True):
        is_object = pixels.values >= FIRST_OBJECT
        values = pixels.values[is_object]
        firsts = pixels.flat[is_object][piece == pixels.flat[is_object]]
        numbers = pixels.values.copy()
        numbers[is_object] = np.where(
            np.isin(values, shared),
            FIRST_OBJECT + np.searchsorted(shared, values),
            n_numbers + np.searchsorted(firsts, piece),
        )
        n_numbers += firsts.size
        numbered.append(replace(pixels, values=numbers, parts=_number_rims(pixels, numbers)))
    return numbered, most


def _number_rims(pixels: PaintedPixels, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the parts of pixels (N,) whose objects were given other ``numbers`` (N,)."""
    in_rim = np.flatnonzero(pixels.parts < 0)
    y, x = np.divmod(pixels.flat[in_rim], pixels.shape[1])
    of_rim = np.zeros(in_rim.size, np.int32)
    for down, right in product((-1, 0, 1), repeat=2):
        beside = (y + down) * pixels.shape[1] + x + right
        at = np.minimum(np.searchsorted(pixels.flat, beside), pixels.flat.size - 1)
        is_same = (pixels.flat[at] == beside) & (pixels.values[at] == -pixels.parts[in_rim])
        is_same &= (x + right >= 0) & (x + right < pixels.shape[1])
        of_rim = np.where(is_same, np.maximum(of_rim, numbers[at]), of_rim)
    parts = pixels.parts.copy()
    parts[in_rim] = -of_rim
    return parts
