"""The annotator who paints where the product leads: only what is true, only near those places, in time."""

import numpy as np
import pytest
from scipy import ndimage
from truths import touching_cells

from annotator import BACKGROUND, Painted, paint_for
from guided import guide
from napari_unet.core.objects.prediction import Prediction


def test_the_guided_annotator_paints_what_is_true_where_the_network_wavers():
    labels = touching_cells(3, (100, 120))
    rng = np.random.default_rng(0)
    before = paint_for(labels, 3.0, rng=rng)
    # A network that knows all objects but one, which it half sees.
    foreground = (labels > 0).astype(np.float32)
    unpainted = np.setdiff1d(np.unique(labels[labels > 0]), np.unique(labels[before.paint > BACKGROUND]))
    wavering = labels == unpainted[-1]
    foreground[wavering] = 0.5
    prediction = Prediction(np.stack([1 - foreground, foreground]), ndim=2)
    after = guide(labels, labels.astype(np.float32), prediction, before, before.seconds + 1.0, rng=rng)
    new = after.paint != before.paint
    assert (after.paint[new & (labels == 0)] == BACKGROUND).all()
    assert (after.paint[new & (labels > 0)] > BACKGROUND).all()
    assert (new & wavering).any()
    assert not (new & (ndimage.distance_transform_edt(~wavering) > 60)).any()
    assert before.seconds + 1 <= after.seconds < before.seconds + 3


@pytest.mark.parametrize("on_object", [True, False])
def test_what_is_there_comes_first_and_the_other_is_painted_beside_it(on_object):
    labels = np.zeros((160, 200), np.int32)
    labels[70:90, 60:80] = 1
    foreground = (labels > 0).astype(np.float32)
    foreground[(slice(70, 90), slice(60, 80) if on_object else slice(82, 100))] = 0.5
    prediction = Prediction(np.stack([1 - foreground, foreground]), ndim=2)
    before = Painted(np.zeros_like(labels), frozenset(), 0.0)

    def guided(until):
        rng = np.random.default_rng(0)
        return guide(labels, labels.astype(np.float32), prediction, before, until, rng=rng).paint

    first, both = guided(1.0), guided(2.0)
    assert np.unique(first[first > 0]).tolist() == ([BACKGROUND + 1] if on_object else [BACKGROUND])
    assert np.unique(both[both > 0]).tolist() == [BACKGROUND, BACKGROUND + 1]
    assert (labels[both == BACKGROUND] == 0).all()
    assert (labels[both > BACKGROUND] == 1).all()
    assert ndimage.distance_transform_edt(labels == 0)[both == BACKGROUND].min() < 10


def test_where_nothing_is_uncertain_nothing_is_painted():
    labels = touching_cells(3, (100, 120))
    rng = np.random.default_rng(0)
    before = paint_for(labels, 3.0, rng=rng)
    foreground = np.zeros(labels.shape, np.float32)
    prediction = Prediction(np.stack([1 - foreground, foreground]), ndim=2)
    after = guide(labels, labels.astype(np.float32), prediction, before, 99.0, rng=rng)
    np.testing.assert_array_equal(after.paint, before.paint)
