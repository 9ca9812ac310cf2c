"""The annotator who paints where the product leads: only what is true, only near those places, in time."""

import numpy as np
from scipy import ndimage
from truths import touching_cells

from annotator import BACKGROUND, paint_for
from guided import guide
from napari_unet.core.prediction import Prediction


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


def test_where_nothing_is_uncertain_nothing_is_painted():
    labels = touching_cells(3, (100, 120))
    rng = np.random.default_rng(0)
    before = paint_for(labels, 3.0, rng=rng)
    foreground = np.zeros(labels.shape, np.float32)
    prediction = Prediction(np.stack([1 - foreground, foreground]), ndim=2)
    after = guide(labels, labels.astype(np.float32), prediction, before, 99.0, rng=rng)
    np.testing.assert_array_equal(after.paint, before.paint)
