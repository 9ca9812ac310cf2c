"""One annotated plane, measured: all that training needs to know that does not depend on other planes.

What is measured from paint has a short reach, so after an edit only the edited box and what is near it is
measured again, in place: :meth:`PaintedPlane.edited` gives what :func:`measure_plane` would, at the cost of a
stroke, however large the image is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import BACKGROUND, Mode
from napari_unet.core.arrays.boxes import Box, box_around, flat_places, part_of, widen
from napari_unet.core.arrays.runs import count_values, pixels_of
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.painted.holdout import number_parts
from napari_unet.core.painted.object_distance import Depth, Full, is_full, measure_depths, outline
from napari_unet.core.painted.painted_pixels import PaintedPixels
from napari_unet.core.painted.rim import find_rims
from napari_unet.core.painted.weight_update import edit_parts, reconnect
from napari_unet.core.weights import WeightParts, measure_parts


@dataclass(frozen=True, slots=True)
class Measure:
    """How planes are measured: the ``weights``, ``mode`` and ``spacing`` of a training."""

    weights: WeightConfig
    mode: Mode
    spacing: Sequence[float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PaintedPlane:
    """An annotated plane (or volume) of image ``number``, from 0, at ``index`` along the leading axes."""

    number: int
    index: tuple[int, ...]
    scored: bool  # whether it is of an image for scoring alone
    image: NDArray[np.float32]  # (C, *spatial) normalised intensities
    # (*spatial) as it is taught: background in the rims of objects that are painted in full
    paint: NDArray[np.int32]
    full: Full  # which objects of it are painted in full
    rims: NDArray[np.int32] | None  # (*spatial) see `find_rims`; None where no object is painted in full
    parts: WeightParts  # of the weight map
    # (*spatial) a number for each connected part that may be a stroke, rims excluded; see `number_parts`
    connected: NDArray[np.int32]
    pixels: PaintedPixels  # the painted pixels, and those of rims, with those numbers
    counts: dict[int, int]  # pixels of every value that somebody painted: rims do not count
    is_blank: bool  # whether its image is of one brightness throughout
    # (M,) flat indices of the pixels whose target the last edit changed or set
    fresh: NDArray[np.intp]
    # of the objects that are painted in full, by value; an edit keeps those that it leaves alone
    depths: Mapping[int, Depth]

    def painted(self, box: Box) -> NDArray[np.int32]:
        """Return the paint in ``box`` as it was painted, without rims; not to be edited."""
        paint = self.paint[box]
        return paint if self.rims is None else np.where(self.rims[box] > 0, np.int32(0), paint)

    def edited(self, box: Box, values: NDArray[np.int32], full: Full, measure: Measure) -> "PaintedPlane":
        """Return the same plane with other paint, ``values`` in ``box``; this one is void from now on.

        What is ``full`` may differ for objects that lie in the box alone.
        """
        beside = (1,) * values.ndim
        near = widen(box, beside, self.paint.shape)
        wide = widen(near, beside, self.paint.shape)
        painted = self.painted(wide).copy()
        painted[part_of(box, wide)] = values
        before = self.paint[near].copy()
        self.paint[near] = painted[part_of(near, wide)]  # without rims, which are no parts
        joined = reconnect(
            self.connected,
            self.paint,
            near,
            lambda part: number_parts(part, measure.mode),
            pixels=self.pixels.flat,
        )
        rims = self.rims
        if full is False:
            rims = None
        else:
            rims = np.zeros(self.paint.shape, np.int32) if rims is None else rims
            rims[near] = find_rims(painted, full)[part_of(near, wide)]
            self.paint[near][rims[near] > 0] = BACKGROUND
        parts, _ = edit_parts(
            self.parts,
            self.paint,
            near,
            measure.weights,
            spacing=measure.spacing,
            mode=measure.mode,
            pixels=self.pixels.flat,
        )
        pixels = self.pixels.edited(joined[0], self.paint, self.connected, rims)
        after = self.paint[near]
        values = np.union1d(before, after)
        depths = dict(self.depths)
        for value in values.tolist():
            depths.pop(value, None)
        depths |= _measure_again(values, pixels, self.paint, full, measure.spacing)
        places = np.nonzero((after != before) & (after > 0))
        return replace(
            self,
            full=full,
            rims=rims,
            parts=parts,
            pixels=pixels,
            counts=count_values(pixels.values[pixels.parts >= 0]),
            depths=depths,
            fresh=flat_places(places, near, self.paint.shape),
        )

    @property
    def kinds(self) -> NDArray[np.uint8]:
        """1 + class of every painted pixel, (N,)."""
        return self.parts.kinds.reshape(-1)[self.pixels.flat]


def measure_plane(
    number: int,
    index: tuple[int, ...],
    image: NDArray[np.float32],
    paint: NDArray[np.int32],
    measure: Measure,
    *,
    full: Full = False,
    scored: bool = False,
) -> PaintedPlane:
    """Return a plane whose checked paint was never measured before."""
    connected = number_parts(paint, measure.mode)
    full = full if measure.mode == "objects" else False
    rims = None
    if full is not False:
        rims = find_rims(paint, full)
        paint = np.where(rims > 0, np.int32(BACKGROUND), paint)
    pixels = PaintedPixels.of(paint, connected, rims)
    return PaintedPlane(
        number=number,
        index=index,
        scored=scored,
        image=image,
        paint=paint,
        full=full,
        rims=rims,
        parts=measure_parts(paint, measure.weights, spacing=measure.spacing, mode=measure.mode),
        connected=connected,
        pixels=pixels,
        counts=count_values(pixels.values[pixels.parts >= 0]),
        is_blank=bool((image == image.flat[0]).all()),
        fresh=pixels.flat,
        depths=measure_depths(paint, full, measure.spacing),
    )


def _measure_again(
    values: NDArray[np.int32],
    pixels: PaintedPixels,
    paint: NDArray[np.int32],
    full: Full,
    spacing: Sequence[float] | None,
) -> dict[int, Depth]:
    """Return the depths of the objects with these values that are present and full."""
    found = {}
    wanted = [value for value in values.tolist() if is_full(value, full)]
    for value, at in pixels_of(pixels.values, wanted).items():
        wide, mask = outline(paint, value, box_around(pixels.flat[at], paint.shape))
        if not mask.all():
            found[value] = Depth.of(wide, mask, spacing)
    return found
