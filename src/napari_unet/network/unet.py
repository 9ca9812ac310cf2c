"""The U-Net of Ronneberger, Fischer & Brox (2015), to the letter and as people use it today, in 2-D and 3-D.

Olaf Ronneberger, Philipp Fischer, Thomas Brox: U-Net: Convolutional Networks for Biomedical Image
Segmentation, MICCAI 2015, https://arxiv.org/abs/1505.04597. Shapes in the comments: B images, C channels, F =
``features``, K classes, S the spatial size at the input; for a valid network the figures of the paper (S =
572) follow.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unet.core.configs import check_kind
from napari_unet.core.errors import InputError
from napari_unet.network.config import UNetConfig
from napari_unet.network.geometry import check_shape


class _Conv3d(nn.Conv3d):
    """Computes two planes in full precision on a CPU.

    For a padded 3x3x3 kernel over two planes in bfloat16, the oneDNN of torch 2.13 returns a gradient that
    partly is uninitialised memory.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] == 2 and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.to(self.weight.dtype))
        return super().forward(x)


_CONV = {2: nn.Conv2d, 3: _Conv3d}
_UP_CONV = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_AVERAGE_POOL = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
_LINEAR = {2: "bilinear", 3: "trilinear"}


class UNet(nn.Module):
    """Contracting path, expanding path, and copies of the features across.

    Each level of a path is two 3x3 convolutions with ReLU. Drop-out, where asked for, acts at the end of the
    contracting path, where the network that the authors released has it: on the features of its last level
    (before they are pooled and copied across) and of the bottom. Weights are drawn from He's normal
    distribution; see :func:`initialise`.

    Parameters
    ----------
    config : UNetConfig
        Shape of the network.
    """

    def __init__(self, config: UNetConfig) -> None:
        check_kind(config, UNetConfig, "configuration", "a UNetConfig")
        super().__init__()
        self.config = config
        widths = [config.features * 2**level for level in range(config.levels + 1)]
        pool = _MAX_POOL if config.pooling == "max" else _AVERAGE_POOL
        self.contracting = nn.ModuleList(
            _two_convolutions(config, n_in, n_out)
            for n_in, n_out in zip([config.in_channels, *widths[:-2]], widths[:-1], strict=True)
        )
        self.pool = pool[config.ndim](2)
        self.bottom = _two_convolutions(config, widths[-2], widths[-1])
        self.upsampling = nn.ModuleList(Upsampling(config, width) for width in reversed(widths[1:]))
        self.expanding = nn.ModuleList(
            _two_convolutions(config, 2 * width, width) for width in reversed(widths[:-1])
        )
        self.head = _CONV[config.ndim](config.features, config.classes, 1)
        if config.distance:
            self.distance_head = _CONV[config.ndim](config.features, 1, 1)
        initialise(self)

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the logits of every class and, last, of the distance where the network has a head for it.

        Parameters
        ----------
        x : Tensor (B, C, ...)
            Normalised intensities; the spatial sizes must fit, see :mod:`napari_unet.network.geometry`.
        kept : Tensor (B, 3 F 2^(L-1)), optional
            Factors of the features that drop-out acts on, see :func:`drop_out`.

        Returns
        -------
        Tensor (B, K, ...), or (B, K + 1, ...) with the distance
            As large as the input, or smaller by the margin of a valid network.

        Raises
        ------
        InputError
            If a size does not fit, or the number of axes or channels is another.
        """
        config = self.config
        if x.ndim != 2 + config.ndim or x.shape[1] != config.in_channels:
            raise InputError(
                f"The input has shape {tuple(x.shape)}; rearrange its axes to images, channels "
                f"({config.in_channels} for this network) and {config.ndim} spatial axes."
            )
        check_shape(config, x.shape[2:])
        skips = []
        for level, block in enumerate(self.contracting):
            x = block(x)  #                                 (B, F 2^l, S/2^l)           568, 280, 136, 64
            if level == config.levels - 1:
                x, kept = _drop(x, kept)
            skips.append(x)
            x = self.pool(x)  #                             (B, F 2^l, S/2^(l+1))       284, 140, 68, 32
        x, _ = _drop(self.bottom(x), kept)  #               (B, F 2^L, S/2^L)           28
        for up, block in zip(self.upsampling, self.expanding, strict=True):  # level l = L-1 ... 0
            x = up(x)  #                                    (B, F 2^l, S/2^l)           56, 104, 200, 392
            x = torch.cat([centre_crop(skips.pop(), x.shape[2:]), x], dim=1)  # (B, 2 F 2^l, S/2^l)
            x = block(x)  #                                 (B, F 2^l, S/2^l)           52, 100, 196, 388
        return self.heads(x)  #                             (B, K, S)                   388

    def blocks(self) -> list[nn.Module]:
        """Return what computes the features of each level, in the order it does so."""
        return [*self.contracting, self.bottom, *self.expanding]

    def heads(self, x: Tensor) -> Tensor:
        """Return the logits for features (B, F, ...) of the highest level, see :meth:`forward`."""
        logits = self.head(x)
        if self.config.distance:
            logits = torch.cat((logits, self.distance_head(x)), dim=1)
        return cast("Tensor", logits)


class Upsampling(nn.Module):
    """Twice the size, half the features: (B, n_in, s) -> (B, n_in/2, 2s), or 2s-2 for a valid, linear one."""

    def __init__(self, config: UNetConfig, n_in: int) -> None:
        super().__init__()
        self.by_convolution = config.upsampling == "convolution"
        self.mode = _LINEAR[config.ndim] if config.upsampling in {"linear", "aligned"} else "nearest"
        self.align_corners = True if config.upsampling == "aligned" else None
        # A linear interpolation at the border invents the neighbour that is not there, which valid networks
        # never do.
        self.crop = config.upsampling == "linear" and config.padding == "valid"
        self.convolution = (
            _UP_CONV[config.ndim](n_in, n_in // 2, 2, stride=2)
            if self.by_convolution
            else _CONV[config.ndim](n_in, n_in // 2, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of the level below, upsampled."""
        # A 1x1 convolution and an interpolation commute (its weights add up to 1), and first is 4x (3-D: 8x)
        # cheaper.
        x = self.convolution(x)  #               (B, n_in/2, s), or 2s if by convolution
        if self.by_convolution:
            return x
        x = functional.interpolate(x, scale_factor=2, mode=self.mode, align_corners=self.align_corners)
        #                                        (B, n_in/2, 2s)
        return without_border(x, 1) if self.crop else x


def drop_out(config: UNetConfig, batch: int, generator: torch.Generator) -> Tensor | None:
    """Return what drop-out leaves of the features for one batch, (batch, 3 F 2^(L-1)), drawn on the CPU.

    Whole feature maps are dropped, since neighbouring pixels say the same (Tompson et al. 2015): with
    probability ``config.dropout`` the factor of a map is 0, else such that the mean is 1. Those of the last
    level of the contracting path come first, then those of the bottom. None without drop-out.
    """
    if not config.dropout:
        return None
    stays = torch.rand((batch, 3 * config.features * 2 ** (config.levels - 1)), generator=generator)
    return (stays >= config.dropout).float() / (1 - config.dropout)


def _drop(x: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return the features (B, C, ...) times the first C factors, and the factors that are left."""
    if kept is None:
        return x, None
    channels = x.shape[1]
    factors = kept[:, :channels].to(x.dtype).view(len(x), channels, *(1,) * (x.ndim - 2))
    return x * factors, kept[:, channels:]


def _two_convolutions(config: UNetConfig, n_in: int, n_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (n_in, n_out):
        # Batch normalisation subtracts the mean again, so a bias before it would do nothing.
        layers.append(
            _CONV[config.ndim](channels, n_out, 3, padding=config.padding, bias=config.norm == "none")
        )
        if config.norm == "batch":
            layers.append(_BATCH_NORM[config.ndim](n_out))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def centre_crop(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the central ``shape`` of the spatial axes of ``x`` (B, C, ...).

    Both sides lose the same, as the sizes that are cropped and those that are left are even.
    """
    for axis, size in enumerate(shape, start=2):
        if x.shape[axis] != size:
            x = x.narrow(axis, (x.shape[axis] - size) // 2, size)
    return x


def without_border(x: Tensor, width: int) -> Tensor:
    """Return ``x`` (B, C, ...) of any size without ``width`` pixels at each end of every spatial axis."""
    for axis in range(2, x.ndim if width else 2):
        x = x[(slice(None),) * axis + (slice(width, -width),)]
    return x


def initialise(network: nn.Module) -> None:
    """Draw the weights of all convolutions from He's normal distribution, in place; biases become 0.

    The standard deviation is sqrt(2/N), N the number of incoming nodes of one neuron (He et al. 2015; section
    3 of the U-Net paper). In an up-convolution whose stride is its kernel size, one pixel of every input
    channel comes in. Weights on the device "meta", which have no memory, are left out.
    """
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.is_meta:
            continue  # torch would take milliseconds for each, and draw nothing
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            incoming = module.in_channels * math.prod(module.kernel_size)
        elif isinstance(module, (nn.ConvTranspose2d, nn.ConvTranspose3d)):
            incoming = module.in_channels
        else:
            continue
        nn.init.normal_(module.weight, std=math.sqrt(2 / incoming))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
