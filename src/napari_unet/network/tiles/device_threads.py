"""What threads that compute tiles at the same time share: a processor or a GPU, and its memory.

On a CPU each of a few threads computes a tile of its own. That leaves no thread waiting for another in every
layer of the network, and reading and normalising one tile overlaps with the network on the next. On an NVIDIA
GPU the threads have a stream each, so that copies overlap with the network, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Lock, Thread

import torch

from napari_unet.network.device import kept_memory

_MOST_AT_ONCE = 8
"""Tiles computed at once on a CPU; with more cores each gets several, else memory and cache are short."""

_AT_ONCE_ON_GPU = 3
"""One is read and normalised, one computed, one copied back."""

KEPT_ON_GPU = 1 / 16
"""Part of the memory of a GPU that may stay for the next image, see :func:`free_cache`."""

_NUMBER_OF_THREADS = Lock()
"""Held while torch's number of threads, which is global, is changed."""


def tiles_at_once(device: torch.device) -> int:
    """Return how many tiles of an image are computed at the same time."""
    if device.type == "cuda":
        return _AT_ONCE_ON_GPU
    return min(torch.get_num_threads(), _MOST_AT_ONCE) if device.type == "cpu" else 1


def free_cache(device: torch.device, *, all_but: float = 0.0) -> None:
    """Return the memory that torch keeps for later, which other programs and tiles could not use.

    An NVIDIA GPU keeps up to ``all_but`` of its whole memory: allocating it again takes time.
    """
    if device.type == "cuda":
        if kept_memory(device) > all_but * torch.cuda.get_device_properties(device).total_memory:
            torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


class DeviceThreads:
    """What threads that share a device need: a share of the processor, or a stream of the GPU.

    Parameters
    ----------
    number : int
        Of the threads.
    device : torch.device
    """

    def __init__(self, number: int, device: torch.device) -> None:
        self._all = torch.get_num_threads()
        self._each = max(1, self._all // number)
        self._streams: SimpleQueue[torch.cuda.Stream] | None = None
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # what other streams computed, such as the weights, is there
            self._streams = SimpleQueue()
            for _ in range(number):
                self._streams.put(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]

    def prepare(self) -> None:
        """Let the calling thread compute with its share of the processor; for a GPU it only copies."""
        if self._streams is not None:
            return
        with _NUMBER_OF_THREADS:
            torch.get_num_threads()  # torch sets up a thread when it is first asked, and would undo the next
            torch.set_num_threads(self._each)
            # That was also set for future threads, such as a training's; a thread of its own sets it back.
            restoring = Thread(target=torch.set_num_threads, args=(self._all,))
            restoring.start()
            restoring.join()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Compute in a stream that no other thread uses meanwhile."""
        if self._streams is None:
            yield
            return
        stream = self._streams.get()
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            self._streams.put(stream)
