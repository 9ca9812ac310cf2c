"""What the Predict dock and its worker thread tell each other while images are segmented."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from numpy.typing import NDArray

from napari_unet.core.arrays.axes import Channels
from napari_unet.core.objects.preview import Kind as PreviewKind
from napari_unet.core.objects.preview import PreviewPart
from napari_unet.core.objects.rereading import Rereading
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.results.large_prediction import Kind as FileKind
from napari_unet.network.events import ImageScaled
from napari_unet.network.tiles.in_turn import ImageFailed
from napari_unet.widgets.bridge.layers import Kind


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An image to segment, or one plane of it.

    ``plane`` is an index into all its axes but the channels, of which as many as the network does not see are
    used; None segments every plane. ``folder`` is where results go if the image does not fit into the memory;
    they are named by ``name``, and ``pixel_size`` is kept with them.
    """

    image: Any  # as its layer holds it
    channels: Channels
    plane: tuple[int, ...] | None = None
    looked_at: tuple[float, ...] | None = None  # the pixel in the middle of the view: segmented first
    folder: Path | None = None
    name: str = "image"
    pixel_size: PixelSize | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SourceWanted:
    """It is the turn of source ``number``: the dock answers with it, or with a sentence on why there is none.

    Asked for one by one, so that no more than one image is copied at a time, and on the main thread.
    """

    number: int
    answer: "SimpleQueue[Source | str]"


@dataclass(frozen=True, slots=True, eq=False)
class PreviewBegun:
    """Source ``number`` is being segmented: a preview can be shown of it.

    ``steps`` are the pixels of the image from one of its pixels to the next, along each axis.
    """

    number: int
    shape: tuple[int, ...]
    kind: PreviewKind
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TilesDone:
    """A ``share`` (0 to 1) of source ``number`` is finished.

    ``note`` is what the user should know, or ""; ``part`` is what the preview shows of the tile.
    """

    number: int
    share: float
    note: str
    part: PreviewPart | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StoredOnDisk:
    """Source ``number`` was segmented to disk, ``outputs`` being the zarr folders by kind.

    Not ``finished`` after a stop: what is done of it is kept, and the same prediction goes on there.
    """

    number: int
    outputs: Mapping[FileKind, Path]
    finished: bool


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """Source ``number`` is segmented."""

    number: int
    results: Mapping[Kind, NDArray[Any]]  # (…YX), probabilities (K, …YX); of the plane if one was asked for
    plane: tuple[int, ...]  # where that is in the stack; () for everything
    shape: tuple[int, ...]  # …YX of the whole image
    complete: bool  # all tiles were finished before the stop
    rereading: Rereading | None  # to read other objects from, unless none were asked for or it is too large
    scaled: ImageScaled | None = None  # for a starter


RunEvent = SourceWanted | PreviewBegun | TilesDone | Segmented | StoredOnDisk | ImageFailed
