"""The folder of a zarr that is written, also where other programs look into it."""

import asyncio

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from napari_unet.files.atomic import PAUSES_S


class PatientStore(LocalStore):
    """A folder in which a chunk that cannot be replaced is replaced a moment later.

    On Windows a chunk cannot be that any program has open, such as one that looks for viruses, and zarr up to
    3.1 gives up at once.
    """

    async def set(self, key: str, value: Buffer) -> None:
        """Write a chunk, or a description."""
        for pause in PAUSES_S:
            try:
                return await super().set(key, value)
            except PermissionError:
                await asyncio.sleep(pause)
        return await super().set(key, value)
