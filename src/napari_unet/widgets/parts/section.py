"""A titled part of a dock that folds away."""

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QPushButton, QSizePolicy, QWidget

from napari_unet.widgets.parts.form import Column, describe

_LOOK = """
QPushButton { background: transparent; border: none; padding: 3px 0px; text-align: left; }
QPushButton:hover, QPushButton:focus { text-decoration: underline; }
"""
"""A plain line of text. A tool button would look like this anyway, but napari sets no font size for them."""


class Section(QWidget):
    """A title that shows or hides what is below it, by mouse or with the space bar.

    Unlike superqt's ``QCollapsible``, which squeezes its content to height 0, the content is hidden: controls
    that cannot be seen are not reached with the Tab key, and texts that wrap over several lines are not cut.
    """

    toggled = Signal(bool)
    """The content is shown (True) or hidden from now on."""

    def __init__(self, title: str, *, name: str, tooltip: str, is_open: bool = False) -> None:
        super().__init__()
        self._title = title
        self._button = QPushButton()
        describe(self._button, name=name, tooltip=tooltip)
        self._button.setStyleSheet(_LOOK)
        self._button.setCheckable(True)
        self._button.setChecked(is_open)
        self._button.setMinimumWidth(90)  # long names of projects are cut, so that they do not widen the dock
        self._button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._button.toggled.connect(self._show_content)
        self.content = QWidget()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        outer = Column(self)
        outer.setSpacing(4)
        outer.addWidget(self._button)
        outer.addWidget(self.content)
        self._show_content(is_open)

    @property
    def is_open(self) -> bool:
        """Whether the content shows."""
        return bool(self._button.isChecked())

    def set_open(self, is_open: bool) -> None:
        """Show or hide the content."""
        self._button.setChecked(is_open)

    def set_title(self, title: str, *, emphasised: bool) -> None:
        """Write another title, in bold if it is ``emphasised``."""
        self._title = title
        self._show_title()
        font = self._button.font()
        font.setBold(emphasised)
        self._button.setFont(font)

    def _show_content(self, is_open: bool) -> None:
        self._show_title()
        self.content.setVisible(is_open)
        self.toggled.emit(is_open)

    def _show_title(self) -> None:
        self._button.setText(f"{'▾' if self.is_open else '▸'} {self._title}")
        self._button.setAccessibleName(self._title)
