"""The two PyTorch U-Nets that people start from, written anew from what their repositories describe.

Only names and order of operations are theirs: they are what a checkpoint depends on.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional


def _twice(n_in: int, n_mid: int, n_out: int, *, bias: bool) -> nn.Module:
    holder = nn.Module()
    holder.double_conv = nn.Sequential(
        nn.Conv2d(n_in, n_mid, 3, padding=1, bias=bias),
        nn.BatchNorm2d(n_mid),
        nn.ReLU(),
        nn.Conv2d(n_mid, n_out, 3, padding=1, bias=bias),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    )
    holder.forward = holder.double_conv.forward
    return holder


class Milesial(nn.Module):
    """https://github.com/milesial/Pytorch-UNet; gives logits. ``bias``: the releases before 2022."""

    def __init__(
        self, channels: int, classes: int, *, bilinear: bool = False, bias: bool = False, width: int = 4
    ) -> None:
        super().__init__()
        self.bilinear = bilinear
        narrow = 2 if bilinear else 1
        self.inc = _twice(channels, width, width, bias=bias)
        for level in range(1, 5):
            down = nn.Module()
            n_in, n_out = width * 2 ** (level - 1), width * 2**level // (narrow if level == 4 else 1)
            down.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), _twice(n_in, n_out, n_out, bias=bias))
            setattr(self, f"down{level}", down)
        for step in range(1, 5):
            up = nn.Module()
            n_in = width * 2 ** (5 - step)
            n_out = n_in // 2 // (narrow if step < 4 else 1)
            if not bilinear:
                up.up = nn.ConvTranspose2d(n_in, n_in // 2, 2, stride=2)
            up.conv = _twice(n_in, n_in // 2 if bilinear else n_out, n_out, bias=bias)
            setattr(self, f"up{step}", up)
        self.outc = nn.Module()
        self.outc.conv = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        copies = [self.inc(x)]
        for level in range(1, 5):
            copies.append(getattr(self, f"down{level}").maxpool_conv(copies[-1]))
        x = copies.pop()
        for step in range(1, 5):
            up = getattr(self, f"up{step}")
            if self.bilinear:
                x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            else:
                x = up.up(x)
            x = up.conv(torch.cat((copies.pop(), x), dim=1))
        return self.outc.conv(x)


class Buda(nn.Module):
    """https://github.com/mateuszbuda/brain-segmentation-pytorch; gives probabilities."""

    def __init__(self, channels: int, outputs: int = 1, width: int = 4) -> None:
        super().__init__()
        n_in = channels
        for level in range(1, 5):
            n_out = width * 2 ** (level - 1)
            setattr(self, f"encoder{level}", self._block(n_in, n_out, f"enc{level}"))
            setattr(self, f"upconv{level}", nn.ConvTranspose2d(2 * n_out, n_out, 2, stride=2))
            setattr(self, f"decoder{level}", self._block(2 * n_out, n_out, f"dec{level}"))
            n_in = n_out
        self.bottleneck = self._block(n_in, 2 * n_in, "bottleneck")
        self.conv = nn.Conv2d(width, outputs, 1)

    @staticmethod
    def _block(n_in: int, n_out: int, name: str) -> nn.Sequential:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, channels in ((1, n_in), (2, n_out)):
            layers[f"{name}conv{number}"] = nn.Conv2d(channels, n_out, 3, padding=1, bias=False)
            layers[f"{name}norm{number}"] = nn.BatchNorm2d(n_out)
            layers[f"{name}relu{number}"] = nn.ReLU()
        return nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        copies = []
        for level in range(1, 5):
            x = getattr(self, f"encoder{level}")(x)
            copies.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottleneck(x)
        for level in range(4, 0, -1):
            x = torch.cat((getattr(self, f"upconv{level}")(x), copies.pop()), dim=1)
            x = getattr(self, f"decoder{level}")(x)
        return torch.sigmoid(self.conv(x))


def randomise(network: nn.Module) -> nn.Module:
    """Draw every weight and statistic, so that none can be left out or mistaken unnoticed."""
    generator = torch.Generator().manual_seed(0)
    for name, values in network.state_dict().items():
        if name.endswith("running_var") or (values.ndim == 1 and name.endswith("weight")):
            values.uniform_(0.5, 1.5, generator=generator)
        elif values.is_floating_point() and values.ndim == 1:
            values.normal_(0, 0.3, generator=generator)
        elif values.is_floating_point():
            values.normal_(0, (2 / values[0].numel()) ** 0.5, generator=generator)
    return network.eval()
