"""Makes an image of what is in view of a larger one of which only this part matters."""

import napari
import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import show_info, show_warning
from napari.utils.transforms import Affine

from napari_unet.core.errors import InputError
from napari_unet.widgets.bridge.marks import PART, full_data, images_of, source_of
from napari_unet.widgets.bridge.placement import placement
from napari_unet.widgets.bridge.seen_axes import passed_on
from napari_unet.widgets.bridge.sight import blended, hide_below, hide_with_image
from napari_unet.widgets.painting.part_paint import copy_to_part
from napari_unet.widgets.parts.dock import without_proxy

_AT_EDGE = 2
"""Pixels at each edge of an image that need not be in view so that all of it is."""


def crop_to_view(viewer: "napari.viewer.Viewer") -> None:
    """Add an image of what is seen of the selected one, which is hidden then; napari calls this by a menu."""
    try:
        show_info(crop(without_proxy(viewer)))
    except InputError as error:
        show_warning(str(error))


def crop(viewer: ViewerModel) -> str:
    """Do so, and return a sentence on the new image; ``InputError`` if there is nothing to crop.

    Images blended with it, such as further channels, are cropped with it, and what is painted on them.
    """
    image = source_of(viewer, viewer.layers.selection.active)
    images = images_of(viewer)
    if image is None and len(images) == 1:
        (image,) = images
    if image is None:
        raise InputError("No image is selected; click the one to crop in the layer list, and crop again.")
    box = box_in_view(viewer, image)
    layers = blended(viewer, image) or [image]
    hidden = hide_below(viewer, layers[0])  # they would show around the part
    for layer in viewer.layers:  # until the image as a whole is chosen in a dock
        if layer.visible and source_of(viewer, layer) in layers:
            hide_with_image(layer)
    made = [_cropped(layer, box) for layer in layers]
    viewer.layers.extend(made)
    chosen = made[layers.index(image)]
    paints = [copy_to_part(viewer, *pair, box) for pair in zip(layers, made, strict=True)]
    viewer.layers.selection.active = paints[layers.index(image)] or chosen
    sides = " × ".join(str(part.stop - part.start) for part in box)
    with_paint = ", and a copy of what is painted there" if any(paints) else ""
    does = "paint, train and predict on it as on any image."
    return f"'{chosen.name}' has the {sides} pixels in view{with_paint}: {does} {hidden}".rstrip()


def box_in_view(viewer: ViewerModel, image: Image) -> tuple[slice, ...]:
    """Return which pixels of ``image`` are seen, as a slice along each of its axes but colours.

    ``InputError`` if none or all of them are, or the view is in 3-D.
    """
    if viewer.dims.ndisplay == 3:
        raise InputError("An image cannot be cropped in the 3-D view; press Ctrl+Y, zoom in, and crop again.")
    shape = full_data(image).shape[: image.ndim]
    corners = image.corner_pixels * (image.downsample_factors[image.data_level] if image.multiscale else 1)
    box = [slice(0, size) for size in shape]
    first = viewer.dims.ndim - image.ndim
    for axis in (shown - first for shown in viewer.dims.displayed if shown >= first):
        low, high = np.clip([np.floor(corners[0, axis]), np.ceil(corners[1, axis])], 0, shape[axis])
        box[axis] = slice(int(low), int(high))
    if any(part.stop <= part.start for part in box):
        raise InputError(f"Nothing of '{image.name}' is in view; move to the part you want, and crop again.")
    if all(part.stop - part.start > size - 2 * _AT_EDGE for part, size in zip(box, shape, strict=True)):
        raise InputError(f"All of '{image.name}' is in view; zoom in to the part you want, and crop again.")
    return tuple(box)


def _cropped(image: Image, box: tuple[slice, ...]) -> Image:
    """Return an image of these pixels in their place, which looks alike."""
    where = placement(image)
    to_world = Affine(image.scale, image.translate, rotate=image.rotate, shear=image.shear)
    where["translate"] = to_world([part.start for part in box])
    look = {} if image.rgb else {"colormap": image.colormap, "contrast_limits": image.contrast_limits}
    pixels = full_data(image)[box]
    whole, first = image.metadata.get(PART, (image.unique_id, (0,) * image.ndim))
    place = tuple(start + part.start for start, part in zip(first, box, strict=True))
    return Image(
        pixels,
        name=f"{image.name} part",
        rgb=image.rgb,
        gamma=image.gamma,
        opacity=image.opacity or 1.0,  # one made of layers is transparent, and these are not seen here
        blending=image.blending,
        metadata={**passed_on(image, pixels.shape), PART: (whole, place)},
        **look,
        **where,
    )
