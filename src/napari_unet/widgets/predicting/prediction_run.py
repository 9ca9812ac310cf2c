"""What the Predict dock computes in its worker thread, images in, labels or files out; and its events."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.axes import EXPLICIT_CHANNELS, Channels, channels_first
from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.arrays.runs import count_values
from napari_unet.core.arrays.sparse import copy_planes
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.objects.prediction import Prediction, PredictionKind
from napari_unet.core.objects.preview import Previewer, PreviewPart
from napari_unet.core.objects.rereading import Rereading
from napari_unet.files.atomic import check_writable
from napari_unet.files.pixels.pixel_size import common_pixel_size
from napari_unet.files.pixels.world_axes import Axis, size_along
from napari_unet.files.results.large_prediction import Stored, fits_into_memory, predict_to_zarr, share_done
from napari_unet.network.config import PredictionConfig
from napari_unet.network.events import ImageScaled, Predicted, TileDone, TilesHalved
from napari_unet.network.in_turn import ImageFailed, in_turn
from napari_unet.network.model import Model
from napari_unet.widgets.predicting.object_counts import ObjectCounts


@dataclass(frozen=True, slots=True, eq=False)
class SourceImage:
    """An image to segment, or one plane of it.

    ``plane`` is an index along all its axes except the channels; only the leading ones, which the network
    does not see, are used; None segments every plane. ``folder`` is for the results if the image does not fit
    into the memory; they are named by ``name``, and ``axes``, all except the channels, are kept with them.
    """

    image: Any  # the data of its layer; what is segmented of them is copied, unless they are lazy
    channels: Channels
    plane: tuple[int, ...] | None = None
    looked_at: tuple[float, ...] | None = None  # the pixel in the middle of the view: segmented first
    folder: Path | None = None
    name: str = "image"
    axes: tuple[Axis, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SourceWanted:
    """Source ``number`` is next: the dock answers with it, or with a sentence on why there is none.

    Sources are asked for one by one, so that only one image is copied at a time.
    """

    number: int
    answer: "SimpleQueue[SourceImage | str]"


@dataclass(frozen=True, slots=True, eq=False)
class PreviewBegun:
    """Source ``number`` is being segmented: a preview of it can be shown.

    ``steps`` are the pixels of the image from one of its pixels to the next, along each axis.
    """

    number: int
    shape: tuple[int, ...]
    kind: PredictionKind
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TilesDone:
    """A ``share`` (0 to 1) of source ``number`` is finished.

    ``note`` is what the user should know, or ""; ``part`` is the tile in the preview.
    """

    number: int
    share: float
    note: str
    part: PreviewPart | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StoredOnDisk:
    """Source ``number`` was segmented to disk; ``outputs`` are the zarr folders by kind.

    Not ``finished`` after a stop: what is done is kept, and the same prediction can go on there.
    """

    number: int
    outputs: Mapping[PredictionKind, Path]
    finished: bool


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """Source ``number`` is segmented."""

    number: int
    results: Mapping[
        PredictionKind, NDArray[Any]
    ]  # (…YX), probabilities (K, …YX); of the plane if one was asked for
    plane: tuple[int, ...]  # where that is in the stack; () for everything
    shape: tuple[int, ...]  # …YX of the whole image
    complete: bool  # all tiles were finished before the stop
    rereading: Rereading | None  # to read objects from again; None without objects, or if too large
    scaled: ImageScaled | None = None
    counts: ObjectCounts | None = None  # None without objects
    areas: tuple[int, ...] = ()  # pixels of each class, from 1 on; () without classes
    # copies of the labels of a whole image: what the user edits in the labels is told from these
    as_predicted: Mapping[PredictionKind, NDArray[Any]] = field(default_factory=dict)


RunEvent = SourceWanted | PreviewBegun | TilesDone | Segmented | StoredOnDisk | ImageFailed


MOST_KEPT = 2**31
"""Bytes of probabilities kept for all predictions together: 128 images of 2048² with one class."""


@dataclass(frozen=True)  # no slots: they would clash with those of the base class
class _KnownLimits(Normalisation):
    """The intensity limits of the stack that a plane belongs to: alone it would be scaled differently."""

    known: NDArray[np.float64] | None = None

    def limits(self, image: Pixels) -> NDArray[np.float64]:
        return super().limits(image) if self.known is None else self.known


def segment(
    path: Path,
    count: int,
    kinds: Sequence[PredictionKind],
    config: PredictionConfig,
    *,
    device: str,
    keep_unfinished: bool,
    control: Control,
) -> Iterator[RunEvent]:
    """Segment images one after the other; objects are also found here, not on the main thread.

    Parameters
    ----------
    path : pathlib.Path
        Model file.
    count : int
        Number of sources; each is asked for with :class:`SourceWanted` when its turn comes.
    config : PredictionConfig
        Its ``channels`` are those of each source.
    keep_unfinished : bool
        Whether to return the tiles that were finished before a stop.

    Raises
    ------
    InputError
        If the model cannot be read, or the only image does not suit it or the memory. If one of several
        images fails, an :class:`ImageFailed` is yielded and the others are segmented.
    """
    from napari_unet.files.networks.models import load_model  # torch takes seconds to import

    model = load_model(path)
    config = replace(config, channels="first")

    def one(number: int) -> Iterator[RunEvent]:
        wanted = SourceWanted(number, SimpleQueue())
        yield wanted
        source = _receive(wanted, control)
        if isinstance(source, str):
            yield ImageFailed(number, source)
        if not isinstance(source, SourceImage):
            return
        request, network = _Request(number, _read(source, model), kinds, config), model.network
        if fits_into_memory(request.image.pixels, classes=network.classes, in_channels=network.in_channels):
            yield from _in_memory(request, source, device, keep_unfinished, control)
        else:
            yield from _on_disk(request, source, device, control)

    yield from one(0) if count == 1 else in_turn(one, count, control)


def _in_memory(
    request: "_Request", source: SourceImage, device: str, keep_unfinished: bool, control: Control
) -> Iterator[RunEvent]:
    from napari_unet.network.prediction import predict_events

    yield request.begun
    image, note, scaled = request.image, "", None
    for event in predict_events(
        image.model,
        image.pixels,
        request.config,
        device=device,
        pixel_size=common_pixel_size([size_along(source.axes)], image.model.network.ndim),
        control=control,
        start_at=image.start_at,
        kinds=request.kinds,
    ):
        if isinstance(event, ImageScaled):
            scaled, note = event, event.message
            request.suit(event)
        elif isinstance(event, TileDone):
            yield TilesDone(request.number, event.share, note, request.part(event))
        elif isinstance(event, TilesHalved):
            note = event.message
        elif event.finished is None or (keep_unfinished and event.finished.any()):
            results = _results(event, request.kinds)
            objects = results.get("objects")
            labels = () if image.plane else results.keys() - {"probabilities"}
            yield Segmented(
                request.number,
                results,
                plane=image.plane,
                shape=image.shape,
                complete=event.finished is None,
                rereading=_rereading(event, request.kinds, image.plane),
                scaled=scaled,
                counts=None
                if objects is None
                else ObjectCounts.of(objects, image.model.network.ndim, source.axes),
                areas=_areas(results, image.model.network.classes),
                as_predicted={kind: copy_planes(results[kind]) for kind in labels},
            )


def _areas(results: Mapping[PredictionKind, NDArray[Any]], classes: int) -> tuple[int, ...]:
    if "classes" not in results:
        return ()
    pixels = count_values(results["classes"])
    return tuple(pixels.get(value, 0) for value in range(1, classes + 1))


def _on_disk(request: "_Request", source: SourceImage, device: str, control: Control) -> Iterator[RunEvent]:
    image = request.image
    sides = " × ".join(map(str, image.pixels.shape[1:]))
    if image.plane:
        raise InputError(
            f"The slice of {sides} pixels is too large to be segmented in memory; untick 'only the slice "
            "shown', so that the whole image is segmented on disk."
        )
    if source.folder is None:
        raise InputError(
            f"The image of {sides} pixels is too large for the memory; press Predict, "
            "which segments it on disk, or crop it."
        )
    check_writable(source.folder / source.name)
    yield request.begun
    note = f"It is too large for the memory, so its results go to {source.folder}."
    for event in predict_to_zarr(
        image.model,
        image.pixels,
        source.folder,
        source.name,
        request.config,
        kinds=request.kinds,
        axes=source.axes,
        pixel_size=size_along(source.axes),
        device=device,
        control=control,
        start_at=image.start_at,
    ):
        share = share_done(event)
        if isinstance(event, ImageScaled):
            request.suit(event)
        if isinstance(event, ImageScaled | TilesHalved):
            note = event.message
        elif share is not None:
            part = request.part(event) if isinstance(event, TileDone) else None
            yield TilesDone(request.number, share, note, part)
        elif isinstance(event, Stored):
            yield StoredOnDisk(request.number, event.outputs, event.finished)


def _receive(wanted: SourceWanted, control: Control) -> SourceImage | str | None:
    """Return what the dock answers, or None after a stop: a dock that was deleted never answers."""
    while not control.stopped:
        with suppress(Empty):
            return wanted.answer.get(timeout=0.05)
    return None


@dataclass(frozen=True, slots=True, eq=False)
class _ReadImage:
    """An image as the network takes it."""

    pixels: Pixels  # (C, …YX) of the image, or of one plane of it
    plane: tuple[int, ...]  # which plane; () is the whole image
    shape: tuple[int, ...]  # …YX of the whole image
    model: Model  # with the limits of the whole image
    start_at: tuple[float, ...] | None  # the pixel of ``pixels`` where to begin


def _read(source: SourceImage, model: Model) -> _ReadImage:
    ndim = model.network.ndim
    pixels = channels_first(
        source.image,
        ndim=ndim,
        channels=source.channels,
        in_channels=None if model.is_starter else model.network.in_channels,
        equal_as_one=True,
    )
    shape: tuple[int, ...] = pixels.shape[1:]
    plane: tuple[int, ...] = ()
    if source.plane is not None and len(shape) > ndim:
        plane = source.plane[: len(shape) - ndim]
        model = replace(
            model,
            normalisation=_KnownLimits(
                **asdict(model.normalisation), known=model.normalisation.limits(pixels)
            ),
        )
        where: tuple[Any, ...] = (slice(None), *plane)
        pixels = pixels[where]
    if type(pixels) is np.ndarray and np.may_share_memory(pixels, source.image):
        pixels = pixels.copy(order="K")  # the image may change meanwhile
    start_at = None if source.looked_at is None else source.looked_at[len(plane) :]
    return _ReadImage(pixels, plane, shape, model, start_at)


class _Request:
    """The prediction of one image, and the preview of its tiles."""

    def __init__(
        self, number: int, image: _ReadImage, kinds: Sequence[PredictionKind], config: PredictionConfig
    ) -> None:
        self.number, self.image, self.kinds, self.config = number, image, kinds, config
        kind = next(kind for kind in get_args(PredictionKind) if kind in kinds)
        self._instances = config.instances or image.model.instances
        self._previewer = Previewer(image.shape, image.model.network.ndim, kind)
        self.begun = PreviewBegun(number, self._previewer.shape, kind, self._previewer.steps)

    def suit(self, scaled: ImageScaled) -> None:
        """Set how objects are read from a scaled image."""
        self._instances = self.config.instances or scaled.instances

    def part(self, tile: TileDone) -> PreviewPart | None:
        model = self.image.model
        prediction = Prediction(tile.probabilities, model.network.ndim, model.mode, self._instances)
        return self._previewer.part((*self.image.plane, *tile.plane), tile.tile, prediction)


def _results(event: Predicted, kinds: Sequence[PredictionKind]) -> dict[PredictionKind, NDArray[Any]]:
    results: dict[PredictionKind, NDArray[Any]] = {kind: getattr(event.prediction, kind) for kind in kinds}
    if event.finished is not None and "classes" in results:
        # These pixels were not segmented: they are neither background nor anything else.
        results["classes"][~event.finished] = 0
    return results


def _rereading(event: Predicted, kinds: Sequence[PredictionKind], plane: tuple[int, ...]) -> Rereading | None:
    foreground = event.prediction.probabilities[1:]
    if "objects" not in kinds or foreground.nbytes > MOST_KEPT:
        return None
    if "probabilities" not in kinds:
        foreground = foreground.copy()  # nobody needs those of the background, so they go
    return Rereading.of(foreground, event.prediction.ndim, plane)


def resolve_channels(
    shape: tuple[int, ...], *, channels: Channels, ndim: int, in_channels: int | None
) -> Channels:
    """Return where an image of this shape has its channels for a model: "auto" resolved, without its pixels.

    ``InputError`` if the image does not suit the model.
    """
    pixels = np.broadcast_to(np.uint8(0), shape)

    def read(where: Channels) -> tuple[int, ...] | None:
        try:
            return channels_first(pixels, ndim=ndim, channels=where, in_channels=in_channels).shape
        except InputError:
            return None

    result = channels_first(pixels, ndim=ndim, channels=channels, in_channels=in_channels).shape
    return channels if channels != "auto" else next(at for at in EXPLICIT_CHANNELS if read(at) == result)
