from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.errors import InputError
from napari_unet.core.learning.mixture import Mixture
from napari_unet.network.adaptation import adapted_weights, for_channels
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.learning.transfer import adapted_network, starting_rates
from napari_unet.network.model import History, Model
from napari_unet.network.unet import UNet


def a_model(**changes: object) -> Model:
    network = UNetConfig(features=3, levels=2, **changes)  # type: ignore[arg-type]
    torch.manual_seed(1)
    weights = UNet(network).state_dict()
    for name, values in weights.items():
        if name.endswith(("mean", "bias")):
            weights[name] = torch.randn_like(values) / 4
        elif name.endswith("var"):
            weights[name] = torch.rand_like(values) + 0.5
    return Model(
        network=network,
        weights=weights,
        normalisation=Normalisation(),
        mode="objects",
        class_names=("background", "object"),
        training=TrainingConfig(),
        history=History(),
        object_size=20.0,
    )


def output(model: Model, x: Tensor, **changes: object) -> Tensor:
    config = replace(model.network, **changes)  # type: ignore[arg-type]
    network = UNet(config).eval()
    network.load_state_dict(adapted_weights(model.weights, model.network, config))
    with torch.no_grad():
        return network(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("old", "new"), [(1, 3), (1, 5), (3, 1), (3, 4)])
def test_a_grey_image_looks_the_same_in_any_number_of_channels(old: int, new: int) -> None:
    model = a_model(in_channels=old)
    grey = torch.randn(2, 1, 16, 20)
    before = output(model, grey.repeat(1, old, 1, 1))
    after = output(model, grey.repeat(1, new, 1, 1), in_channels=new)
    torch.testing.assert_close(after, before)
    adapted = for_channels(model, new)
    assert adapted.network.in_channels == new
    torch.testing.assert_close(output(adapted, grey.repeat(1, new, 1, 1)), before)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_of_colours_it_sees_a_mixture_as_it_saw_grey(norm: str) -> None:
    model = a_model(norm=norm)
    mixture = Mixture(np.array([0.7, -0.4, 0.2]), 0.3)
    colours = torch.randn(1, 3, 96, 96)
    grey = 0.7 * colours[:, :1] - 0.4 * colours[:, 1:2] + 0.2 * colours[:, 2:] + 0.3
    network = adapted_network(model, 3, 2, seed=0, ndim=2, distance=False, mixture=mixture)[0].eval()
    with torch.no_grad():
        after = network(colours)
    # At the very edge the offset meets the zeros of the padding.
    inside = (..., slice(40, 56), slice(40, 56))
    torch.testing.assert_close(after[inside], output(model, grey)[inside], rtol=1e-4, atol=1e-4)


def test_only_a_starter_takes_any_channels_at_predict_time() -> None:
    model = replace(a_model(), object_size=None)
    assert for_channels(model, 3) is model


@pytest.mark.parametrize("new", [3, 4])
def test_several_classes_share_the_probability_of_one(new: int) -> None:
    model, x = a_model(), torch.randn(2, 1, 16, 20)
    before, after = output(model, x).softmax(1), output(model, x, classes=new).softmax(1)
    torch.testing.assert_close(after[:, 0], before[:, 0])
    for k in range(1, new):
        torch.testing.assert_close(after[:, k], before[:, 1] / (new - 1))


def test_further_classes_begin_as_the_mean_and_too_many_are_left_out() -> None:
    model, x = a_model(classes=3), torch.randn(2, 1, 16, 20)
    before = output(model, x)
    after = output(model, x, classes=5)
    torch.testing.assert_close(after[:, :3], before)
    torch.testing.assert_close(after[:, 4], before[:, 1:].mean(1))
    torch.testing.assert_close(output(a_model(classes=4), x, classes=3), output(a_model(classes=4), x)[:, :3])
    # Where both are alike, as one they are as probable as both were.
    alike = dict(model.weights)
    for name in ("head.weight", "head.bias"):
        alike[name] = alike[name].clone()
        alike[name][2] = alike[name][1]
    model = replace(model, weights=alike)
    torch.testing.assert_close(
        output(model, x, classes=2).softmax(1)[:, 0], output(model, x).softmax(1)[:, 0]
    )


@pytest.mark.parametrize("upsampling", ["linear", "convolution"])
def test_inflated_it_sees_in_a_stack_of_equal_planes_what_it_sees_in_one(upsampling: str) -> None:
    model, plane = a_model(upsampling=upsampling), torch.randn(2, 1, 16, 20)
    volume = plane[:, :, None].repeat(1, 1, 8, 1, 1)
    after = output(model, volume, ndim=3)
    torch.testing.assert_close(after, output(model, plane)[:, :, None].repeat(1, 1, 8, 1, 1))


def test_a_3d_model_does_not_become_2d() -> None:
    with pytest.raises(InputError, match="3-D and cannot become 2-D"):
        output(a_model(ndim=3), torch.zeros(1, 1, 16, 16), ndim=2)


def test_every_adaptation_is_said_and_a_new_head_for_the_distance_is_added() -> None:
    network, sentences = adapted_network(a_model(), 2, 4, seed=0, ndim=3, distance=True, mixture=None)
    assert network.config == replace(a_model().network, ndim=3, in_channels=2, classes=4, distance=True)
    assert [sentence.split(":")[1].split(",")[0].split()[:2] for sentence in sentences] == [
        ["it", "first"],
        ["each", "begins"],
        ["it", "begins"],
    ]
    assert adapted_network(a_model(), 1, 2, seed=0, ndim=2, distance=False, mixture=None)[1] == ()


@pytest.mark.parametrize(
    ("channels", "classes", "rates"),
    [(1, 2, (0.2, 1.0)), (3, 2, (0.2, 5.0)), (1, 4, (0.2, 5.0)), (2, 3, (0.2, 5.0))],
)
def test_a_starter_learns_at_a_fifth_of_the_rate_but_what_is_new_to_it(
    channels: int, classes: int, rates: tuple[float, float]
) -> None:
    config = TrainingConfig(learning_rate=0.01)
    found = starting_rates(a_model(), config, in_channels=channels, classes=classes)
    assert found == replace(config, body_rate=rates[0], ends_rate=rates[1])
    # A model that came of it goes on as it was, unless it is told otherwise.
    held = replace(found, pull=0.03)
    model = replace(a_model(), object_size=None, training=held)
    assert starting_rates(model, config, in_channels=channels, classes=classes) == held
    told = replace(config, body_rate=0.5, ends_rate=2.0, pull=0.5)
    for start in (model, a_model(), None):
        assert starting_rates(start, told, in_channels=channels, classes=classes) == told


def test_random_weights_learn_at_the_whole_rate_and_so_does_a_model_that_does_not_say() -> None:
    whole = TrainingConfig(body_rate=1.0, ends_rate=1.0, pull=0.0)
    silent = replace(a_model(), object_size=None, training=TrainingConfig(ends_rate=5.0))
    for start in (None, silent):
        assert starting_rates(start, TrainingConfig(), in_channels=1, classes=2) == whole
