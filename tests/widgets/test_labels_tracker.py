"""What is compared with the disk after a stroke: small labels whole, of large ones the plane that is seen."""

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QObject

from napari_unet.widgets.projects import labels_tracker
from napari_unet.widgets.projects.labels_tracker import LabelsTracker


@pytest.fixture
def parent(qapp):
    return QObject()


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_labels(np.zeros((40, 600, 20), np.int32))
    viewer.dims.set_point(0, 7)
    return viewer


def test_small_labels_are_compared_whole_and_once(viewer, parent):
    tracker = LabelsTracker(viewer, viewer.layers[0], parent)
    assert tracker.has_news
    assert len(tracker.take()) == 80
    assert not tracker.has_news
    assert tracker.take() == []
    viewer.layers[0].paint((7, 50, 10), 2)
    assert tracker.has_news
    assert tracker.is_kept
    assert len(tracker.take()) == 80


def test_of_large_labels_the_plane_that_is_painted_on_comes_first(viewer, parent, monkeypatch):
    monkeypatch.setattr(labels_tracker, "_SMALL", 1000)
    monkeypatch.setattr(labels_tracker, "_BATCH", 30)
    tracker = LabelsTracker(viewer, viewer.layers[0], parent)
    assert len(tracker.take()) == 80
    viewer.layers[0].paint((7, 50, 10), 2)
    assert tracker.has_news
    first = tracker.take()
    assert set(first[:2]) == {(7, 0, 0), (7, 1, 0)}
    rest = [*first[2:], *tracker.take(), *tracker.take()]
    assert len(set(rest)) == 80  # undo may have changed any other
    assert not tracker.has_news
    viewer.layers[0].paint((7, 50, 10), 3)
    assert set(tracker.take()) == {(7, 0, 0), (7, 1, 0)}  # the others were looked at a moment ago
    assert not tracker.has_news
    monkeypatch.setattr(labels_tracker, "_SWEEP_S", 0.0)
    assert tracker.has_news  # and are again, a moment later
    assert len([*tracker.take(), *tracker.take(), *tracker.take()]) == 80


def test_all_is_compared_after_a_failure_and_of_other_data(viewer, parent, monkeypatch):
    monkeypatch.setattr(labels_tracker, "_SMALL", 1000)
    tracker = LabelsTracker(viewer, viewer.layers[0], parent)
    tracker.take()
    tracker.again()
    assert tracker.has_news
    assert len(tracker.take()) == 80
    viewer.layers[0].data = np.ones((3, 600, 20), np.int32)
    assert tracker.has_news
    assert len(tracker.take()) == 6


def test_volumes_that_are_shown_whole_are_compared_whole(viewer, parent, monkeypatch):
    monkeypatch.setattr(labels_tracker, "_SMALL", 1000)
    tracker = LabelsTracker(viewer, viewer.layers[0], parent)
    tracker.take()
    viewer.dims.ndisplay = 3
    viewer.layers[0].events.paint(value=[])
    assert len(set(tracker.take())) == 80
