"""The numbers that shape the weight map, and the class weights that follow from them alone."""

from dataclasses import dataclass, replace
from sys import float_info
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.configs import check_choices, make_plain
from napari_unet.core.errors import InputError

ClassBalance = Literal["auto", "inverse", "none"]

Preset = Literal["gentle", "paper", "freiburg"]

_COMPLETE = 0.9
"""Part of the pixels from which on paint counts as complete: it then shows how frequent each class is."""

_GENTLE = 3.0
"""Height of the border term for a few filled objects: with the paper's, the network finds fewer."""

_NUMBERS = (int, float)

_MOST = 1e6
"""Far beyond what is of use; sums of much larger weights would leave the range of float32."""

CLASS_WEIGHT_RANGE = (0.1, 10.0)
"""Inverse class frequencies are clipped to this range: a speck of a class must not drown all the others."""

TOLERANCE = 1e-3
"""The border term is left out where it is smaller than this part of w0, so it is never wrong by more."""


@dataclass(frozen=True, slots=True)
class WeightConfig:
    """How the weight map is made from paint.

    ``w = known * (class weight + border term + halo term)``; see :func:`border_weights`. The defaults are the
    paper's.

    Parameters
    ----------
    w0 : float
        Height of the border term, >= 0.
    sigma : float
        Width of the border term in pixels, or in the unit of ``spacing``; > 0.
    class_balance : {"auto", "inverse", "none"}
        "inverse" multiplies the weight of every class c by ``N / (K n_c)``, clipped to [0.1, 10]: of N known
        pixels in K classes, n_c are of class c. Its mean over the known pixels is 1 unless the clip acts.
        "auto" does so too, except where at least nine of ten pixels are known, of all the paint together: as
        much of a class is painted then as there is, and balance would widen rare objects.
    foreground, background : float
        Weight of a pixel of each before class balance, >= 0.
    border_in_foreground : bool
        Whether border and halo terms count inside objects too, or in the background and seams only.
    halo, halo_sigma : float
        Height (>= 0) and width (> 0, as ``sigma``) of ``halo exp(-d1^2 / (2 halo_sigma^2))``, which raises
        the background near any object.
    """

    w0: float = 10.0
    sigma: float = 5.0
    class_balance: ClassBalance = "inverse"
    foreground: float = 1.0
    background: float = 1.0
    border_in_foreground: bool = True
    halo: float = 0.0
    halo_sigma: float = 10.0

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("w0", "foreground", "background", "halo"):
            value = getattr(self, name)
            if not (isinstance(value, _NUMBERS) and 0 <= value <= _MOST):
                raise InputError(f"weights.{name} is {value!r}; choose 0 or more, up to a million.")
        for name in ("sigma", "halo_sigma"):
            value = getattr(self, name)
            if not (isinstance(value, _NUMBERS) and 0 < value <= float_info.max):
                raise InputError(f"weights.{name} is {value!r}; choose a distance of more than 0.")
        if not isinstance(self.border_in_foreground, bool):
            raise InputError(
                f"weights.border_in_foreground is {self.border_in_foreground!r}; choose true or false."
            )
        check_choices(self, "weights")

    @classmethod
    def preset(cls, name: str) -> "WeightConfig":
        """Return the configuration of the 2015 "paper", a "gentle" one, or that of the "freiburg" plugin.

        "gentle" is the paper's with a lower border term, chosen for training on a few filled objects, and
        classes balanced only where paint is not complete (docs/tried.md); "freiburg" is of Falk et al. 2019.

        Raises
        ------
        InputError
            If there is no preset of that name.
        """
        if name == "paper":
            return cls()
        if name == "gentle":
            return cls(w0=_GENTLE, class_balance="auto")
        if name == "freiburg":
            return cls(
                w0=50.0,
                sigma=6.0,
                class_balance="none",
                background=0.1,
                border_in_foreground=False,
                halo=0.9,
                halo_sigma=10.0,
            )
        choices = ", ".join(repr(preset) for preset in get_args(Preset))
        raise InputError(f"There is no weight preset {name!r}; choose one of {choices}.")


def settled(config: WeightConfig, known: int, total: int) -> WeightConfig:
    """Return the configuration for paint of which so many pixels are known, with "auto" decided."""
    if config.class_balance != "auto":
        return config
    return replace(config, class_balance="none" if known >= _COMPLETE * total else "inverse")


def class_weights(pixels: NDArray[np.int64], config: WeightConfig) -> NDArray[np.float32]:
    """Return the weight of each class (K,), before border and halo terms.

    Parameters
    ----------
    pixels : array (K,) of integers
        Known pixels of each class, background first: of one image, or of all images of a training.
    config : WeightConfig
        With a class balance that is :func:`settled`.
    """
    weights = np.full(pixels.size, config.foreground, np.float32)
    weights[0] = config.background
    if config.class_balance == "inverse":
        # An absent class has no pixel that its weight could count for; 1 only avoids the division by zero.
        mean = pixels.sum() / max(np.count_nonzero(pixels), 1)
        weights *= np.clip(mean / np.maximum(pixels, 1), *CLASS_WEIGHT_RANGE)
    return weights
