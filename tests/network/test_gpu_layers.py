"""Layers as GPUs compute them fastest are those of torch; all but cuDNN's own is tested without one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from napari_unet.network.tiles.gpu_layers import classify, convolve_with_relu, fuses_relu, join

SIZES = st.integers(1, 9)


@given(st.data(), SIZES, SIZES, st.integers(1, 3), st.integers(1, 3))
def test_features_beside_those_at_twice_the_size(
    data: st.DataObject, height: int, width: int, copied: int, below: int
):
    x = torch.randn(1, below, height, width, dtype=torch.float64)
    part = []
    for size in (height, width):
        start = data.draw(st.integers(0, 2 * size - 1))
        part.append(slice(start, data.draw(st.integers(start + 1, 2 * size))))
    rows, columns = part
    whole = functional.interpolate(x, scale_factor=2, mode="bilinear")
    expected = whole[:, :, rows, columns]
    skip = torch.randn(1, copied, *expected.shape[2:], dtype=torch.float64)
    joined = join(skip, x, (rows, columns))
    assert joined.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(joined, torch.cat([skip, expected], dim=1))


@pytest.mark.parametrize("classes", [1, 2, 8, 9])
def test_logits_of_a_head(classes: int):
    head = nn.Conv2d(6, classes, 1).double().requires_grad_(requires_grad=False)
    x = torch.randn(1, 6, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(classify(head, x), head(x))


@pytest.mark.parametrize(
    ("channels", "dtype", "fuses"),
    [
        ((1, 16, 16), torch.bfloat16, True),
        ((3, 24, 24), torch.float16, True),
        ((16, 12, 12), torch.bfloat16, False),  # tensor cores want eight at once
        ((1, 16, 16), torch.float32, False),
        ((1, 16, 16), torch.float64, False),
    ],
)
def test_which_convolutions_apply_the_relu(
    channels: tuple[int, int, int], dtype: torch.dtype, fuses: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    convolutions = [nn.Conv2d(*channels[:2], 3), nn.Conv2d(*channels[1:], 3)]
    assert fuses_relu(convolutions, dtype) == fuses
    monkeypatch.setattr(torch.version, "cuda", None)  # an AMD GPU
    assert not fuses_relu(convolutions, dtype)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 16])
@torch.inference_mode()
def test_a_convolution_with_its_relu(channels: int):
    layer = nn.Conv2d(channels, 16, 3, padding=1).cuda().bfloat16()
    x = torch.randn(1, channels, 33, 40, device="cuda", dtype=torch.bfloat16)
    expected = functional.relu(
        functional.conv2d(x.float(), layer.weight.float(), layer.bias.float(), padding=1)
    )
    found = convolve_with_relu(layer, x.contiguous(memory_format=torch.channels_last), [1, 1])
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)
