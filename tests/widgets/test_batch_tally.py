"""What the Predict dock says of many images: exact sentences."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.instances import find_objects
from napari_unet.files.pixels.world_axes import named_axes
from napari_unet.widgets.predicting.batch_report import BatchTally
from napari_unet.widgets.predicting.object_counts import ObjectCounts


def tally(total, finished=(), failed=(), *, part=False, folder="", objects=None, areas=()):
    made = BatchTally([f"c{number}.tif" for number in range(total)], folder)
    for number in range(total):
        if number in failed:
            made.fail(number, "It is damaged.")
        elif number in finished:
            counts = None if objects is None else ObjectCounts(*objects[number])
            made.finish(number, counts, areas=areas)
    made.has_part = part
    return made


@pytest.mark.parametrize(
    ("made", "cancelled", "sentence", "tone"),
    [
        (
            tally(1, [0]),
            False,
            "Done: see the results of 'c0.tif' in the layer list, and correct them like any labels.",
            "hint",
        ),
        (
            tally(1, [0], areas=(741, 259, 0)),
            False,
            (
                "Done: 'c0.tif' is 74.1% background, 25.9% class 2 and 0.0% class 3; see the classes in the "
                "layer list, and correct them like any labels."
            ),
            "hint",
        ),
        (
            tally(2, [0, 1], areas=(3, 1)),
            False,
            (
                "Done: 2 images are 75.0% background and 25.0% class 2; see the classes in the layer list, "
                "and correct them like any labels."
            ),
            "hint",
        ),
        (
            tally(1, [0], objects=[((1200,),)]),
            False,
            "Done: 1,200 objects in 'c0.tif'; see them in the layer list, and correct them like any labels.",
            "hint",
        ),
        (
            tally(1, [0], objects=[((1,),)]),
            False,
            "Done: 1 object in 'c0.tif'; see it in the layer list, and correct it like any labels.",
            "hint",
        ),
        (
            tally(2, [0, 1], objects=[((5, 7),), ((12,),)]),
            False,
            (
                "Done: 24 objects in 2 images, 12 in each; see them in the layer list, and correct them like "
                "any labels."
            ),
            "hint",
        ),
        (
            tally(1, [0], objects=[((31, 0, 1060), "frame")]),
            False,
            (
                "Done: 1,091 objects in 'c0.tif', 0 to 1,060 per frame; see them in the layer list, and "
                "correct them like any labels."
            ),
            "hint",
        ),
        (
            tally(1, [0], objects=[((0, 0), "frame")]),
            False,
            "Done, and no object was found in 'c0.tif': train longer, or lower Threshold or Smallest object.",
            "warning",
        ),
        (tally(1, failed=[0]), False, "It is damaged.", "error"),
        (tally(1), True, "Cancelled; nothing was added.", "hint"),
        (tally(0, folder="/r"), True, "Cancelled; nothing was written.", "hint"),
        (tally(1, part=True), True, "Cancelled; the finished tiles were added.", "hint"),
        (tally(3, [0, 1, 2], folder="/r"), False, "Done: see the results of 3 images in /r.", "hint"),
        (
            tally(60, range(58), [58, 59], folder="/r"),
            False,
            "58 of 60 images segmented, 2 failed: the list below says why. The results are in /r.",
            "warning",
        ),
        (
            tally(2, failed=[0, 1], folder="/r"),
            False,
            "0 of 2 images segmented, 2 failed: the list below says why.",
            "error",
        ),
        (
            tally(5, [0, 2], [1], folder="/r"),
            True,
            "Cancelled: 2 of 5 images segmented, 1 failed. What is finished is in /r.",
            "warning",
        ),
        (tally(5, folder="/r"), True, "Cancelled: 0 of 5 images segmented.", "hint"),
        (
            tally(5, [0], part=True),
            True,
            (
                "Cancelled: 1 of 5 images segmented. What is finished is in the layer list, with the "
                "finished tiles of one more."
            ),
            "hint",
        ),
        # The stop came after the last image was finished.
        (tally(2, [0, 1], folder="/r"), True, "Done: see the results of 2 images in /r.", "hint"),
    ],
)
def test_outcomes(made, cancelled, sentence, tone):
    assert made.outcome(cancelled=cancelled) == (sentence, tone)


@pytest.mark.parametrize(
    ("there", "which"), [((), ""), ((0,), " 1 of them was"), ((0, 1), " All of them were")]
)
def test_it_is_told_how_many_had_their_results_before(there, which):
    made = tally(2, folder="/r")
    for number in range(2):
        made.finish(number, was_there=number in there)
    before = f"{which} segmented before, by this model with these settings." if which else ""
    sentence = f"Done: see the results of 2 images in /r.{before}"
    assert made.outcome(cancelled=False) == (sentence, "hint")


def test_results_that_do_not_go_with_the_new_ones_are_told():
    made = tally(2, folder="/r")
    made.finish(0, apart=[Path("/r/c0_classes.tif")])
    sentence, tone = made.outcome(cancelled=True)
    told = " Left there from an earlier run with another model, settings, format or release: c0_classes.tif;"
    assert told in sentence
    made.finish(1, was_there=True, apart=[Path("/r/c1_classes.tif"), Path("/r/c1_classes.zarr")])
    sentence, tone = made.outcome(cancelled=False)
    assert sentence.startswith("Done: see the results of 2 images in /r. 1 of them was segmented before, by")
    assert ": c0_classes.tif and 2 more; predict all kinds together, or delete what is old." in sentence
    assert tone == "warning"


def test_the_place_in_words():
    made = tally(60)
    assert made.progress == ""
    made.advance(2, 0.5, "Smaller tiles.")
    assert made.progress == "Image 3 of 60, c2.tif: 4% done. Smaller tiles."
    single = tally(1)
    single.advance(0, 0.25)
    assert single.progress == "Predicting: 25% done."


@given(st.lists(st.sampled_from(["finish", "fail"]), min_size=1, max_size=20), st.data())
def test_progress_grows_from_nothing_to_all(fates, data):
    made = tally(len(fates))
    shares = [made.share]
    for number, fate in enumerate(fates):
        for share in sorted(data.draw(st.lists(st.floats(0, 1), max_size=3))):
            made.advance(number, share)
            shares.append(made.share)
        made.finish(number) if fate == "finish" else made.fail(number, "Why.")
        shares.append(made.share)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert len(made.finished) + len(made.failure_lines()) == len(fates)


def test_a_note_is_told_even_if_the_image_is_finished_at_once_and_not_of_the_next_one():
    made = tally(2)
    made.advance(0, 0.5, "The memory was not enough.")
    made.finish(0)
    assert made.progress == "Image 1 of 2, c0.tif: 50% done. The memory was not enough."
    made.advance(1, 0.5)
    assert made.progress == "Image 2 of 2, c1.tif: 75% done."


@pytest.mark.parametrize(
    ("ndim", "letters", "numbers", "each"),
    [
        (2, "TYX", (0, 2, 0, 1), "frame"),
        (2, "ZYX", (0, 2, 0, 1), "plane"),
        (2, "", (0, 2, 0, 1), "plane"),
        (3, "ZYX", (2,), "volume"),  # one of the two is in planes 1 to 3
    ],
)
def test_objects_are_counted_plane_by_plane(ndim, letters, numbers, each):
    sure = np.zeros((4, 32, 32), np.float32)
    sure[1, 4:12, 4:12] = sure[1, 20:28, 20:28] = sure[3, 4:12, 4:12] = 1
    if ndim == 3:
        sure[2] = sure[3]
    objects = find_objects(sure, ndim=ndim)
    assert ObjectCounts.of(objects, ndim, named_axes(letters)) == ObjectCounts(numbers, each)
