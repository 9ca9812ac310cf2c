"""Reads the controls of a dock as plain values by their object names, and sets them again."""

from collections.abc import Collection, Mapping
from typing import Any

from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QSlider, QSpinBox, QWidget
from superqt import QLabeledDoubleSlider, QLabeledSlider

from napari_unet.widgets.parts.form import Chooser

Values = dict[str, Any]

_NUMBERS = (QSpinBox, QDoubleSpinBox, QLabeledSlider, QLabeledDoubleSlider)
_PLAIN = (bool, int, float, str)


def read_controls(dock: QWidget, leave_out: Collection[str] = ()) -> Values:
    """Return the values of all named controls in ``dock``, except choosers."""
    values: Values = {}
    for control in _controls(dock, leave_out):
        if isinstance(control, QCheckBox):
            values[control.objectName()] = control.isChecked()
        elif isinstance(control, QComboBox):
            data = control.currentData()
            values[control.objectName()] = data if isinstance(data, _PLAIN) else control.currentText()
        else:
            values[control.objectName()] = control.value()
    return values


def show_controls(dock: QWidget, values: Mapping[str, Any], leave_out: Collection[str] = ()) -> None:
    """Set the named controls in ``dock``; values that a control does not offer are ignored."""
    for control in _controls(dock, leave_out):
        value = values.get(control.objectName())
        if not isinstance(value, _PLAIN):
            continue
        if isinstance(control, QCheckBox):
            if isinstance(value, bool):
                control.setChecked(value)
        elif isinstance(control, QComboBox):
            _choose(control, value)
        elif not isinstance(value, bool | str):
            control.setValue(value if isinstance(control.value(), float) else round(value))


def _choose(box: QComboBox, value: Any) -> None:
    for index in range(box.count()):
        data = box.itemData(index)
        offered = data if isinstance(data, _PLAIN) else box.itemText(index)
        if type(offered) is type(value) and offered == value:
            box.setCurrentIndex(index)


def _controls(dock: QWidget, leave_out: Collection[str]) -> list[Any]:
    kinds = (QCheckBox, QComboBox, *_NUMBERS)
    return [
        control
        for control in dock.findChildren(QWidget)
        if isinstance(control, kinds)
        and not isinstance(control, Chooser)
        # Inner parts of Qt's controls have names from Qt, such as qt_spinbox_lineedit.
        and control.objectName()
        and not control.objectName().startswith("qt_")
        and control.objectName() not in leave_out
        and not isinstance(control.parent(), _NUMBERS)
        and not isinstance(control, QSlider)
    ]
