"""Where the batches of a training come from, and where its random numbers are."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_unet.network.augment import Batch
from napari_unet.network.config import TrainingConfig
from napari_unet.network.learning.batches import BatchShape, draw_batch
from napari_unet.network.learning.joining import Joining
from napari_unet.network.learning.resident import Resident


class BatchSource:
    """Draws batches at random: from images in memory, or on a GPU that has room for them.

    Parameters
    ----------
    joining : Joining
        What is learnt from.
    shape : BatchShape
    config : TrainingConfig
    device : torch.device
    """

    def __init__(
        self, joining: Joining, shape: BatchShape, config: TrainingConfig, device: torch.device
    ) -> None:
        self._joining = joining
        self._shape = shape
        self._config = config
        self._device = device
        self._patch_rng = np.random.default_rng(config.seed)
        self._augment_rng = torch.Generator().manual_seed(config.seed)
        self._resident: Resident | None = None
        if Resident.suits(joining.dataset, device):
            self._resident = Resident(joining.dataset, shape, config, device)
        self._ahead: tuple[Batch, tuple[Any, Tensor]] | None = None
        """The next batch, where it is there already, and :attr:`rng_states` before it."""

    def take(self) -> Batch:
        """Return the next batch."""
        batch = self._draw() if self._ahead is None else self._ahead[0]
        self._ahead = None
        return batch

    def draw_ahead(self) -> None:
        """Draw the next batch in advance if images are on a GPU, which does it beside the current step."""
        if self._resident is not None:
            before = self.rng_states
            self._ahead = self._draw(), before

    def follow(self) -> None:
        """Go on with the paint that has joined; a batch that was drawn ahead is discarded."""
        self.rng_states = self.rng_states
        if self._resident is not None and not self._resident.follow(self._joining.dataset):
            self._resident = None

    @property
    def rng_states(self) -> tuple[Any, Tensor]:
        """The states of the generators of patches and of augmentation, before the next batch."""
        if self._ahead is not None:
            return self._ahead[1]
        return self._patch_rng.bit_generator.state, self._augment_rng.get_state()

    @rng_states.setter
    def rng_states(self, states: tuple[Any, Tensor]) -> None:
        self._patch_rng.bit_generator.state, augment_rng = states
        self._augment_rng.set_state(augment_rng)
        self._ahead = None

    def _draw(self) -> Batch:
        fresh = self._joining.fresh(self._patch_rng)
        if self._resident is not None:
            return self._resident.draw(self._patch_rng, self._augment_rng, fresh=fresh)
        return draw_batch(
            self._joining.dataset,
            self._shape,
            self._config,
            self._device,
            rng=self._patch_rng,
            generator=self._augment_rng,
            fresh=fresh,
        )
