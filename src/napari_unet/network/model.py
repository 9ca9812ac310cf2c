"""A trained network and everything needed to use it and to say how it came to be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_unet.core.annotation import Mode
from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.configs import check_kind
from napari_unet.core.instances import InstanceConfig
from napari_unet.network.config import TrainingConfig, UNetConfig

if TYPE_CHECKING:
    from torch import Tensor


Score = tuple[int, float, float, float, float, float] | tuple[int, float, float, float]
"""A validation: (step, seconds, score, loss, low, high). Early files lack the interval, low to high."""


@dataclass(frozen=True, slots=True)
class History:
    """How a training went.

    A continued training has one history: its steps and seconds run on from session to session.
    ``losses`` holds (step, seconds, loss) for every step, ``scores`` a :data:`Score` for every validation;
    both are thinned after 4096 steps, see :func:`napari_unet.network.record.thin_curve`.
    """

    losses: tuple[tuple[int, float, float], ...] = field(default=(), repr=False)
    scores: tuple[Score, ...] = field(default=(), repr=False)
    best_step: int = 0
    steps: int = 0
    seconds: float = 0.0
    device: str = ""
    started: str = ""
    """Date and time the first session began, ISO 8601 with UTC offset."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Library versions of the last session, by name."""
    scored_on: str = ""
    """Which paint the kept score is of: "held-out", "training" or "validation"; "" where it is not known."""
    sessions: tuple[tuple[str, int, float], ...] = ()
    """For every session when it began, as ``started``, and the steps and seconds there were at its end."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Network configuration, weights, normalisation and training record; what a model file holds.

    Parameters
    ----------
    network : UNetConfig
        Shape of the network.
    weights : mapping of str to torch.Tensor
        The state dict, float32 (counters: int64), on the CPU.
    normalisation : Normalisation
        How intensities were scaled, and are at predict time.
    mode : {"objects", "classes"}
        What the output classes mean: background and foreground, or the paint values 1..K.
    class_names : tuple of str
        One name for each of the K output classes, background first.
    training : TrainingConfig
        The configuration it was trained with.
    history : History
        Curve, duration, device and versions.
    instances : InstanceConfig
        How its probabilities are best read, fitted to the paint it learnt from; see
        :mod:`napari_unet.core.objects.instance_fit`.
    object_size : float, optional
        Of a starter, the diameter in pixels that objects have in images it sees best; any image is scaled
        so, see ``PredictionConfig.object_size``. None for a model of its own images alone.
    pixel_size : tuple of float, optional
        Size of a pixel of the images it learnt from along each spatial axis, in micrometres; None where it
        is not known, or not one.
    origin : str
        Where its weights, or those it was trained from, come from, in words: a starter, another model, or
        elsewhere; "" if they were random.
    """

    network: UNetConfig
    weights: "Mapping[str, Tensor]" = field(repr=False)
    normalisation: Normalisation
    mode: Mode
    class_names: tuple[str, ...]
    training: TrainingConfig = field(repr=False)
    history: History
    instances: InstanceConfig = field(default_factory=InstanceConfig)
    object_size: float | None = None
    pixel_size: tuple[float, ...] | None = None
    origin: str = ""

    @property
    def is_starter(self) -> bool:
        """Whether it is made for images of any scale and any number of channels."""
        return self.object_size is not None


def check_model(model: object) -> None:
    """Raise ``InputError`` unless ``model`` is one, and not its name, for example."""
    check_kind(model, Model, "model", "what load_model or load_starter returns")
