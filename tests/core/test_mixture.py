import numpy as np
import pytest
from taught import build_dataset

from napari_unet.core.learning.mixture import Mixture, telling_mixture

PAINT = np.zeros((60, 80), np.int32)
PAINT[10:30, 10:30] = 2
PAINT[40:50, 40:70] = 1


def mixture_of(*channels: np.ndarray) -> Mixture | None:
    image = np.stack(channels).astype(np.float32)
    return telling_mixture(build_dataset([image], [PAINT], channels="first", held_out=0).samples)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, PAINT.shape)


def test_the_channel_with_the_objects_is_taken_and_is_bright_where_they_are() -> None:
    mixture = mixture_of(noise(0), 8 * (PAINT == 2) + noise(1), noise(2))
    assert mixture is not None
    assert np.abs(mixture.shares).argmax() == 1
    assert mixture.shares[1] > 10 * np.abs(mixture.shares[[0, 2]]).max()
    dark = mixture_of(noise(0), -8 * (PAINT == 2) + noise(1), noise(2))
    assert dark is not None
    assert dark.shares[1] > 0  # objects stay dark


def test_what_both_channels_show_is_taken_out_with_one_of_them() -> None:
    # As in stained tissue: dark is not yet nucleus, only dark in one colour and not in the other is.
    stain = 5 * noise(3)
    mixture = mixture_of(stain + 2 * (PAINT == 2) + 0.1 * noise(4), 0.9 * stain + 0.1 * noise(5))
    assert mixture is not None
    assert mixture.shares[0] * mixture.shares[1] < 0


def test_its_range_is_that_of_a_normalised_channel() -> None:
    channels = [noise(seed) + 4 * (PAINT == 2) for seed in range(3)]
    samples = build_dataset([np.stack(channels)], [PAINT], channels="first", held_out=0).samples
    mixture = telling_mixture(samples)
    assert mixture is not None
    grey = np.tensordot(mixture.shares, samples[0].image, axes=1) + mixture.offset
    assert np.percentile(grey, (1, 99.8)) == pytest.approx([0, 1], abs=1e-5)
    same = mixture_of(*[channels[0]] * 3)
    assert same is not None
    assert same.shares == pytest.approx([same.shares[0]] * 3)


def test_channels_that_tell_nothing_are_left_alone() -> None:
    assert mixture_of(np.ones(PAINT.shape), np.ones(PAINT.shape)) is None
