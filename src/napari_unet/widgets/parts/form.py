"""Small parts of docks, so that all docks look and behave alike.

Colours and fonts are napari's: only the coloured edge of a :class:`Sentence` is styled here, in colours that
are readable on both themes.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtGui import QKeyEvent, QResizeEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledSlider
from superqt.utils import signals_blocked

from napari_unet.widgets.bridge.marks import is_image, kind_of
from napari_unet.widgets.bridge.sight import select_image
from napari_unet.widgets.window.lifetime import follow
from napari_unet.widgets.window.preferences import read_preferences

Tone = Literal["hint", "warning", "error"]

FieldT = TypeVar("FieldT", bound=QWidget)

_EDGES = 4
"""Pixels between the text of a list and its field, both sides together."""

_EDGE = {"hint": "#7a8290", "warning": "#d59a13", "error": "#d4513f"}


class Column(QVBoxLayout):
    """The parts of ``parent`` from top to bottom; they fill it, except for an ``indent`` on the left."""

    def __init__(self, parent: QWidget, indent: int = 0) -> None:
        super().__init__(parent)
        self.setContentsMargins(indent, 0, 0, 0)

    def add(self, widget: FieldT) -> FieldT:
        """Add a widget and return it."""
        self.addWidget(widget)
        return widget

    def add_row(self, *widgets: QWidget) -> QHBoxLayout:
        """Add widgets side by side and return their layout."""
        row = QHBoxLayout()
        for widget in widgets:
            row.addWidget(widget)
        self.addLayout(row)
        return row


class Form(QFormLayout):
    """Labelled rows at the end of a column; their fields take the remaining width."""

    def __init__(self, column: QVBoxLayout) -> None:
        super().__init__()
        self.setContentsMargins(0, 0, 0, 0)
        self.setHorizontalSpacing(8)
        self.setVerticalSpacing(6)
        self.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        column.addLayout(self)

    def add(self, label: str, field: FieldT, *, name: str, tooltip: str) -> FieldT:
        """Add a labelled field and return it; its label has its tooltip and moves the focus to it."""
        describe(field, name=name, tooltip=tooltip)
        field.setAccessibleName(label)
        text = QLabel(label)
        text.setToolTip(tooltip)
        text.setBuddy(field)
        self.addRow(text, field)
        return field

    def add_wide(self, widget: FieldT) -> FieldT:
        """Add a widget over both columns and return it."""
        self.addRow(widget)
        return widget

    def show_row(self, field: QWidget, visible: bool) -> None:
        """Show or hide a field with its label."""
        for widget in (field, self.labelForField(field)):
            if widget is not None:
                widget.setVisible(visible)


def describe(widget: QWidget, *, name: str, tooltip: str) -> None:
    """Give a control its stable object name and its tooltip."""
    widget.setObjectName(name)
    widget.setToolTip(tooltip)


def button(text: str, on_click: Callable[[], Any], *, name: str, tooltip: str) -> QPushButton:
    """Return a button that is as high as a finger is wide and reachable with the Tab key.

    A click leaves the keys to the canvas, where the space bar moves the view.
    """
    made = QPushButton(text)
    made.setMinimumHeight(28)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.clicked.connect(lambda _checked=False: on_click())
    describe(made, name=name, tooltip=tooltip)
    return made


class DropDown(QComboBox):
    """A list to choose from whose chosen text is cut in the middle where it is too long.

    Names of images and models often differ only at their ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumWidth(90)  # long names are cut, so that they do not widen the dock

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Leave letters to napari, which has them as keys: the list used last must not take them."""
        if event is not None and event.text().strip().isprintable() and event.text().strip():
            event.ignore()
        else:
            super().keyPressEvent(event)

    def initStyleOption(self, option: QStyleOptionComboBox | None) -> None:  # noqa: N802 - Qt's name
        """Cut the text before Qt draws it."""
        super().initStyleOption(option)
        style = self.style()
        if option is not None and style is not None:
            field = style.subControlRect(
                QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
            )
            option.currentText = self.fontMetrics().elidedText(
                option.currentText, Qt.TextElideMode.ElideMiddle, field.width() - _EDGES
            )


def check_box(
    text: str,
    on_toggle: Callable[[bool], Any] | None = None,
    *,
    name: str,
    tooltip: str,
    is_on: bool = False,
) -> QCheckBox:
    """Return a box to tick, which calls ``on_toggle`` from then on; keys reach it as a :func:`button`."""
    made = QCheckBox(text)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.setChecked(is_on)
    if on_toggle is not None:
        made.toggled.connect(on_toggle)
    describe(made, name=name, tooltip=tooltip)
    return made


def slider(lowest: int, highest: int, value: int) -> QLabeledSlider:
    """Return a horizontal slider with its value beside it."""
    made = QLabeledSlider(Qt.Orientation.Horizontal)
    made.setRange(lowest, highest)
    made.setValue(value)
    return made


def choice(options: Sequence[tuple[str, Any]]) -> QComboBox:
    """Return a list of (text, value) to choose one from; read it with ``currentData()``."""
    box = DropDown()
    # As wide as its longest text if there is room, otherwise narrower.
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
    for text, value in options:
        box.addItem(text, value)
    return box


def device_choice() -> QComboBox:
    """Return a list of the devices that can compute, with the preferred one chosen."""
    box = choice([("Automatic", "auto"), ("CPU", "cpu"), ("NVIDIA GPU", "cuda"), ("Apple GPU", "mps")])
    box.setCurrentIndex(max(box.findData(read_preferences().device), 0))
    return box


class Sentence(QLabel):
    """A sentence in a dock, with an edge whose colour says whether it is a hint, a warning or an error."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.setVisible(False)

    def say(self, text: str, tone: Tone = "hint") -> None:
        """Show ``text``; an empty one hides the label."""
        self.setText(text)
        self.setStyleSheet(f"border-left: 3px solid {_EDGE[tone]}; padding: 2px 0px 2px 6px;")
        self.setVisible(bool(text))
        self._claim_height()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Ask for the height of the text at this width."""
        super().resizeEvent(event)
        self._claim_height()

    def _claim_height(self) -> None:
        # Qt's forms keep the height for the former width when a scroll bar appears.
        self.setMinimumHeight(0)  # otherwise the height would never shrink
        self.setMinimumHeight(max(0, self.heightForWidth(self.width())))


class Chooser(DropDown):
    """A list of what exists now, such as layers or files: the choice is not a setting.

    ``placeholder`` is the text while there is nothing.
    """

    def __init__(self, placeholder: str = "") -> None:
        super().__init__()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setPlaceholderText(placeholder)

    def offer_all(self, options: Sequence[tuple[str, Any]], wanted: Any, otherwise: int = 0) -> None:
        """Offer these (text, value) pairs from now on, and choose ``wanted``; send no signal yet."""
        values = [value for _, value in options]
        with signals_blocked(self):
            self.clear()
            for text, value in options:
                self.addItem(text, value)
            self.setCurrentIndex(values.index(wanted) if wanted in values else otherwise)
            self.setEnabled(bool(values))


class LayerChooser(Chooser):
    """A list of the images of a viewer, without results, up to date while layers come, go and are renamed.

    ``none`` stands for no layer, if none need be chosen, and is offered first. ``several`` are the names and
    texts of further choices, such as all images; they are offered after the layers.
    """

    layer_changed = Signal(object)
    """The chosen layer, or None if there is none, whenever the choice changes."""

    _PLACEHOLDER = "Open an image first"

    several_changed = Signal(str)
    """The name of the choice made instead of one layer, or "", whenever it changes."""

    def __init__(
        self,
        viewer: ViewerModel,
        *,
        none: str | None = None,
        several: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(self._PLACEHOLDER)
        self._viewer = viewer
        self._none = [] if none is None else [(none, None)]
        self._instead = [(text, name) for name, text in several.items()]
        self._layer: Any = None
        self._several = ""
        events = viewer.layers.events
        follow(self, self._refill, events.inserted, events.removed, events.reordered, events.renamed)
        self.currentIndexChanged.connect(self._on_index)
        self.activated.connect(self._on_user)
        self._refill()

    @property
    def layer(self) -> Image | None:
        """The chosen image layer; None if there is none, or several are chosen."""
        return self._layer

    @property
    def several(self) -> str:
        """The name of the choice made instead of one layer, or ""."""
        return self._several

    def choose(self, layer: Layer | None) -> None:
        """Choose ``layer`` if it is offered."""
        index = next((i for i in range(self.count()) if self.itemData(i) is layer), -1)
        if index >= 0:
            self.setCurrentIndex(index)

    def _on_user(self, _index: int) -> None:
        """Show the image that the user chose to work on; an optional choice is not for working on."""
        if self._layer is not None and is_image(self._layer) and not self._none:
            select_image(self._viewer, self._layer)

    @staticmethod
    def _offers(layer: Layer) -> bool:
        return is_image(layer)

    def _refill(self, _event: object = None) -> None:
        wanted = self._several or self._layer
        # The topmost first, as in the layer list.
        layers = reversed(self._viewer.layers)
        offered = [layer for layer in layers if self._offers(layer)]
        options = [*self._none, *((layer.name, layer) for layer in offered)]
        # Several are chosen only by the user.
        self.offer_all([*options, *self._instead], wanted, otherwise=0 if options else -1)
        self._on_index()

    def _on_index(self, _index: int = 0) -> None:
        chosen = self.currentData()
        several = chosen if isinstance(chosen, str) else ""
        layer = None if several else chosen
        is_other = several != self._several
        self._several = several
        if layer is not self._layer:
            self._layer = layer
            self.layer_changed.emit(layer)
        if is_other:
            self.several_changed.emit(several)


class LabelsChooser(LayerChooser):
    """The same for labels of objects, predicted and painted ones included."""

    _PLACEHOLDER = "Open or make labels first"

    @property
    def labels(self) -> Labels | None:
        """The chosen label layer."""
        return self._layer

    @staticmethod
    def _offers(layer: Layer) -> bool:
        return isinstance(layer, Labels) and kind_of(layer) not in ("errors", "classes", "stored classes")
