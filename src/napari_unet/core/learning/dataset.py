"""Everything a training run reads: normalised planes with their targets and weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Mode
from napari_unet.core.borders.weight_config import settled
from napari_unet.core.errors import InputError
from napari_unet.core.learning.reading import DatasetConfig, classes_of, count_together
from napari_unet.core.painted.advice import advise, check_teachable
from napari_unet.core.painted.holdout import PixelSplit, split_pixels
from napari_unet.core.painted.object_distance import UNKNOWN, Depth, Full, choose_reach, object_distance
from napari_unet.core.painted.painted_pixels import (
    PaintedObjects,
    PaintedPixels,
    find_painted_objects,
    scatter,
)
from napari_unet.core.painted.painted_plane import PaintedPlane
from napari_unet.core.painted.pieces import number_pieces

ScoredOn = Literal["held-out", "training", "validation"]

_CUT_OFF = (
    "Some objects that are filled to their border end at a plane beside which nothing is painted, so the "
    "network learns that they end there. If they go on, fill them in all their planes, or do not call them "
    "filled."
)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One annotated plane (2-D network) or volume (3-D network)."""

    image: NDArray[np.float32]  # (C, *spatial) normalised intensities
    target: NDArray[np.uint8]  # (*spatial) classes, 0 background
    weight: NDArray[np.float32]  # (*spatial) weight map of the paint to train on; 0 elsewhere
    # (*spatial) weight map of the paint kept for validation; 0 elsewhere. No pixel is in both
    held_out: NDArray[np.float32]
    # (*spatial) number of the stroke, or block of a large stroke, that each known pixel belongs to, 0
    # elsewhere; unique in the dataset
    strokes: NDArray[np.int32]
    pixels: tuple[NDArray[np.intp], ...]  # for each class the flat indices of the pixels to train on
    # what all of this was read from: what is painted, and background in the rims of full objects
    painted: PaintedPixels
    full: Full = False  # which objects of it are painted in full
    # (*spatial) see `object_distance`; None where no object of any sample is painted in full
    distance: NDArray[np.float32] | None = None
    reach: float | None = None  # the depth from which on it is 1
    depths: Mapping[int, Depth] = field(default_factory=dict)  # what it was made of
    objects: PaintedObjects | None = None  # what the painted objects are like; None in "classes" mode

    @property
    def teaches(self) -> bool:
        """Whether there is paint to train on: not on images for scoring alone, nor once it is erased."""
        return any(pixels.size for pixels in self.pixels)

    @property
    def paint(self) -> NDArray[np.int32]:
        """A new array (*spatial) int32 with the paint it was read from."""
        return scatter(self.painted.values, self.painted)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """The samples of a training run."""

    samples: tuple[Sample, ...]
    in_channels: int  # channels of every image, C
    n_classes: int  # classes of every target, K
    known_pixels: int  # pixels with paint, over all samples but those of validation images
    # sentences for the user: what images and paint cannot teach well, or not tell about what was learnt
    warnings: tuple[str, ...] = ()
    # the paint to score on: strokes held out of it, the very paint that is trained on, or whole images
    on: ScoredOn = "training"

    @property
    def has_distance(self) -> bool:
        """Whether any object is painted in full, so that its depth can be learnt."""
        return any(sample.distance is not None for sample in self.samples)


def join_planes(
    planes: Sequence[PaintedPlane],
    config: DatasetConfig,
    *,
    n_classes: int | None = None,
    distance: bool = True,
    earlier: Sequence[Sample | None] = (),
) -> Dataset:
    """Return the dataset of planes, in this order: what is held out, and how much each class weighs.

    Parameters
    ----------
    planes : sequence of PaintedPlane
        Measured as ``config`` says. They are left as they are.
    config : DatasetConfig
    n_classes : int, optional
        Classes of the network in "classes" mode, none of which need be painted; None counts them.
    distance : bool
        Whether depths in full objects are wanted.
    earlier : sequence of Sample or None, optional
        What each plane was before its paint changed. Their maps are rewritten, so that they are void then;
        where an error is raised they are left as they were.

    Raises
    ------
    InputError
        If the paint cannot teach.
    """
    mode = config.mode
    counts = count_together(plane.counts for plane in planes if not plane.scored)
    check_teachable(counts, mode, (plane.paint for plane in planes if not plane.scored))
    n_classes = n_classes or classes_of(counts, config)
    pixels = np.zeros(n_classes, np.int64)
    for plane in planes:
        if not plane.scored:
            pixels[: plane.parts.pixels.size] += plane.parts.pixels[:n_classes]
    area = sum(plane.parts.kinds.size for plane in planes if not plane.scored)
    config = replace(config, weights=settled(config.weights, int(pixels.sum()), area))
    if np.count_nonzero(pixels) < 2:
        raise InputError(
            "Every pixel of the painted objects touches another object, so all of it counts as the seam "
            "between them; paint the objects wider."
        )
    strokes = [plane.pixels for plane in planes]
    pieces: dict[int, int] = {}
    if mode == "objects":
        # An object that was accepted is one, in however many pieces a plane shows it.
        known = {plane.number: plane.full for plane in planes if not isinstance(plane.full, bool)}
        strokes, pieces = number_pieces(strokes, [plane.number for plane in planes], but=known)
    splits, on = _choose_scored(planes, strokes, config)
    reach = None
    if mode == "objects" and distance:
        reach = choose_reach([depth for plane in planes for depth in plane.depths.values()], config.spacing)
    samples = tuple(
        _sample(plane, numbered, split, pixels, config, reach=reach, before=before)
        for plane, numbered, split, before in zip(
            planes, strokes, splits, earlier or (None,) * len(planes), strict=True
        )
    )
    return Dataset(
        samples=samples,
        in_channels=samples[0].image.shape[0],
        n_classes=n_classes,
        known_pixels=sum(counts.values()),
        warnings=advise(counts, mode, pieces, sum(plane.paint.size for plane in planes if not plane.scored))
        + _advise_on_images(planes)
        + (_CUT_OFF,) * any(map(_is_cut_off, planes))
        + _doubts(samples, n_classes, mode, on),
        on=on,
    )


def _sample(
    plane: PaintedPlane,
    numbered: PaintedPixels,
    split: PixelSplit,
    pixels: NDArray[np.int64],
    config: DatasetConfig,
    *,
    reach: float | None,
    before: Sample | None,
) -> Sample:
    """Return what a plane is to training, its classes balanced by ``pixels`` (K,) of all planes.

    ``numbered`` are its pixels with numbers, where they lack them.
    """
    painted, kinds = plane.pixels, plane.kinds
    weights = plane.parts.at(painted.flat, config.weights, pixels)

    def spread(
        values: NDArray[Any], name: Literal["target", "weight", "held_out", "strokes"]
    ) -> NDArray[Any]:
        return scatter(values, painted, None if before is None else (getattr(before, name), before.painted))

    return Sample(
        image=plane.image,
        target=spread(kinds - np.uint8(1), "target"),
        weight=spread(weights * split.taught, "weight"),
        held_out=spread(weights * split.held_out, "held_out"),
        strokes=spread(split.strokes, "strokes"),
        pixels=tuple(painted.flat[split.taught & (kinds == kind)] for kind in range(1, pixels.size + 1)),
        painted=painted,
        full=plane.full,
        distance=None if reach is None else _distance(plane, reach, before),
        reach=reach,
        depths=plane.depths,
        objects=find_painted_objects(
            painted, numbered, plane.parts.border.reshape(-1)[painted.flat], config.weights.w0
        )
        if config.mode == "objects"
        else None,
    )


def _distance(plane: PaintedPlane, reach: float, before: Sample | None) -> NDArray[np.float32]:
    """Return the map of distances of a plane, that of the sample ``before`` rewritten."""
    if before is None or before.distance is None:
        return object_distance(plane.paint, plane.depths.values(), reach)
    distance, flat = before.distance, before.distance.reshape(-1)
    flat[before.painted.background] = UNKNOWN
    for value, depth in before.depths.items():
        if plane.depths.get(value) is not depth:
            depth.erase(distance)
    flat[plane.pixels.background] = 0
    for value, depth in plane.depths.items():
        if reach != before.reach or before.depths.get(value) is not depth:
            depth.draw(distance, reach)
    return distance


def _choose_scored(
    planes: Sequence[PaintedPlane], strokes: Sequence[PaintedPixels], config: DatasetConfig
) -> tuple[list[PixelSplit], ScoredOn]:
    """Return for each plane what is taught and what is scored of its strokes, and on what paint that is."""
    images = [plane.number for plane in planes]

    def split(fraction: float) -> list[PixelSplit]:
        return split_pixels(strokes, config.mode, fraction, config.seed, images=images)

    if any(plane.scored for plane in planes):
        splits = [
            PixelSplit(whole.held_out, whole.taught, whole.strokes) if plane.scored else whole
            for plane, whole in zip(planes, split(0), strict=True)
        ]
        return splits, "validation"
    splits = split(config.held_out)
    # Strokes of every class are on either side, but those of an object may consist of seams, which are
    # background.
    taught: set[int] = set()
    validated: set[int] = set()
    for plane, chosen in zip(planes, splits, strict=True):
        kinds = plane.kinds
        taught.update(np.flatnonzero(np.bincount(kinds[chosen.taught])).tolist())
        validated.update(np.flatnonzero(np.bincount(kinds[chosen.held_out])).tolist())
    if validated <= taught and len(validated) >= 2:
        return splits, "held-out"
    return split(0), "training"


def _doubts(samples: Sequence[Sample], n_classes: int, mode: Mode, on: ScoredOn) -> tuple[str, ...]:
    """Return, in sentences, what a score on these samples cannot tell."""
    if on != "validation":
        return ()
    counts = np.zeros(n_classes, np.int64)
    for sample in samples:
        flat = sample.painted.flat
        scored = flat[sample.held_out.reshape(-1)[flat] > 0]
        counts += np.bincount(sample.target.reshape(-1)[scored], minlength=n_classes)
    absent = np.flatnonzero(counts == 0)
    if not absent.size:
        return ()
    others = "objects" if mode == "objects" else "class {}"
    names = ", ".join(others.format(value + 1) if value else "background" for value in absent.tolist())
    return (f"The validation images have no paint of {names}, so their score says little; paint some there.",)


def _advise_on_images(planes: Sequence[PaintedPlane]) -> tuple[str, ...]:
    """Return, in sentences, what images cannot teach, whatever is painted on them."""
    blank = sum(plane.is_blank for plane in planes)
    if not blank:
        return ()
    verb = "is" if blank == 1 else "are"
    sentence = (
        f"{blank} of {len(planes)} painted images or planes {verb} of one brightness throughout, or without "
        "numbers that can be used (NaN, or beyond 3e38), so nothing can be learnt there; check that the "
        "right image and channel are chosen."
    )
    return (sentence,)


def _is_cut_off(plane: PaintedPlane) -> bool:
    """Return whether the objects of a volume are full, and some end beside a plane without any paint."""
    painted = plane.pixels
    if len(painted.shape) < 3 or plane.full is not True:
        return False
    depths, is_rim = painted.flat // prod(painted.shape[1:]), painted.parts < 0
    return bool(np.setdiff1d(depths[is_rim], depths[~is_rim]).size)
