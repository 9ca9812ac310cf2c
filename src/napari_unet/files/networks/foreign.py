"""U-Nets that were trained elsewhere: weights of two widely used layouts, converted to our models.

The layouts are those of https://github.com/milesial/Pytorch-UNet and
https://github.com/mateuszbuda/brain-segmentation-pytorch, with any width, depth and number of channels and
classes. Their networks differ from ours in names and in a few conventions. Weights can express all of these,
so that our network computes the same. Everything else is refused in one sentence.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.errors import InputError
from napari_unet.files.networks.checkpoints import read_state_dict
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.model import History, Model

if TYPE_CHECKING:
    from torch import Tensor

    Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Names of the parts of a foreign U-Net.

    In names, ``{down}`` is the level counted from 1 at the top, ``{below}`` the same counted from 0, and
    ``{up}`` the step of the expanding path, counted from 1 at the bottom.
    """

    origin: str  # where networks of this layout come from
    level: re.Pattern[str]  # of the weights that each level has one of
    # blocks of two convolutions: the first, those after it, the one at the bottom, and the expanding ones
    top: str
    down: str
    bottom: str
    expanding: str
    # what the first convolution and norm, and the second ones, add to the name of a block
    layers: tuple[str, str, str, str]
    # the up-convolutions, and the last convolution
    upsampling: str
    head: str
    # whether the upsampled features are joined before the copied ones; ours come after
    upsampled_first: bool
    normalisation: Normalisation  # how images were scaled for its training


_MILESIAL = _Layout(
    origin="milesial/Pytorch-UNet",
    level=re.compile(r"down(\d)\.maxpool_conv\.1\.double_conv\.0\.weight"),
    top="inc.double_conv",
    down="down{below}.maxpool_conv.1.double_conv",
    bottom="down{below}.maxpool_conv.1.double_conv",
    expanding="up{up}.conv.double_conv",
    layers=(".0", ".1", ".3", ".4"),
    upsampling="up{up}.up",
    head="outc.conv",
    upsampled_first=False,
    normalisation=Normalisation(method="range"),
)

_BUDA = _Layout(
    origin="mateuszbuda/brain-segmentation-pytorch",
    level=re.compile(r"decoder(\d)\.dec\1conv1\.weight"),
    top="encoder{down}.enc{down}",
    down="encoder{down}.enc{down}",
    bottom="bottleneck.bottleneck",
    expanding="decoder{down}.dec{down}",
    layers=("conv1", "norm1", "conv2", "norm2"),
    upsampling="upconv{down}",
    head="conv",
    upsampled_first=True,
    normalisation=Normalisation(method="deviations"),
)


def load_foreign(path: Path) -> Model:
    """Read a checkpoint of a U-Net of a known layout: a state dict, by itself or in a dictionary.

    If the network has one logit, the model has two classes: its sigmoid is the softmax of (0, logit). Images
    are scaled as in the original code: by the range of their bit depth (milesial), or to mean 0 and standard
    deviation 1 (mateuszbuda). ``InputError`` if the file cannot be read safely, or is not such a network.
    """
    state, values = read_state_dict(path)
    for layout in (_MILESIAL, _BUDA):
        levels = sum(layout.level.fullmatch(key) is not None for key in state)
        if levels and f"{layout.head}.weight" in state:
            return _Conversion(layout, state, path).model(levels, values)
    raise InputError(
        f"{path} is not a napari-unet model, and its weights are those of an unknown network; give a model, "
        f"or a U-Net of {_MILESIAL.origin} or {_BUDA.origin}."
    )


class _Conversion:
    """Takes the weights out of a foreign state dict one by one, so that none is overlooked."""

    def __init__(self, layout: _Layout, state: "Tensors", path: Path) -> None:
        self._layout, self._state, self._path = layout, state, path

    def model(self, levels: int, values: tuple[int, ...]) -> Model:
        layout = self._layout
        config = self._config(levels)
        weights: Tensors = {}
        for ours, theirs in self._blocks(config):
            weights |= self._block(ours, theirs, config)
        for step in range(levels):
            weights |= self._upsampling(step, config)
        weights |= self._head()
        if self._state:
            raise self._other(f"{min(self._state)!r} is too many")
        self._check(weights, config)
        mode: Literal["objects", "classes"] = "objects" if config.classes == 2 else "classes"
        return Model(
            network=config,
            weights=weights,
            normalisation=layout.normalisation,
            mode=mode,
            class_names=_class_names(config.classes, values),
            training=TrainingConfig(mode=mode, network=config, normalisation=layout.normalisation),
            history=History(),
            origin=f"converted from {self._path.name}, a network of the layout of {layout.origin}",
        )

    def _check(self, weights: "Tensors", config: UNetConfig) -> None:
        import torch

        from napari_unet.network.unet import UNet

        with torch.device("meta"):
            expected = UNet(config).state_dict()
        for name, tensor in weights.items():
            if tensor.shape != expected[name].shape:
                raise self._other(
                    f"its {name} has shape {tuple(tensor.shape)} instead of {tuple(expected[name].shape)}"
                )
            if not bool(torch.isfinite(tensor).all()):
                raise InputError(
                    f"{self._path} has weights that are not finite numbers; use another checkpoint."
                )

    def _config(self, levels: int) -> UNetConfig:
        layout = self._layout
        first = self._peek(layout.top.format(down=1) + layout.layers[0])
        head = self._peek(layout.head)
        has_convolutions = f"{self._up_name(0, levels)}.weight" in self._state
        try:
            return UNetConfig(
                in_channels=first.shape[1],
                classes=max(2, head.shape[0]),
                levels=levels,
                features=first.shape[0],
                upsampling="convolution" if has_convolutions else "aligned",
            )
        except InputError as error:
            raise self._other(str(error).rstrip(".")) from error

    def _blocks(self, config: UNetConfig) -> Iterator[tuple[str, str]]:
        """Yield our name and theirs of every block of two convolutions."""
        layout, levels = self._layout, config.levels
        yield "contracting.0", layout.top.format(down=1)
        for level in range(1, levels):
            yield f"contracting.{level}", layout.down.format(down=level + 1, below=level)
        yield "bottom", layout.bottom.format(below=levels)
        for step in range(levels):
            yield f"expanding.{step}", layout.expanding.format(up=step + 1, down=levels - step)

    def _up_name(self, step: int, levels: int) -> str:
        return self._layout.upsampling.format(up=step + 1, down=levels - step)

    def _block(self, ours: str, theirs: str, config: UNetConfig) -> "Tensors":
        """Return two convolutions, each with its norm, as entries (0, 1) and (3, 4) of our sequence."""
        conv1, norm1, conv2, norm2 = (f"{theirs}{layer}" for layer in self._layout.layers)
        result = self._convolution(f"{ours}.0", f"{ours}.1", conv1, norm1)
        result |= self._convolution(f"{ours}.3", f"{ours}.4", conv2, norm2)
        if ours.startswith("expanding") and self._layout.upsampled_first:
            weight = result[f"{ours}.0.weight"]
            result[f"{ours}.0.weight"] = weight.roll(-(weight.shape[1] // 2), dims=1).contiguous()
        if config.upsampling == "aligned":
            if 2 * len(statistics := result[f"{ours}.4.bias"]) < _width(ours, config):
                raise self._other(f"{theirs} has only {len(statistics)} features")
            result = {name: _widened(tensor, _width(ours, config), name) for name, tensor in result.items()}
        return result

    def _convolution(self, conv: str, norm: str, their_conv: str, their_norm: str) -> "Tensors":
        weight = self._take(f"{their_conv}.weight", 4)
        statistics = {
            name: self._take(f"{their_norm}.{name}", 1)
            for name in ("weight", "bias", "running_mean", "running_var")
        }
        bias = self._state.pop(f"{their_conv}.bias", None)
        if bias is not None:
            if bias.shape != statistics["running_mean"].shape:
                raise self._other(f"{their_conv}.bias is of shape {tuple(bias.shape)}")
            # The norm subtracts the mean of the convolution's output, which is smaller without its bias.
            statistics["running_mean"] = statistics["running_mean"] - bias.float()
        import torch

        self._state.pop(f"{their_norm}.num_batches_tracked", None)
        return {
            f"{conv}.weight": weight,
            **{f"{norm}.{name}": tensor for name, tensor in statistics.items()},
            f"{norm}.num_batches_tracked": torch.tensor(0),
        }

    def _upsampling(self, step: int, config: UNetConfig) -> "Tensors":
        ours = f"upsampling.{step}.convolution"
        theirs = self._up_name(step, config.levels)
        if config.upsampling == "convolution":
            return {
                f"{ours}.weight": self._take(f"{theirs}.weight", 4),
                f"{ours}.bias": self._take(f"{theirs}.bias", 1),
            }
        import torch

        # Their networks have no convolution here and half our features: the upper half of ours is zero.
        width = config.features * 2 ** (config.levels - step)
        weight = torch.zeros(width // 2, width, 1, 1)
        weight[range(width // 2), range(width // 2)] = 1
        return {f"{ours}.weight": weight, f"{ours}.bias": torch.zeros(width // 2)}

    def _head(self) -> "Tensors":
        import torch

        head = self._layout.head
        weight, bias = self._take(f"{head}.weight", 4), self._take(f"{head}.bias", 1)
        if self._layout is _BUDA and len(weight) > 1:
            raise self._other(f"it has {len(weight)} sigmoid outputs that need not exclude each other")
        if len(weight) == 1:
            weight, bias = (torch.cat((torch.zeros_like(part), part)) for part in (weight, bias))
        return {"head.weight": weight, "head.bias": bias}

    def _peek(self, name: str) -> "Tensor":
        tensor = self._state.get(f"{name}.weight")
        if tensor is None or tensor.ndim != 4:
            raise self._other(f"{name}.weight is missing or not that of a 2-D convolution")
        return tensor

    def _take(self, name: str, ndim: int) -> "Tensor":
        tensor = self._state.pop(name, None)
        if tensor is None or tensor.ndim != ndim:
            raise self._other(f"{name} is missing or not of {ndim} dimensions")
        return tensor.float().contiguous()

    def _other(self, reason: str) -> InputError:
        return InputError(
            f"{self._path} looks like a U-Net of {self._layout.origin}, but {reason}; only networks with "
            "exactly this layout can be converted."
        )


def _class_names(classes: int, values: tuple[int, ...]) -> tuple[str, ...]:
    if classes == 2:
        return "background", "object"
    if len(values) == classes:
        return tuple(f"mask value {value}" for value in values)
    return "background", *(f"class {k}" for k in range(2, classes + 1))


def _width(block: str, config: UNetConfig) -> int:
    """Return how many features one of our blocks outputs."""
    path, _, number = block.partition(".")
    levels = config.levels
    level = {"contracting": int(number or 0), "expanding": levels - 1 - int(number or 0), "bottom": levels}
    return int(config.features * 2 ** level[path])


def _widened(tensor: "Tensor", width: int, name: str) -> "Tensor":
    """Return weights of a block, with zeros for the features that it lacks.

    In networks without convolutions between levels, the bottom block and all expanding blocks except the last
    output half as many features as ours. A feature whose norm has factor and offset 0 is 0.
    """
    from torch.nn.functional import pad

    if tensor.ndim == 0:
        return tensor
    outputs = max(0, width - tensor.shape[0])
    if tensor.ndim == 1:
        return pad(tensor, (0, outputs), value=1.0 if name.endswith("running_var") else 0.0)
    inputs = max(0, width - tensor.shape[1]) if name.endswith(".3.weight") else 0
    return pad(tensor, (0, 0, 0, 0, 0, inputs, 0, outputs))
