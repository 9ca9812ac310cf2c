"""The work of ``napari-unet weights``: how much every painted pixel counts in training, as an image."""

from pathlib import Path

import numpy as np

from napari_unet.console import note
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.errors import InputError
from napari_unet.core.painted.label_images import may_be_labels
from napari_unet.core.weights import border_weights, measure_parts
from napari_unet.files.pixels.images import check_replaceable, write_image
from napari_unet.files.pixels.sources import load_labels


def weigh(paint: Path, output: Path, config: WeightConfig, *, by_plane: bool) -> None:
    """Write the weight map of paint as a TIFF file, and print where it is.

    It is measured for each time point if the file has any, or else as a whole; or for each plane, as a 2-D
    network learns.
    """
    if output.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"{output} would be a TIFF file of another name; let its name end in .tif.")
    check_replaceable(output)
    painted = load_labels(paint)
    pixels, axes = np.asarray(painted.pixels), painted.axes
    if pixels.ndim < 2:
        raise InputError(
            f"{paint} has the shape {pixels.shape}; give paint of an image, with two axes or more."
        )
    if may_be_labels(pixels):
        note(
            f"The value 1 is background in paint, and in {paint} it looks like one of the objects; if these "
            "are labels, in which 0 is background, add 1 to all of them."
        )
    ndim = 2 if by_plane else pixels.ndim - (axes[:1] == "T")
    spacing = painted.spacing(ndim)
    if pixels.ndim > ndim:
        planes = pixels.reshape(-1, *pixels.shape[-ndim:])
        parts = [measure_parts(plane, config, spacing=spacing) for plane in planes]
        counts = np.sum([part.pixels for part in parts], axis=0)  # classes are balanced over all planes
        weighed = np.stack([part.sum(config, counts) for part in parts]).reshape(pixels.shape)
    else:
        weighed = border_weights(pixels, config, spacing=spacing)
    write_image(output, *painted.as_in_file(weighed, axes), painted.pixel_size)
    print(output)
