"""Random views of training patches: one geometric transform for image, target and weight, then intensities.

Flips, rotation, zoom and elastic deformation are fused into a single sampling grid, so every patch is
interpolated once, on the device, for 2-D and 3-D alike. All random numbers come from an explicit generator.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from math import atan2, ceil, cos, log, radians, sin
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional

from napari_unet.network.config import AugmentationConfig
from napari_unet.network.unet import centre_crop

_ELASTIC_REACH = 2.5
"""Standard deviations of elastic displacement for which real pixels are read around a patch."""


class Batch(NamedTuple):
    """Patches that are taught together: what a step of training sees and learns.

    ``image`` (B, C, …YX) float32 are normalised intensities, ``target`` (B, …YX) uint8 classes, ``weight``
    (B, …YX) float32 is 0 where they are unknown. ``distance`` (B, …YX) float32, if there is one, is the depth
    in objects painted in full, negative where it is unknown.
    """

    image: Tensor
    target: Tensor
    weight: Tensor
    distance: Tensor | None


def source_margin(size: Sequence[int], config: AugmentationConfig) -> tuple[int, ...]:
    """Return how many pixels around a patch a transform may look at, along each axis.

    Patches are cut that much larger than they will be, so that their corners, once rotated, show the image
    and not padding.

    Parameters
    ----------
    size : sequence of int
        Patch shape (…YX) after augmentation, in pixels.
    config : AugmentationConfig

    Returns
    -------
    tuple of int
        One margin per axis, in pixels; all 0 where nothing geometric but flips is on.
    """
    half = [(edge - 1) / 2 for edge in size]
    reach = list(half)
    # The half extent of a rotated rectangle is h cos a + w sin a, which is largest at a = atan(w / h).
    for axis, other in ((-2, -1), (-1, -2)):
        angle = min(radians(config.rotation), atan2(half[other], half[axis]))
        reach[axis] = half[axis] * cos(angle) + half[other] * sin(angle)
    extra = _ELASTIC_REACH * config.elastic
    return tuple(ceil(far * (1 + config.scale) + extra - near) for far, near in zip(reach, half, strict=True))


def augment(
    image: Tensor,
    target: Tensor,
    weight: Tensor,
    size: Sequence[int],
    *,
    config: AugmentationConfig,
    generator: Generator,
    distance: Tensor | None = None,
) -> Batch:
    """Return one random view of the centre of every patch of a batch.

    Parameters
    ----------
    image : Tensor (B, C, …YX) float32
        Normalised intensities, on the device where the work is to be done; larger than ``size`` by twice
        :func:`source_margin`.
    target : Tensor (B, …YX) uint8
    weight : Tensor (B, …YX) float32
        0 where the target is unknown.
    size : sequence of int
        Shape (…YX) of the patches that come out; at most that of ``image``, with an even difference.
    config : AugmentationConfig
    generator : torch.Generator
        On the CPU.
    distance : Tensor (B, …YX) float32, optional

    Returns
    -------
    Batch
        Of spatial shape ``size``. The image is interpolated linearly; all else keeps its values (nearest
        pixel), with weight 0 outside the given pixels.
    """
    changes = draw_changes(image.shape[:2], image.shape[2:], size, config=config, generator=generator)
    numbers = {name: value.to(image.device) for name, value in changes.numbers.items()}
    noise = changes.noise((*image.shape[:2], *size), image.device)
    maps = [target.to(torch.float32), weight, *([] if distance is None else [distance])]
    return apply_changes(image, torch.stack(maps, dim=1), size, numbers, noise)


class Changes(NamedTuple):
    """What makes a view of a batch: a few ``numbers``, on the CPU, by name, and the seed of any noise."""

    numbers: dict[str, Tensor]
    noise_seed: int | None

    def noise(self, shape: Sequence[int], device: torch.device) -> Tensor | None:
        """Return standard normal noise (B, C, …YX), drawn on the device, for speed."""
        if self.noise_seed is None:
            return None
        local = torch.Generator(device).manual_seed(self.noise_seed)
        return torch.randn(tuple(shape), generator=local, device=device)


def draw_changes(
    patches: Sequence[int],
    source: Sequence[int],
    size: Sequence[int],
    *,
    config: AugmentationConfig,
    generator: Generator,
) -> Changes:
    """Return random changes for a batch of ``patches`` and channels (B, C), of ``source`` (…YX) pixels each.

    Anything with a value per pixel is made from them on the device. Where nothing geometric is on, no matrix
    is given: the identity computed in floating point would blur the image a little.
    """
    batch, channels = patches
    ndim = len(size)
    numbers: dict[str, Tensor] = {}
    flips = torch.ones(batch, ndim)
    if config.flip:
        flips = 2.0 * torch.randint(2, (batch, ndim), generator=generator) - 1
    angles = _uniform(batch, radians(config.rotation), generator)
    zooms = torch.exp(_uniform(batch, log(1 + config.scale), generator))
    if config.elastic:
        spread = [_bicubic_weights(edge, config.elastic_spacing) for edge in size]  # each: edge, points
        points = [weights.shape[1] for weights in spread]
        numbers["elastic"] = torch.randn(batch, ndim, *points, generator=generator) * config.elastic
        numbers |= {f"spread {axis}": weights for axis, weights in enumerate(spread)}
    if config.flip or config.rotation or config.scale or config.elastic:
        # p -> R(angle) · zoom · flip · p, with p in pixels from the centre and axes in the order …YX.
        matrix = torch.diag_embed(flips * zooms[:, None])
        turn = torch.eye(ndim).repeat(batch, 1, 1)
        turn[:, -2, -2] = turn[:, -1, -1] = torch.cos(angles)
        turn[:, -2, -1] = -torch.sin(angles)
        turn[:, -1, -2] = torch.sin(angles)
        numbers["matrix"] = turn @ matrix
        numbers["half"] = torch.tensor([max(edge - 1, 1) / 2 for edge in source])
    noise_seed = None
    colour = config.colour if channels > 1 else 0.0
    gamma, contrast = config.gamma + colour, config.contrast + colour
    brightness = config.brightness + colour / 3

    def change(largest: float) -> Tensor:
        return _uniform(batch * channels, largest, generator).reshape(batch, channels, *(1,) * ndim)

    if gamma:
        numbers["exponent"] = torch.exp(change(log(1 + gamma)))
    if contrast:
        numbers["contrast"] = torch.exp(change(log(1 + contrast)))
    if brightness:
        numbers["brightness"] = change(brightness)
    if config.noise:
        noise_seed = int(torch.randint(2**31, (1,), generator=generator))
        numbers["noise"] = change(config.noise).abs()
    return Changes(numbers, noise_seed)


def apply_changes(
    image: Tensor, maps: Tensor, size: Sequence[int], numbers: Mapping[str, Tensor], noise: Tensor | None
) -> Batch:
    """Return the view of the centre of a batch that :func:`draw_changes` drew.

    Parameters
    ----------
    image : Tensor (B, C, …YX) float32
    maps : Tensor (B, 2 or 3, …YX) float32
        Target and weight, and the distance if there is one.
    size : sequence of int
        Shape (…YX) of the view.
    numbers : mapping of str to Tensor
        On the device.
    noise : Tensor (B, C, *size) float32, optional
    """
    if "matrix" in numbers:
        grid = _sampling_grid(size, numbers)
        image = functional.grid_sample(
            image, grid, mode="bilinear", padding_mode="border", align_corners=True
        )
        maps = functional.grid_sample(maps, grid, mode="nearest", padding_mode="zeros", align_corners=True)
    else:
        image, maps = centre_crop(image, size), centre_crop(maps, size)
    distance = maps[:, 2] if maps.shape[1] > 2 else None
    image = _change_intensities(image, numbers, noise)
    return Batch(image, maps[:, 0].to(torch.uint8), maps[:, 1], distance)


def _sampling_grid(size: Sequence[int], numbers: Mapping[str, Tensor]) -> Tensor:
    """Return where in the source every pixel of ``size`` is read, (B, *size, ndim) in grid_sample's units."""
    matrix = numbers["matrix"]
    axes = [torch.arange(edge, dtype=torch.float32, device=matrix.device) - (edge - 1) / 2 for edge in size]
    centred = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)  # *size, ndim
    grid = torch.einsum("bij,...j->b...i", matrix, centred)  # B, *size, ndim
    if "elastic" in numbers:
        # As in the paper: Gaussian displacements on a coarse grid, bicubic in between.
        field = numbers["elastic"]  # B, ndim, *points
        for axis in range(len(size)):
            # Contract the first spatial axis and append the fine one: after ndim rounds their order is back.
            field = torch.tensordot(field, numbers[f"spread {axis}"], dims=([2], [1]))
        grid = grid + field.movedim(1, -1)
    # grid_sample wants x before y before z, and -1 and 1 at the centres of the first and last pixel.
    return (grid / numbers["half"]).flip(-1)


@cache
def _bicubic_weights(edge: int, spacing: float) -> Tensor:
    """Return the matrix (edge, points) from coarse points ``spacing`` pixels apart to ``edge`` pixels.

    Cubic convolution with a = -1/2 (Keys 1981), which passes through the points; the outer points lie far
    enough outside for every pixel to have its four neighbours.
    """
    position = (torch.arange(edge, dtype=torch.float32) - (edge - 1) / 2) / spacing
    reach = ceil(edge / 2 / spacing) + 1
    distance = (position[:, None] - torch.arange(-reach, reach + 1)[None, :]).abs()
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))


def _change_intensities(image: Tensor, numbers: Mapping[str, Tensor], noise: Tensor | None) -> Tensor:
    """Change brightness, contrast and gamma per patch and channel, and add noise, around [0, 1]."""
    if "exponent" in numbers:
        # Only [0, 1] is bent: a power of negative or of very bright values would be undefined or explode.
        inside = image.clamp(0, 1)
        image = image + inside ** numbers["exponent"] - inside
    if "contrast" in numbers:
        middle = image.mean(dim=tuple(range(2, image.ndim)), keepdim=True)
        image = (image - middle) * numbers["contrast"] + middle
    if "brightness" in numbers:
        image = image + numbers["brightness"]
    if noise is not None:
        image = image + numbers["noise"] * noise
    return image


def _uniform(count: int, largest: float, generator: Generator) -> Tensor:
    """Return ``count`` values uniform in [-largest, largest]."""
    return (torch.rand(count, generator=generator) * 2 - 1) * largest
