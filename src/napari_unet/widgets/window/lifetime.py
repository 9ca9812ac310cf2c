"""Qt objects die with their window, even if Python still holds them."""

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakMethod, ref

from app_model.types import KeyCombo
from napari.components import ViewerModel
from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer

Owner = TypeVar("Owner", bound=QObject)


def is_alive(instance: QObject) -> bool:
    """Return whether Qt has not deleted ``instance`` yet; deleted objects must not be called."""
    return bool(isalive(instance))  # type: ignore[no-untyped-call]  # qtpy has no types


def later(owner: QObject, milliseconds: int, slot: Callable[[], object]) -> QTimer:
    """Return a timer of ``owner`` that calls ``slot`` once, this long after its last start.

    With 0 it does so once the event loop has handled the waiting events.
    """
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(slot)
    return timer


def when_settled(owner: QObject, slot: Callable[[], object]) -> QTimer:
    """Return such a timer that waits for a moment without painting, provided that every stroke starts it."""
    return later(owner, 300, slot)


def bind_key(viewer: ViewerModel, key: str | KeyCombo, owner: Owner, act: Callable[[Owner], object]) -> None:
    """Let ``key`` call ``act(owner)``, whichever layer is selected, until ``owner`` is deleted."""
    living = ref(owner)

    def press(pressed_in: ViewerModel) -> None:
        its_owner = living()
        if its_owner is not None and is_alive(its_owner):
            act(its_owner)
        elif before is not None:  # the key of another dock that is still open
            before(pressed_in)

    before = viewer.bind_key(key, press, overwrite=True)


def follow(owner: QObject, slot: Callable[..., Any], *emitters: Any) -> Callable[[], None]:
    """Call ``slot(event)``, a method of ``owner``, when one of napari's ``emitters`` fires, while it lives.

    napari does not know the lifetime of Qt objects: without this, an event after a dock is closed would reach
    a deleted one. Qt's own ``destroyed`` is no help, because Python may have cleared what it would call. The
    returned function ends it earlier.
    """
    living, method = ref(owner), WeakMethod(slot)

    def relay(event: object = None) -> None:
        its_owner, its_slot = living(), method()
        # The Python half of a deleted Qt object may still exist; calling it would be an error.
        if its_owner is None or its_slot is None or not is_alive(its_owner):
            stop()
        else:
            its_slot(event)

    def stop() -> None:
        for emitter in emitters:
            emitter.disconnect(relay)

    for emitter in emitters:
        emitter.connect(relay)
    return stop
