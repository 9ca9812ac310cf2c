"""The work of ``napari-unet export``: a model as a package that other tools run."""

from pathlib import Path

import numpy as np

from napari_unet.core.axes import channels_first
from napari_unet.files.bioimageio import PackageInfo, export_package
from napari_unet.files.images import read_image
from napari_unet.files.models import load_model
from napari_unet.files.starters import find_model


def export(model: str, output: Path, info: PackageInfo, image: Path | None) -> None:
    """Write the package and say where it is.

    Parameters
    ----------
    model : str
        A starter or a model file.
    output : pathlib.Path
    info : PackageInfo
    image : pathlib.Path, optional
        Of an image such as the model is for.

    Raises
    ------
    InputError
        If the model or the image cannot be used, or the package not be written.
    """
    network = load_model(find_model(model))
    pixels = None
    if image is not None:
        stored, shape = read_image(image), network.network
        pixels = channels_first(
            stored.pixels, ndim=shape.ndim, channels=stored.channels, in_channels=shape.in_channels
        )
        while pixels.ndim > 1 + shape.ndim:  # of a stack of planes, the one in the middle
            pixels = pixels[:, pixels.shape[1] // 2]
    export_package(network, output, info, None if pixels is None else np.asarray(pixels))
    print(output)
