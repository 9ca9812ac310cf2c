"""Joins channels that are separate layers, as napari opens many files, into one image to learn from."""

from collections.abc import Callable, Sequence

from napari.components import ViewerModel
from napari.layers import Image
from napari.layers.utils.stack_utils import images_to_stack
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QWidget

from napari_unet.widgets.bridge.sight import PARTS, blended
from napari_unet.widgets.painting.watcher import AnnotationWatcher
from napari_unet.widgets.parts.form import Column, LayerChooser, Sentence, button
from napari_unet.widgets.window.lifetime import follow

_ALONE = "Only '{}' is learnt from, not {}. If they are channels of one picture:"
_MOST_NAMES = 3
_TOOLTIP = (
    "Makes one image with an axis of channels, in the order of the layer list from below. It is\n"
    "transparent, so that you still see the layers it is made of, which do not change.\n"
    "Do the same with every image you want to segment."
)


class ChannelLayers(QWidget):
    """Makes one image of the chosen one and those it is blended with; shown while it has no paint.

    ``chosen`` is called when the new image has become the chosen one.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: LayerChooser,
        watcher: AnnotationWatcher,
        chosen: Callable[[], None],
    ) -> None:
        super().__init__()
        self._viewer, self._image, self._watcher, self._chosen = viewer, image, watcher, chosen
        column = Column(self)
        self._said = column.add(Sentence("paint_alone"))
        column.addWidget(
            button("Learn from all of them", self.combine, name="paint_combine", tooltip=_TOOLTIP)
        )
        events = viewer.layers.events
        follow(self, self.look, events.inserted, events.removed, events.renamed)
        image.layer_changed.connect(self.look)
        watcher.layer_changed.connect(self.look)
        self.look()

    def look(self, _event: object = None) -> None:
        """Look again which layers are blended with the chosen image."""
        image = self._image.layer
        others = [] if image is None or self._watcher.layer is not None else blended(self._viewer, image)
        others = [layer for layer in others if layer is not image]
        self.setVisible(bool(others))
        if image is not None:
            self._said.say(_ALONE.format(image.name, _listed([layer.name for layer in others])))

    def combine(self) -> None:
        """Make one image of the chosen one and those it is blended with, and choose it."""
        image = self._image.layer
        if image is None:
            return
        layers = blended(self._viewer, image)
        if not layers:  # one was moved since
            self.look()
            return
        made = combine(layers)
        self._viewer.layers.insert(1 + max(map(self._viewer.layers.index, layers)), made)
        self._image.choose(made)
        self._chosen()
        show_info(f"'{made.name}' has {len(layers)} channels, and is transparent; its layers stay visible.")


def combine(layers: Sequence[Image]) -> Image:
    """Return a transparent image in the place of these layers, which are its channels."""
    made = images_to_stack(
        list(layers),
        name=" + ".join(layer.name for layer in layers),
        opacity=0.0,
        blending="translucent",
        colormap="gray",
        metadata={PARTS: [layer.unique_id for layer in layers]},
        visible=True,
    )
    made.axis_labels = ("C", *layers[0].axis_labels)
    return made


def _listed(names: Sequence[str]) -> str:
    if len(names) > _MOST_NAMES:
        return f"{len(names)} others"
    quoted = [f"'{name}'" for name in names]
    return " and ".join((", ".join(quoted[:-1]), quoted[-1]) if len(quoted) > 1 else quoted)
