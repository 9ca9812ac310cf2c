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

    Parameters
    ----------
    image : array
        As its layer holds it.
    channels : {"auto", "none", "first", "last"}
        Where its channel axis is.
    plane : tuple of int, optional
        Index into all its axes but the channels, of which as many as the network does not see are used; None
        segments every plane.
    looked_at : tuple of float, optional
        The pixel in the middle of the view, along all its axes but the channels: segmented first.
    folder : pathlib.Path, optional
        Where results go if the image does not fit into the memory.
    name : str
        Of the image, by which results there are named.
    pixel_size : PixelSize, optional
        Kept with results there.
    """

    image: Any
    channels: Channels
    plane: tuple[int, ...] | None = None
    looked_at: tuple[float, ...] | None = None
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
    """Source ``number`` is segmented.

    Parameters
    ----------
    number : int
        Index of the source.
    results : mapping of kind to array
        Objects and classes (…YX), probabilities (K, …YX), of the plane alone where one was asked for.
    plane : tuple of int
        Where that plane is in the stack; () for everything.
    shape : tuple of int
        …YX of the whole image.
    complete : bool
        Whether all tiles were finished before the stop.
    rereading : Rereading or None
        What other objects can be read from, unless none were asked for or it would be too large to keep.
    scaled : ImageScaled or None
        How the image was scaled for a starter.
    """

    number: int
    results: Mapping[Kind, NDArray[Any]]
    plane: tuple[int, ...]
    shape: tuple[int, ...]
    complete: bool
    rereading: Rereading | None
    scaled: ImageScaled | None = None


RunEvent = SourceWanted | PreviewBegun | TilesDone | Segmented | StoredOnDisk | ImageFailed
