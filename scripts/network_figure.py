"""Draw the U-Net of the paper and ours as SVG, from the shapes in running networks.

python scripts/network_figure.py docs/images
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from napari_unet import UNet, UNetConfig

_STEP, _LEVEL, _GAP = 40, 104, 18
"""Pixels from map to map, from level to level, and between groups."""

_DOWN, _UP = "#b5312c", "#3b7d3b"


@dataclass(frozen=True)
class Map:
    """A feature map: where it is in the U, its channels and the length of its edge."""

    level: int
    group: int
    place: int
    channels: int
    edge: int


def feature_maps(config: UNetConfig, edge: int) -> list[Map]:
    """Run a network on an image with this edge and return the maps between its layers, in order."""
    network = UNet(config).eval()
    maps = [Map(0, 0, 0, config.in_channels, edge)]
    counts: dict[int, int] = {0: 1}

    def note(level: int, group: int) -> object:
        def hook(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            place = counts.get(group, 0)
            counts[group] = place + 1
            maps.append(Map(level, group, place, output.shape[1], output.shape[2]))

        return hook

    levels = config.levels
    blocks = [
        *((level, level, block) for level, block in enumerate(network.contracting)),
        (levels, levels, network.bottom),
        *((levels - 1 - n, levels + 1 + n, block) for n, block in enumerate(network.expanding)),
    ]
    for level, group, block in blocks:
        for layer in block:
            if isinstance(layer, nn.ReLU):
                layer.register_forward_hook(note(level, group))
    network.head.register_forward_hook(note(0, 2 * levels))
    with torch.inference_mode():
        network(torch.zeros(1, config.in_channels, edge, edge))
    return maps


def svg(config: UNetConfig, edge: int, title: str) -> str:
    """Return the drawing."""
    maps = feature_maps(config, edge)
    place = {}
    x = 30
    last = (-1, 0)
    for item in sorted(maps, key=lambda item: (item.group, item.place)):
        x += _GAP if item.group != last[0] else 0
        place[item] = (x, 60 + item.level * _LEVEL)
        x += _STEP
        last = (item.group, item.place)
    width, height = x + 20, 60 + (config.levels + 1) * _LEVEL
    boxes = (_box(item, *place[item], edge) for item in maps)
    body = "".join([*_arrows(maps, place, config, edge), *boxes, _legend(config, 30, height - 60)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11"><title>{title}</title><rect width="100%" height="100%" fill="white"/>{body}</svg>\n'
    )


def _side(item: Map, largest: int) -> int:
    return round(18 + 62 * item.edge / largest)


def _box(item: Map, x: int, y: int, largest: int) -> str:
    side = _side(item, largest)
    return (
        f'<rect x="{x}" y="{y}" width="14" height="{side}" fill="#cfe3f5" stroke="#27567e"/>'
        f'<text x="{x + 7}" y="{y - 5}" text-anchor="middle">{item.channels}</text>'
        f'<text x="{x + 7}" y="{y + side + 11}" text-anchor="middle" fill="#555" font-size="9">'
        f"{item.edge}²</text>"
    )


def _arrows(
    maps: list[Map], place: dict[Map, tuple[int, int]], config: UNetConfig, largest: int
) -> Iterator[str]:
    groups: dict[int, list[Map]] = {}
    for item in maps:
        groups.setdefault(item.group, []).append(item)
    for group in sorted(groups)[:-1]:
        before, after = groups[group][-1], groups[group + 1][0]
        (x0, y0), (x1, y1) = place[before], place[after]
        colour = _DOWN if y1 > y0 else _UP
        middle = y0 + _side(before, largest) // 2, y1 + _side(after, largest) // 2
        yield f'<path d="M{x0 + 15},{middle[0]} L{x1 - 2},{middle[1]}" stroke="{colour}" stroke-width="2"/>'
    for level in range(config.levels):
        (x0, y0), (x1, _) = place[groups[level][-1]], place[groups[2 * config.levels - level][0]]
        yield (
            f'<path d="M{x0 + 16},{y0 + 8} L{x1 - 4},{y0 + 8}" stroke="#888" stroke-width="2" '
            'stroke-dasharray="5 3"/>'
        )


def _legend(config: UNetConfig, x: int, y: int) -> str:
    up = (
        "up-convolution 2×2"
        if config.upsampling == "convolution"
        else f"convolution 1×1, {config.upsampling} 2×"
    )
    lines = [
        (
            "#27567e",
            f"a feature map after a convolution 3×3 ({config.padding}) and ReLU; its channels, its edge",
        ),
        (_DOWN, f"{config.pooling} pooling 2×2"),
        (_UP, up),
        ("#888", "copied" + (" and cropped" if config.padding == "valid" else "")),
    ]
    return "".join(
        f'<rect x="{x}" y="{y + 16 * n - 8}" width="14" height="8" fill="{colour}"/>'
        f'<text x="{x + 20}" y="{y + 16 * n}">{words}</text>'
        for n, (colour, words) in enumerate(lines)
    )


def main(folder: Path) -> None:
    """Write both drawings."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings = {
        "unet-paper": svg(UNetConfig.paper(), 572, "The U-Net of 2015"),
        "unet-default": svg(UNetConfig(), 256, "The U-Net that trains here by default"),
    }
    for name, drawing in drawings.items():
        (folder / f"{name}.svg").write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
