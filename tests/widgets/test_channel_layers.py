"""Channels that are layers of their own: blended with each other, and learnt from together."""

from dataclasses import replace

import dask.array
import numpy as np
import pytest
from dock_helpers import discs, paint_on, save, say
from napari.layers import Image
from qtpy.QtWidgets import QPushButton

from napari_unet.widgets.bridge.layers import copy_image, make_annotation
from napari_unet.widgets.bridge.marks import image_channels, images_of, mode_of, set_mode
from napari_unet.widgets.bridge.sight import blended, parts_of
from napari_unet.widgets.models.model_chooser import ModelFacts
from napari_unet.widgets.paint import PaintDock
from napari_unet.widgets.painting.channel_layers import combine
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.predicting.prediction_targets import target_of, targets_that_suit

SHAPE = (64, 70)
CHANNELS = np.stack([discs(SHAPE), discs(SHAPE, seed=1), discs(SHAPE, seed=2)])


def opened(viewer, channels=CHANNELS[:2], names=("DAPI", "GFP", "RFP"), **place):
    """Add channels as napari opens them."""
    return viewer.add_image(channels, channel_axis=0, name=list(names[: len(channels)]), **place)


@pytest.fixture
def dock(viewer, qtbot):
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    return dock


def offered(dock):
    button = dock.findChild(QPushButton, "paint_combine")
    return say(dock, "paint_alone") if button.isVisibleTo(dock) else None


def press(dock):
    dock.findChild(QPushButton, "paint_combine").click()


def test_channels_are_made_one_image_that_is_learnt_from(dock, viewer):
    place = {"scale": (0.5, 0.25), "translate": (3.0, 4.0), "units": ("um", "um"), "axis_labels": ("Y", "X")}
    first, second = opened(viewer, **place)
    assert offered(dock) == "Only 'DAPI' is learnt from, not 'GFP'. If they are channels of one picture:"
    press(dock)
    image = dock.image.layer
    assert image.name == "DAPI + GFP"
    assert [layer.name for layer in viewer.layers] == ["DAPI", "GFP", "DAPI + GFP"]
    assert offered(dock) is None
    assert say(dock, "paint_advice") == ""
    assert (image.visible, image.opacity, first.visible, second.visible) == (True, 0, True, True)
    assert image.axis_labels == ("C", "Y", "X")
    dock.make()
    paint = dock.annotation
    assert paint.data.shape == SHAPE
    for name in place:
        assert tuple(map(str, getattr(paint, name))) == tuple(map(str, getattr(first, name))), name
    assert (image.opacity, first.visible, second.visible) == (0, True, True)
    assert viewer.layers.index(paint) > viewer.layers.index(second)
    assert image_channels(image, paint) == "first"
    np.testing.assert_array_equal(copy_image(image), CHANNELS[:2])


def test_what_was_painted_on_one_channel_first_comes_along(dock, viewer, qtbot):
    first, second = opened(viewer, scale=(0.5, 0.25))
    dock.image.choose(first)
    dock.make()
    assert "Only 'DAPI' is learnt from" in offered(dock)  # until something is painted
    paint = dock.annotation
    paint.data_setitem(np.nonzero(np.eye(*SHAPE)), 3)
    paint.events.paint(value=[])
    assert offered(dock) is None
    set_mode(paint, "classes")
    dock.image.choose(second)
    press(dock)
    image = dock.image.layer
    copied = dock.annotation
    assert copied is not paint
    np.testing.assert_array_equal(copied.data, paint.data)
    assert image_channels(image, copied) == "first"
    assert mode_of(copied) == "classes"
    assert (paint.visible, copied.visible) == (False, True)
    assert first.visible


def test_other_pictures_of_as_many_layers_are_made_images_as_well(dock, viewer, qtbot):
    painted, one, other = (opened(viewer) for _ in range(3))
    make_annotation(viewer, painted[1])
    opened(viewer, CHANNELS)  # of three
    dock.image.choose(other[1])
    press(dock)

    def made():
        return [parts for layer in images_of(viewer) if (parts := parts_of(viewer, layer))]

    assert made() == [one, other]
    qtbot.wait(50)  # for the dock turns to layers that are selected as they come
    assert parts_of(viewer, dock.image.layer) == other
    for image in (dock.image.layer, viewer.layers["DAPI [1] + GFP [1]"]):
        dock.image.choose(image)
        dock.make()
        assert dock.annotation.data.shape == SHAPE
    again = opened(viewer)
    dock.image.choose(one[0])
    press(dock)  # there is one already
    assert made() == [one, other, again]
    assert parts_of(viewer, dock.image.layer) == one


def test_an_image_made_of_channels_is_segmented_with_all_of_them(viewer, models, qtbot):
    layers = opened(viewer)
    image = viewer.add_layer(combine(layers))
    predict = PredictDock(viewer)
    qtbot.addWidget(predict)
    for number, suits in ((2, [image]), (1, layers)):  # never as grey planes
        facts = ModelFacts.read(save(models, f"{number}", channels=number))
        found = targets_that_suit(viewer, "auto", facts)
        assert [target.layer for target in found] == suits
        predict.select_model(facts.path)
        predict.image.choose(image)
        assert say(predict, "predict_suits") == ""
    any_number = replace(facts, in_channels=None, object_size=20.0)  # as of a starter
    assert target_of(viewer, image, "auto", any_number).channels == "first"
    split = viewer.add_image(image.data[0], metadata=dict(image.metadata))  # as napari splits it
    assert target_of(viewer, split, "auto", facts).channels == "none"


def test_what_was_said_of_their_axis_is_not_said_of_a_stack(dock, viewer):
    opened(viewer)
    stack = viewer.add_image(discs((3, *SHAPE)), name="stack")
    press(dock)
    assert dock.channels.currentData() == "first"
    dock.image.choose(stack)
    assert dock.channels.currentData() == "auto"
    dock.make()
    assert dock.annotation.data.shape == (3, *SHAPE)


def test_what_the_user_said_of_channels_stays_for_the_next_image(dock, viewer):
    first, second = (viewer.add_image(discs((2, *SHAPE))) for _ in range(2))
    dock.image.choose(first)
    dock.channels.setCurrentIndex(dock.channels.findData("first"))
    dock.image.choose(second)
    assert dock.channels.currentData() == "first"


def test_channels_that_are_painted_on_stay_as_they_are(dock, viewer):
    opened(viewer)
    paint_on(viewer, dock.image.layer)
    dock.annotation.events.paint(value=[])
    assert offered(dock) is None
    viewer.layers.remove(dock.annotation)
    assert offered(dock) is not None


def test_of_many_channels_the_number_is_said(dock, viewer):
    opened(viewer, discs((5, *SHAPE)), names="abcde")
    assert offered(dock).startswith("Only 'a' is learnt from, not 4 others.")
    viewer.layers.remove("e")
    assert offered(dock).startswith("Only 'a' is learnt from, not 'b', 'c' and 'd'.")


def test_what_is_blended_no_more_is_not_made_one(dock, viewer):
    _, second = opened(viewer)
    second.blending = "opaque"
    press(dock)
    assert offered(dock) is None
    assert len(viewer.layers) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"blending": "translucent_no_depth"},  # another picture over the first
        {"data": np.zeros((64, 71))},
        {"data": np.zeros((*SHAPE, 3)), "rgb": True},
        {"data": [np.zeros(SHAPE), np.zeros((32, 35))], "multiscale": True},
        {"scale": (2, 2)},
        {"rotate": 30},
        {"shear": [0.5]},
        {"affine": np.diag([2.0, 2.0, 1.0])},
    ],
    ids=str,
)
def test_what_may_be_another_picture_is_left_alone(viewer, other):
    image = viewer.add_image(CHANNELS[0])
    layer = viewer.add_image(**{"data": CHANNELS[1], "blending": "additive"} | other)
    for one in (image, layer):
        assert blended(viewer, one) == []


def test_channels_that_are_turned_are_left_alone(viewer):
    for layer in (layers := opened(viewer)):
        layer.rotate = 30
    assert blended(viewer, layers[0]) == []


def test_two_pictures_of_two_channels_each(viewer):
    one, other = opened(viewer), opened(viewer, CHANNELS[1:])
    for pair in (one, other):
        for layer in pair:
            assert blended(viewer, layer) == pair


def test_channels_of_stacks_and_of_several_resolutions(viewer):
    stacks = combine(opened(viewer, dask.array.from_array(discs((2, 3, *SHAPE)))))
    assert stacks.data.shape == (2, 3, *SHAPE)
    coarse = CHANNELS[:2, ::2, ::2]
    pyramid = combine(viewer.add_image([CHANNELS[:2], coarse], channel_axis=0, multiscale=True))
    assert isinstance(pyramid, Image)
    assert [level.shape for level in pyramid.data] == [(2, 64, 70), (2, 32, 35)]
