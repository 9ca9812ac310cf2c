"""Results on disk, because they do not fit into the memory: their folders, and the layers that show them.

The layers read only what is visible from disk, and cannot be edited. Everything here runs on the main thread.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_unet.core.arrays.axes import Channels
from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.widgets.bridge.layers import insert_result, protect
from napari_unet.widgets.bridge.marks import file_of, layers_of
from napari_unet.widgets.bridge.placement import result_layer, spatial_axes
from napari_unet.widgets.bridge.sight import hide_with_image, lay_on

STORED = "napari_unet stored"
"""Metadata of a layer that shows a result on disk: its path."""

_FOLDER = "results"
"""Inside the folder of the image, or else of the models."""


def results_folder(image: Image, models: Path) -> Path:
    """Return the default folder for the results of an image: beside its file, or else beside the models."""
    source = file_of(image)
    return (models if source is None else source.parent) / _FOLDER


def stored_path(layer: Layer) -> Path | None:
    """Return where the result that ``layer`` shows is on disk; None if it is in memory."""
    path: Path | None = layer.metadata.get(STORED)
    return path


def show_stored(
    viewer: ViewerModel,
    source: Image,
    channels: Channels,
    outputs: Mapping[PredictionKind, Path],
    *,
    shows: bool = True,
) -> dict[PredictionKind, Layer]:
    """Show the results of an image in zarr folders, and return the layers by kind.

    They replace those of an earlier prediction. ``channels`` is where the image has its channels, never
    "auto". Unless it ``shows``, they are hidden until the image is brought up.
    """
    shown: dict[PredictionKind, Layer] = {}
    for kind, path in outputs.items():
        stored = f"stored {kind}"
        for layer in layers_of(viewer, source, stored):
            viewer.layers.remove(layer)
        levels = _levels(path)
        if kind == "probabilities":  # of anything except the background
            levels = [1 - level[0] for level in levels]
        name = f"{source.name} {'probability' if kind == 'probabilities' else kind}"
        layer = result_layer(
            source,
            kind,
            name,
            levels if len(levels) > 1 else levels[0],
            spatial_axes(source, channels),
        )
        layer.metadata[STORED] = path
        insert_result(viewer, source, layer, stored)
        protect(layer)
        lay_on(viewer, source, layer)
        if not shows:
            hide_with_image(layer)
        shown[kind] = layer
    return shown


def _levels(path: Path) -> list[Any]:
    """Return the resolutions of a result on disk as arrays; only the visible part is read."""
    import zarr
    from dask import array

    group = zarr.open_group(path, mode="r")
    names = sorted((name for name, _ in group.arrays()), key=int)
    return [array.from_zarr(str(path), component=name) for name in names]  # type: ignore[no-untyped-call]
