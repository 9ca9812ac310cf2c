"""One thread tells a GPU what to compute of what the others send there."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

_LAUNCHER = ThreadPoolExecutor(1, "tiles")
"""One tile after the other: they use the same memory. The thread stays, since torch keeps by thread how cuDNN
computes each layer best, and finding that out takes time."""


def launch(compute: Callable[[Tensor], Tensor], sent: Tensor) -> Future[Tensor]:
    """Have a GPU ``compute`` from what is ``sent`` in the current stream, which then waits for the result."""
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
