"""What a training would learn from, counted in the background and said in one sentence."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs

from napari_unet.core.annotation import FIRST_OBJECT, Mode, check_paint
from napari_unet.core.arrays.runs import count_values
from napari_unet.core.arrays.sparse import copy_planes
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.painted.known_full import KnownFull
from napari_unet.core.painted.regions import complete
from napari_unet.widgets.bridge.marks import known_full_of, mode_of
from napari_unet.widgets.parts.form import Sentence
from napari_unet.widgets.parts.latest import Latest
from napari_unet.widgets.window.lifetime import follow, when_settled


class ImagePaint(NamedTuple):
    """The paint of one image (…YX int), what its values mean, and which of its objects are full."""

    paint: NDArray[Any]
    mode: Mode
    full: KnownFull


class PaintTally(Sentence):
    """Says how much there is to learn from; counts only while it can be seen.

    ``learnt_from`` returns the images to learn from, with their paint, or raises ``InputError`` if there are
    none.
    """

    changed = Signal()
    """The layers, or the paint on them, may have changed."""

    def __init__(
        self,
        name: str,
        viewer: ViewerModel,
        learnt_from: Callable[[], Sequence[tuple[Image, Labels]]],
    ) -> None:
        super().__init__(name)
        self._learnt_from = learnt_from
        self._followed = ExitStack()
        self._latest = Latest("Counting paint", self)
        self._latest.result.connect(self.say)
        self._settled = when_settled(self, self._count)
        layers = viewer.layers
        # When opened paint is taken, the only event is that its layer is selected.
        emitters = layers.events.inserted, layers.events.removed, layers.selection.events.active
        follow(self, self._on_change, *emitters)

    def look(self) -> None:
        """Count again, soon."""
        self._settled.start()

    def _on_change(self, _event: object = None) -> None:
        self.changed.emit()
        self.look()

    def _count(self) -> None:
        parent = self.parentWidget()
        if parent is None or not parent.isVisible():
            return  # look is called when it is shown
        self._followed.close()
        try:
            paints = [paint for _, paint in self._learnt_from()]
        except InputError:  # Start says why
            self._latest.cancel()
            self.say("")
            return
        for paint in paints:
            events = paint.events
            self._followed.callback(
                follow(self, self._on_change, events.paint, events.data, events.set_data, events.metadata)
            )
        told = [ImagePaint(paint.data, mode_of(paint), known_full_of(paint)) for paint in paints]
        self._latest.submit(lambda control: _describe(told, control))


def _describe(told: Sequence[ImagePaint], control: Control) -> Iterator[str]:
    counted = []
    for paint, mode, full in told:
        if control.stopped:
            return
        # The user goes on painting; an event of its own reports later strokes.
        counted.append(ImagePaint(check_paint(complete(copy_planes(paint), full.regions)), mode, full))
    yield describe_paint(counted)


def describe_paint(told: Sequence[ImagePaint]) -> str:
    """Return how many images, objects and classes are painted, and how many objects are full.

    Images without paint do not count; "" if nothing is painted at all.
    """
    images = objects = full_objects = 0
    classes: set[int] = set()
    for paint, mode, full in told:
        values = set(count_values(paint))
        images += bool(values)
        if mode == "classes":
            classes |= values
            continue
        values = {value for value in values if value >= FIRST_OBJECT}
        objects += len(values)
        within = full.within(paint)
        full_objects += len(values) if within is True else len(within or ())
    if not images:
        return ""
    parts = [_number(images, "image")]
    if classes:
        parts.append(_number(len(classes), "class", "classes"))
    if objects or not classes:
        parts.append(_number(objects, "object"))
    if full_objects:
        which = "all" if full_objects == objects else f"{full_objects:,} of them"
        parts.append("filled to its border" if objects == 1 else f"{which} filled to their border")
    return f"Painted: {', '.join(parts)}."


def _number(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
