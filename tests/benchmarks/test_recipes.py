from math import log

import numpy as np
import pytest
import torch
from taught import build_dataset
from torch import Tensor

from recipes import NNUNET, ROOTPAINTER, nnunet_loss, rootpainter_dice, rootpainter_loss


def _perfect(painted: float, *, edge: int = 100) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits that are right and certain, target and known; half of the paint is foreground."""
    pixels = edge * edge
    known = torch.zeros(1, pixels, dtype=torch.bool)
    known[:, : round(painted * pixels)] = True
    target = torch.zeros(1, pixels, dtype=torch.uint8)
    target[:, : round(painted * pixels / 2)] = 1
    logits = torch.stack((-60.0 * target + 30, 60.0 * target - 30), dim=1)
    shape = (1, edge, edge)
    return logits.reshape(1, 2, edge, edge), target.reshape(shape), known.reshape(shape)


@pytest.mark.parametrize(
    ("painted", "dice"),
    # 1 - 2 a / (2 a + 0.5 u), with a pixels of painted foreground and u unpainted ones, each predicted 1/2
    [(1.0, 0.0), (0.5, 1 / 3), (0.2, 2 / 3), (0.1, 0.45 / 0.55), (0.05, 0.475 / 0.525)],
)
def test_a_perfect_prediction_is_far_from_0_for_rootpainter(painted: float, dice: float) -> None:
    logits, target, known = _perfect(painted)
    masked = logits * known[:, None]
    assert float(rootpainter_dice(masked, target.long())) == pytest.approx(dice, abs=1e-5)
    entropy = (1 - painted) * log(2)  # a coin for every unpainted pixel, and all pixels count
    assert float(rootpainter_loss(logits, target, known)) == pytest.approx(dice + 0.3 * entropy, abs=1e-5)


def test_the_figure_that_is_quoted() -> None:
    logits, target, known = _perfect(0.05)
    assert round(float(rootpainter_dice(logits * known[:, None], target.long())), 3) == 0.905


def test_rootpainter_has_no_dice_without_foreground() -> None:
    logits, target, known = _perfect(0.2)
    loss = rootpainter_loss(logits, torch.zeros_like(target), known)
    painted_wrong = 0.1 * 60  # cross-entropy of the pixels that are certain of foreground
    assert float(loss) == pytest.approx(0.3 * (0.8 * log(2) + painted_wrong), abs=1e-4)


@pytest.mark.parametrize("painted", [1.0, 0.5, 0.2, 0.05])
def test_a_perfect_prediction_is_perfect_for_nnunet(painted: float) -> None:
    assert float(nnunet_loss(*_perfect(painted))) == pytest.approx(-1.0, abs=1e-5)


def test_a_coin_costs_nnunet_the_same_however_much_is_painted() -> None:
    for painted in (1.0, 0.2, 0.05):
        logits, target, known = _perfect(painted)
        loss = float(nnunet_loss(torch.zeros_like(logits), target, known))
        assert loss == pytest.approx(log(2) - 0.5, abs=1e-5)


def test_nnunet_does_not_see_unpainted_pixels() -> None:
    logits, target, known = _perfect(0.1)
    logits = logits.requires_grad_()
    torch.autograd.backward(nnunet_loss(logits + torch.randn(logits.shape), target, known))
    assert not logits.grad[~known[:, None].expand_as(logits)].any()


def test_rates() -> None:
    assert [ROOTPAINTER.rate(part) for part in (0.0, 0.5, 1.0)] == [0.01, 0.01, 0.01]
    assert [NNUNET.rate(part) for part in (0.0, 0.5, 1.0, 1.1)] == pytest.approx(
        [0.01, 0.01 * 0.5**0.9, 0.0, 0.0]
    )


@pytest.mark.parametrize("recipe", [ROOTPAINTER, NNUNET])
def test_patches_are_drawn_where_there_is_paint(recipe) -> None:
    rng = np.random.default_rng(0)
    paint = np.zeros((90, 110), np.int32)
    paint[70:75, 80:100], paint[5:8, 5:9] = 1, 2
    dataset = build_dataset([rng.random(paint.shape)], [paint], held_out=0.0)
    for number in range(60):
        sample, (y, x) = recipe.draw(dataset, number, (32, 32), rng)
        if recipe is NNUNET:
            # Centred on paint, every third patch on an object.
            assert paint[y, x] == 2 if number % 3 == 0 else paint[y, x] > 0
        else:
            assert sample.weight[y - 16 : y + 16, x - 16 : x + 16].any()
