"""What the network, its training and its predictions can be set to.

Frozen dataclasses, checked when they are made, saved with every model and written as TOML. Nothing here
imports torch: docks and the command line can build a configuration before the (slow) import of torch.
"""

from dataclasses import dataclass, field
from math import inf
from numbers import Integral, Real
from typing import Literal

from napari_unet.core.annotation import Mode
from napari_unet.core.arrays.axes import Channels
from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.configs import check_choices, check_number, make_plain
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise InputError(sentence)


def _is_object_size(value: object) -> bool:
    if isinstance(value, Real):
        return 2 <= float(value) <= 2000
    return value in ("estimate", "unscaled")


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """The shape of a U-Net; see :class:`napari_unet.network.unet.UNet`.

    Parameters
    ----------
    ndim : {2, 3}
        Number of spatial axes the convolutions run over.
    in_channels : int
        Channels of the image, C. Training sets it from the images.
    classes : int
        Output classes, K >= 2, background included. Training sets it from the paint.
    levels : int
        Number of pooling steps (the paper's network has 4).
    features : int
        Feature maps of the first level; every level below has twice as many.
    padding : {"same", "valid"}
        "same" pads every convolution with zeros, so the output has the size of the input; "valid" does
        not, as in the paper, so the output is smaller by a fixed margin.
    upsampling : {"convolution", "nearest", "linear", "aligned"}
        2x up-convolution (transposed), or nearest / (bi|tri)linear interpolation with a 1x1 convolution.
        "aligned" is linear with the corner pixels of input and output aligned, as networks from elsewhere may
        have it: where it looks depends on the size of the image, so such a network must see whole images.
    pooling : {"max", "average"}
        How 2x2 (2x2x2) pixels become one.
    norm : {"batch", "none"}
        Batch normalisation after every 3x3 convolution, or none, as in the paper. Norms whose statistics
        depend on the tile (group, instance) are left out on purpose: tiled prediction could not equal
        whole-image prediction.
    dropout : float
        Probability in [0, 1) of dropping a feature map at the end of the contracting path, as in the paper.
    distance : bool
        Whether a second head learns how deep each pixel lies in its object, from objects painted in full; see
        :mod:`napari_unet.core.painted.object_distance`. It teaches the features where touching objects part;
        predictions do without it. Training sets it from the paint.
    """

    ndim: Literal[2, 3] = 2
    in_channels: int = 1
    classes: int = 2
    levels: int = 4
    features: int = 16
    padding: Literal["same", "valid"] = "same"
    upsampling: Literal["convolution", "nearest", "linear", "aligned"] = "linear"
    pooling: Literal["max", "average"] = "max"
    norm: Literal["batch", "none"] = "batch"
    dropout: float = 0.0
    distance: bool = False

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("ndim", "in_channels", "classes", "levels", "features"):
            check_number(Integral, f"network.{name}", getattr(self, name))
        check_choices(self, "network")
        _require(
            1 <= self.in_channels < 2**16,
            f"network.in_channels is {self.in_channels}; an image has 1 to 65535 channels.",
        )
        _require(
            2 <= self.classes < 2**16,
            f"network.classes is {self.classes}; choose 2 (background and one more) to 65535.",
        )
        _require(1 <= self.levels <= 7, f"network.levels is {self.levels}; choose between 1 and 7.")
        _require(1 <= self.features <= 512, f"network.features is {self.features}; choose between 1 and 512.")
        _require(
            self.upsampling != "aligned" or self.padding == "same",
            "network.upsampling is 'aligned' and network.padding 'valid'; choose padding 'same' with it.",
        )
        check_number(Real, "network.dropout", self.dropout)
        _require(
            0 <= self.dropout < 1, f"network.dropout is {self.dropout}; choose at least 0 and less than 1."
        )

    @classmethod
    def paper(cls) -> "UNetConfig":
        """Return the network of Ronneberger, Fischer & Brox (2015), figure 1: 572x572x1 in, 388x388x2 out."""
        return cls(features=64, padding="valid", upsampling="convolution", norm="none", dropout=0.5)

    @property
    def alignment(self) -> int:
        """The pooling grid in pixels, 2**levels: tiles that start on it see the same grid."""
        return int(2**self.levels)


@dataclass(frozen=True, slots=True)
class AugmentationConfig:
    """Random changes of every training patch; geometric ones move image, target and weight together.

    Parameters
    ----------
    flip : bool
        Mirror along each of the last two axes with probability 1/2 (in 3-D, along Z as well).
    rotation : float
        Largest rotation in degrees, uniform in [-rotation, rotation], in the plane of the last two axes.
    scale : float
        Largest relative zoom: the factor is log-uniform in [1/(1+scale), 1+scale].
    elastic : float
        Standard deviation in pixels of the displacements on the coarse elastic grid (the paper: 10 px on
        3x3 points).
    elastic_spacing : float
        Distance in pixels between the points of that grid.
    brightness, contrast, gamma, noise : float
        Largest shift of the normalised intensities, largest relative change of their spread, largest
        relative change of the exponent, and largest standard deviation of added Gaussian noise.
    colour : float
        Added to ``contrast`` and ``gamma``, and a third of it to ``brightness``, for images of several
        channels, each of which changes by itself: stains differ more than the light of one channel. Divided
        by the number of painted images, or planes, since several of them show how stains differ.
    """

    flip: bool = True
    rotation: float = 180.0
    scale: float = 0.2
    elastic: float = 4.0
    elastic_spacing: float = 64.0
    brightness: float = 0.1
    contrast: float = 0.2
    gamma: float = 0.2
    noise: float = 0.05
    colour: float = 0.3

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("rotation", "scale", "elastic", "brightness", "contrast", "gamma", "noise", "colour"):
            value = getattr(self, name)
            check_number(Real, f"augmentation.{name}", value)
            _require(0 <= value < inf, f"augmentation.{name} is {value}; choose 0 (off) or more.")
        check_number(Real, "augmentation.elastic_spacing", self.elastic_spacing)
        _require(
            self.elastic_spacing >= 8,
            f"augmentation.elastic_spacing is {self.elastic_spacing}; choose at least 8 pixels.",
        )

    @classmethod
    def none(cls) -> "AugmentationConfig":
        """Return the configuration that leaves every patch as it is."""
        off = dict.fromkeys(("brightness", "contrast", "gamma", "noise", "colour"), 0)
        return cls(flip=False, rotation=0, scale=0, elastic=0, **off)


_PARTS = {
    "network": UNetConfig,
    "weights": WeightConfig,
    "augmentation": AugmentationConfig,
    "normalisation": Normalisation,
}
"""The fields of a :class:`TrainingConfig` that are configurations of their own."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How a network is trained on paint.

    Parameters
    ----------
    mode : {"objects", "classes"}
        What paint values mean; see :mod:`napari_unet.core.annotation`.
    seconds : float, optional
        Wall-clock budget of the training loop in seconds (pauses do not count).
    steps : int, optional
        Number of optimiser steps.
    patience : int, optional
        Validations (one every 25 steps, on a GPU every 50) without a higher score after which training has
        converged and ends. Off by default: scores on a few strokes stand still by chance, and the best
        network is kept whenever training ends. The first of ``seconds``, ``steps`` and ``patience`` to come
        ends it; with none of them, 120 s.
    seed : int
        Seeds every random choice. On the CPU the same seed, steps and thread count give the same model,
        bit for bit.
    channels : {"auto", "none", "first", "last", "middle"}
        Where the channel axis of the images is, "middle" just before Y and X; "auto" compares the shapes of
        image and paint. Say "middle" of (Z, C, Y, X) with as many planes as channels: "auto" is "first".
    patch_size : int, optional
        Edge of the training patches in pixels; None chooses by device and dimension.
    batch_size : int, optional
        Patches per step; None chooses likewise, of another size as many as have the same pixels, 2 to 32.
    learning_rate : float
        Peak rate of AdamW.
    body_rate : float, optional
        Part of the learning rate at which the network learns. None is a fifth for a training that begins with
        a starter, so that it keeps what it knows where the paint says nothing; for a model that is trained
        further, what it was before; and 1 for random weights. It is saved with the model.
    ends_rate : float, optional
        The rate of the first layer and of the heads, as a multiple of that of all other layers. None is 5 for
        a training that begins with a starter of other channels than the images, or other classes than the
        paint, whose meaning it has yet to learn, at the whole rate; else as for ``body_rate``.
    pull : float, optional
        Part of the way back to its first weights by which every step pulls the network, in [0, 1]. None is up
        to 0.1 for a training that begins with a starter: the better it does on the paint before the first
        step, the more of it is kept. Else as for ``body_rate``, and 0 for random weights.
    held_out : float
        Fraction in [0, 0.5] of the strokes kept for validation; 0 validates on the training paint. Where
        there are validation images, nothing is held out.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Arithmetic of the convolutions; "auto" takes bfloat16 where the hardware gains by it.
    spacing : tuple of float, optional
        Pixel size along each spatial axis, for distances in the border weights: those of ``weights`` are in
        its unit. Any sequence will do, such as the scale of a layer. None counts in pixels. The docks give
        that scale divided by its smallest entry, so that distances stay in pixels, of the finest axis.
    network, weights, augmentation, normalisation
        The parts; ``network.in_channels`` and ``network.classes`` are set from the images and the paint.
    """

    mode: Mode = "objects"
    seconds: float | None = None
    steps: int | None = None
    patience: int | None = None
    seed: int = 0
    channels: Channels = "auto"
    patch_size: int | None = None
    batch_size: int | None = None
    learning_rate: float = 5e-3
    body_rate: float | None = None
    ends_rate: float | None = None
    pull: float | None = None
    held_out: float = 0.2
    precision: Precision = "auto"
    spacing: tuple[float, ...] | None = None
    network: UNetConfig = field(default_factory=UNetConfig)
    weights: WeightConfig = field(default_factory=lambda: WeightConfig.preset("gentle"))
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    normalisation: Normalisation = field(default_factory=Normalisation)

    def __post_init__(self) -> None:
        make_plain(self)
        check_choices(self, "training")
        for name in ("steps", "patience", "seed", "patch_size", "batch_size"):
            check_number(Integral, f"training.{name}", getattr(self, name), optional=name != "seed")
        for name, part in _PARTS.items():
            value = getattr(self, name)
            _require(
                isinstance(value, part), f"training.{name} is {value!r}; give one of type {part.__name__}."
            )
        for name in ("learning_rate", "held_out"):
            check_number(Real, f"training.{name}", getattr(self, name))
        for name in ("seconds", "body_rate", "ends_rate", "pull"):
            check_number(Real, f"training.{name}", getattr(self, name), optional=True)
        if self.spacing is not None:  # such as the scale of a layer, an array, which no file could hold
            try:
                object.__setattr__(self, "spacing", tuple(map(float, self.spacing)))
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"training.spacing is {self.spacing!r}; give one number for each axis."
                ) from error
        _require(
            self.seconds is None or self.seconds > 0,
            f"training.seconds is {self.seconds}; choose more than 0, or leave it out.",
        )
        for name in ("steps", "patience", "batch_size"):
            value = getattr(self, name)
            _require(
                value is None or value >= 1,
                f"training.{name} is {value}; choose at least 1, or leave it out.",
            )
        _require(
            self.pull is None or 0 <= self.pull <= 1,
            f"training.pull is {self.pull}; choose between 0 (off) and 1, or leave it out.",
        )
        _require(0 <= self.seed < 2**63, f"training.seed is {self.seed}; choose 0 or more, below 2**63.")
        _require(
            self.patch_size is None or self.patch_size >= 16,
            f"training.patch_size is {self.patch_size}; choose at least 16 pixels, or leave it out.",
        )
        _require(
            0 < self.learning_rate < 1,
            f"training.learning_rate is {self.learning_rate}; choose between 0 and 1.",
        )
        for name, share in (("body_rate", self.body_rate), ("ends_rate", self.ends_rate)):
            _require(
                share is None or 0 < share <= 100,
                f"training.{name} is {share}; choose more than 0, up to 100, or leave it out.",
            )
        _require(
            0 <= self.held_out <= 0.5, f"training.held_out is {self.held_out}; choose between 0 and 0.5."
        )
        _require(
            self.spacing is None or all(size > 0 for size in self.spacing),
            f"training.spacing is {self.spacing}; every pixel size must be more than 0.",
        )

    @property
    def is_after_starter(self) -> bool:
        """Whether it begins with a starter or what came of one, and so learns gently; see ``body_rate``."""
        return self.body_rate is not None and self.body_rate < 1


@dataclass(frozen=True, slots=True)
class PredictionConfig:
    """How a trained network segments an image.

    Parameters
    ----------
    tile_size : int, optional
        Edge in pixels of the block each tile writes, rounded up to the pooling grid; None plans it from
        free memory. The result does not depend on it.
    channels : {"auto", "none", "first", "last", "middle"}
        Where the channel axis of the image is, "middle" just before Y and X; "auto" compares its shape with
        what the model expects. Say "middle" of (Z, C, Y, X) with as many planes as channels.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Arithmetic of the convolutions; "auto" takes bfloat16 where the hardware gains by it. An NVIDIA GPU
        computes "float32" in float64, which most of them do slowly: then tiles of any size agree.
    test_time_augmentation : bool
        Whether the network sees every tile in eight orientations, whose probabilities are averaged: a little
        better, and eight times slower. See :mod:`napari_unet.network.orientation`.
    instances : InstanceConfig, optional
        How probabilities become objects; None takes what was fitted to the paint that the model learnt from.
    object_size : float, "estimate" or "unscaled"
        For a starter: the diameter of the objects in pixels of the image, which is scaled so that they are as
        large as those the starter learnt from, while all results are on the grid of the image. "estimate"
        finds it out from the image; "unscaled" takes the image as it is. For other models, "estimate" scales
        an image with another pixel size than those the model learnt from, where both are known.
    contrast : float
        Factor of the normalised intensities; above 1 it makes dim objects brighter, below 1 it calms bright
        ones. 1 is the contrast that follows from the image's own percentiles.
    """

    tile_size: int | None = None
    channels: Channels = "auto"
    precision: Precision = "auto"
    test_time_augmentation: bool = False
    instances: InstanceConfig | None = None
    object_size: float | Literal["estimate", "unscaled"] = "estimate"
    contrast: float = 1.0

    def __post_init__(self) -> None:
        make_plain(self)
        _require(
            _is_object_size(self.object_size),
            f"prediction.object_size is {self.object_size!r}; choose 2 to 2000 pixels, 'estimate' or "
            "'unscaled'.",
        )
        check_number(Real, "prediction.contrast", self.contrast)
        _require(
            0.1 <= self.contrast <= 10,
            f"prediction.contrast is {self.contrast}; choose between 0.1 and 10.",
        )
        _require(
            self.instances is None or isinstance(self.instances, InstanceConfig),
            f"prediction.instances is {self.instances!r}; give one of type InstanceConfig, or leave it out.",
        )
        check_number(Integral, "prediction.tile_size", self.tile_size, optional=True)
        _require(
            self.tile_size is None or self.tile_size >= 1,
            f"prediction.tile_size is {self.tile_size}; choose at least 1 pixel, or leave it out.",
        )
        eightfold = self.test_time_augmentation
        _require(
            eightfold in (True, False),
            f"prediction.test_time_augmentation is {eightfold!r}; choose True or False.",
        )
        check_choices(self, "prediction")
