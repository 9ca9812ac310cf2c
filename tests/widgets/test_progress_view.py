"""The rolling curve under the tools of correction."""

import numpy as np
from dock_helpers import discs
from napari.components import ViewerModel
from qtpy.QtWidgets import QLabel

from napari_unet.core.correcting.gestures import Gesture
from napari_unet.widgets.bridge.layers import make_annotation
from napari_unet.widgets.bridge.timeline import timeline_of
from napari_unet.widgets.correcting.correct_section import ProgressView
from napari_unet.widgets.predict import PredictDock


def gestures(kinds):
    return [Gesture(kind, 1000.0 + n) for n, kind in enumerate(kinds)]


def test_it_appears_with_enough_objects_and_draws(qtbot):
    view = ProgressView()
    qtbot.addWidget(view)
    view.resize(300, 120)
    view.show()
    sentence = view.findChild(QLabel, "correct_progress_said")
    assert not sentence.isVisible()
    assert not view._curve.isVisible()
    empty = view._curve.grab().toImage()
    view.show_gestures(gestures(["accepted", "rejected"]))  # too few for a share
    assert not view._curve.isVisible()
    view.show_gestures(gestures(["rejected"] * 5 + ["accepted"] * 25))
    assert sentence.text().startswith("Of the last 20 objects you judged, 20 were right as predicted")
    assert view._curve.isVisible()
    image = view._curve.grab().toImage()
    assert image != empty

    def heights(x):
        return [y for y in range(image.height()) if image.pixelColor(x, y).name() == "#f5a742"]

    assert min(heights(20)) > min(heights(image.width() - 20))  # the share has risen
    view.show_gestures(())
    assert not view._curve.isVisible()


def test_it_is_of_the_gestures_of_the_chosen_image(qtbot):
    viewer = ViewerModel()
    paint = make_annotation(viewer, viewer.add_image(discs()))
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    with timeline_of(paint).step() as step:
        paint.data_setitem((np.array([3]), np.array([3])), np.array([5]))
        step.gestures = tuple(gestures(["accepted"] * 4 + ["split"]))
    paint.events.metadata()
    sentence = dock.findChild(QLabel, "correct_progress_said")
    assert "4 were right as predicted" in sentence.text()
