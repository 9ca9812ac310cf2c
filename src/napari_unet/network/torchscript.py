"""A trained network as a program that runs without this package: TorchScript, which other tools load."""

import io
import warnings
from typing import cast

import torch
from torch import Tensor, nn

from napari_unet.network.geometry import nearest_sizes
from napari_unet.network.model import Model
from napari_unet.network.tiles.inference import ready_network
from napari_unet.network.unet import UNet, without_border


def to_torchscript(model: Model) -> bytes:
    """Return a TorchScript archive that maps normalised intensities to class probabilities.

    Returns
    -------
    bytes
        A program from float32 (B, C, spatial...), of any sizes that fit the network, to float32
        (B, K, spatial...): batch norm is folded in, and the soft-max over the classes.
    """
    network = ready_network(model, torch.device("cpu"), torch.float32)
    program = _Program(network).eval()
    size = nearest_sizes(model.network, 1)[0]
    example = torch.zeros(1, model.network.in_channels, *(size,) * model.network.ndim)
    file = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # It is still what other tools read; and sizes that are taken as constants below are constants.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        # Where several tests run in one process, checking the trace would draw from their random numbers.
        traced = torch.jit.trace(program, example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, file)
    return file.getvalue()


class _Program(nn.Module):
    """What :class:`UNet` does, in operations that a trace can record for images of any size."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        network = self.network
        skips = []
        for block in network.contracting:
            x = block(x)
            skips.append(x)
            x = network.pool(x)
        x = network.bottom(x)
        for up, block in zip(network.upsampling, network.expanding, strict=True):
            x = up(x)
            skip = skips.pop()
            lost = (int(skip.shape[-1]) - int(x.shape[-1])) // 2  # the same for every size of the image
            x = block(torch.cat([without_border(skip, lost), x], dim=1))
        return cast("Tensor", network.head(x).softmax(dim=1))
