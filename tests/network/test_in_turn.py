"""Images in turn: what fails is told, the others are worked on, and nothing keeps their pixels."""

import gc
import weakref

import numpy as np
import pytest

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.network.in_turn import ImageFailed, in_turn


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputError("The image is flat; choose another."), "The image is flat; choose another."),
        (MemoryError(), "not enough memory"),
        (RuntimeError("CUDA out of memory"), "not enough memory"),
        (ValueError("shapes do not match"), "shapes do not match"),
        (PermissionError(13, "Permission denied", "/data/a.tif"), "not allowed"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_that_fails_does_not_keep_the_others(error, words):
    def work(number):
        yield f"{number} begins"
        if number == 1:
            raise error
        yield f"{number} ends"

    before, failed, after = (events := list(in_turn(work, 3, Control())))[:3], events[3], events[4:]
    assert before == ["0 begins", "0 ends", "1 begins"]
    assert isinstance(failed, ImageFailed)
    assert failed.number == 1
    assert words in failed.message
    assert after == ["2 begins", "2 ends"]


def test_no_image_is_begun_after_a_stop():
    control = Control()
    begun = []

    def work(number):
        begun.append(number)
        yield number

    for _ in in_turn(work, 5, control):
        if len(begun) == 2:
            control.stop()
    assert begun == [0, 1]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_no_failure_of_an_image(stop):
    def work(_number):
        yield 0
        raise stop

    with pytest.raises(stop):
        list(in_turn(work, 2, Control()))


def test_pixels_of_a_failed_image_are_gone_before_the_next():
    kept = []

    def work(number):
        pixels = np.zeros(10)
        kept.append(weakref.ref(pixels))
        yield number
        raise ValueError("bad")

    for event in in_turn(work, 3, Control()):
        if isinstance(event, ImageFailed):
            gc.collect()
            assert kept[-1]() is None
    assert len(kept) == 3
