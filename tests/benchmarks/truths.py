import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist


def touching_cells(seed: int, shape: tuple[int, int] = (120, 140), count: int = 14) -> NDArray[np.int32]:
    """Return discs of different sizes, some of which touch and some of which leave the image."""
    rng = np.random.default_rng(seed)
    pixels = np.argwhere(np.ones(shape, bool))
    depth = rng.uniform(7, 14, count) - cdist(pixels, rng.uniform(0, shape, (count, 2)))
    labels = np.where(depth.max(axis=1) > 0, depth.argmax(axis=1) + 1, 0)
    return labels.reshape(shape).astype(np.int32)
