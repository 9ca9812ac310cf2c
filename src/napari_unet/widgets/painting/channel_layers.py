"""Joins channels that are separate layers, as napari opens many files, into one image to learn from."""

from collections.abc import Sequence

from napari.components import ViewerModel
from napari.layers import Image
from napari.layers.utils.stack_utils import images_to_stack
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QWidget

from napari_unet.widgets.bridge.layers import annotation_of, has_paint
from napari_unet.widgets.bridge.marks import PARTS, full_data, images_of
from napari_unet.widgets.bridge.seen_axes import passed_on
from napari_unet.widgets.bridge.sight import blended, hide_with_image, parts_of
from napari_unet.widgets.painting.part_paint import copy_to_part
from napari_unet.widgets.painting.watcher import AnnotationWatcher
from napari_unet.widgets.parts.form import Column, LayerChooser, Sentence, button
from napari_unet.widgets.window.lifetime import follow

_ALONE = "Only '{}' is learnt from, not {}. If they are channels of one picture:"
_MOST_NAMES = 3
_TOOLTIP = (
    "Makes one image with an axis of channels, in the order of the layer list from below. It is\n"
    "transparent, so that you still see the layers it is made of, which do not change.\n"
    "Other pictures in the window with as many layers become such images, too."
)


class ChannelLayers(QWidget):
    """Makes one image of the chosen one and those it is blended with; shown until something is painted."""

    def __init__(self, viewer: ViewerModel, image: LayerChooser, watcher: AnnotationWatcher) -> None:
        super().__init__()
        self._viewer, self._image, self._watcher = viewer, image, watcher
        column = Column(self)
        self._said = column.add(Sentence("paint_alone"))
        column.addWidget(
            button("Learn from all of them", self.combine, name="paint_combine", tooltip=_TOOLTIP)
        )
        events = viewer.layers.events
        follow(self, self.look, events.inserted, events.removed, events.renamed)
        image.layer_changed.connect(self.look)
        watcher.layer_changed.connect(self.look)
        watcher.painted.connect(self._on_painted)
        self.look()

    def look(self, _event: object = None) -> None:
        """Look again which layers are blended with the chosen image."""
        image, paint = self._image.layer, self._watcher.layer
        is_painted = paint is not None and has_paint(paint)
        others = [] if image is None or is_painted else blended(self._viewer, image)
        others = [layer for layer in others if layer is not image]
        self.setVisible(bool(others))
        if image is not None:
            self._said.say(_ALONE.format(image.name, _listed([layer.name for layer in others])))

    def _on_painted(self) -> None:
        if not self.isHidden():
            self.look()

    def combine(self) -> None:
        """Make one image of the chosen one and those it is blended with, and choose it.

        What is painted on one of them is copied. So that they need not be chosen one by one, other pictures
        of as many layers become images, too.
        """
        image = self._image.layer
        if image is None:
            return
        layers = blended(self._viewer, image)
        if not layers:  # one was moved since
            self.look()
            return
        made = [self._make(group) for group in (layers, *self._like(layers))]
        painted = self._copy_paint(layers, made[0])
        self._viewer.layers.selection.active = made[0]  # otherwise the dock would turn to the last one
        self._image.choose(made[0])
        what = f"'{made[0].name}' has {len(layers)} channels, and is transparent; its layers stay visible."
        if painted:
            what += f" What is painted on '{painted}' is copied to it."
        others = len(made) - 1
        if others:
            what += f" {others} other picture{'s' * (others > 1)} in the window became such images, too."
        show_info(what)

    def _copy_paint(self, layers: Sequence[Image], made: Image) -> str:
        """Copy what is painted on one of the layers to the image made of them; return the name of the one."""
        for layer in layers if annotation_of(self._viewer, made) is None else ():
            if copy_to_part(self._viewer, layer, made) is not None:
                hide_with_image(annotation_of(self._viewer, layer))  # they would cover each other
                return str(layer.name)
        return ""

    def _like(self, layers: Sequence[Image]) -> list[list[Image]]:
        """Return the layers of the other pictures of as many layers that are neither painted nor made one."""
        found: list[list[Image]] = []
        for image in images_of(self._viewer):
            group = blended(self._viewer, image)
            is_new = len(group) == len(layers) and image is group[0] is not layers[0]
            if (
                is_new
                and not any(annotation_of(self._viewer, layer) for layer in group)
                and self._made_of(group) is None
            ):
                found.append(group)
        return found

    def _made_of(self, layers: Sequence[Image]) -> Image | None:
        return next(
            (image for image in images_of(self._viewer) if parts_of(self._viewer, image) == layers), None
        )

    def _make(self, layers: Sequence[Image]) -> Image:
        """Return the image made of these layers, which is made if there is none."""
        made = self._made_of(layers)
        if made is None:
            made = combine(layers)
            self._viewer.layers.insert(1 + max(map(self._viewer.layers.index, layers)), made)
        return made


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
    made.metadata.update(passed_on(layers[0], full_data(made).shape, as_channel=True))
    made.axis_labels = ("C", *layers[0].axis_labels)
    return made


def _listed(names: Sequence[str]) -> str:
    if len(names) > _MOST_NAMES:
        return f"{len(names)} others"
    quoted = [f"'{name}'" for name in names]
    return " and ".join((", ".join(quoted[:-1]), quoted[-1]) if len(quoted) > 1 else quoted)
