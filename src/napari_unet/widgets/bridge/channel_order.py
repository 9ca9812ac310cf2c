"""Moves channels to the first axis of a layer, because napari lines layers up by their last axes.

Paint and results have no channel axis. If that of the image lies behind axes that they have, as in
(T, Z, C, Y, X), their planes would be shown, and painted, on the wrong planes of the image. Everything here
runs on the main thread.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_unet.core.arrays.axes import CHANNEL_AXES, Channels
from napari_unet.core.arrays.sparse import equal_planes
from napari_unet.widgets.bridge.layers import annotation_of
from napari_unet.widgets.bridge.marks import is_result, mark_of, source_of
from napari_unet.widgets.bridge.placement import placement
from napari_unet.widgets.bridge.seen_axes import seen_axes

_BEHIND: tuple[Channels, ...] = ("middle", "last")
"""Where channels lie behind other axes."""


def move_channels_first(viewer: ViewerModel, image: Image, channels: Channels) -> str:
    """Show the ``channels`` of ``image`` on its first axis, and return a sentence on what happened, or "".

    They stay where they are if they are first, or last as colours, or if the image has paint. No pixel is
    copied and no file is changed. Unedited results that also had the channel axis are removed.
    """
    is_behind = not image.rgb and _is_behind(channels, image.ndim)
    if not is_behind or annotation_of(viewer, image) is not None:
        return ""
    place = CHANNEL_AXES[channels] % image.ndim
    order = (place, *(other for other in range(image.ndim) if other != place))
    where = placement(image, order)
    names = [axis.name for axis in seen_axes(image)]
    where["axis_labels"] = [
        # napari numbers axes until they are named.
        names[before] or str(at - image.ndim)
        for at, before in enumerate(order)
    ]
    stale: list[Layer] = [layer for layer in viewer.layers if _is_unedited_result(layer)]
    for layer in stale:
        if source_of(viewer, layer) is image and layer.ndim == len(order):
            viewer.layers.remove(layer)
    first = viewer.dims.ndim - image.ndim
    shown = [viewer.dims.point[first + at] for at in order]
    image.data = _to_front(image.data, CHANNEL_AXES[channels])
    for name, value in where.items():
        setattr(image, name, value)
    viewer.dims.set_point(range(first, viewer.dims.ndim), shown)
    if channels == "last":  # other axes are seen now
        viewer.reset_view()
    return (
        f"The channels of '{image.name}' are now on its first axis, so that paint and results lie on its "
        "planes; its file is not changed."
    )


def other_orders(data: Any, ndim: int) -> Iterator[tuple[Channels, Any]]:
    """Yield where a non-colour image of ``ndim`` axes may have channels, and the image with them first."""
    for channels in _BEHIND:
        if _is_behind(channels, ndim):
            yield channels, _to_front(data, CHANNEL_AXES[channels])


def _is_behind(channels: Channels, ndim: int) -> bool:
    return channels in _BEHIND and ndim > max(2, -CHANNEL_AXES[channels])


def _to_front(data: Any, axis: int) -> Any:
    """Return an array, or each of several resolutions, with this axis first, as a view or a lazy array."""
    if isinstance(data, Sequence):
        return [_to_front(level, axis) for level in data]
    from dask import array  # imports pandas, which a dock would wait for

    is_movable = isinstance(data, np.ndarray | array.Array)
    return np.moveaxis(data if is_movable else array.from_array(data), axis, 0)  # type: ignore[no-untyped-call]


def _is_unedited_result(layer: Layer) -> bool:
    mark = mark_of(layer)
    if mark is None or not is_result(layer):
        return False
    return mark.shown is None or not isinstance(layer, Labels) or equal_planes(layer.data, mark.shown)
