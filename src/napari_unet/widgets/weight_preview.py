"""The weight map of a painted stack, the visible plane first, and what it says in words."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Mode, read_paint
from napari_unet.core.control import Control
from napari_unet.core.weights import WeightConfig, border_weights, class_weights


@dataclass(frozen=True, slots=True, eq=False)
class WeightPreview:
    """A weight map (…YX) float32, 0 on planes not computed yet, and what it says, in a sentence."""

    weights: NDArray[np.float32]
    sentence: str


def preview_weights(
    paint: NDArray[Any], config: WeightConfig, mode: Mode, visible: tuple[int, ...], control: Control
) -> Iterator[WeightPreview]:
    """Compute the weight map as training on planes does: borders within each plane, class balance over all.

    Parameters
    ----------
    paint : array (…YX) of integers
        The paint of an image or stack.
    config : WeightConfig
        The formula's parameters.
    mode : {"objects", "classes"}
        What the values mean.
    visible : tuple of int
        Index of the plane that the user sees, along all axes but the last two.
    control : Control
        Polled once per plane; when stopped, the iterator ends.

    Yields
    ------
    WeightPreview
        The visible plane, if there are others with paint; then all of them.

    Raises
    ------
    InputError
        If ``paint`` is not paint.
    """
    painted = [plane for plane in np.ndindex(paint.shape[:-2]) if paint[plane].any()]
    painted.sort(key=lambda plane: plane != visible)
    n_classes = 2 if mode == "objects" else max(2, int(paint.max(initial=0)))
    annotations = [read_paint(paint[plane], mode, n_classes=n_classes) for plane in painted]
    pixels = np.zeros(n_classes, np.int64)
    for annotation in annotations:
        pixels += np.bincount(annotation.target[annotation.known], minlength=n_classes)
    unbalanced = replace(config, class_balance="none")
    balance = class_weights(pixels, config) - class_weights(pixels, unbalanced)
    weights = np.zeros(paint.shape, np.float32)
    of_class = np.zeros(paint.shape, np.float32)
    for number, (plane, annotation) in enumerate(zip(painted, annotations, strict=True), start=1):
        if control.stopped:
            return
        weights[plane] = border_weights(paint[plane], unbalanced, mode=mode)
        weights[plane] += balance[annotation.target] * annotation.known
        of_class[plane] = class_weights(pixels, config)[annotation.target] * annotation.known
        if number == 1 and len(painted) > 1:
            yield WeightPreview(weights.copy(), _in_words(weights, of_class, config))
    yield WeightPreview(weights, _in_words(weights, of_class, config))


def _in_words(weights: NDArray[np.float32], of_class: NDArray[np.float32], config: WeightConfig) -> str:
    """Say how much borders count, compared with what the same pixels count by their class alone."""
    known = of_class > 0
    if not known.any():
        return "Nothing is painted yet, so nothing counts; paint background and a few objects."
    times = weights[known] / of_class[known]
    if config.w0 == 0:
        return "There is no border term (w0 is 0): a pixel counts by its class alone."
    if times.max() < 1.01:
        return (
            "No two painted objects are close enough for a border between them; paint objects that touch, "
            "with background in the gap, or choose a larger \N{GREEK SMALL LETTER SIGMA}."
        )
    share = 100 * np.count_nonzero(times >= 1.5) / times.size
    return (
        f"Where objects are closest, a pixel counts up to {times.max():.1f} times as much as by its class "
        f"alone; {share:.0f} % of the paint is border (1.5 times or more)."
    )
