"""U-Nets from elsewhere: the same output from our network, through files, and one sentence for all else."""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_networks import Buda, Milesial, randomise
from safetensors.torch import save_file

from napari_unet import load_model, predict, save_model, train
from napari_unet.core.errors import InputError
from napari_unet.network.config import PredictionConfig, TrainingConfig
from napari_unet.network.unet import UNet

FLOAT32 = PredictionConfig(precision="float32")
rng = np.random.default_rng(0)
PHOTO = rng.integers(0, 256, (48, 64, 3), np.uint8)  # multiples of 16: these networks see all of them


def as_classes(probabilities: torch.Tensor) -> torch.Tensor:
    """One sigmoid output as background and foreground."""
    return torch.cat((1 - probabilities, probabilities), dim=1)


def theirs(network: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    """Probabilities (K, Y, X) as the authors compute them, scaling included."""
    x = torch.from_numpy(np.moveaxis(image, -1, 0).astype(np.float32))[None]
    if isinstance(network, Buda):
        x = (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), correction=0, keepdim=True)
    elif (x > 1).any():
        x = x / 255
    with torch.no_grad():
        output = network(x)
    if isinstance(network, Milesial):
        output = output.softmax(1) if output.shape[1] > 1 else output.sigmoid()
    return (output if output.shape[1] > 1 else as_classes(output))[0].numpy()


NETWORKS: dict[str, Any] = {
    "milesial": lambda: Milesial(3, 2),
    "milesial, one class": lambda: Milesial(3, 1),
    "milesial, five classes": lambda: Milesial(3, 5),
    "milesial, bilinear": lambda: Milesial(3, 2, bilinear=True),
    "milesial, before 2022": lambda: Milesial(3, 2, bias=True),
    "milesial, bilinear, before 2022": lambda: Milesial(3, 1, bilinear=True, bias=True, width=6),
    "buda": lambda: Buda(3),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("tile_size", [16, 64])
def test_the_same_output(tmp_path: Path, kind: str, tile_size: int) -> None:
    network = randomise(NETWORKS[kind]())
    path = tmp_path / "unet.pth"
    torch.save(network.state_dict(), path)
    config = PredictionConfig(precision="float32", tile_size=tile_size)
    found = predict(load_model(path), PHOTO, config).probabilities
    expected = theirs(network, PHOTO)
    assert expected.std(axis=(1, 2)).max() > 0.02  # it says something
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_images_between_0_and_1_and_of_16_bits_are_scaled_to_their_range(tmp_path: Path) -> None:
    network = randomise(Milesial(3, 2))
    torch.save(network.state_dict(), tmp_path / "unet.pth")
    model = load_model(tmp_path / "unet.pth")
    expected = predict(model, PHOTO, FLOAT32).probabilities
    for other in (PHOTO.astype(np.float32) / 255, PHOTO.astype(np.uint16) * 257):
        np.testing.assert_allclose(predict(model, other, FLOAT32).probabilities, expected, atol=2e-5)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {f"module.{name}": values for name, values in state.items()},
        lambda state: state | {"mask_values": [0, 255]},
        lambda state: {name: values.half() if values.ndim == 4 else values for name, values in state.items()},
    ],
    ids=["in a dictionary", "parallel", "with mask values", "half precision"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_the_ways_people_save_it(tmp_path: Path, wrap: Any, zipped: bool) -> None:
    network = randomise(Milesial(3, 2))
    torch.save(wrap(network.state_dict()), tmp_path / "a checkpoint", _use_new_zipfile_serialization=zipped)
    found = predict(load_model(tmp_path / "a checkpoint"), PHOTO, FLOAT32).probabilities
    np.testing.assert_allclose(found, theirs(network, PHOTO), atol=5e-3)


def test_safetensors_class_names_and_the_way_through_our_own_file(tmp_path: Path) -> None:
    network = randomise(Milesial(1, 3, width=2))
    torch.save({"mask_values": [0, 7, 9], **network.state_dict()}, tmp_path / "a.pth")
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    named, plain = load_model(tmp_path / "a.pth"), load_model(tmp_path / "a.safetensors")
    assert named.class_names == ("mask value 0", "mask value 7", "mask value 9")
    assert plain.class_names == ("background", "class 2", "class 3")
    assert named.mode == "classes"
    assert "milesial/Pytorch-UNet" in named.origin
    save_model(named, tmp_path / "ours.safetensors")
    again = load_model(tmp_path / "ours.safetensors")
    assert again.origin == named.origin
    assert again.normalisation.method == "range"
    image = rng.integers(0, 256, (32, 32), np.uint8)
    np.testing.assert_array_equal(
        predict(again, image, FLOAT32).probabilities, predict(plain, image, FLOAT32).probabilities
    )


@pytest.mark.parametrize("kind", ["milesial, bilinear", "buda"])
def test_training_goes_on_from_it(tmp_path: Path, kind: str) -> None:
    torch.save(randomise(NETWORKS[kind]()).state_dict(), tmp_path / "unet.pth")
    paint = np.zeros(PHOTO.shape[:2], np.uint8)
    paint[:20, :20], paint[30:, 40:] = 1, 2
    start = load_model(tmp_path / "unet.pth")
    config = TrainingConfig(steps=2, patch_size=32, batch_size=2)
    model = train([PHOTO], [paint], config, start=start, device="cpu")
    assert model.network == start.network
    assert model.normalisation == start.normalisation
    assert UNet(model.network).load_state_dict(model.weights)


def state(**changes: Any) -> dict[str, Any]:
    return Milesial(1, 2, width=2).state_dict() | changes


OTHERS: dict[str, tuple[Any, str]] = {
    "another network": ({"fc.weight": torch.zeros(2, 2)}, "unknown network"),
    "no weights": ([1, 2], "no named weights"),
    "something else": ({"a": 1}, "'a', which is no weight"),
    "one too many": (state(**{"attention.weight": torch.zeros(1)}), "'attention.weight' is too many"),
    "one missing": (
        {name: values for name, values in state().items() if name != "up2.conv.double_conv.1.running_var"},
        "running_var is missing",
    ),
    "another shape": (state(**{"up3.up.weight": torch.zeros(8, 4, 3, 3)}), "has shape (8, 4, 3, 3)"),
    "3-D": (state(**{"inc.double_conv.0.weight": torch.zeros(2, 1, 3, 3, 3)}), "not that of a 2-D"),
    "NaN": (state(**{"outc.conv.bias": torch.full((2,), torch.nan)}), "not finite"),
    "several sigmoids": (Buda(1, outputs=2, width=2).state_dict(), "2 sigmoid outputs"),
    "far too wide": (state(**{"inc.double_conv.0.weight": torch.zeros(513, 1, 3, 3)}), "features is 513"),
    "larger than the file": (
        state(**{"inc.double_conv.0.weight": torch.zeros(1).expand(100_000, 100_000)}),
        "nor the undamaged",
    ),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", OTHERS)
def test_anything_else_is_one_sentence(tmp_path: Path, kind: str, zipped: bool) -> None:
    content, words = OTHERS[kind]
    path = tmp_path / "unet.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError) as caught:
        load_model(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, zipped: bool) -> None:
    for number, content in enumerate([Trap(tmp_path / "sprung"), state(extra=Trap(tmp_path / "sprung"))]):
        path = tmp_path / f"{number}.pth"
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(InputError, match="more than weights"):
            load_model(path)
    assert not (tmp_path / "sprung").exists()


def test_no_checkpoint_is_opened_by_a_torch_with_known_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(state(), tmp_path / "unet.pth")
    save_file(state(), tmp_path / "unet.safetensors")
    monkeypatch.setattr(torch, "__version__", "2.9.1+cu128")
    monkeypatch.setattr(torch, "load", lambda *_args, **_options: pytest.fail("it was opened"))
    with pytest.raises(InputError, match=r"update torch to 2\.10 or later"):
        load_model(tmp_path / "unet.pth")
    assert load_model(tmp_path / "unet.safetensors").network.features == 2


def test_an_archive_that_is_larger_inside_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("bomb/data/0", bytes(10**7))
    with pytest.raises(InputError, match="nor the undamaged"):
        load_model(path)
