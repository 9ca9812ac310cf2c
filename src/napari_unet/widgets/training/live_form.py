"""What a user chooses while a network learns: whether paint joins, and what the preview shows."""

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QWidget

from napari_unet.core.annotation import Mode
from napari_unet.network.events import PaintJoined
from napari_unet.widgets.parts.form import Column, Form, Sentence, check_box, choice
from napari_unet.widgets.training.live_preview import Shown


class LiveForm(QWidget):
    """Learn while I paint, and the live preview; both can be changed while the network learns."""

    learning_changed = Signal(bool)
    """Whether paint joins the training was changed."""
    preview_changed = Signal(str)
    """The preview is to show something else: "probability", "labels" or "off"."""

    def __init__(self) -> None:
        super().__init__()
        column = Column(self)
        self.learns = check_box(
            "Learn while I paint",
            self.learning_changed.emit,
            name="train_live",
            tooltip="What you paint, erase or correct while the network learns joins in a second or two.\n"
            "Other images join when you paint on them, if the network learns from all painted images.",
            is_on=True,
        )
        column.addWidget(self.learns)
        form = Form(column)
        self._preview = form.add(
            "Live preview",
            choice([("Probability", "probability"), ("Objects or classes", "labels"), ("Off", "off")]),
            name="train_preview",
            tooltip="What the network makes of the visible part of the image while it learns, in a\n"
            "layer that disappears when the training ends. It takes up to 15 % of the training time.",
        )
        self._preview.currentIndexChanged.connect(lambda _index: self.preview_changed.emit(self.shown))
        self._preview.activated.connect(self._on_chosen)
        self._is_chosen = self._is_suited = False  # by the user, by `suit`
        self._joined = column.add(Sentence("train_joined"))

    @property
    def shown(self) -> Shown:
        """What the preview is to show."""
        shown: Shown = self._preview.currentData()
        return shown

    def suit(self, mode: Mode) -> Shown:
        """Show classes as such, unless the user chose something else; return what the preview is to show.

        Of several classes, the probability is that of all but the background.
        """
        wanted = mode == "classes"
        if not self._is_chosen and self.shown == ("labels" if self._is_suited else "probability"):
            self._is_suited = wanted
            self._preview.setCurrentIndex(self._preview.findData("labels" if wanted else "probability"))
        return self.shown

    def _on_chosen(self, _index: int) -> None:
        self._is_chosen = True

    def say_joined(self, event: PaintJoined | None) -> None:
        """Say that paint has joined; None: none has yet."""
        if event is None:
            self._joined.say("")
            return
        images = "the painted image" if event.images == 1 else f"{event.images} painted images or planes"
        self._joined.say(
            f"Your paint has joined: the network learns from {event.known_pixels:,} pixels on {images}."
        )
