"""The eight ways to turn and mirror a block that keep it on the network's pooling grid.

Predictions of all of them are averaged, as Ronneberger et al. (2015) averaged seven rotated copies. Blocks
start and end on the pooling grid, and so do their mirror images, therefore tiles stay exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Orientation:
    """First quarter turns in the plane of the last two axes (YX), then the first spatial axis mirrored.

    So a volume never turns out of its planes, along Z pixels may have another size.
    """

    turns: int  # quarter turns, 0 to 3, from Y to X
    mirrored: bool  # whether the first spatial axis is mirrored: Y of an image, Z of a volume

    def turn(self, x: Tensor) -> Tensor:
        """Return ``x`` (B, C, spatial...) in this orientation."""
        x = torch.rot90(x, self.turns, (-2, -1)) if self.turns else x
        return x.flip(2) if self.mirrored else x

    def turn_back(self, y: Tensor) -> Tensor:
        """Return ``y`` (K, spatial...), computed in this orientation, in that of the image."""
        y = y.flip(1) if self.mirrored else y
        return torch.rot90(y, -self.turns, (-2, -1)) if self.turns else y

    def turn_crop(self, crop: Sequence[slice], shape: Sequence[int]) -> tuple[slice, ...]:
        """Return where the part ``crop`` of an array of spatial ``shape`` is after :meth:`turn`."""
        parts, sizes = list(crop), list(shape)
        for _ in range(self.turns):
            parts[-2:] = [_mirror(parts[-1], sizes[-1]), parts[-2]]
            sizes[-2:] = sizes[-1], sizes[-2]
        if self.mirrored:
            parts[0] = _mirror(parts[0], sizes[0])
        return tuple(parts)


def _mirror(part: slice, size: int) -> slice:
    return slice(size - part.stop, size - part.start)


ORIENTATIONS = tuple(Orientation(turns, mirrored) for mirrored in (False, True) for turns in range(4))
"""As it is first; all eight of an image, and of a volume the eight without turns out of the plane."""
