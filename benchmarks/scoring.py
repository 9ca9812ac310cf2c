"""Score a segmentation by object, with the same code for every method."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries, mark_boundaries

from annotator import Labels
from kinds import Image, Pair
from napari_unet import evaluate
from napari_unet.core.instances import find_objects
from napari_unet.core.objects.instance_fit import size_from_strokes


def score(predicted: Sequence[Labels], pairs: Sequence[Pair]) -> dict[str, float | None]:
    """Return the mean over the images, and the recall of touching objects over all images together."""
    rows, found, touching = [], 0, 0
    for objects, (_, truth) in zip(predicted, pairs, strict=True):
        scores = evaluate(objects, truth)
        rows.append((scores.ap_50, scores.ap_75, scores.ap_90, scores.foreground_iou))
        hit, count = touching_recall(objects, truth)
        found, touching = found + hit, touching + count
    means = [round(float(value), 4) for value in np.mean(rows, axis=0)]
    names = ("ap_50", "ap_75", "ap_90", "iou")
    recall = round(found / touching, 4) if touching else None
    return dict(zip(names, means, strict=True)) | {"touching": recall}


def touching_recall(predicted: Labels, truth: Labels, threshold: float = 0.5) -> tuple[int, int]:
    """Return (found, all): true objects that touch another one, and those matched at IoU > ``threshold``."""
    seams = find_boundaries(truth, mode="inner") & ~find_boundaries(
        (truth > 0).astype(np.uint8), mode="inner"
    )
    touching = np.unique(truth[seams & (truth > 0)])
    sizes = np.bincount(predicted.ravel())
    found = 0
    for label in touching:
        mask = truth == label
        overlaps = np.bincount(predicted[mask], minlength=2)[1:]
        rival = int(overlaps.argmax()) + 1
        overlap = int(overlaps[rival - 1])
        found += overlap > 0 and overlap / (mask.sum() + sizes[rival] - overlap) > threshold
    return int(found), len(touching)


def every_way(probability: NDArray[np.floating[Any]], paints: Iterable[Labels]) -> dict[str, Labels]:
    """Return the objects as connected components and as ours separates them; the better on the truth counts.

    Small ones are left out by the size of painted objects, as in ours.
    """
    reading = size_from_strokes(list(paints))
    ways = {
        "components": replace(reading, contrast=1000.0),
        "both": reading,
        "probability": replace(reading, separate_by="probability"),
        "shape": replace(reading, separate_by="shape"),
    }
    return {name: find_objects(probability, way, ndim=2) for name, way in ways.items()}


def picture(image: Image, labels: Labels, truth: Labels | None = None) -> NDArray[np.uint8]:
    """Return the image with objects outlined in yellow, and the truth (or background paint) in cyan."""
    low, high = np.percentile(image, (1, 99.8))
    grey = np.clip((image - low) / max(high - low, 1e-9), 0, 1)
    drawn = grey[..., :3] if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=-1)
    if truth is not None:
        drawn = mark_boundaries(drawn, truth, color=(0, 1, 1), mode="inner")
    drawn = mark_boundaries(drawn, labels, color=(1, 1, 0), mode="inner")
    return (drawn * 255).astype(np.uint8)
