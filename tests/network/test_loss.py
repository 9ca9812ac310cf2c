"""Known values, indifference to unknown pixels, and no dilution by them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.network.learning.loss import weighted_cross_entropy


def _pixels(logits: list[list[float]], target: list[int], weight: list[float]) -> torch.Tensor:
    """Loss of a row of pixels, ``logits`` as one list per pixel."""
    row = torch.tensor(logits).T[None, :, None, :]  # (1, K, 1, X)
    return weighted_cross_entropy(row, torch.tensor([[target]], dtype=torch.uint8), torch.tensor([[weight]]))


@pytest.mark.parametrize(
    ("logits", "target", "weight", "expected"),
    [
        ([[0.0, 0.0]], [0], [1.0], math.log(2)),
        ([[0.0, 0.0, 0.0]], [2], [7.0], math.log(3)),
        ([[0.0, math.log(3)]], [1], [1.0], -math.log(3 / 4)),
        ([[0.0, math.log(3)]], [0], [1.0], -math.log(1 / 4)),
        # Weights 1 and 3: a quarter of log 2 and three quarters of log 4.
        ([[0.0, 0.0], [0.0, math.log(3)]], [0, 0], [1.0, 3.0], 0.25 * math.log(2) + 0.75 * math.log(4)),
        ([[50.0, -50.0]], [0], [1.0], 0.0),
        ([[0.0, 0.0], [9.0, -9.0]], [1, 1], [2.0, 0.0], math.log(2)),
    ],
)
def test_exact_values(
    logits: list[list[float]], target: list[int], weight: list[float], expected: float
) -> None:
    assert float(_pixels(logits, target, weight)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("anything", [123.0, -1e30, float("inf"), float("nan")])
def test_unknown_pixels_change_neither_loss_nor_gradient(anything: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 3, 8, 8), generator=generator)
    target = torch.randint(3, (2, 8, 8), generator=generator, dtype=torch.uint8)
    weight = (torch.rand((2, 8, 8), generator=generator) > 0.7).float() * 2.5
    unknown = (weight == 0)[:, None].expand_as(logits)
    changed = torch.where(unknown, torch.full_like(logits, anything), logits)

    gradients, losses = [], []
    for values in (logits.clone(), changed.clone()):
        values.requires_grad_()
        loss = weighted_cross_entropy(values, target, weight)
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append(values.grad)

    assert losses[0] == losses[1]
    assert torch.equal(gradients[0], gradients[1])
    assert not gradients[0][unknown].any()


def test_the_painted_fraction_does_not_dilute_the_loss() -> None:
    # The fault of dividing by all pixels: with 5 % painted the loss would be 5 % of what it is.
    logits = torch.zeros(1, 2, 20, 20)
    target = torch.ones(1, 20, 20, dtype=torch.uint8)
    few = torch.zeros(1, 20, 20)
    few[:, :1] = 1
    assert float(weighted_cross_entropy(logits, target, few)) == pytest.approx(math.log(2))
    assert float(weighted_cross_entropy(logits, target, torch.ones_like(few))) == pytest.approx(math.log(2))


def test_without_any_known_pixel_loss_and_gradient_are_zero() -> None:
    logits = torch.randn((1, 2, 4, 4), requires_grad=True)
    loss = weighted_cross_entropy(logits, torch.zeros(1, 4, 4, dtype=torch.uint8), torch.zeros(1, 4, 4))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@given(scale=st.floats(1e-3, 1e3))
def test_only_ratios_of_weights_count(scale: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((1, 2, 4, 4), generator=generator)
    target = torch.randint(2, (1, 4, 4), generator=generator)
    weight = torch.rand((1, 4, 4), generator=generator)
    assert float(weighted_cross_entropy(logits, target, weight * scale)) == pytest.approx(
        float(weighted_cross_entropy(logits, target, weight)), rel=1e-5
    )


def test_low_precision_logits_give_a_float32_loss_over_many_pixels() -> None:
    # In bfloat16, adding 1 to 256 changes nothing: the sum over a patch would stop there.
    logits = torch.zeros(1, 2, 128, 128, dtype=torch.bfloat16)
    loss = weighted_cross_entropy(
        logits, torch.zeros(1, 128, 128, dtype=torch.uint8), torch.ones(1, 128, 128)
    )
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(math.log(2), rel=1e-5)


def test_volumes() -> None:
    logits = torch.zeros(1, 4, 2, 3, 5)
    loss = weighted_cross_entropy(logits, torch.zeros(1, 2, 3, 5, dtype=torch.uint8), torch.ones(1, 2, 3, 5))
    assert float(loss) == pytest.approx(math.log(4))
