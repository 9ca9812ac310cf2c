"""The buttons that select a brush, its class and its width."""

from collections.abc import Callable
from functools import partial

from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtWidgets import QGridLayout, QPushButton, QSpinBox, QWidget
from superqt.utils import signals_blocked

from napari_unet.core.annotation import BACKGROUND, FIRST_OBJECT, MAX_CLASSES, Mode
from napari_unet.widgets.painting import brushes
from napari_unet.widgets.painting.watcher import AnnotationWatcher
from napari_unet.widgets.parts.form import Column, Form, button, slider
from napari_unet.widgets.window.lifetime import follow
from napari_unet.widgets.window.preferences import read_preferences


class BrushTools(QWidget):
    """Select a brush for the annotation layer, and show the one in use."""

    def __init__(self, viewer: ViewerModel, watcher: AnnotationWatcher) -> None:
        super().__init__()
        self._viewer, self._watcher = viewer, watcher
        self._mode: Mode = "objects"
        column = Column(self)
        column.addLayout(self._build_buttons())
        self._form = Form(column)
        self.class_value = self._form.add(
            "Class",
            QSpinBox(),
            name="paint_class",
            tooltip="The class that is painted; 1 is background. Keys - and = step through them.",
        )
        self.class_value.setRange(FIRST_OBJECT, MAX_CLASSES)
        self.class_value.valueChanged.connect(self._on_class)
        self.diameter = self._form.add(
            "Brush size",
            slider(1, 100, read_preferences().brush_size),
            name="paint_brush_size",
            tooltip="Diameter of the brush in pixels (keys [ and ]).",
        )
        self.diameter.valueChanged.connect(self._on_diameter)
        watcher.brush_changed.connect(self._refresh)
        follow(self, self._refresh, viewer.layers.selection.events.active)

    def _build_buttons(self) -> QGridLayout:
        self.background = self._brush(
            "Background",
            brushes.paint_background,
            "paint_background",
            "Paint what is certainly not an object, especially the gaps between objects. Key G.",
        )
        self.object = self._brush(
            "Object",
            brushes.paint_object,
            "paint_object",
            "Keep painting the object (or class) with this number. Key O.",
        )
        self.erase = self._brush(
            "Erase", brushes.erase, "paint_erase", "Make pixels unlabelled again: they teach nothing. Key E."
        )
        self.next = button(
            "Next object",
            partial(self.take, brushes.paint_next_object),
            name="paint_next",
            tooltip="Begin the next object (or class), with its own number. Key N.",
        )
        grid = QGridLayout()
        grid.setSpacing(4)
        for place, made in enumerate((self.background, self.object, self.erase, self.next)):
            made.setMinimumHeight(34)
            grid.addWidget(made, *divmod(place, 2))
        return grid

    def _brush(self, text: str, action: Callable[[Labels], None], name: str, tooltip: str) -> QPushButton:
        made = button(text, partial(self.take, action), name=name, tooltip=tooltip)
        made.setCheckable(True)
        made.setIconSize(brushes.SWATCH)
        return made

    def take(self, action: Callable[[Labels], None]) -> None:
        """Select the annotation layer, show it, and select a brush as ``action`` does."""
        paint = self._watcher.layer
        if paint is not None:
            self._viewer.layers.selection.active = paint
            if not paint.visible:  # a layer that is shown again also gets its old mode back
                paint.visible = True
            action(paint)
        self._refresh()

    def show_for(self, mode: Mode) -> None:
        """Name the brushes by what the paint means, and show the one in use."""
        self._mode = mode
        self._refresh()

    def _on_class(self, value: int) -> None:
        paint = self._watcher.layer
        if paint is not None and paint.selected_label != value:
            self.take(partial(brushes.take_brush, value=value))

    def _on_diameter(self, diameter: int) -> None:
        if self._watcher.layer is not None:
            self._watcher.layer.brush_size = diameter

    def _refresh(self, _event: object = None) -> None:
        paint, is_classes = self._watcher.layer, self._mode == "classes"
        self.setEnabled(paint is not None)
        self._form.show_row(self.class_value, is_classes)
        value = 0 if paint is None else int(paint.selected_label)
        # The mouse works on the selected layer only, whatever brush other layers have.
        at_hand = paint if paint is self._viewer.layers.selection.active else None
        paints = at_hand is not None and brushes.is_painting(at_hand)
        number = f" {value}" if value >= FIRST_OBJECT else ""
        self.object.setText(("Class" if is_classes else "Object") + number)
        self.next.setText("Next class" if is_classes else "Next object")
        self.background.setChecked(paints and value == BACKGROUND)
        self.object.setChecked(paints and value >= FIRST_OBJECT)
        erases = at_hand is not None and str(at_hand.mode) == "erase"
        self.erase.setChecked(erases or (paints and value == 0))  # so does a brush of napari's label 0
        if paint is None:
            return
        self.background.setIcon(brushes.swatch(paint, BACKGROUND))
        self.object.setIcon(brushes.swatch(paint, max(value, FIRST_OBJECT)))
        for field, shown in ((self.diameter, int(paint.brush_size)), (self.class_value, value)):
            with signals_blocked(field):
                field.setValue(shown)
