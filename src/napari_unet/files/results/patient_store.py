"""A zarr folder that can be written even while other programs read it."""

import asyncio

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from napari_unet.files.atomic import PAUSES_S


class PatientStore(LocalStore):
    """A folder that tries again a moment later if a chunk cannot be replaced.

    On Windows a chunk cannot be replaced while any program, such as a virus scanner, has it open, and zarr up
    to 3.1 gives up at once.
    """

    async def set(self, key: str, value: Buffer) -> None:
        """Write a chunk or metadata."""
        for pause in PAUSES_S:
            try:
                return await super().set(key, value)
            except PermissionError:
                await asyncio.sleep(pause)
        return await super().set(key, value)
