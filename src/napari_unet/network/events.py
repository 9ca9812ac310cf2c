"""What a running training or prediction says of itself.

Long work is a generator of these frozen events; docks, command line and scripts all drain the same generator.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_unet.core.instances import InstanceConfig
    from napari_unet.core.learning.dataset import ScoredOn
    from napari_unet.core.objects.prediction import Prediction
    from napari_unet.core.tiling import Tile
    from napari_unet.network.learning.state import TrainingState
    from napari_unet.network.model import History, Model


@dataclass(frozen=True, slots=True)
class Started:
    """Training is about to make its first step.

    ``device`` is in words, such as "CPU, 2 cores"; ``precision`` the arithmetic in use; ``parameters``
    the number of trainable values; ``images`` the number of annotated planes or volumes; ``known_pixels``
    those with paint.
    """

    device: str
    precision: str
    parameters: int
    images: int
    known_pixels: int


@dataclass(frozen=True, slots=True, eq=False)
class Continued:
    """Training goes on where an earlier one stopped, its optimiser included.

    ``history`` is the curve so far: later events count their steps and seconds from its ``steps`` and
    ``seconds``. ``same_data`` is False where paint, images or what they are read with have changed since; the
    scores before and after do not compare then.
    """

    history: "History"
    same_data: bool

    @property
    def message(self) -> str:
        """One sentence for the user."""
        words = f"Going on from step {self.history.steps} with its optimiser"
        return f"{words}." if self.same_data else f"{words}; paint, images or settings have changed since."


@dataclass(frozen=True, slots=True)
class StepDone:
    """One optimiser step is done.

    ``loss`` is the weighted cross-entropy of its batch, ``seconds`` the training time so far.
    """

    step: int
    loss: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Validated:
    """The averaged network was scored.

    ``score`` is the mean intersection over union of the non-background classes in [0, 1], always finite, on
    so many ``strokes`` of the ``on`` paint; ``best`` says whether these weights are now the ones that will be
    kept. In 9 of 10 trainings, ``interval`` holds the score that any number of such strokes would give;
    (0, 1) means too few strokes to know. Step 0 is the model that training went on from.
    """

    step: int
    score: float
    loss: float
    seconds: float
    on: "ScoredOn"
    best: bool
    interval: tuple[float, float] = (0.0, 1.0)
    strokes: int = 0

    @property
    def words(self) -> str:
        """The score as a user reads it."""
        low, high = self.interval
        doubt = "unsure: too few strokes" if (low, high) == (0, 1) else f"{low:.2f} to {high:.2f}"
        strokes = f"{self.strokes} stroke{'s' * (self.strokes != 1)}"
        where = {
            "held-out": f"{strokes} held out",
            "training": f"the {strokes} learnt from",
            "validation": f"{strokes} of the validation images",
        }[self.on]
        return f"score {self.score:.2f} ({doubt}) on {where}"


@dataclass(frozen=True, slots=True)
class Adapted:
    """How images are read, or how what the training begins with was fitted to them, in one sentence."""

    message: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know, in one sentence, while training goes on."""

    message: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """What :class:`Warned` said in this sentence does not hold any more."""

    message: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """Training ended; always the last event. ``model`` holds the best weights.

    "finished" is at the end of its budget, "converged" at the end of its patience. ``state`` is what another
    training needs to go on from there; None after "diverged" and "failed", where that would lead to the same
    end. After "failed" comes the exception that ended it.
    """

    reason: Literal["finished", "converged", "stopped", "diverged", "failed"]
    model: "Model"
    state: "TrainingState | None" = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a stop now would leave, except how objects are best read: save it, and a crash costs a minute.

    ``model`` and ``state`` as of :class:`Stopped`.
    """

    model: "Model"
    state: "TrainingState"


@dataclass(frozen=True, slots=True)
class PaintJoined:
    """Paint that has changed since training began is learnt from the next step on.

    ``images`` and ``known_pixels`` are as in :class:`Started`.
    """

    images: int
    known_pixels: int


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """What the averaged network makes of a part of what the user looks at.

    Of the image ``key``, on its plane ``plane`` (an index along all axes of the paint but the last two),
    ``probabilities`` (K, Y, X) float32 are those of the pixels in ``box`` (YX): means over squares of
    ``step`` pixels.
    """

    key: Hashable
    plane: tuple[int, ...]
    box: tuple[slice, slice]
    step: int
    probabilities: NDArray[np.float32]


TrainingEvent = (
    Started
    | Adapted
    | Continued
    | StepDone
    | Validated
    | Warned
    | Resolved
    | PaintJoined
    | Preview
    | Checkpoint
    | Stopped
)


@dataclass(frozen=True, slots=True)
class ImageScaled:
    """The model sees the image ``factor`` times as large, so that objects have the size it learnt from.

    ``instances`` is how its objects are read unless that is given, its smallest size in pixels of this image.
    For a starter, its objects are taken to be ``object_size`` pixels wide; an estimate that the starter is
    not sure of should be compared with the image. For other models, ``pixel_sizes`` are the width of its
    pixels and of those that the model learnt from, in micrometres.
    """

    factor: float
    instances: "InstanceConfig"
    object_size: float | None = None
    estimated: bool = False
    is_sure: bool = True
    pixel_sizes: tuple[float, float] | None = None

    @property
    def message(self) -> str:
        """One sentence for the user."""
        if self.pixel_sizes is not None:
            own, learnt = self.pixel_sizes
            return (
                f"The model sees this image at {self.factor:.3g} times its size: its pixels are {own:.3g} µm "
                f"wide, and those that the model learnt from were {learnt:.3g} µm."
            )
        taken = f"Objects are taken to be {self.object_size:.0f} pixels wide, as"
        if not self.estimated:
            return f"{taken} given."
        source = "estimated from the image" + ("" if self.is_sure else " by a starter that is not sure")
        return f"{taken} {source}; if they are not, set the object size and predict again."


@dataclass(frozen=True, slots=True, eq=False)
class TileDone:
    """One tile is final.

    ``probabilities`` (K, …YX) float32 are those of the block that ``tile.write`` covers on plane ``plane``.
    ``plane`` indexes the leading axes that the network does not see (``()`` for a single image). ``done``
    of ``total`` tiles are finished; ``total`` grows with :class:`TilesHalved`. ``share`` in (0, 1] of the
    pixels are finished, which never goes back.
    """

    plane: tuple[int, ...]
    tile: "Tile"
    probabilities: NDArray[np.float32]
    done: int
    total: int
    share: float


@dataclass(frozen=True, slots=True)
class TileStored:
    """One tile is final and on disk, where another process wrote it; fields as in :class:`TileDone`."""

    plane: tuple[int, ...]
    tile: "Tile"
    done: int
    total: int
    share: float


@dataclass(frozen=True, slots=True)
class TilesHalved:
    """The memory was not enough for a tile; what is left is done in tiles of ``tile_size`` pixels."""

    tile_size: int

    @property
    def message(self) -> str:
        """One sentence for the user."""
        return (
            f"There was not enough memory, so the work goes on in tiles of {self.tile_size} pixels; closing "
            "other programs would make it faster."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Prediction ended; always the last event.

    ``finished`` is a boolean mask (…YX) of the pixels whose tile was done, None when all were;
    unfinished pixels have probability 1 of background.
    """

    prediction: "Prediction"
    finished: NDArray[np.bool_] | None


PredictionEvent = ImageScaled | TileDone | TilesHalved | Predicted
