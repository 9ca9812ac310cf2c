"""What a network predicts for an image, and the label images read from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Mode
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig, find_objects, number_in_raster_order

PredictionKind = Literal["objects", "classes", "probabilities"]


@dataclass(frozen=True, eq=False)  # no slots: the cached labels live in the instance's __dict__
class Prediction:
    """Class probabilities of an image, and the classes and objects that follow from them.

    Parameters
    ----------
    probabilities : array (K, leading..., spatial...) float32
        Probability in [0, 1] of each of the K >= 2 classes, background first; they sum to 1. Not copied.
    ndim : int
        Number of spatial axes of the network, counted from the last. Objects do not cross the other axes.
    mode : {"objects", "classes"}
        What the classes mean: background and foreground (K = 2), or the paint values 1..K.
    instances : InstanceConfig
        How probabilities become objects.

    Raises
    ------
    InputError
        If the shape of the probabilities does not fit ``ndim`` and ``mode``.
    """

    probabilities: NDArray[np.float32] = field(repr=False)
    ndim: int
    mode: Mode = "objects"
    instances: InstanceConfig = field(default_factory=InstanceConfig)

    def __post_init__(self) -> None:
        shape = self.probabilities.shape
        if not 1 <= self.ndim < len(shape):
            raise InputError(
                f"The probabilities have shape {shape}; expected one axis of classes and at least "
                f"{self.ndim} spatial axes."
            )
        if not (shape[0] == 2 or (self.mode == "classes" and 2 < shape[0] <= np.iinfo(np.uint8).max)):
            raise InputError(
                f"The probabilities are of {shape[0]} classes; expected "
                f"{'2 to 255' if self.mode == 'classes' else '2, background and foreground'}."
            )

    @cached_property
    def classes(self) -> NDArray[np.uint8]:
        """The most probable class of every pixel as a paint value (leading..., spatial...): 1 is background.

        In objects mode 2 is foreground. Equal probabilities give the lower value, so background wins a draw.
        The thresholds of ``instances`` play no part.
        """
        best = np.full(self.probabilities.shape[1:], 1, np.uint8)
        highest = self.probabilities[0].copy()
        # Class by class: argmax would need eight bytes a pixel, and runs against memory order.
        for value, probability in enumerate(self.probabilities[1:], start=2):
            better = probability > highest
            best[better] = value
            np.maximum(highest, probability, out=highest)
        return best

    @cached_property
    def objects(self) -> NDArray[np.int32]:
        """The objects (leading..., spatial...), 0 background, found once by ``find_objects``.

        In classes mode the objects of every class but the background are found on that class's own
        probability. Where a filled hole or a threshold below 0.5 lets objects of two classes overlap, the
        more probable class has the pixel.
        """
        found = [
            find_objects(probability, self.instances, ndim=self.ndim)
            for probability in self.probabilities[1:]
        ]
        return join_classes(found, self.probabilities[1:])


def join_classes(found: Sequence[NDArray[np.int32]], probabilities: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the objects of all classes in one array, numbered in raster order.

    Parameters
    ----------
    found : sequence of arrays (…YX) int32
        The objects of every class but the background.
    probabilities : array (K - 1, …YX) float32
        Of these classes. Where objects of two overlap, the more probable class has the pixel.
    """
    objects = found[0]
    if len(found) == 1:
        return objects
    objects = objects.copy()
    # Below any probability where nothing is yet: a filled hole may hold zeros.
    highest = np.where(objects > 0, probabilities[0], np.float32(-1))
    for of_class, probability in zip(found[1:], probabilities[1:], strict=True):
        wins = (of_class > 0) & (probability > highest)
        objects[wins] = of_class[wins] + objects.max()
        highest[wins] = probability[wins]
    # An object can be covered whole: its id must leave no gap.
    return number_in_raster_order(objects)
