"""The layer that shows, while a network learns, what it predicts where the user looks."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_unet.core.annotation import Mode
from napari_unet.core.instances import find_objects
from napari_unet.core.learning.view import Gaze, View
from napari_unet.core.objects.prediction import join_classes
from napari_unet.network.events import Preview
from napari_unet.widgets.bridge.colours import object_colours
from napari_unet.widgets.bridge.layers import insert_result, protect
from napari_unet.widgets.bridge.marks import KEY, kind_of, mark_of, source_of
from napari_unet.widgets.bridge.paint_watch import TrainingLayers
from napari_unet.widgets.bridge.placement import is_flat
from napari_unet.widgets.guiding.next_place_run import Known
from napari_unet.widgets.jobs import once
from napari_unet.widgets.parts.latest import Latest
from napari_unet.widgets.training.glances import Glances, still_there
from napari_unet.widgets.training.mosaic import Mosaic, known_of
from napari_unet.widgets.window.lifetime import follow, later

Shown = Literal["probability", "labels", "off"]
"""What the layer shows: the probability of the foreground, objects (or classes), or nothing."""

PREVIEW = "live preview"
"""The layer's kind of result."""

_SETTLED_MS = 100
"""Time from the first change of the view until it is read again: napari draws first."""

_MOST_STEP = 16

_AS_PROBABLE = Colormap(
    [[0.1, 0.9, 0.8, 0.0], [0.1, 0.9, 0.8, 0.1], [0.1, 0.9, 0.8, 0.45], [0.6, 1.0, 0.3, 0.9]],
    name="as opaque as probable",
)
"""The image shows through where the network sees background, or does not know yet."""


class LivePreviewLayer(QObject):
    """Tells the training where the user looks, and shows there what the network predicts.

    It shows the image that the selected layer belongs to, if it is in ``learnt``, the images of the training;
    else the first of these.
    """

    def __init__(
        self, viewer: ViewerModel, learnt: list[TrainingLayers], mode: Mode, shown: Shown, parent: QObject
    ) -> None:
        super().__init__(parent)
        self.gaze = Gaze()
        self._viewer = viewer
        self._learnt = learnt
        self._mode = mode
        self._shown = shown
        self._mosaic: Mosaic | None = None
        self._has_news = False
        self._glances = Glances(viewer, learnt, self.gaze, self)
        self._latest = Latest("Finding the objects of the preview", self)
        self._latest.result.connect(self._show)
        self._settled = later(self, _SETTLED_MS, self._look)
        camera, dims = viewer.scene.camera.events, viewer.dims.events
        self._unfollow = follow(
            self,
            self._on_moved,
            camera.center,
            camera.zoom,
            dims.current_step,
            dims.order,
            dims.ndisplay,
            viewer.layers.events.removed,
            viewer.layers.selection.events.active,
        )
        self._look()

    def show_as(self, shown: Shown) -> None:
        """Show something else from now on."""
        self._shown = shown
        if shown == "off":
            self._remove()
        self._look()
        self._has_news = True
        self.repaint()

    def add(self, event: Preview) -> None:
        """Take a part of the preview; the next :meth:`repaint` shows it."""
        self._glances.add(event)
        view = self.gaze.view
        if view is None or (event.key, event.plane, event.step) != (view.key, view.plane, view.step):
            return  # from where the user looked before
        if self._mosaic is None:
            self._mosaic = Mosaic(view)
        self._mosaic.add(event)
        self._has_news = True

    def repaint(self) -> None:
        """Show what has come since the last time."""
        self._look()
        mosaic = self._mosaic
        if not self._has_news or mosaic is None or mosaic.values is None:
            return
        self._has_news = False
        if self._shown == "probability":
            self._show((mosaic, 1 - np.where(mosaic.is_known, mosaic.values[0], 1)))
        elif self._shown == "labels":
            mode, values, known = self._mode, mosaic.values.copy(), mosaic.is_known.copy()
            self._latest.submit(once(lambda: (mosaic, _labels(values, known, mode))))

    def glance(self, images: Sequence[Image], then: Callable[[], None]) -> bool:
        """Let the network look at other images and planes: see :meth:`Glances.ask`."""
        return self._glances.ask(images, then)

    def seen_of(self, image: Image) -> Known | None:
        """Return what the network predicts for the visible part of ``image`` and for the glances at it.

        None if nothing is known.
        """
        seen, mosaic = self._glances.seen_of(image), self._mosaic
        if mosaic is not None and mosaic.view.key == image.unique_id:
            seen[mosaic.view.plane] = mosaic
        return known_of(seen.values())

    def close(self) -> None:
        """End, and remove the layer: it belongs to the training."""
        self._unfollow()
        self._settled.stop()
        self._latest.cancel()
        self.gaze.view = None
        self._glances.close()
        self._remove()
        self._learnt = []
        self.deleteLater()

    def _on_moved(self, _event: object = None) -> None:
        if not self._settled.isActive():
            self._settled.start()

    def _look(self) -> None:
        """Note where the user looks now."""
        view = None if self._shown == "off" else self._view()
        self.gaze.view = view
        if view is None or (self._mosaic is not None and not self._mosaic.suits(view)):
            self._mosaic = None
        elif self._mosaic is not None:
            self._mosaic.view = view
        layer = self._layer()
        if layer is not None and (view is None or layer.metadata[KEY].image != view.key):
            self._remove()

    def _view(self) -> View | None:
        one = self._looked_at()
        if one is None or not is_flat(self._viewer, one.paint):
            return None
        paint = one.paint
        shape = paint.data.shape
        point = np.round(paint.world_to_data(self._viewer.dims.point)[-paint.ndim :]).astype(int)[:-2]
        if ((point < 0) | (point >= shape[:-2])).any():
            return None
        first, last = np.clip(paint.corner_pixels[:, -2:], 0, shape[-2:]).astype(int).tolist()
        box = slice(first[0], last[0]), slice(first[1], last[1])
        if box[0].stop <= box[0].start or box[1].stop <= box[1].start:
            return None
        return View(
            one.image.unique_id,
            one.pixels,
            shape,
            tuple(point.tolist()),
            box,
            screen_step(self._viewer, paint),
        )

    def _looked_at(self) -> TrainingLayers | None:
        here = still_there(self._viewer, self._learnt)
        source = source_of(self._viewer, self._viewer.layers.selection.active)
        return next((one for one in here if one.image is source), here[0] if here else None)

    def _layer(self) -> Layer | None:
        """Return the layer, if there is one: the user may have removed it."""
        return next((layer for layer in self._viewer.layers if is_preview(layer)), None)

    def _show(self, result: tuple[Mosaic, NDArray[Any]]) -> None:
        mosaic, values = result
        one = self._looked_at()
        if one is None or mosaic is not self._mosaic or one.image.unique_id != mosaic.view.key:
            return
        kind = Labels if values.dtype == np.int32 else Image
        layer = self._layer()
        mark = None if layer is None else mark_of(layer)
        if layer is not None and (type(layer) is not kind or mark is None or mark.image != mosaic.view.key):
            self._viewer.layers.remove(layer)
            layer = None
        place = mosaic.place(one.paint)
        data = values.reshape((1,) * len(mosaic.view.plane) + values.shape)
        if layer is None:
            self._insert(kind, one, data, place)
            return
        same = np.array_equal(layer.translate, place["translate"]) and np.array_equal(
            layer.scale, place["scale"]
        )
        layer.data = data
        if not same:
            layer.scale, layer.translate = place["scale"], place["translate"]
        protect(layer)

    def _insert(
        self, kind: type[Layer], one: TrainingLayers, data: NDArray[Any], place: dict[str, Any]
    ) -> None:
        name = f"{one.image.name} preview"
        layer: Layer
        if kind is Labels:
            colormap = object_colours() if self._mode == "objects" else None
            layer = Labels(data, name=name, opacity=0.5, colormap=colormap, **place)
        else:
            layer = Image(
                data,
                name=name,
                opacity=0.8,
                colormap=_AS_PROBABLE,
                contrast_limits=(0.0, 1.0),
                **place,
            )
        insert_result(self._viewer, one.image, layer, PREVIEW)
        protect(layer)

    def _remove(self) -> None:
        for layer in [layer for layer in self._viewer.layers if is_preview(layer)]:
            self._viewer.layers.remove(layer)


def is_preview(layer: Layer) -> bool:
    """Return whether ``layer`` is the preview of a training."""
    return kind_of(layer) == PREVIEW


def screen_step(viewer: ViewerModel, paint: Labels) -> int:
    """Return how many pixels of ``paint`` along an axis fall on one pixel of the screen: a power of 2."""
    size = viewer.scene.camera.zoom * float(np.abs(np.asarray(paint.scale)[-2:]).max())
    step = 1
    while step < _MOST_STEP and 2 * step * size <= 1:
        step *= 2
    return step


def _labels(values: NDArray[np.float32], known: NDArray[np.bool_], mode: Mode) -> NDArray[np.int32]:
    """Return the objects (Y, X), or the classes as paint values, of probabilities (K, Y, X)."""
    if mode == "classes":
        return np.where(known, values.argmax(axis=0) + 1, 0).astype(np.int32)
    foreground = np.where(known, values[1:], 0)
    return join_classes([find_objects(part, ndim=2) for part in foreground], foreground)
