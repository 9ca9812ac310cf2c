"""A titled part of a dock that folds away."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_unet.widgets.form import describe


class Section(QWidget):
    """A title that shows or hides what is below it, by mouse or with the space bar.

    Unlike superqt's ``QCollapsible``, which squeezes its content to height 0, the content is hidden: controls
    that cannot be seen are not reached with the Tab key, and texts that wrap over several lines are not cut.

    Parameters
    ----------
    title, name, tooltip : str
        Title, object name and tooltip of the button.
    is_open : bool
        Whether the content shows at first.
    """

    def __init__(self, title: str, *, name: str, tooltip: str, is_open: bool = False) -> None:
        super().__init__()
        self._button = QToolButton()
        describe(self._button, name=name, tooltip=tooltip)
        self._button.setText(title)
        self._button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._button.setCheckable(True)
        self._button.setChecked(is_open)
        self._button.setAutoRaise(True)
        self._button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._button.toggled.connect(self._show_content)
        self.content = QWidget()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
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
        self._button.setText(title)
        font = self._button.font()
        font.setBold(emphasised)
        self._button.setFont(font)

    def _show_content(self, is_open: bool) -> None:
        self._button.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self.content.setVisible(is_open)
