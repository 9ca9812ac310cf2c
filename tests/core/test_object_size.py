import numpy as np
import pytest
from skimage import data
from skimage.draw import disk

from napari_unet.core.object_size import estimate_diameter


def discs(diameter: float, shape: tuple[int, int] = (400, 460), *, apart: float = 1.6) -> np.ndarray:
    rng = np.random.default_rng(0)
    image = np.zeros(shape, np.float32)
    step = apart * diameter
    for y in np.arange(step / 2, shape[0], step):
        for x in np.arange(step / 2, shape[1], step):
            centre = y + rng.uniform(-0.1, 0.1) * diameter, x + rng.uniform(-0.1, 0.1) * diameter
            image[disk(centre, diameter / 2, shape=shape)] = rng.uniform(0.5, 1)
    return image + rng.normal(0, 0.08, shape).astype(np.float32)


@pytest.mark.parametrize("diameter", [7, 10, 17, 25, 42, 66, 110])
def test_discs_of_a_known_diameter_are_found_within_a_quarter(diameter: float) -> None:
    image = discs(diameter)
    for seen in (image, 1 - image):  # bright or dark
        assert estimate_diameter(seen) == pytest.approx(diameter, rel=0.25)


def test_gaps_between_crowded_discs_count_as_well() -> None:
    assert estimate_diameter(discs(24, apart=1.1)) == pytest.approx(24, rel=0.4)


def test_a_real_image_and_half_of_it() -> None:
    coins = data.coins().astype(np.float32) / 255
    whole = estimate_diameter(coins)
    half = estimate_diameter(coins[::2, ::2])
    assert whole is not None
    assert half is not None
    assert whole == pytest.approx(48, rel=0.3)  # the coins are 40 to 60 pixels wide
    assert half == pytest.approx(whole / 2, rel=0.3)


@pytest.mark.parametrize("image", [np.zeros((64, 64), np.float32), np.ones((3, 3), np.float32)])
def test_nothing_has_no_size(image: np.ndarray) -> None:
    assert estimate_diameter(image) is None
