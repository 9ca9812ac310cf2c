"""The work of ``napari-unet export``: a model as a package for other tools."""

from pathlib import Path

from napari_unet.core.errors import InputError
from napari_unet.files.atomic import file_to_write
from napari_unet.files.networks.bioimageio import PackageInfo, export_package
from napari_unet.files.networks.models import load_model
from napari_unet.files.networks.package_reading import is_package
from napari_unet.files.networks.package_sample import example_from
from napari_unet.files.networks.starters import find_model
from napari_unet.files.pixels.sources import load_image


def export(model: str, output: str, info: PackageInfo, image: Path | None) -> None:
    """Write a starter or a model file with an example image as a package, and print where it is."""
    file = file_to_write(output)
    if file.is_file() and not is_package(file):  # it may be the model
        raise InputError(f"{output} already exists and is not a package; choose another name.")
    network = load_model(find_model(model))
    example = None
    if image is not None:
        stored = load_image(image)
        example = example_from(stored.pixels, stored.channels_for(network.network.in_channels), network)
    export_package(network, file, info, example)
    print(file)
