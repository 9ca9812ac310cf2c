"""Glances: parts of other images and planes that a network looks at on request while it learns."""

from collections.abc import Callable, Hashable, Sequence

from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import QObject

from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.learning.view import Gaze, View
from napari_unet.network.events import Preview
from napari_unet.widgets.bridge.paint_watch import TrainingLayers
from napari_unet.widgets.bridge.placement import pixel_shown
from napari_unet.widgets.guiding.next_place_run import planes_to_look_at
from napari_unet.widgets.training.mosaic import Mosaic
from napari_unet.widgets.window.lifetime import later

MOST = 8
"""Blocks to look at in all: they hold up the training."""

_PATIENCE_MS = 3000
"""Time after which it waits no longer: the training may be paused."""


class Glances(QObject):
    """Asks for glances, and keeps the last ones of every image.

    ``learnt`` are the images of the training, whose number grows; ``gaze`` passes the views to the training.
    """

    def __init__(
        self, viewer: ViewerModel, learnt: list[TrainingLayers], gaze: Gaze, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._learnt = learnt
        self._gaze = gaze
        self._seen: dict[Hashable, dict[Plane, Mosaic]] = {}
        self._awaited = 0
        self._then: Callable[[], None] | None = None
        self._patience = later(self, _PATIENCE_MS, self.close)

    def ask(self, images: Sequence[Image], then: Callable[[], None]) -> bool:
        """Let the network look soon at parts of these images, as far as it learns from them.

        In a stack, the parts are on planes at equal distances; the plane that the preview shows is left out.
        Afterwards, or when it takes too long, ``then`` is called once. Returns whether there is anything to
        look at; among many images, those looked at longest ago come first.
        """
        if self._then is not None:
            return False
        chosen = [one for one in still_there(self._viewer, self._learnt) if one.image in images]
        ages = {key: age for age, key in enumerate(self._seen, start=1)}
        chosen.sort(key=lambda one: ages.get(one.image.unique_id, 0))
        views = [view for one in chosen[:MOST] for view in self._views(one, MOST // min(len(chosen), MOST))]
        if not views:
            return False
        for key in {view.key: None for view in views}:
            self._seen.pop(key, None)  # so that this becomes the latest
            self._seen[key] = {view.plane: Mosaic(view) for view in views if view.key == key}
        each = MOST // len(views)
        self._then, self._awaited = then, each * len(views)
        self._gaze.glances.extend(views * each)
        self._patience.start()
        return True

    def add(self, event: Preview) -> None:
        """Take what was seen, if it was asked for."""
        seen = self._seen.get(event.key, {}).get(event.plane)
        if self._awaited and seen is not None and event.step == 1:
            seen.add(event)
            self._awaited -= 1
            if not self._awaited:
                self.close()

    def seen_of(self, image: Image) -> dict[Plane, Mosaic]:
        """Return what the network predicted for the parts of ``image`` it looked at last, by plane."""
        return dict(self._seen.get(image.unique_id, {}))

    def close(self) -> None:
        """Wait no longer, and go on with what there is."""
        self._patience.stop()
        self._gaze.glances.clear()
        self._awaited = 0
        then, self._then = self._then, None
        if then is not None:
            then()

    def _views(self, one: TrainingLayers, most: int) -> list[View]:
        """Return this many planes of an image, among them the nearest to the one the sliders show."""
        shape = one.paint.data.shape
        visible = pixel_shown(self._viewer, one.paint)[:-2]
        box, key, shown = (slice(0, shape[-2]), slice(0, shape[-1])), one.image.unique_id, self._gaze.view
        return [
            View(key, one.pixels, shape, plane, box)
            for plane in planes_to_look_at(shape[:-2], visible, most)
            if shown is None or (key, plane) != (shown.key, shown.plane)
        ]


def still_there(viewer: ViewerModel, learnt: Sequence[TrainingLayers]) -> list[TrainingLayers]:
    """Return the images of a training that are in the viewer, with their paint."""
    return [one for one in learnt if one.image in viewer.layers and one.paint in viewer.layers]
