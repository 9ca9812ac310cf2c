"""The network of the paper to the letter, and every variant against slow, obvious oracles."""

import itertools
import math
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from napari_unet.core.errors import InputError
from napari_unet.network.config import UNetConfig
from napari_unet.network.geometry import (
    check_shape,
    fits,
    margin,
    nearest_sizes,
    output_remainder,
    seen_by,
    tile_geometry,
)
from napari_unet.network.tiles import bands
from napari_unet.network.unet import UNet, centre_crop, drop_out, initialise

PADDINGS = ("same", "valid")
UPSAMPLINGS = ("convolution", "nearest", "linear", "aligned")
VARIANTS = [
    UNetConfig(ndim=ndim, levels=levels, features=2, padding=padding, upsampling=upsampling)
    for ndim, levels, padding, upsampling in itertools.product((2, 3), (1, 2, 3), PADDINGS, UPSAMPLINGS)
    if (padding, upsampling) != ("valid", "aligned")
]


def on_meta(config: UNetConfig) -> UNet:
    with torch.device("meta"):
        return UNet(config).eval()


def name_of(config: UNetConfig) -> str:
    return f"{config.ndim}D-{config.levels}-{config.padding}-{config.upsampling}"


# ---- the paper


def paper_shapes() -> dict[type[nn.Module], list[tuple[int, ...]]]:
    """Run the paper's network without numbers; (channels, size, size) after every layer, by kind."""
    network = on_meta(UNetConfig.paper())
    shapes: dict[type[nn.Module], list[tuple[int, ...]]] = {}
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d)):
            module.register_forward_hook(
                lambda layer, _, output: shapes.setdefault(type(layer), []).append(tuple(output.shape[1:]))
            )
    output = network(torch.empty(1, 1, 572, 572, device="meta"))
    assert output.shape == (1, 2, 388, 388)
    return shapes


def test_every_convolution_of_the_paper_has_its_shape():
    features_and_sizes = [
        (64, 570), (64, 568), (128, 282), (128, 280), (256, 138), (256, 136), (512, 66), (512, 64),
        (1024, 30), (1024, 28),
        (512, 54), (512, 52), (256, 102), (256, 100), (128, 198), (128, 196), (64, 390), (64, 388),
        (2, 388),
    ]  # fmt: skip
    assert paper_shapes()[nn.Conv2d] == [(features, size, size) for features, size in features_and_sizes]


def test_every_pooling_and_up_convolution_of_the_paper_has_its_shape():
    shapes = paper_shapes()
    assert shapes[nn.MaxPool2d] == [(64, 284, 284), (128, 140, 140), (256, 68, 68), (512, 32, 32)]
    assert shapes[nn.ConvTranspose2d] == [(512, 56, 56), (256, 104, 104), (128, 200, 200), (64, 392, 392)]


def test_the_paper_has_23_convolutional_layers_and_their_parameters():
    network = on_meta(UNetConfig.paper())
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]
    assert len(layers) == 23

    widths = [1, 64, 128, 256, 512, 1024]
    convolution = sum(9 * (a * b + b * b) + 2 * b for a, b in itertools.pairwise(widths))
    expanding = sum(9 * (2 * b * b + b * b) + 2 * b for b in widths[1:-1])
    up = sum(4 * 2 * b * b + b for b in widths[1:-1])
    head = 64 * 2 + 2
    assert sum(parameter.numel() for parameter in network.parameters()) == convolution + expanding + up + head
    assert convolution + expanding + up + head == 31_030_658


def test_the_joined_features_are_the_centre_of_the_copy_and_then_the_upsampled():
    network = on_meta(UNetConfig.paper())
    joined = []
    for block in network.expanding:
        block.register_forward_pre_hook(lambda _, inputs: joined.append(tuple(inputs[0].shape[1:])))
    network(torch.empty(1, 1, 572, 572, device="meta"))
    assert joined == [(1024, 56, 56), (512, 104, 104), (256, 200, 200), (128, 392, 392)]

    x = torch.arange(8 * 8.0).reshape(1, 1, 8, 8)
    assert torch.equal(centre_crop(x, [4, 6]), x[:, :, 2:6, 1:7])


def test_drop_out_is_at_the_end_of_the_contracting_path():
    config = UNetConfig(levels=2, features=4, dropout=0.5, norm="none")
    network = UNet(config)
    seen = []
    network.contracting[1].register_forward_hook(lambda _, __, output: seen.append(output))
    network.bottom.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.bottom.register_forward_hook(lambda _, __, output: seen.append(output))
    network.upsampling[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.expanding[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    kept = drop_out(config, 3, torch.Generator().manual_seed(0))
    x = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    network(x, kept)
    last, pooled, bottom, to_upsample, joined = seen
    factors = kept.view(3, 24, 1, 1)
    assert torch.equal(pooled, network.pool(last * factors[:, :8]))
    assert torch.equal(joined[:, :8], last * factors[:, :8])
    assert torch.equal(to_upsample, bottom * factors[:, 8:])
    assert torch.equal(network(x), network(x, torch.ones_like(kept)))


@pytest.mark.parametrize("chance", [0.2, 0.5])
def test_drop_out_keeps_the_mean_and_draws_every_map_by_itself(chance):
    kept = drop_out(UNetConfig(levels=1, features=8, dropout=chance), 4000, torch.Generator().manual_seed(0))
    assert kept.shape == (4000, 24)
    assert set(kept.unique().tolist()) == {0.0, kept.max().item()}
    assert kept.max().item() == pytest.approx(1 / (1 - chance))
    assert kept.mean(dim=0).numpy() == pytest.approx(np.ones(24), abs=0.08)
    assert torch.corrcoef(kept.T).fill_diagonal_(0).abs().max() < 0.08
    assert drop_out(UNetConfig(dropout=0), 2, torch.Generator()) is None


# ---- sizes


def slow_output_size(config: UNetConfig, size: int) -> int | None:
    """Walk through the network of figure 1, pixel count by pixel count; None where it cannot go on."""
    lost = 4 if config.padding == "valid" else 0
    for _ in range(config.levels):
        size -= lost
        if size <= 0 or size % 2:
            return None
        size //= 2
    size -= lost
    for _ in range(config.levels):
        size = 2 * size - (2 if config.padding == "valid" and config.upsampling == "linear" else 0) - lost
    return size if size > 0 else None


@pytest.mark.parametrize("config", [*VARIANTS, UNetConfig.paper()], ids=name_of)
def test_sizes_that_fit_are_those_a_walk_through_the_network_gets_through(config: UNetConfig):
    sizes = {size: slow_output_size(config, size) for size in range(1, 700)}
    assert {size for size in sizes if fits(config, size)} == {size for size, out in sizes.items() if out}
    for size, output in sizes.items():
        if output:
            assert size - 2 * margin(config) == output
            assert output % config.alignment == output_remainder(config)
        else:
            below, above = nearest_sizes(config, size)
            fitting = [other for other, out in sizes.items() if out]
            if any(other < size for other in fitting) and above < 700:
                assert below == max(other for other in fitting if other < size)
                assert above == min(other for other in fitting if other > size)
            elif above < 700:
                assert [below, above] == fitting[:2]


@pytest.mark.parametrize("config", VARIANTS, ids=name_of)
def test_the_network_has_the_sizes_that_were_calculated(config: UNetConfig):
    network = on_meta(config)
    sizes = nearest_sizes(config, 2 * margin(config) + 20)
    shape = (sizes[0], sizes[1], sizes[0])[: config.ndim]
    output = network(torch.empty(3, 1, *shape, device="meta"))
    assert output.shape == (3, 2, *(size - 2 * margin(config) for size in shape))


def test_sizes_that_do_not_fit_name_the_two_that_do():
    network = on_meta(UNetConfig.paper())
    with pytest.raises(InputError, match=r"571 pixels .* use 556 or 572 pixels"):
        network(torch.empty(1, 1, 572, 571, device="meta"))
    with pytest.raises(InputError, match="use 188 or 204 pixels"):
        check_shape(UNetConfig.paper(), (5,))
    with pytest.raises(InputError, match="use 16 or 32 pixels"):
        check_shape(UNetConfig(), (0,))


def test_other_axes_and_channels_are_refused_in_a_sentence():
    network = on_meta(UNetConfig(in_channels=3, levels=1, features=2))
    for shape in ((1, 2, 4, 4), (3, 4, 4), (1, 3, 4, 4, 4)):
        with pytest.raises(InputError, match="rearrange its axes"):
            network(torch.empty(*shape, device="meta"))


# ---- variants with real numbers


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_small_valid_network_computes_and_learns(pooling: str, norm: str):
    config = UNetConfig(
        in_channels=2, classes=3, levels=2, features=4, padding="valid", pooling=pooling, norm=norm
    )
    network = UNet(config)
    size = nearest_sizes(config, 70)[1]
    x = torch.randn(2, 2, size, size, generator=torch.Generator().manual_seed(1))
    logits = network(x)
    assert logits.shape == (2, 3, *[size - 2 * margin(config)] * 2)
    assert torch.isfinite(logits).all()
    logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        # A bias before a batch norm is not there; every parameter that is has an effect.
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("upsampling", ["nearest", "linear"])
def test_the_1x1_convolution_commutes_with_the_interpolation(ndim: int, upsampling: str):
    torch.manual_seed(0)
    up = UNet(UNetConfig(ndim=ndim, levels=1, features=4, upsampling=upsampling)).upsampling[0]
    nn.init.normal_(up.convolution.bias)
    x = torch.randn(1, 8, *(6,) * ndim)
    mode = {"nearest": "nearest", "linear": {2: "bilinear", 3: "trilinear"}[ndim]}[upsampling]
    textbook = up.convolution(functional.interpolate(x, scale_factor=2, mode=mode))
    torch.testing.assert_close(up(x), textbook)


@pytest.mark.parametrize("config", [UNetConfig(features=32), UNetConfig.paper()], ids=["default", "paper"])
def test_weights_have_he_s_standard_deviation_and_biases_are_zero(config: UNetConfig):
    torch.manual_seed(0)
    network = on_meta(config)
    # Only the wide layers, where the standard deviation of the sample is that of the distribution.
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    checked = 0
    for layer in layers:
        if layer.weight.numel() > 1_000_000 or layer.weight.numel() < 10_000:
            continue
        layer.to_empty(device="cpu")
        initialise(layer)
        # The oracle: feed unit noise, look at the variance of one output pixel away from the border.
        noise = torch.randn(64, layer.in_channels, 6, 6)
        with torch.no_grad():
            variance = layer(noise)[:, :, 2:4, 2:4].var().item()
        assert variance == pytest.approx(2, rel=0.1)
        assert layer.bias is None or not layer.bias.any()
        checked += 1
    assert checked >= 5


def test_signals_keep_their_strength_through_the_paper_network():
    torch.manual_seed(0)
    network = UNet(UNetConfig(levels=3, features=16, padding="valid", upsampling="convolution", norm="none"))
    with torch.no_grad():
        logits = network(torch.randn(1, 1, 124, 124))
    assert 0.2 < logits.std() < 5


# ---- what a pixel sees


def reached_by(config: UNetConfig, pooling: str, size: int, block: slice) -> tuple[int, int]:
    """Return the range of input pixels along the first axis that have a gradient of the output ``block``."""
    # All weights positive: no ReLU is off, and nothing cancels.
    network = UNet(replace(config, features=1, pooling=pooling, norm="none")).double()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    short = nearest_sizes(config, 1)[0]
    reached = torch.zeros(size, dtype=torch.bool)
    # Rising intensities: the maximum of every pooling is its last pixel; then falling, and it is the first.
    for sign in (1, -1):
        ramp = 2 * size + sign * torch.arange(size, dtype=torch.float64)
        others = (short,) * (config.ndim - 1)
        x = ramp.reshape(-1, *(1,) * len(others)).expand(size, *others).clone()[None, None].requires_grad_()
        network(x)[:, :, block].sum().backward()
        assert x.grad is not None
        reached |= x.grad[0, 0].flatten(1).abs().sum(1) > 0
    indices = reached.nonzero().flatten()
    return int(indices.min()), int(indices.max()) + 1


SEEN = [
    (config, pooling)
    for config, pooling in itertools.product(VARIANTS, ("max", "average"))
    if config.ndim == 2 or (config.levels < 3 and pooling == "average")
    if config.upsampling != "aligned"  # which sees all of the image
]


@pytest.mark.parametrize(("config", "pooling"), [case for case in SEEN if case[0].padding == "same"])
def test_a_block_sees_exactly_what_was_calculated(config: UNetConfig, pooling: str):
    step, halo = config.alignment, tile_geometry(config).halo
    start = halo + step
    low, high = reached_by(config, pooling, start + 2 * step + halo, slice(start, start + step))
    first, last = (start + edge for edge in seen_by(config, step))
    if pooling == "average":  # no pixel further, and no pixel less
        assert (low, high) == (first, last)
    assert start - halo <= first <= low
    assert high <= last <= start + step + halo
    assert (
        min(first - (start - halo), (start + step + halo) - last) < step
    )  # the halo is not larger than needed


@pytest.mark.parametrize(("config", "pooling"), [case for case in SEEN if case[0].padding == "valid"])
def test_a_valid_network_uses_its_margin_to_the_last_pixel(config: UNetConfig, pooling: str):
    size = nearest_sizes(config, 1)[0]
    assert reached_by(config, pooling, size, slice(None)) == (0, size)


def test_halos_of_the_default_networks():
    assert tile_geometry(UNetConfig.paper()).halo == margin(UNetConfig.paper()) == 92
    assert tile_geometry(UNetConfig(upsampling="nearest")).halo == 96
    assert tile_geometry(UNetConfig()).halo == 112
    assert math.gcd(tile_geometry(UNetConfig()).halo, 16) == 16


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_a_relu_applied_at_once_changes_nothing(dtype: torch.dtype, tolerance: float):
    torch.manual_seed(0)
    network = UNet(UNetConfig(levels=1, features=8, norm="none")).eval().to(dtype)
    x, crop = torch.randn(1, 1, 48, 40, dtype=dtype), (slice(3, 40), slice(0, 40))
    with torch.no_grad(), patch.multiple(bands, _BAND_BYTES=1, _LEAST_ROWS=8):
        together = bands.run_cropped(network, x, crop)
        with patch.object(bands, "_fuses_relu", lambda *_: False):
            apart = bands.run_cropped(network, x, crop)
    torch.testing.assert_close(together, apart, rtol=0, atol=tolerance)


@settings(deadline=None, max_examples=40)
@given(
    data=st.data(),
    levels=st.integers(1, 3),
    upsampling=st.sampled_from(["linear", "nearest", "convolution"]),
    padding=st.sampled_from(["same", "same", "valid"]),
    rows=st.integers(1, 40),
    in_bands=st.booleans(),
)
def test_a_crop_is_the_same_part_of_the_whole_output(data, levels, upsampling, padding, rows, in_bands):  # noqa: PLR0917
    pooling = "average" if upsampling == "nearest" else "max"
    shape: Any = {"levels": levels, "upsampling": upsampling, "padding": padding, "pooling": pooling}
    config = UNetConfig(features=2, norm="none", **shape)
    torch.manual_seed(0)
    network = UNet(config).double().eval()
    _, size = nearest_sizes(config, 64)
    narrow_bands = patch.multiple(bands, _BAND_BYTES=1, _LEAST_ROWS=rows, _in_bands=lambda _: in_bands)
    with torch.no_grad(), narrow_bands:
        x = torch.randn(1, 1, size, size + config.alignment, dtype=torch.float64)
        whole = network(x)
        crop = []
        for length in whole.shape[2:]:
            start = data.draw(st.integers(0, length - 1))
            crop.append(slice(start, data.draw(st.integers(start + 1, length))))
        part = bands.run_cropped(network, x, crop)
        torch.testing.assert_close(part, whole[(..., *crop)], rtol=0, atol=1e-9)


@pytest.mark.parametrize("planes", [2, 3, 4])
def test_the_gradient_of_few_planes_is_that_of_full_precision(planes: int):
    torch.manual_seed(0)
    convolution = UNet(UNetConfig(ndim=3, levels=1)).bottom[0]
    features, upstream = torch.randn(2, 16, planes, 6, 6), torch.randn(2, 32, planes, 6, 6)

    def gradient(*, enabled: bool) -> torch.Tensor:
        convolution.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            result = convolution(features)
        result.float().backward(upstream)
        return convolution.weight.grad.clone()

    exact = gradient(enabled=False)
    for _ in range(3):
        for size in (10**4, 10**5, 10**6):
            torch.full((size,), 1e3)  # memory that is used again
        found = gradient(enabled=True)
        torch.testing.assert_close(found, exact, rtol=0, atol=0.02 * float(exact.abs().max()))
