"""One thread tells a GPU what to compute of what the others send there."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

_LAUNCHER = ThreadPoolExecutor(1, "tiles")
"""Of one tile after the other: they use the same memory. The thread stays, as torch forgets with a thread how
cuDNN is to compute each layer, and to find that out takes time."""


def launch(compute: Callable[[Tensor], Tensor], sent: Tensor) -> Future[Tensor]:
    """Have a GPU compute something of what is sent there in the current stream, which will find it there."""
    return _LAUNCHER.submit(_launch, compute, sent, torch.cuda.current_stream(sent.device))


@torch.inference_mode()
def _launch(compute: Callable[[Tensor], Tensor], sent: Tensor, own: torch.cuda.Stream) -> Tensor:
    shared = torch.cuda.default_stream(sent.device)
    with torch.cuda.stream(shared):
        shared.wait_stream(own)
        sent.record_stream(shared)
        found = compute(sent)
        own.wait_stream(shared)
    return found
