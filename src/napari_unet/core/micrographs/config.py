"""What a synthetic micrograph shows and how it was taken."""

from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np

from napari_unet.core.errors import InputError

Kind = Literal["nuclei", "rods", "phase", "tissue", "brightfield", "membranes", "vesicles"]

KINDS: tuple[Kind, ...] = get_args(Kind)

FLAT_ONLY: tuple[Kind, ...] = ("phase", "tissue", "brightfield")
"""Kinds of transmitted light, which have no volumes here."""

_BITS = (8, 12, 16)


@dataclass(frozen=True, slots=True)
class MicrographConfig:
    """A micrograph to be drawn; :meth:`random` gives plausible ones of a kind."""

    kind: Kind = "nuclei"  # one of `KINDS`
    diameter: float = 30.0  # of the median object in pixels: of a disc of its area; 4 to 400
    spread: float = 0.2  # standard deviation of the logarithm of the diameters, 0 to 1
    # part of the image that objects are to cover; "membranes" fill all of it, and this part is tissue
    coverage: float = 0.25
    clustering: float = 0.4  # probability that an object is put next to an earlier one, touching it
    elongation: float = 1.3  # length over width, 1 and up
    irregularity: float = 0.12  # how far outlines leave the ellipse, in radii
    texture: float = 0.3  # strength of the structure inside objects
    variety: float = 0.3  # how much objects differ in brightness
    background: float = 0.1  # structure between objects, and its brightness
    haze: float = 0.2  # light from out of focus, and objects that are nothing but that
    debris: int = 5  # specks that are no objects
    inverted: bool = False  # dark for bright
    blur: float = 1.0  # standard deviation of the point spread in pixels
    unevenness: float = 0.2  # how much darker the darkest part of the field is lit
    photons: float = 400.0  # photons that white stands for: the fewer, the noisier
    read_noise: float = 0.01  # noise of the camera, as a part of white
    bits: int = 8  # depth of the camera: 8 gives uint8, the others uint16

    def __post_init__(self) -> None:
        for name, value, allowed in (("kind", self.kind, KINDS), ("bits", self.bits, _BITS)):
            if value not in allowed:
                choices = ", ".join(repr(choice) for choice in allowed)
                raise InputError(f"micrograph.{name} is {value!r}; choose one of {choices}.")
        limits = {
            "diameter": (4.0, 400.0),
            "elongation": (1.0, 20.0),
            "debris": (0, 10_000),
            "blur": (0.0, 20.0),
            "photons": (1.0, 1e9),
        }
        for name in (field.name for field in fields(self) if field.name not in {"kind", "inverted", "bits"}):
            low, high = limits.get(name, (0.0, 1.0))
            if not low <= getattr(self, name) <= high:
                raise InputError(
                    f"micrograph.{name} is {getattr(self, name)}; choose between {low:g} and {high:g}."
                )

    @classmethod
    def random(
        cls, kind: Kind, rng: np.random.Generator, *, diameter: tuple[float, float] = (12.0, 80.0)
    ) -> "MicrographConfig":
        """Return one of the many ways in which micrographs of a kind look.

        Parameters
        ----------
        kind : str
        rng : numpy.random.Generator
        diameter : (float, float)
            Range of the median diameter in pixels, log-uniform.
        """
        size = _log_uniform(*diameter, rng)
        rounded = kind in ("nuclei", "vesicles", "tissue", "brightfield")
        longest = {"rods": 5.0, "phase": 9.0, "vesicles": 1.15}.get(kind, 2.0)
        shortest = {"rods": 2.0, "phase": 1.6}.get(kind, 1.0)
        most = {"phase": 0.4, "tissue": 0.65}.get(kind, 0.55)
        # There is no want of light where it passes through.
        photons = (300, 50_000) if kind in FLAT_ONLY else (30, 5000)
        return cls(
            kind=kind,
            diameter=size,
            spread=rng.uniform(0.05, 0.4),
            coverage=rng.uniform(0.6, 1.0) if kind == "membranes" else rng.uniform(0.03, most),
            clustering=rng.uniform(0.0, 0.9),
            elongation=_log_uniform(shortest, longest, rng)
            if kind == "phase"
            else rng.uniform(shortest, longest),
            irregularity=rng.uniform(0.0, 0.2) if rounded else rng.uniform(0.05, 0.3),
            texture=rng.uniform(0.0, 0.7),
            variety=rng.uniform(0.05, 0.7),
            background=rng.uniform(0.0, 0.6) ** 1.5,
            haze=rng.uniform(0.0, 0.8) ** 1.5,
            debris=int(rng.integers(0, 25)) if rng.random() < 0.6 else 0,
            inverted=bool(rng.random() < (0.5 if kind in ("membranes", "rods") else 0.15)),
            blur=float(rng.uniform(0.3, 0.3 + 0.06 * size)) if rng.random() < 0.8 else 0.3,
            unevenness=rng.uniform(0.0, 0.5),
            photons=_log_uniform(*photons, rng),
            read_noise=rng.uniform(0.0, 0.01 if kind in FLAT_ONLY else 0.03),
            bits=int(rng.choice(_BITS)),
        )


def _log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
