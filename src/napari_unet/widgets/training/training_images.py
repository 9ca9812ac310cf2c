"""Which images of a window a training learns from and is scored on, and copies of them."""

from dataclasses import dataclass

from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_unet.core.annotation import Mode
from napari_unet.core.arrays.axes import Channels
from napari_unet.core.errors import InputError
from napari_unet.core.painted.advice import Place, painted_twice
from napari_unet.network.config import TrainingConfig
from napari_unet.widgets.bridge.layers import (
    annotation_of,
    check_fits,
    copy_image,
    copy_paint,
    has_paint,
)
from napari_unet.widgets.bridge.marks import (
    PART,
    full_data,
    image_channels,
    images_of,
    known_full_of,
    mode_of,
)
from napari_unet.widgets.bridge.paint_watch import TrainingLayers
from napari_unet.widgets.bridge.placement import (
    channel_doubt_of,
    frames_are_planes,
    micrometres,
    pixel_sizes,
    spatial_axes,
)
from napari_unet.widgets.training.training_run import TrainingData

Pairs = list[tuple[Image, Labels]]
"""Images with their paint."""


def images_learnt_from(
    viewer: ViewerModel, chosen: Image | None, scored: Image | None, *, all_painted: bool
) -> Pairs:
    """Return the chosen image and, with ``all_painted``, all others with paint, except the one to score on.

    ``InputError`` if there is none.
    """
    if chosen is None:
        raise InputError("There is no image to train on; open one with File > Open and paint on it.")
    paint = annotation_of(viewer, chosen)
    pairs = [] if paint is None else [(chosen, paint)]
    if all_painted:
        for image in images_of(viewer):
            paint = annotation_of(viewer, image)
            if image is not chosen and paint is not None and has_paint(paint):
                pairs.append((image, paint))
    if not pairs:
        raise InputError(
            f"The image '{chosen.name}' has no paint; make its annotation layer under Paint first."
        )
    apart = images_scored(viewer, scored)
    pairs = [pair for pair in pairs if pair not in apart]
    if not pairs:
        raise InputError(
            f"The image '{apart[0][0].name}' is for scoring alone and there is no other to learn from; "
            "choose another image, or score on held-out strokes."
        )
    return pairs


def images_scored(viewer: ViewerModel, image: Image | None) -> Pairs:
    """Return the image to score on, with its paint; none if strokes are held out.

    ``InputError`` if it has no paint.
    """
    if image is None:
        return []
    paint = annotation_of(viewer, image)
    if paint is None or not has_paint(paint):
        raise InputError(
            f"The image '{image.name}' is for scoring and has no paint; paint on it, or score on "
            "held-out strokes."
        )
    return [(image, paint)]


def _channel_doubts(pairs: Pairs) -> list[str]:
    """Return sentences on images that may have channels although their paint was made for grey planes."""
    remedy = "delete its annotation layer and make a new one, Channels set to 'On the axis before Y and X'"
    told = (channel_doubt_of(image, remedy) for image, paint in pairs if paint.ndim == image.ndim)
    return [sentence for sentence in told if sentence]


def frame_doubts(pairs: Pairs, config: TrainingConfig) -> list[str]:
    """Return sentences on images whose frames would be learnt as a volume."""
    return [
        f"The frames of '{image.name}' are learnt as the planes of a volume, and what overlaps from one "
        "frame to the next as one object; choose Advanced > Dimensions > 2-D planes if you do not want that."
        for image, paint in pairs
        if config.network.ndim == 3 and frames_are_planes(image, image_channels(image, paint))
    ]


def _place(image: Image, paint: Labels) -> Place:
    """Return which pixels ``paint`` is for, in the image that ``image`` was cropped from if it was."""
    whole, first = image.metadata.get(PART, (image.unique_id, (0,) * image.ndim))
    shape = full_data(image).shape
    axes = spatial_axes(image, image_channels(image, paint))
    return Place(whole, tuple(slice(first[axis], first[axis] + shape[axis]) for axis in axes))


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """What is ``taught``, copied on the main thread: the user may paint on, and delete the ``layers``.

    ``doubts`` are sentences on what may be wrong with it.
    """

    layers: list[TrainingLayers]
    mode: Mode
    channels: Channels
    taught: TrainingData
    doubts: list[str]


def copy_pairs(pairs: Pairs, scored: Pairs) -> Copies:
    """Copy the images to learn from and to score on, with their paint.

    ``InputError`` if paint means objects in some of them and classes in others, or if the pixels of an image
    no longer fit its paint.
    """
    everything = [*pairs, *scored]
    for pair in everything:
        check_fits(*pair)
    modes = {mode_of(paint): image.name for image, paint in everything}
    if len(modes) > 1:
        raise InputError(
            f"'{modes['objects']}' has paint of objects and '{modes['classes']}' of classes; choose the same "
            "for all, beside Teach in the Paint dock."
        )
    channels = {image_channels(image, paint) for image, paint in everything}
    images = [copy_image(image) for image, _ in everything]
    paints = [copy_paint(paint) for _, paint in everything]
    count = len(pairs)
    placed = [(pair[0].name, _place(*pair), given) for pair, given in zip(everything, paints, strict=True)]
    return Copies(
        layers=[
            TrainingLayers(*pair, pixels, scored=number >= count)
            for number, (pair, pixels) in enumerate(zip(everything, images, strict=True))
        ],
        mode=next(iter(modes)),
        channels=channels.pop() if len(channels) == 1 else "auto",
        taught=TrainingData(
            images[:count],
            paints[:count],
            full=[
                known_full_of(paint).within(pixels)
                for (_, paint), pixels in zip(pairs, paints[:count], strict=True)
            ],
            validation=(images[count:], paints[count:]),
            sizes=[pixel_sizes(paint, image) for image, paint in everything],
            in_world=[micrometres(paint, image) for image, paint in pairs],
            names=[f"'{image.name}'" for image, _ in everything],
        ),
        doubts=[*_channel_doubts(pairs), *painted_twice(placed, count)],
    )
