"""One transform for image, target and weight: nothing invented, nothing shifted against the others."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_unet.network.augment import augment, draw_changes, source_margin
from napari_unet.network.config import AugmentationConfig

OFF = AugmentationConfig.none()


def _only(**changes: float) -> AugmentationConfig:
    values = {name: getattr(OFF, name) for name in AugmentationConfig.__slots__} | changes
    return AugmentationConfig(**values)


GEOMETRY = _only(flip=True, rotation=180.0, scale=0.2, elastic=4.0)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _batch(shape: tuple[int, ...], batch: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = _generator(seed)
    image = torch.rand((batch, 1, *shape), generator=generator)
    target = torch.randint(0, 7, (batch, *shape), generator=generator, dtype=torch.uint8)
    weight = torch.randint(0, 3, (batch, *shape), generator=generator).float() * 3.7
    return image, target, weight


@pytest.mark.parametrize("shape", [(32, 40), (12, 32, 40)])
def test_none_is_exactly_the_centre(shape: tuple[int, ...]) -> None:
    image, target, weight = _batch(shape)
    size = (16, 20) if len(shape) == 2 else (4, 16, 20)
    found = augment(image, target, weight, size, config=OFF, generator=_generator())
    cut = tuple(slice((a - b) // 2, (a + b) // 2) for a, b in zip(shape, size, strict=True))
    assert torch.equal(found[0], image[(..., *cut)])
    assert torch.equal(found[1], target[(..., *cut)])
    assert torch.equal(found[2], weight[(..., *cut)])
    assert source_margin(size, OFF) == (0,) * len(size)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_a_turn_by_a_quarter_and_flips_are_exact(seed: int) -> None:
    # Flips alone move pixels onto pixels, so the result must be one of the four mirror images.
    image, target, weight = _batch((15, 15), batch=1)
    found = augment(image, target, weight, (15, 15), config=_only(flip=True), generator=_generator(seed))
    axes = next(axes for axes in ([], [1], [2], [1, 2]) if torch.equal(found[1], target.flip(axes)))
    torch.testing.assert_close(found[0][:, 0], image[:, 0].flip(axes), atol=1e-5, rtol=0)
    assert torch.equal(found[2], weight.flip(axes))


def test_every_mirror_image_occurs() -> None:
    target = torch.arange(27, dtype=torch.uint8).reshape(1, 3, 3, 3)
    image = target[:, None].float()
    seen = {
        tuple(
            augment(image, target, image[:, 0], (3, 3, 3), config=_only(flip=True), generator=_generator(s))[
                1
            ]
            .flatten()
            .tolist()
        )
        for s in range(60)
    }
    assert len(seen) == 8


@pytest.mark.parametrize("size", [(48, 48), (16, 32, 32)])
@pytest.mark.parametrize("seed", range(3))
def test_image_target_and_weight_move_together(size: tuple[int, ...], seed: int) -> None:
    margin = source_margin(size, GEOMETRY)
    shape = tuple(edge + 2 * extra for edge, extra in zip(size, margin, strict=True))
    # Large blocks: linear and nearest reading then differ only along their rims.
    coarse = torch.rand((1, 1, *(max(edge // 12, 1) for edge in shape)), generator=_generator(seed))
    pattern = (torch.nn.functional.interpolate(coarse, size=shape, mode="nearest") > 0.5).float()
    image, target, weight, _ = augment(
        pattern,
        pattern[:, 0].to(torch.uint8),
        1 + pattern[:, 0],
        size,
        config=GEOMETRY,
        generator=_generator(seed),
    )
    inside = weight > 0
    assert inside.float().mean() > 0.95
    assert torch.equal(weight[inside], 1 + target[inside].float())
    apart = ((image[:, 0] > 0.5) != target.bool()) & inside
    assert apart.float().mean() < 0.01
    # It did move.
    assert (
        target
        != pattern[:, 0].to(torch.uint8)[(..., *(slice(m, m + s) for m, s in zip(margin, size, strict=True)))]
    ).any()


@given(seed=st.integers(0, 2**31), size=st.tuples(st.integers(1, 24), st.integers(1, 24)))
@settings(max_examples=25, deadline=None)
def test_targets_and_weights_keep_their_values(seed: int, size: tuple[int, int]) -> None:
    # No margin here: much of the result lies outside the source.
    image, target, weight = _batch(size, seed=seed)
    _, new_target, new_weight, _ = augment(
        image, target, weight, size, config=GEOMETRY, generator=_generator(seed)
    )
    assert set(new_target.unique().tolist()) <= set(target.unique().tolist()) | {0}
    assert set(new_weight.unique().tolist()) <= set(weight.unique().tolist()) | {0.0}


def test_unknown_stays_unknown() -> None:
    # Target and weight of one pixel: wherever there is weight there is the known class, and nowhere else.
    image, target, weight = _batch((40, 40))
    target = torch.where(weight > 0, 5, 1).to(torch.uint8)
    for seed in range(10):
        _, new_target, new_weight, _ = augment(
            image, target, weight, (40, 40), config=GEOMETRY, generator=_generator(seed)
        )
        assert torch.equal(new_weight > 0, new_target == 5)
    nothing = augment(
        image, target, torch.zeros_like(weight), (40, 40), config=GEOMETRY, generator=_generator()
    )
    assert not nothing[2].any()


def test_a_rotation_turns_by_its_angle_about_the_centre() -> None:
    size = (41, 41)
    config = _only(rotation=30.0)
    edge = size[0] + 2 * source_margin(size, config)[0]
    across = torch.zeros(1, 1, edge, edge)
    across[:, :, edge // 2] = 1
    drawn = (torch.rand(1, generator=_generator()) * 2 - 1) * 30  # the angle is the first number drawn
    for line, sign in ((across, 1), (across.mT, -1)):
        image, *_ = augment(
            line, line[:, 0].to(torch.uint8), line[:, 0], size, config=config, generator=_generator()
        )
        y, x = np.nonzero((image if sign == 1 else image.mT)[0, 0].numpy() > 0.5)
        slope, offset = np.polyfit(x - 20, y - 20, 1)
        # What was level and what was upright turn the same way: a rotation, not a shear or a mirror.
        assert math.degrees(math.atan(slope)) == pytest.approx(sign * float(drawn), abs=1)
        assert abs(offset) < 0.2


@pytest.mark.parametrize("size", [(16, 16), (10, 32), (4, 12, 12)])
def test_the_margin_holds_all_that_rotation_and_zoom_look_at(size: tuple[int, ...]) -> None:
    config = _only(flip=True, rotation=180.0, scale=0.3)
    margin = source_margin(size, config)
    ones = torch.ones(400, *(edge + 2 * extra for edge, extra in zip(size, margin, strict=True)))
    _, _, weight, _ = augment(
        ones[:, None], ones.to(torch.uint8), ones, size, config=config, generator=_generator()
    )
    assert weight.all()
    # A few pixels less show outside: the margin is not much larger than it must be.
    tight = ones[..., 3:-3, 3:-3]
    _, _, weight, _ = augment(
        tight[:, None], tight.to(torch.uint8), tight, size, config=config, generator=_generator()
    )
    assert not weight.all()


def test_the_elastic_field_has_the_size_it_says() -> None:
    # A ramp shows the displacement itself.
    size, source = (96, 96), (160, 160)
    ramp = torch.arange(160.0).expand(64, 1, *source).contiguous()
    config = _only(elastic=4.0, elastic_spacing=32.0)
    image, *_ = augment(
        ramp, ramp[:, 0].to(torch.uint8), ramp[:, 0], size, config=config, generator=_generator()
    )
    shift = image[:, 0] - torch.arange(32.0, 128.0)
    assert float(shift.mean()) == pytest.approx(0, abs=0.5)
    assert 2.5 < float(shift.std()) < 4.5
    assert float((shift[..., 1:] - shift[..., :-1]).abs().max()) < 1  # smooth: neighbours keep their order


def test_intensities_change_in_the_image_alone_and_stay_finite() -> None:
    image, target, weight = _batch((24, 24))
    image = image * 5 - 1
    config = _only(brightness=0.1, contrast=0.2, gamma=0.2, noise=0.05)
    new_image, new_target, new_weight, _ = augment(
        image, target, weight, (24, 24), config=config, generator=_generator()
    )
    assert torch.isfinite(new_image).all()
    assert 0.01 < (new_image - image).abs().mean() < 0.5
    assert torch.equal(new_target, target)
    assert torch.equal(new_weight, weight)


def test_the_same_seed_gives_the_same_patches() -> None:
    config = AugmentationConfig()
    batch = _batch((40, 40))
    first, again, other = (
        augment(*batch, (24, 24), config=config, generator=_generator(seed)) for seed in (3, 3, 4)
    )
    assert all(torch.equal(a, b) for a, b in zip(first[:3], again[:3], strict=True))
    assert not torch.equal(first[0], other[0])
    state = torch.random.get_rng_state()
    augment(*batch, (24, 24), config=config, generator=_generator())
    assert torch.equal(state, torch.random.get_rng_state())


def test_intensities_change_as_far_as_they_are_said_to() -> None:
    """Of each patch: contrast about its mean, brightness by a shift, gamma with 0 and 1 where they are."""
    image, target, weight = _batch((8, 8), batch=40)
    image[:, :, 0, :2] = torch.tensor([0.0, 1.0])

    def changed(**changes: float) -> Tensor:
        return augment(image, target, weight, (8, 8), config=_only(**changes), generator=_generator()).image

    everywhere = (1, 2, 3)
    contrast = changed(contrast=0.5)
    torch.testing.assert_close(contrast.mean(everywhere), image.mean(everywhere))
    ratio = contrast.std(everywhere) / image.std(everywhere)
    assert 1 / 1.5 < ratio.min() < 0.75
    assert 1.35 < ratio.max() < 1.5
    shift = changed(brightness=0.3) - image
    torch.testing.assert_close(shift, shift[:, :, :1, :1].expand_as(shift), atol=1e-6, rtol=0)
    assert -0.3 < shift.min() < -0.2
    assert 0.2 < shift.max() < 0.3
    bent = changed(gamma=0.5)
    torch.testing.assert_close(bent[:, :, 0, :2], image[:, :, 0, :2])
    exponent = bent[:, 0, 4, 4].log() / image[:, 0, 4, 4].log()
    torch.testing.assert_close(bent, image ** exponent[:, None, None, None], atol=1e-4, rtol=0)
    assert 1 / 1.5 < exponent.min() < 0.75
    assert 1.35 < exponent.max() < 1.5


def test_channels_change_further_and_each_by_itself() -> None:
    def changes(channels: int, **values: float) -> dict[str, Tensor]:
        drawn = draw_changes(
            (500, channels), (8, 8), (8, 8), config=_only(**values), generator=_generator()
        ).numbers
        return {name: number.flatten(1) for name, number in drawn.items()}

    grey = changes(1, contrast=0.2, colour=0.3)
    assert set(grey) == {"contrast"}
    assert grey["contrast"].max() < 1.2
    for name, values, largest in (
        ("contrast", {"contrast": 0.2, "colour": 0.3}, 1.5),
        ("exponent", {"gamma": 0.1, "colour": 0.3}, 1.4),
        ("brightness", {"brightness": 0.2, "colour": 0.3}, 0.3),
    ):
        numbers = changes(2, **values)[name]
        assert 0.97 * largest < numbers.max() < largest
        assert abs(float(torch.corrcoef(numbers.T)[0, 1])) < 0.1
