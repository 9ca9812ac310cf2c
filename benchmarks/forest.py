"""A random forest on multi-scale features, as in ilastik, Labkit and convpaint's classical mode.

100 trees, as in ilastik, on the features of its pixel classification at its default scales from 0.7 px up:
smoothed intensity, gradient magnitude, Laplacian, and the eigenvalues of Hessian and structure tensor.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import hessian_matrix_eigvals, structure_tensor_eigenvalues

from annotator import Labels
from kinds import Image
from methods import Snapshot, Task
from napari_unet.core.annotation import read_paint
from napari_unet.core.arrays.axes import channels_first
from napari_unet.core.arrays.normalisation import Normalisation, apply_limits
from scoring import every_way

SCALES = (0.7, 1.0, 1.6, 3.5, 5.0, 10.0)
"""Standard deviations in pixels: ilastik's list."""

_TREES = 100
_CHUNK = 65_536
"""Pixels predicted together, to bound the memory."""


def forest(task: Task) -> Iterator[Snapshot]:
    """Fit to the painted pixels, for as long as that takes: the result is the same at every mark."""
    from sklearn.ensemble import RandomForestClassifier

    examples: list[NDArray[np.float32]] = []
    classes: list[NDArray[np.uint8]] = []
    for image, painted in zip(task.images, task.painted, strict=True):
        annotation = read_paint(painted.paint, "objects", n_classes=2)
        if annotation.known.any():
            examples.append(pixel_features(_normalised(image, painted.paint.shape))[annotation.known])
            classes.append(annotation.target[annotation.known])
    trees = RandomForestClassifier(_TREES, random_state=task.seed, n_jobs=1)
    trees.fit(np.concatenate(examples), np.concatenate(classes))

    def segment(image: Image) -> dict[str, Labels]:
        shape = image.shape[:2]
        features = pixel_features(_normalised(image, shape)).reshape(-1, trees.n_features_in_)
        probability = np.concatenate(
            [
                trees.predict_proba(features[first : first + _CHUNK])[:, 1]
                for first in range(0, len(features), _CHUNK)
            ]
        )
        return every_way(probability.reshape(shape), [painted.paint for painted in task.painted])

    yield Snapshot(task.marks, segment, steps=0)


def pixel_features(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the features (Y, X, F) of an image (C, Y, X): per channel, the pixel and seven at each scale."""
    columns = []
    for plane in image:
        columns.append(plane)
        for sigma in SCALES:
            columns.extend(
                (
                    ndimage.gaussian_filter(plane, sigma),
                    ndimage.gaussian_gradient_magnitude(plane, sigma),
                    ndimage.gaussian_laplace(plane, sigma),
                    *hessian_matrix_eigvals(_hessian(plane, sigma)),
                    *structure_tensor_eigenvalues(_structure_tensor(plane, sigma)),
                )
            )
    return np.stack(columns, axis=-1).astype(np.float32)


def _hessian(plane: NDArray[np.float32], sigma: float) -> list[NDArray[np.float32]]:
    return [ndimage.gaussian_filter(plane, sigma, order=order) for order in ((2, 0), (1, 1), (0, 2))]


def _structure_tensor(plane: NDArray[np.float32], sigma: float) -> list[NDArray[np.float32]]:
    # ilastik integrates over half the scale of the gradient.
    rows, columns = (ndimage.gaussian_filter(plane, sigma, order=order) for order in ((1, 0), (0, 1)))
    products = (rows * rows, rows * columns, columns * columns)
    return [ndimage.gaussian_filter(product, sigma / 2) for product in products]


def _normalised(image: Image, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the image (C, Y, X) as our network sees it."""
    pixels = channels_first(image, ndim=2, paint_shape=shape)
    return apply_limits(pixels, Normalisation().limits(pixels))
